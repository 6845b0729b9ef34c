"""One engine in a process of its own: it loads, then takes its turns when it is told to.

`python -m tests.bench.worker module:function FOLDER OPTIONS` calls `function(turns)`. Whatever
libraries print goes to the standard error; the pipe to the parent carries one JSON line a turn.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import IO, Any


class Turns:
    """The turns of an engine: it waits for each, takes it, and tells how long that took and what came out.

    Args:
        folder: what the row's `prepare` has written.
        options: the engine's, as JSON has them; `turns` of them says how many there are.
        told: where a word comes in for each turn.
        tell: where a JSON line goes out after each.
    """

    def __init__(self, folder: Path, options: dict[str, Any], told: IO[str], tell: IO[str]) -> None:
        self.folder = folder
        self.options = options
        self.count = int(options.get("turns", 0))
        self._told = told
        self._tell = tell
        self._began = 0.0
        self._seconds: float | None = None

    def begin(self) -> None:
        """Waits until it is this engine's turn, and starts the clock.

        Raises:
            SystemExit: there are no more turns.
        """
        if not self._told.readline():
            raise SystemExit(0)
        self._seconds = None
        self._began = time.perf_counter()

    def stop(self) -> None:
        """Stops the clock before the turn ends, so that what follows in it is not counted."""
        self._seconds = time.perf_counter() - self._began

    def end(self, *, per: int = 1, **found: float) -> None:
        """Tells the parent the seconds, each of `per` pieces of work, and what came out: `loss`, `steps`."""
        if self._seconds is None:
            self.stop()
        assert self._seconds is not None
        line = {"seconds": self._seconds / per} | {name: float(value) for name, value in found.items()}
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
