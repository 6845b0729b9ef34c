"""How the writers write numbers, cells and text."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from lab.report.items import Table
from lab.settings import show

_NUMBER = re.compile(r"[-+\u00b1]?[\d.,]*(e[-+]?\d+)?( \u00b1 [\d.,]+)?( ?(%|dB))?")  # also matches an empty cell


def number(value: float) -> str:
    """Writes a number with four significant digits: `0.07182`, `1234`, `3.1e-05`."""
    return f"{value:.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.4g}"


def cell(value: Any) -> str:
    """Writes the value of a table's cell; a NumPy scalar is written as the Python number."""
    if hasattr(value, "item"):
        value = value.item()
    return number(value) if isinstance(value, float) else show(value)


def numeric_columns(table: Table) -> list[bool]:
    """Returns for each column whether all its cells are numbers, which are aligned to the right."""
    return [
        bool(table.rows) and all(_NUMBER.fullmatch(row[place]) for row in table.rows)
        for place in range(len(table.columns))
    ]


def spans(text: str) -> list[tuple[bool, str]]:
    """Splits a text at its backticks: (whether it is code, the words)."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # a backtick without its partner is a character
        return [(False, text)]
    return [(place % 2 == 1, part) for place, part in enumerate(parts) if part]


def shown(text: str) -> str:
    """Returns text with `\\ufffd` for each control or formatting character, which could drive a terminal."""
    return "".join(char if _is_text(char) else "\ufffd" for char in text)


def _is_text(char: str) -> bool:
    return char.isprintable() or char in "\n\t" or unicodedata.category(char) == "Zs"
