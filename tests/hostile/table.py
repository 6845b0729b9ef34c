"""What goes wrong on purpose, and what must happen: `make torture` runs every case, and so do the tests.

Whatever comes in, a mistake is one line `lab: ...` with the exit code that says so: no traceback, no half-written
file, nothing outside the folder that the command runs in, no run changed, and no character that drives a terminal.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import shlex
import subprocess
import sys
import traceback
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

from tests.hostile.inputs import World

Make = Callable[[World], object]  # makes an input in a world


def nothing(world: World) -> None:
    """No input: the command itself is the case."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One hostile input.

    Args:
        name: what is wrong with it; unique.
        group: the kind of input.
        words: the command line behind `lab`, as a shell splits it or split already; or, where there is no
            command for it, what to call.
        said: a part of the line that must be said; of the output, where the exit code is 0.
        code: the exit code.
        make: makes the input in a world.
        lines: how many lines `lab: ...` must come.
        environment: variables.
        stdin: what the command can read.
        piped: whether the output goes to a file, not to a terminal.
        apart: whether it needs a process of its own.
        after: what else must hold, asserted.
    """

    name: str
    group: str
    words: str | tuple[str, ...] | Callable[[World], object]
    said: str
    code: int = 1
    make: Make = nothing
    lines: int | None = None
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    stdin: bytes = b""
    piped: bool = False
    apart: bool = False
    after: Callable[[World, Said], object] | None = None


@dataclasses.dataclass(frozen=True)
class Said:
    """What a command said, and its exit code; None where it raised."""

    code: int | None
    out: str
    err: str


class _Terminal(io.TextIOWrapper):
    """A stream as Python makes it for a terminal; a dumb one, so that styles need no escapes."""

    def __init__(self, *, is_terminal: bool = True, errors: str = "strict", content: bytes = b"") -> None:
        super().__init__(io.BytesIO(content), encoding="utf-8", errors=errors)
        self.is_terminal = is_terminal

    def isatty(self) -> bool:
        return self.is_terminal

    def read_back(self) -> str:
        self.flush()
        self.seek(0)
        return str(self.read())


def said_by(case: Case, world: World) -> Said:
    """Runs a case as the console script does."""
    environment = {"LAB_RUNS": "runs", "LAB_CACHE": "cache"}
    environment |= {"TERM": "dumb", "COLUMNS": "200", "PIP_NO_INDEX": "1", "https_proxy": "http://127.0.0.1:9"}
    environment |= case.environment
    if case.apart:
        assert not callable(case.words)
        command = [sys.executable, "-m", "lab.cli", *_split(case.words)]
        path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "PYTHONPATH": path, **environment}
        done = subprocess.run(command, capture_output=True, cwd=world.here, env=environment, check=False, timeout=120)
        return Said(done.returncode, done.stdout.decode(), done.stderr.decode())
    out, err = _Terminal(is_terminal=not case.piped), _Terminal(errors="backslashreplace")
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.chdir(world.here))
        stack.enter_context(mock.patch.dict(os.environ, environment))
        stack.enter_context(
            mock.patch.object(sys, "argv", ["lab", *(() if callable(case.words) else _split(case.words))])
        )
        stack.enter_context(mock.patch.object(sys, "stdin", _Terminal(is_terminal=False, content=case.stdin)))
        stack.enter_context(mock.patch.object(sys, "path", list(sys.path)))
        stack.enter_context(warnings.catch_warnings())
        warnings.resetwarnings()  # as a user has them
        for kind in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", kind)
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        code: int | None = 0
        try:
            _call(case.words, world)
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
        except BaseException:
            code = None
            err.write(traceback.format_exc())
    return Said(code, out.read_back(), err.read_back())


def _split(words: str | tuple[str, ...]) -> list[str]:
    return shlex.split(words) if isinstance(words, str) else list(words)


def _call(words: Any, world: World) -> None:
    """Runs the command; or a function, whose errors are told as the command tells them."""
    from lab.cli import main

    if not callable(words):
        main.main()
        return
    from rich.console import Console

    from lab._utils.logs import log_to

    def call(**_: Any) -> None:
        words(world)

    with mock.patch.object(main.lab, "main", call), log_to(Console()):
        main.main()


def complaints(case: Case, world: World) -> list[str]:
    """Returns what was not as it must be; nothing where the case was survived."""
    case.make(world)
    before, outside = _content(world.here), _outside(world)
    said = said_by(case, world)
    found = []
    if said.code != case.code:
        found.append(f"expected exit code {case.code}, got {said.code}")
    if "Traceback" in said.err:
        found.append("there is a traceback")
    if case.said not in (said.out if case.code == 0 else said.err):
        found.append(f"expected to be told {case.said!r}")
    lines = said.err.split("\n")[:-1]
    wanted = case.lines if case.lines is not None else int(case.code != 0)
    if sum(line.startswith("lab: ") for line in lines) != wanted:
        found.append(f"expected {wanted} lines `lab: ...`")
    if case.code and any(not line.startswith(("lab: ", "  ")) for line in lines):  # else there may be warnings
        found.append("there are other lines on the standard error")
    driving = sorted({hex(ord(char)) for char in said.out + said.err if _drives(char)}) if not case.piped else []
    if driving:
        found.append(f"characters that drive a terminal came through: {', '.join(driving)}")
    found += _files(case, world, before, outside)
    if case.after is not None and not found:
        try:
            case.after(world, said)
        except Exception as error:
            found.append(f"afterwards: {type(error).__name__}: {error}")
    return [*found, f"stdout: {said.out[-1500:]!r}", f"stderr: {said.err[-1500:]!r}"] if found else []


def _drives(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") and char not in "\n\t"


def _files(case: Case, world: World, before: Mapping[str, str], outside: frozenset[str]) -> Iterator[str]:
    after = _content(world.here)
    halves = [name for name in after.keys() - before.keys() if ".part" in name]
    if halves:
        yield f"half-written files were left: {halves}"
    if _outside(world) != outside:
        yield f"there are new files outside: {sorted(_outside(world) ^ outside)}"
    if case.code:
        changed = [name for name in before if before[name] != after.get(name)]
        if changed:
            yield f"files were changed or lost: {changed}"
    for name in after.keys() - before.keys():
        if name.endswith(".json"):
            json.loads((world.here / name).read_text("utf-8"))


def _outside(world: World) -> frozenset[str]:
    return frozenset(str(path) for path in world.outer.rglob("*") if world.here not in path.parents)


def _content(folder: Path) -> dict[str, str]:
    """A hash of every file; of a status what it says, without when and who."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_file() and path.name != ".lock":
            content = path.read_bytes() if path.stat().st_size < 1 << 28 else b"large"
            if path.name == "status.json":
                with contextlib.suppress(ValueError, AttributeError):
                    record = json.loads(content)
                    content = repr([record.get(key) for key in ("status", "stage", "reason")]).encode()
            found[name] = hashlib.sha256(content).hexdigest()
    return found


def cases() -> tuple[Case, ...]:
    """Every case."""
    from tests.hostile.cases import CASES

    return CASES
