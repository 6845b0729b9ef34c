"""A report on the terminal, with rich."""

from __future__ import annotations

import dataclasses
import unicodedata
from pathlib import Path

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table as RichTable
from rich.text import Text as RichText

from lab.report.formatting import number, numeric_columns, spans
from lab.report.items import Answer, Document, Metrics, Picture, Sample, Section, Table, Text, Views


def show_report(document: Document, console: Console) -> None:
    """Prints a report; in its texts, markup is not interpreted and control characters are replaced."""
    console.print()
    console.print(Rule(_plain(document.title, "bold")))
    if document.subtitle:
        console.print(_plain(document.subtitle, "dim"), justify="center")
    for block in document.blocks():
        content = VIEWS(block, document.folder)
        console.print(_plain(content) if isinstance(content, str) else content, crop=False)


def _section(item: Section, folder: Path) -> RenderableType:
    return Group(RichText(), _plain(item.title, "bold underline"))


def _text(item: Text, folder: Path) -> RenderableType:
    return _words(item.text)


def _answer(item: Answer, folder: Path) -> RenderableType:
    return Panel(_words(item.text), title=_plain(item.question, "bold"), title_align="left", box=box.ROUNDED)


def _sample(item: Sample, folder: Path) -> RenderableType:
    return Group(RichText(), _plain(item.title, "dim"), Padding(_plain(item.text), (0, 0, 0, 2)))


def _metrics(item: Metrics, folder: Path) -> RenderableType:
    table = RichTable(box=box.SIMPLE_HEAD, show_header=False, padding=(0, 1))
    for metric in item.metrics:
        table.add_row(_plain(metric.name), _plain(number(metric.value), "bold"), _plain(metric.help, "dim"))
    return table


@dataclasses.dataclass
class _Fitted:
    """A table that writes an interval below its number where the table would be too wide."""

    item: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        item = self.item
        widest = [max(map(len, column)) for column in zip(item.columns, *item.rows, strict=True)]
        interval = " \u00b1 " if sum(widest) + 3 * len(widest) <= options.max_width else "\n\u00b1 "
        title = _plain(item.caption) if item.caption else None
        table = RichTable(box=box.SIMPLE_HEAD, title=title, title_justify="left")
        for column, is_number in zip(item.columns, numeric_columns(item), strict=True):
            table.add_column(_plain(column), justify="right" if is_number else "left", overflow="fold")
        for row in item.rows:
            table.add_row(*(_plain(cell.replace(" \u00b1 ", interval)) for cell in row))
        yield table


def _table(item: Table, folder: Path) -> RenderableType:
    return _Fitted(item)


def _picture(item: Picture, folder: Path) -> RenderableType:
    line = _plain(f"{folder / item.file}  {item.caption}", "cyan")
    line.no_wrap, line.overflow = True, "ignore"  # a path that is cut or wrapped cannot be copied
    return line


def _words(text: str) -> RichText:
    """Text whose parts between backticks stand out."""
    return RichText.assemble(*(_plain(part, "bold" if is_code else "") for is_code, part in spans(text)))


def _plain(text: str, style: str = "") -> RichText:
    """Text without markup."""
    return RichText(plain(text), style=style)


def plain(text: str) -> str:
    """Returns text with `\\ufffd` for each control character, which could drive a terminal."""
    return "".join(map(_safe, text))


def _safe(char: str) -> str:
    if unicodedata.category(char) == "Zs":  # a space of any width; Python calls only one of them printable
        return " "
    return char if char.isprintable() or char in "\n\t" else "\ufffd"


VIEWS: Views[RenderableType] = Views(
    "terminal",
    {
        Section: _section,
        Text: _text,
        Answer: _answer,
        Sample: _sample,
        Metrics: _metrics,
        Table: _table,
        Picture: _picture,
    },
)
