"""A report on the terminal, with rich."""

from __future__ import annotations

import unicodedata

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table as RichTable
from rich.text import Text as RichText

from lab.report.core import (
    Answer,
    Metric,
    Picture,
    Report,
    Sample,
    Section,
    Table,
    Text,
    Thresholds,
    number,
    numeric_columns,
    spans,
)


def show_report(report: Report, console: Console) -> None:
    """Prints a report; what came from users is printed as it is, without markup or escapes."""
    console.print()
    console.print(Rule(_plain(report.title, "bold")))
    if report.subtitle:
        console.print(_plain(report.subtitle, "dim"), justify="center")
    metrics: list[Metric] = []
    for item in [*report.items, None]:
        if isinstance(item, Metric):
            metrics.append(item)
            continue
        if metrics:
            console.print(_metrics(metrics))
            metrics = []
        if item is not None:
            _show(item, report, console)


def _show(
    item: Section | Text | Answer | Sample | Table | Picture | Thresholds, report: Report, console: Console
) -> None:
    if isinstance(item, Section):
        console.print()
        console.print(_plain(item.title, "bold underline"))
    elif isinstance(item, Text):
        console.print(_words(item.text))
    elif isinstance(item, Answer):
        console.print(
            Panel(_words(item.text), title=_plain(item.question, "bold"), title_align="left", box=box.ROUNDED)
        )
    elif isinstance(item, Sample):
        console.print()
        console.print(_plain(item.title, "dim"))
        console.print(Padding(_plain(item.text), (0, 0, 0, 2)))
    elif isinstance(item, (Table, Thresholds)):
        console.print(_table(item if isinstance(item, Table) else item.table(), console.width))
    elif isinstance(item, Picture):
        console.print(_plain(f"{report.folder / item.file}  {item.caption}", "cyan"), soft_wrap=True)


def _metrics(metrics: list[Metric]) -> RichTable:
    table = RichTable(box=box.SIMPLE_HEAD, show_header=False, padding=(0, 1))
    for metric in metrics:
        table.add_row(_plain(metric.name), _plain(number(metric.value), "bold"), _plain(metric.help, "dim"))
    return table


def _table(item: Table, width: int) -> RichTable:
    """A table; where it is too wide, an interval goes below its number."""
    widest = [max(map(len, column)) for column in zip(item.columns, *item.rows, strict=True)]
    interval = " \u00b1 " if sum(widest) + 3 * len(widest) <= width else "\n\u00b1 "
    table = RichTable(box=box.SIMPLE_HEAD, title=_plain(item.caption) if item.caption else None, title_justify="left")
    for column, is_number in zip(item.columns, numeric_columns(item), strict=True):
        table.add_column(_plain(column), justify="right" if is_number else "left", overflow="fold")
    for row in item.rows:
        table.add_row(*(_plain(cell.replace(" \u00b1 ", interval)) for cell in row))
    return table


def _words(text: str) -> RichText:
    """Text whose parts between backticks stand out."""
    return RichText.assemble(*(_plain(part, "bold" if is_code else "") for is_code, part in spans(text)))


def _plain(text: str, style: str = "") -> RichText:
    """Text without markup."""
    return RichText(plain(text), style=style)


def plain(text: str) -> str:
    """Returns text whose control characters, which could drive a terminal, are shown as `\\ufffd`."""
    return "".join(map(_safe, text))


def _safe(char: str) -> str:
    if unicodedata.category(char) == "Zs":  # a space of any width; Python calls only one of them printable
        return " "
    return char if char.isprintable() or char in "\n\t" else "\ufffd"
