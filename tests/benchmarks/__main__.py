"""`make bench`: runs the parts in order, prints a table for each row, and writes `bench.json`.

    python -m tests.benchmarks [only=PART[,PART]] [pairs=N] [output=bench.json]

The exit code is 1 where two sides reached different losses (one of them did less) or an engine
failed, 2 where the words are wrong. A goal that is missed is said, and is no error.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from lab._utils.files import write_json
from lab.errors import nearest
from tests.benchmarks import machine, show
from tests.benchmarks.pairs import Bench, BenchError
from tests.benchmarks.parts import PARTS


def arguments(words: Sequence[str]) -> tuple[list[str], int | None, Path]:
    """Returns which parts to run, in their order, how many pairs of each row, and where the JSON goes.

    Raises:
        ValueError: a word is unknown.
    """
    told = {"only": ",".join(PARTS), "pairs": "", "output": "bench.json"}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name not in told or not value:
            raise ValueError(
                f"bench: expected only=PART[,PART], pairs=N and output=FILE, got {word!r}{nearest(name, told)}"
            )
        told[name] = value
    chosen = told["only"].split(",")
    for part in chosen:
        if part not in PARTS:
            raise ValueError(f"bench: expected only={','.join(PARTS)}, got only={part}{nearest(part, PARTS)}")
    if told["pairs"] and not (told["pairs"].isdecimal() and int(told["pairs"])):
        raise ValueError(f"bench: expected pairs=N, a whole number of 1 or more, got pairs={told['pairs']}")
    pairs = int(told["pairs"]) if told["pairs"] else None
    return [part for part in PARTS if part in chosen], pairs, Path(told["output"])


def run(parts: Sequence[str], pairs: int | None, output: Path, console: Console) -> int:
    """Runs the parts, writes the file after each row, and returns the exit code."""
    began = time.monotonic()
    rows: list[dict[str, Any]] = []
    wrong: list[str] = []
    about = machine.describe()
    for name, value in about.items():
        console.print(f"{name}: {value or 'none'}", soft_wrap=True, highlight=False, markup=False)

    def tell(said: str) -> None:
        console.print(f"{time.monotonic() - began:6.0f} s  {said}", style="dim", highlight=False, soft_wrap=True)

    def record() -> dict[str, Any]:
        return {"machine": about, "seconds": time.monotonic() - began, "rows": rows, "wrong": wrong}

    for part in parts:
        tell(part)
        try:
            for row in PARTS[part](Bench(tell, pairs)):
                rows.append({"part": part, **row})
                wrong += [f"{row['row']}: the loss of {name} differs" for name in row.get("differ", ())]
                for table in show.tables(row):
                    console.print(table)
                write_json(output, record())
        except BenchError as error:
            wrong.append(f"{part}: {error}")
            tell(wrong[-1])
    write_json(output, record())
    console.print(show.markdown(rows), soft_wrap=True, highlight=False, markup=False)
    for said in wrong:
        console.print(said, style="red", highlight=False, markup=False)
    tell(f"done; {output}")
    return 1 if wrong else 0


def main() -> None:
    """Runs what the command line asks for; `check` as the first word only looks whether it is right."""
    only_check, words = sys.argv[1:2] == ["check"], sys.argv[1:]
    try:
        parts, pairs, output = arguments(words[1:] if only_check else words)
    except ValueError as error:
        Console(stderr=True).print(str(error), soft_wrap=True, highlight=False, markup=False)
        raise SystemExit(2) from None
    if not only_check:
        raise SystemExit(run(parts, pairs, output, Console()))


if __name__ == "__main__":
    main()
