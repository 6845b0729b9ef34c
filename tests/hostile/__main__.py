"""Runs every case and prints the table: `python -m tests.hostile`, the last part of `make torture`."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.hostile.inputs import World, train_all
from tests.hostile.table import cases, complaints


def main() -> None:
    """Runs every case and prints the table; the exit code is 1 where one was lost."""
    import lab  # noqa: F401  (first: it silences what TensorFlow says when it starts)

    only = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="lab-hostile-") as folder:
        trained, tally = Path(folder) / "trained", dict[str, list[int]]()
        began = time.monotonic()
        train_all(trained)
        print(f"trained in {time.monotonic() - began:.1f} s")  # noqa: T201
        for place, case in enumerate(cases()):
            if only and not any(word in f"{case.group}: {case.name}" for word in only):
                continue
            began = time.monotonic()
            wrong = complaints(case, World(Path(folder) / str(place), trained))
            took = time.monotonic() - began
            count = tally.setdefault(case.group, [0, 0])
            count[0] += 1
            count[1] += bool(wrong)
            if wrong or took > 3:
                print(f"{case.group}: {case.name}: {took:.1f} s", *wrong, sep="\n  ", flush=True)  # noqa: T201
    tally["all"] = [sum(each) for each in zip(*tally.values(), strict=True)]
    for group, (cases_of, lost) in tally.items():
        print(f"{group:<32} cases {cases_of:>3}, survived {cases_of - lost:>3}, lost {lost}")  # noqa: T201
    raise SystemExit(1 if tally["all"][1] else 0)


if __name__ == "__main__":
    main()
