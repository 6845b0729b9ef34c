"""Engines that take turns, and what their times say: the harness of every row that has a rival.

All engines of a row are started, load, compile and warm up; then each round gives every engine one
turn, every other round in the reverse order, while the others wait. A ratio is taken within a round,
ours over theirs; of a rival's several ways the one with the least median counts.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parent.parent.parent
OTHER = ROOT / ".venv-bench" / "bin" / "python"  # where the rivals are installed
THREADS = 2  # in each engine's pool for the parts of an operation
PAUSE = 0.3  # seconds before a turn, so that the threads of the one before have gone to sleep
OURS = "lab"


@dataclasses.dataclass(frozen=True)
class Bench:
    """What all parts are told.

    Args:
        say: shows a line of progress.
        pairs: rounds that count, instead of each row's own number.
    """

    say: Callable[[str], None]
    pairs: int | None = None


class BenchError(Exception):
    """An engine that had to run did not."""


@dataclasses.dataclass(frozen=True)
class Engine:
    """One way to do a row's work.

    Args:
        name: as the table shows it.
        rival: whose way it is, as the goals name it; `lab` is ours.
        function: `module:function`, called with the worker's `Turns`.
        options: what the function is told.
        torch: whether it runs in the rivals' environment.
        optional: whether the row goes on without it, as where `torch.compile` finds no compiler.
        env: environment variables besides.
    """

    name: str
    rival: str
    function: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    torch: bool = False
    optional: bool = False
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A row: the same work by several engines.

    Args:
        name: of the row, in `bench.json`.
        title: what a turn is, for the table.
        engines: ours first.
        goals: what ours may take of each rival's time at most; None asks nothing.
        tolerance: how far the losses of two sides may lie apart, as a share, on each turn.
        prepare: `module:function` that writes what all engines begin from into the row's folder.
        options: what every engine and `prepare` are told.
        pairs: turns that count.
        warm: turns before, which do not.
        in_a_row: how often an engine does the work in a turn, of which the mean counts: for work so short that it
            would be measured as it is after a pause, when a process's threads share a core for some 20 ms.
        per_step: whether seconds are those of a step, not of a turn.
        drawn: whether each side draws its own dropout: then the mean of its losses is compared, not each turn's.
    """

    name: str
    title: str
    engines: Sequence[Engine]
    goals: Mapping[str, float | None]
    tolerance: float
    prepare: str = ""
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    pairs: int = 5
    warm: int = 2
    in_a_row: int = 1
    per_step: bool = False
    drawn: bool = False


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Returns the variables that give every engine as many threads."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    return {**os.environ, **dict.fromkeys(names, str(THREADS)), **(more or {})}


