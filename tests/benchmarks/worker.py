"""One engine in a process of its own: it loads, then takes its turns when it is told to.

`python -m tests.benchmarks.worker module:function FOLDER OPTIONS` calls `function(turns)`. Whatever
libraries print goes to the standard error; the pipe to the parent carries one JSON line a turn.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import IO, Any


class Turns:
    """The turns of an engine: it waits for each, takes it, and tells how long that took and what came out.

    Args:
        folder: what the row's `prepare` has written.
        options: the engine's, as JSON has them; `turns` of them says how many there are, and `in_a_row` how
            many times an engine does its work in one, 1 if it does not say.
        told: where a word comes in for each turn.
        tell: where a JSON line goes out after each.

    Attributes:
        count: how many times the engine does its work in all: so often it calls `begin` and `end`.
    """

    def __init__(self, folder: Path, options: dict[str, Any], told: IO[str], tell: IO[str]) -> None:
        self.folder = folder
        self.options = options
        self.in_a_row = int(options.get("in_a_row", 1))
        self.count = int(options.get("turns", 0)) * self.in_a_row
        self._told = told
        self._tell = tell
        self._began = 0.0
        self._seconds: float | None = None
        self._done: list[float] = []  # seconds of this turn's pieces

    def begin(self) -> None:
        """Waits until it is this engine's turn, unless it is in the midst of it, and starts the clock.

        Raises:
            SystemExit: there are no more turns.
        """
        if not self._done and not self._told.readline():
            raise SystemExit(0)
        self._seconds = None
        self._began = time.perf_counter()

    def stop(self) -> None:
        """Stops the clock before the turn ends, so that what follows in it is not counted."""
        self._seconds = time.perf_counter() - self._began

    def end(self, *, per: int = 1, **found: float) -> None:
        """Tells the parent the seconds, each of `per` pieces of work, and what came out: `loss`, `steps`.

        Of a turn in which the work is done several times in a row it is their mean, and what came out last.
        """
        if self._seconds is None:
            self.stop()
        assert self._seconds is not None
        self._done.append(self._seconds / per)
        if len(self._done) < self.in_a_row:
            return
        line = {"seconds": statistics.fmean(self._done)} | {name: float(value) for name, value in found.items()}
        self._done.clear()
        self._tell.write(json.dumps(line) + "\n")
        self._tell.flush()


def main() -> None:
    """Runs the function that the command line names."""
    place, folder, options = sys.argv[1:]
    tell = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    module, _, name = place.partition(":")
    turns = Turns(Path(folder), json.loads(options), sys.stdin, tell)
    getattr(importlib.import_module(module), name)(turns)


if __name__ == "__main__":
    main()
