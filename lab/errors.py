"""What can go wrong, and the exit code that says so to a shell.

Every error that a user can cause is a `LabError`: one line that says what was expected, what came
and what to do next. Anything else is a defect of the code and keeps its traceback.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence

FAILURE = 1
USAGE = 2
INTERRUPTED = 130


class LabError(Exception):
    """An error whose message is meant for the user; `exit_code` is what the `lab` command ends with."""

    exit_code = FAILURE

    def __str__(self) -> str:
        return printable(super().__str__())


class UsageError(LabError):
    """The command, the class or the call is not one that exists."""

    exit_code = USAGE


class SettingsError(UsageError, ValueError):
    """One or more settings are unknown, of the wrong type or out of bounds.

    Args:
        faults: one line a fault, each complete in itself.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        head = f"{len(self.faults)} settings are wrong:\n  " if len(self.faults) > 1 else ""
        super().__init__(head + "\n  ".join(self.faults))


class DataError(LabError):
    """A data set cannot be had, or is not what it says it is."""


class ModelError(LabError):
    """The model and the data do not fit, or the model cannot be trained."""


class RunError(LabError):
    """A run directory is missing, unreadable or in use."""


class OriginError(RunError):
    """A checkpoint is another training's: of other settings, data or versions, or of another model."""


class BusyError(RunError):
    """Another process works on the run."""


class OutOfMemoryError(LabError):
    """There was not enough memory."""


class WriteError(LabError, OSError):
    """A file cannot be written: no room, no leave, a disk that fails; the file is as it was before."""


class StopRequested(KeyboardInterrupt):
    """The user asked to stop and the run has been left in order."""


def printable(text: str) -> str:
    """Returns text that drives no terminal: control and formatting characters are written as `\\x1b` or `\\u202e`.

    Of line ends, only those before two spaces stay, which set in what belongs to the line before.
    """
    safe = "".join(char if _is_plain(char) else char.encode("unicode_escape").decode() for char in text)
    return re.sub(r"\n(?!  )", r"\\n", safe)


def _is_plain(char: str) -> bool:
    return char.isprintable() or char == "\n" or unicodedata.category(char) == "Zs"


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns `"; did you mean 'x'?"` for the closest known name, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""
