"""The report that an experiment writes: text, metrics, tables and figures, in reading order."""

from __future__ import annotations

import dataclasses
import io
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydantic

from lab._utils.files import write_bytes, write_json, write_text
from lab.errors import RunError, UsageError
from lab.settings import show

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NUMBER = re.compile(r"[-+\u00b1]?[\d.,]*(e[-+]?\d+)?( \u00b1 [\d.,]+)?( ?(%|dB))?")  # an empty cell is one, too
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading."""

    title: str


@dataclasses.dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclasses.dataclass(frozen=True)
class Answer:
    """A question that the experiment was asked, and what its numbers say."""

    question: str
    text: str


@dataclasses.dataclass(frozen=True)
class Sample:
    """Text that a model wrote or read, line by line as it is."""

    title: str
    text: str


@dataclasses.dataclass(frozen=True)
class Metric:
    """A number with a name; it stands in `report.json` under `metrics`."""

    name: str
    value: float
    help: str


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows under columns, as text."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure, by its file below the run directory."""

    file: str
    caption: str


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """What each threshold of a classifier does; in HTML a reader moves through them."""

    classes: tuple[str, str]
    thresholds: tuple[float, ...]
    counts: tuple[tuple[int, int, int, int], ...]
    start: float
    costs: tuple[float, float]
    caption: str

    def table(self) -> Table:
        """Returns some of them as a table, for where nothing moves."""
        rows = []
        for place in sorted({round(step * (len(self.thresholds) - 1) / 10) for step in range(11)}):
            tn, fp, fn, tp = self.counts[place]
            precision = f"{tp / (tp + fp):.3f}" if tp + fp else ""
            recall = f"{tp / (tp + fn):.3f}" if tp + fn else ""
            f1 = f"{2 * tp / (2 * tp + fp + fn):.3f}" if tp + fp + fn else ""
            cost = f"{self.costs[0] * fp + self.costs[1] * fn:,.0f}"
            threshold = f"{self.thresholds[place]:.3f}"
            rows.append((threshold, precision, recall, f1, f"{tn:,}", f"{fp:,}", f"{fn:,}", f"{tp:,}", cost))
        columns = ("threshold", "precision", "recall", "F1", "TN", "FP", "FN", "TP", "cost")
        return Table(columns, tuple(rows), self.caption)


Item = Section | Text | Answer | Sample | Metric | Table | Picture | Thresholds
_ALL = (Section, Text, Answer, Sample, Metric, Table, Picture, Thresholds)
_KINDS: dict[str, type[Any]] = {kind.__name__.lower(): kind for kind in _ALL}


