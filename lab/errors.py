"""The lab's errors, and the exit codes of the `lab` command.

Every error that a user can cause is a `LabError`: one line that states what was expected, what was given
and what to do. Any other error is a defect of the code and keeps its traceback.
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
    """An error whose message is meant for the user; the `lab` command exits with its `exit_code`."""

    exit_code = FAILURE

    def __str__(self) -> str:
        return printable(super().__str__())


class UsageError(LabError):
    """A command, a class or a call is wrong."""

    exit_code = USAGE


class SettingsError(UsageError, ValueError):
    """One or more settings are unknown, of the wrong type or out of bounds.

    Args:
        faults: one line for each fault.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        head = f"{len(self.faults)} settings are wrong:\n  " if len(self.faults) > 1 else ""
        super().__init__(head + "\n  ".join(self.faults))


class DataError(LabError):
    """A data set is not available, or its content is not what was expected."""


class ModelError(LabError):
    """The model does not fit the data, or cannot be trained."""


class RunError(LabError):
    """A run directory is missing, unreadable or in use."""


class OriginError(RunError):
    """A checkpoint belongs to another training: other settings, data or versions, or another model."""


class BusyError(RunError):
    """Another process is working on the run."""


class OutOfMemoryError(LabError):
    """There is not enough memory."""


class WriteError(LabError, OSError):
    """A file cannot be written: a full disk, a missing permission, a failing disk. The old file is unchanged."""


class StopRequested(KeyboardInterrupt):
    """The user asked to stop, and the run was left in a consistent state."""


def printable(text: str) -> str:
    """Returns text that cannot drive a terminal: control and formatting characters become `\\x1b` or `\\u202e`.

    A line end is kept only before two spaces, which indent a continuation of the line above.
    """
    safe = "".join(char if _is_plain(char) else char.encode("unicode_escape").decode() for char in text)
    return re.sub(r"\n(?!  )", r"\\n", safe)


def _is_plain(char: str) -> bool:
    return char.isprintable() or char == "\n" or unicodedata.category(char) == "Zs"


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns `"; did you mean 'x'?"` for the closest known name, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""
