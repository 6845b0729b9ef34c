"""A report as Markdown."""

from __future__ import annotations

import re
from pathlib import Path

from lab.report.formatting import number, numeric_columns, shown, spans
from lab.report.items import Answer, Document, Metrics, Picture, Sample, Section, Table, Text, Views

_BEGINS = re.compile(r"^(\d*)([-+=]|(?<=\d)[.)](?=\s|$))")
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&!])")


def to_markdown(document: Document) -> str:
    """Returns a report as Markdown; what would be markup in its texts is escaped."""
    parts = [f"# {escape(document.title)}"]
    if document.subtitle:
        parts.append(paragraph(document.subtitle))
    parts += [VIEWS(block, document.folder) for block in document.blocks()]
    return shown("\n\n".join(parts)) + "\n"


def _section(item: Section, folder: Path) -> str:
    return f"## {escape(item.title)}"


def _text(item: Text, folder: Path) -> str:
    return _begin(_words(item.text))


def _answer(item: Answer, folder: Path) -> str:
    return f"> **{escape(item.question)}**\n>\n> {_begin(_words(item.text))}"


def _sample(item: Sample, folder: Path) -> str:
    # the fence is longer than any run of backticks inside, so that nothing in the text ends it
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", item.text)), default=0))
    return f"{paragraph(item.title)}\n\n{fence}text\n{shown(item.text)}\n{fence}"


def _metrics(item: Metrics, folder: Path) -> str:
    rows = tuple((metric.name, number(metric.value), metric.help) for metric in item.metrics)
    return _table(Table(("metric", "value", ""), rows, ""), folder)


def _table(item: Table, folder: Path) -> str:
    rule = ["---:" if is_number else "---" for is_number in numeric_columns(item)]
    head, *body = [[escape(cell) for cell in row] for row in (item.columns, *item.rows)]
    lines = "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *body))
    return f"{paragraph(item.caption)}\n\n{lines}" if item.caption else lines


def _picture(item: Picture, folder: Path) -> str:
    return f"![{escape(item.caption)}]({item.file})\n\n{paragraph(item.caption)}".strip()


def _words(text: str) -> str:
    """Escapes a text except its code between backticks."""
    return "".join(
        f"`{part}`" if is_code else escape(part, ends=True) for is_code, part in spans(" ".join(text.split()))
    )


def paragraph(text: str) -> str:
    """Escapes a text that begins a paragraph."""
    return _begin(escape(text))


def _begin(escaped: str) -> str:
    """Escapes what would begin a list, a rule or a heading where a paragraph begins: `- `, `---`, `1. `."""
    return _BEGINS.sub(r"\1\\\2", escaped, count=1)


def escape(text: str, *, ends: bool = False) -> str:
    """Escapes markup and folds white space.

    Args:
        text: what to escape.
        ends: whether white space at the ends is kept, as one space.
    """
    folded = re.sub(r"\s+", " ", text)
    return _SPECIAL.sub(r"\\\1", folded if ends else folded.strip())


VIEWS: Views[str] = Views(
    "Markdown",
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
