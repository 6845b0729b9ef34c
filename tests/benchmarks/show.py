"""How rows look: a table on the terminal for each, one table in Markdown for the README."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table

Row = Mapping[str, Any]


def seconds(value: float) -> str:
    """Returns a time as text."""
    if value < 1e-3:
        return f"{value * 1e6:.1f} µs"
    return f"{value * 1e3:.1f} ms" if value < 1 else f"{value:.2f} s"


def said(met: bool | None) -> str:
    """Returns whether a goal is met, in a word."""
    return "" if met is None else "met" if met else "missed"


def number(value: Any) -> str:
    """Returns a number as text."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def tables(row: Row) -> list[Table]:
    """Returns what the terminal shows of a row."""
    if "sides" not in row:
        return [_measures(row)]
    times = Table("", f"median a {row['per']}", "min", "max", "last loss", "loss gap", title=row["title"])
    for name, side in row["sides"].items():
        cells = [seconds(side[key]) for key in ("median", "min", "max")]
        gap = f"{side['loss_gap']:.2%}" + (f" > {row['tolerance']:.0%}: DIFFERS" if name in row["differ"] else "")
        times.add_row(name, *cells, f"{side['losses'][-1]:.4f}", gap)
    for name, why in row.get("left_out", {}).items():
        times.add_row(name, "left out", "", "", "", why[:80])
    ratios = Table("lab's time over", "ratio", "min to max", "goal", "", title=f"{row['pairs']} pairs")
    for rival, ratio in row["ratios"].items():
        name = f"{rival} ({ratio['of']})" if ratio["of"] != rival else rival
        goal = "" if ratio["goal"] is None else f"≤ {ratio['goal']}"
        reach = f"{ratio['min']:.3f} to {ratio['max']:.3f}"
        ratios.add_row(name, f"{ratio['median']:.3f}", reach, goal, said(ratio["met"]))
    return [times, ratios]


def _measures(row: Row) -> Table:
    table = Table("", "value", "goal", "", title=row["title"])
    for value in row["values"]:
        goal = "" if value.get("goal") is None else f"≤ {value['goal']} {value['unit']}"
        table.add_row(value["name"], f"{number(value['value'])} {value['unit']}", goal, said(value.get("met")))
    for note in row.get("notes", ()):
        table.add_row(note, "", "", "")
    return table


def markdown(rows: Iterable[Row]) -> str:
    """Returns the README's table: each row with its ratios, then what has no rival."""
    columns = ("Keras", "Keras, jit", "Lightning", "PyTorch")
    compared = ["| time of lab / time of | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    own = ["| measured | value | goal |", "|---|---:|---:|"]
    for row in rows:
        if "sides" not in row:
            for value in row["values"]:
                goal = "" if value.get("goal") is None else f"≤ {value['goal']}"
                own.append(f"| {row['title']}: {value['name']} | {number(value['value'])} {value['unit']} | {goal} |")
        elif set(row["ratios"]) & set(columns):
            cells = [_cell(row["ratios"][name]) if name in row["ratios"] else "-" for name in columns]
            compared.append(f"| {row['title']} | " + " | ".join(cells) + " |")
        else:
            own += [f"| {row['title']} | {_cell(ratio)} | {ratio['goal'] or ''} |" for ratio in row["ratios"].values()]
    return "\n".join([*(compared if len(compared) > 2 else []), "", *(own if len(own) > 2 else [])]).strip()


def _cell(ratio: Mapping[str, Any]) -> str:
    goal = "" if ratio["goal"] is None else f", goal {ratio['goal']}"
    digits = 2 if ratio["median"] >= 0.1 else 4
    return f"{ratio['median']:.{digits}f} ({ratio['min']:.{digits}f} to {ratio['max']:.{digits}f}{goal})"
