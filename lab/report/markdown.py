"""A report as Markdown."""

from __future__ import annotations

import re

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
    shown,
    spans,
)

_BEGINS = re.compile(r"^(\d*)([-+=]|(?<=\d)[.)](?=\s|$))")
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&!])")


def to_markdown(report: Report) -> str:
    """Writes a report as Markdown; whatever would be markup in its texts is escaped."""
    parts = [f"# {_escape(report.title)}"]
    if report.subtitle:
        parts.append(_block(_escape(report.subtitle)))
    metrics: list[tuple[str, ...]] = []
    for item in [*report.items, None]:
        if isinstance(item, Metric):
            metrics.append((item.name, number(item.value), item.help))
            continue
        if metrics:
            parts.append(_table(Table(("metric", "value", ""), tuple(metrics), "")))
            metrics = []
        if isinstance(item, Section):
            parts.append(f"## {_escape(item.title)}")
        elif isinstance(item, Text):
            parts.append(_block(_words(item.text)))
        elif isinstance(item, Answer):
            parts.append(f"> **{_escape(item.question)}**\n>\n> {_block(_words(item.text))}")
        elif isinstance(item, Sample):
            parts.append(f"{_block(_escape(item.title))}\n\n{_fenced(item.text)}")
        elif isinstance(item, (Table, Thresholds)):
            item = item.table() if isinstance(item, Thresholds) else item
            caption = f"{_block(_escape(item.caption))}\n\n" if item.caption else ""
            parts.append(caption + _table(item))
        elif isinstance(item, Picture):
            parts.append(f"![{_escape(item.caption)}]({item.file})\n\n{_block(_escape(item.caption))}".strip())
    return shown("\n\n".join(parts)) + "\n"


def _fenced(text: str) -> str:
    """A code block: its fence is longer than any run of backticks inside, so that nothing ends it."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}text\n{shown(text)}\n{fence}"


def _table(table: Table) -> str:
    rule = ["---:" if is_number else "---" for is_number in numeric_columns(table)]
    lines = [[_escape(cell) for cell in table.columns], rule, *([_escape(cell) for cell in row] for row in table.rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _words(text: str) -> str:
    """Escapes a text but for its code between backticks."""
    return "".join(
        f"`{part}`" if is_code else _escape(part, ends=True) for is_code, part in spans(" ".join(text.split()))
    )


def _block(escaped: str) -> str:
    """Escapes what would begin a list, a rule or a heading where a paragraph begins: `- `, `---`, `1. `."""
    return _BEGINS.sub(r"\1\\\2", escaped, count=1)


def _escape(text: str, *, ends: bool = False) -> str:
    """Escapes markup and folds white space; with `ends`, that at the ends is kept as one space."""
    folded = re.sub(r"\s+", " ", text)
    return _SPECIAL.sub(r"\\\1", folded if ends else folded.strip())