class Worker:
    """An engine's process."""

    def __init__(self, engine: Engine, folder: Path, options: Mapping[str, Any]) -> None:
        self.engine = engine
        self.turns: list[dict[str, float]] = []
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # `close` closes it
        python = str(OTHER) if engine.torch else sys.executable
        told = json.dumps({**options, **engine.options})
        self._process = subprocess.Popen(
            [python, "-m", "tests.benchmarks.worker", engine.function, str(folder), told],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=ROOT,
            env=environment(engine.env),
        )

    def go(self) -> None:
        """Gives the engine its turn."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # `wait` says what became of it
            self._process.stdin.write("go\n")
            self._process.stdin.flush()

    def wait(self) -> None:
        """Waits until the turn is over.

        Raises:
            BenchError: the process ended instead.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BenchError(f"{self.engine.name}: {self._said()}")
        self.turns.append(json.loads(line))

    def _said(self) -> str:
        self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return f"ended with {self._process.returncode}: {' | '.join(lines[-3:])[-600:]}"

    def close(self) -> None:
        """Ends the process."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()


def call(
    function: str,
    folder: Path,
    options: Mapping[str, Any],
    env: Mapping[str, str] | None = None,
    *,
    torch: bool = False,
) -> dict[str, float]:
    """Runs a function that takes no turns in a process of its own, and returns what it found.

    Raises:
        BenchError: it failed.
    """
    worker = Worker(Engine(function, OURS, function, env=env or {}, torch=torch), folder, options)
    try:
        worker.wait()
        return worker.turns[0]
    finally:
        worker.close()


@contextlib.contextmanager
def own_folder() -> Iterator[Path]:
    """Makes a folder for the length of a block."""
    with tempfile.TemporaryDirectory(prefix="lab-bench-") as made:
        yield Path(made)


def compare(row: Comparison, bench: Bench) -> dict[str, Any]:
    """Runs a row and returns what `bench.json` says of it.

    Raises:
        BenchError: an engine failed that is not optional.
    """
    began, say = time.monotonic(), bench.say
    row = row if bench.pairs is None else dataclasses.replace(row, pairs=bench.pairs)
    options = {**row.options, "turns": row.warm + row.pairs, "in_a_row": row.in_a_row}
    engines = [engine for engine in row.engines if OTHER.exists() or not engine.torch]
    left_out = {one.name: "PyTorch is not installed in .venv-bench" for one in row.engines if one not in engines}
    say(f"{row.name}: {', '.join(engine.name for engine in engines)}")
    with own_folder() as folder, contextlib.ExitStack() as ending:
        if row.prepare:
            call(row.prepare, folder, {**options, "turns": options["turns"] * row.in_a_row, "in_a_row": 1})
        workers = [Worker(engine, folder, options) for engine in engines]
        for worker in workers:
            ending.callback(worker.close)
        for _ in range(row.warm):  # one at a time: pools that wait for one another by spinning would starve
            workers = [worker for worker in workers if _taken(worker, left_out)]
        for pair in range(row.pairs):
            for worker in workers if pair % 2 == 0 else reversed(workers):
                time.sleep(PAUSE)
                worker.go()
                worker.wait()
        say(f"{row.name}: {row.pairs} rounds of {len(workers)} engines, {time.monotonic() - began:.0f} s")
        turns = {worker.engine.name: worker.turns for worker in workers}
    return judged(row, turns) | {"left_out": left_out, "took": time.monotonic() - began}


def _taken(worker: Worker, left_out: dict[str, str]) -> bool:
    """Whether an engine took a turn; one that is optional and failed is left out from now on."""
    try:
        worker.go()
        worker.wait()
    except BenchError as error:
        if not worker.engine.optional:
            raise
        left_out[worker.engine.name] = str(error)
        return False
    return True


def judged(row: Comparison, turns: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, Any]:
    """Returns medians, ratios and whether every side did the same, from the turns of each engine, warm-ups first."""
    sides: dict[str, dict[str, Any]] = {}
    ours = turns[row.engines[0].name]
    for engine in row.engines:
        if engine.name not in turns:
            continue
        taken = turns[engine.name]
        seconds = [one["seconds"] / (one["steps"] if row.per_step else 1) for one in taken[row.warm :]]
        sides[engine.name] = {
            "rival": engine.rival,
            **spread(seconds),
            "seconds": seconds,
            "losses": [one.get("loss", 0.0) for one in taken],
            "steps": [one.get("steps", 0.0) for one in taken],
            "loss_gap": loss_gap(ours, taken, drawn=row.drawn),
        }
    wrong = [name for name, side in sides.items() if not side["loss_gap"] <= row.tolerance]
    return {
        "row": row.name,
        "title": row.title,
        "per": "step" if row.per_step else "turn",
        "pairs": row.pairs,
        "in_a_row": row.in_a_row,
        "sides": sides,
        "ratios": _ratios(row, sides),
        "tolerance": row.tolerance,
        "differ": wrong,
    }


def _ratios(row: Comparison, sides: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    ours, found = sides[row.engines[0].name]["seconds"], {}
    for rival in dict.fromkeys(engine.rival for engine in row.engines if engine.rival != OURS):
        ways = {name: side for name, side in sides.items() if side["rival"] == rival}
        if not ways:
            continue
        best = min(ways, key=lambda name: ways[name]["median"])
        goal = row.goals.get(rival)
        ratio = spread([mine / theirs for mine, theirs in zip(ours, ways[best]["seconds"], strict=True)])
        found[rival] = {"of": best, **ratio, "goal": goal, "met": None if goal is None else ratio["median"] <= goal}
    return found


def spread(values: Sequence[float]) -> dict[str, float]:
    """Returns median, least and greatest."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def loss_gap(
    ours: Sequence[Mapping[str, float]], theirs: Sequence[Mapping[str, float]], *, drawn: bool = False
) -> float:
    """Returns how far losses lie apart at most, as a share of ours; infinite where steps differ or one is no number.

    Where they depend on what each side draws, it is their means over all turns that are compared.
    """
    gaps = [0.0]
    pairs = [(mine.get("loss", 0.0), other.get("loss", 0.0)) for mine, other in zip(ours, theirs, strict=True)]
    if any(mine.get("steps") != other.get("steps") for mine, other in zip(ours, theirs, strict=True)):
        return float("inf")
    if drawn:
        pairs = [(statistics.fmean(a for a, _ in pairs), statistics.fmean(b for _, b in pairs))]
    for a, b in pairs:
        gap = abs(a - b) / abs(a) if a else abs(b)
        gaps.append(gap if gap == gap else float("inf"))
    return max(gaps)