class Report:
    """Collects what a reader wants to know; figures are written at once, the rest by `write`.

    Args:
        folder: where `report.json`, `report.md`, `report.html` and `figures/` go.
        title: the heading.
        subtitle: a line below it: what it was run with.
    """

    def __init__(self, folder: Path, title: str, subtitle: str = "") -> None:
        self.folder = folder
        self.title = title
        self.subtitle = subtitle
        self.items: list[Item] = []

    @property
    def metrics(self) -> dict[str, float]:
        """The metric values so far, by name."""
        return {item.name: item.value for item in self.items if isinstance(item, Metric)}

    def section(self, title: str) -> None:
        """Begins a section."""
        self.items.append(Section(title))

    def text(self, text: str) -> None:
        """Adds a paragraph of plain text."""
        self.items.append(Text(" ".join(text.split())))

    def answer(self, question: str, text: str) -> None:
        """Adds a question and its answer, set apart from the rest."""
        self.items.append(Answer(question, " ".join(text.split())))

    def sample(self, title: str, text: str) -> None:
        """Adds text whose lines and spaces stay as they are, such as verse, below a title."""
        self.items.append(Sample(title, text))

    def metric(self, name: str, value: float, help: str = "") -> None:
        """Adds a number.

        Args:
            name: lower case with underscores; once a report.
            value: finite.
            help: what it is, with its unit.

        Raises:
            UsageError: the name is taken or malformed, or the value is not finite.
        """
        value = float(value)
        if not _NAME.fullmatch(name) or name in self.metrics:
            raise UsageError(f"metric {name!r}: expected a new name of lower-case letters, digits and underscores")
        if not math.isfinite(value):
            raise UsageError(f"metric {name}: expected a finite number, got {value}")
        self.items.append(Metric(name, value, help))

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "") -> None:
        """Adds a table; numbers are rounded to four digits that count.

        Raises:
            UsageError: a row has another length than the columns.
        """
        written = tuple(tuple(_cell(cell) for cell in row) for row in rows)
        for row in written:
            if len(row) != len(columns):
                raise UsageError(f"table: expected {len(columns)} cells in a row, got {len(row)}: {', '.join(row)}")
        self.items.append(Table(tuple(columns), written, caption))

    def thresholds(
        self,
        classes: tuple[str, str],
        thresholds: Sequence[float],
        counts: Any,
        *,
        start: float = 0.5,
        costs: tuple[float, float] = (1.0, 1.0),
        caption: str = "",
    ) -> None:
        """Adds what each threshold of a classifier does: in HTML a slider, elsewhere a table.

        Args:
            classes: the negative and the positive class's name.
            thresholds: probabilities of the positive class, ascending.
            counts: for each, true negatives, false positives, false negatives, true positives; shape (thresholds, 4).
            start: where the slider stands at first.
            costs: of one false positive and one false negative, which a reader can change.
            caption: what it is about.

        Raises:
            UsageError: there is not one row of counts for each threshold.
        """
        rows = tuple((int(tn), int(fp), int(fn), int(tp)) for tn, fp, fn, tp in counts)
        if len(rows) != len(thresholds) or not rows:
            raise UsageError(f"thresholds: expected counts for each of {len(thresholds)} thresholds, got {len(rows)}")
        probabilities = tuple(float(threshold) for threshold in thresholds)
        first, second = costs
        self.items.append(
            Thresholds(classes, probabilities, rows, float(start), (float(first), float(second)), caption)
        )

    def figure(self, name: str, figure: Figure, caption: str = "") -> None:
        """Adds a figure, writes it as `figures/<name>.png` and closes it.

        Raises:
            UsageError: the name is taken or malformed.
        """
        from matplotlib import pyplot

        file = f"figures/{name}.png"
        if not _NAME.fullmatch(name) or any(isinstance(item, Picture) and item.file == file for item in self.items):
            raise UsageError(f"figure {name!r}: expected a new name of lower-case letters, digits and underscores")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        pyplot.close(figure)
        write_bytes(self.folder / file, buffer.getvalue())
        self.items.append(Picture(file, caption))

    def write(self, about: Mapping[str, Any]) -> None:
        """Writes `report.json`, `report.md` and `report.html`.

        Args:
            about: what else `report.json` should say: experiment, settings, data, environment.
        """
        from lab.report.html import to_html
        from lab.report.markdown import to_markdown

        write_text(self.folder / "report.html", to_html(self))
        write_text(self.folder / "report.md", to_markdown(self))
        items = [{"kind": type(item).__name__.lower(), **dataclasses.asdict(item)} for item in self.items]
        head = {"title": self.title, "subtitle": self.subtitle, "metrics": self.metrics}
        write_json(self.folder / "report.json", {**head, **about, "items": items})

    @classmethod
    def read(cls, folder: Path, record: Mapping[str, Any]) -> Report:
        """Makes a report again from what `report.json` holds.

        Raises:
            RunError: it is damaged.
        """
        report = cls(folder, str(record.get("title", "")), str(record.get("subtitle", "")))
        try:
            for entry in record["items"]:
                values = {name: value for name, value in entry.items() if name != "kind"}
                report.items.append(_read(_KINDS[entry["kind"]], values))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise RunError(f"{folder / 'report.json'}: expected a report, {type(error).__name__}: {reason}") from None
        return report


def _read(kind: type[Any], values: Mapping[str, Any]) -> Item:
    """Makes an item of what JSON holds, with the types that its class says."""
    item: Item = pydantic.TypeAdapter(kind).validate_python(values)
    if isinstance(item, Table) and any(len(row) != len(item.columns) for row in item.rows):
        raise ValueError("a row has another length than the columns")
    if isinstance(item, Thresholds) and not 0 < len(item.thresholds) == len(item.counts):
        raise ValueError("there are not counts for each threshold")
    return item


def spans(text: str) -> list[tuple[bool, str]]:
    """Splits a text at its backticks: (whether it is code, the words)."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # one backtick without its partner is just that
        return [(False, text)]
    return [(place % 2 == 1, part) for place, part in enumerate(parts) if part]


def shown(text: str) -> str:
    """Returns text whose control and formatting characters, which could drive a terminal, are shown as `\\ufffd`."""
    return "".join(char if _is_text(char) else "\ufffd" for char in text)


def _is_text(char: str) -> bool:
    return char.isprintable() or char in "\n\t" or unicodedata.category(char) == "Zs"


def numeric_columns(table: Table) -> list[bool]:
    """Says of each column whether it holds numbers, which stand to the right."""
    return [
        bool(table.rows) and all(_NUMBER.fullmatch(row[place]) for row in table.rows)
        for place in range(len(table.columns))
    ]


def _cell(value: Any) -> str:
    if hasattr(value, "item"):  # a NumPy scalar
        value = value.item()
    return number(value) if isinstance(value, float) else show(value)


def number(value: float) -> str:
    """Writes a number with four digits that count: `0.07182`, `1234`, `3.1e-05`."""
    return f"{value:.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.4g}"
