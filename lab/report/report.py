"""The report that an experiment writes, in reading order."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab._utils.files import write_bytes, write_json, write_text
from lab._utils.logs import progress
from lab.errors import LabError, RunError, UsageError
from lab.report.formatting import cell
from lab.report.html import to_html
from lab.report.items import NAME, Answer, Document, Metric, Picture, Sample, Section, Table, Text
from lab.report.markdown import to_markdown
from lab.report.registry import check, decode, encode

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Report(Document):
    """Collects what an experiment reports; figures are written at once, the rest by `write`.

    Args:
        folder: where `report.json`, `report.md`, `report.html` and `figures/` go.
        title: the heading.
        subtitle: a line below it.
    """

    @property
    def metrics(self) -> dict[str, float]:
        """The metric values so far, by name."""
        return {item.name: item.value for item in self.items if isinstance(item, Metric)}

    def add(self, item: Any) -> None:
        """Adds an item: one of `lab.report.items`, or one whose class was passed to `lab.report.register`.

        Raises:
            UsageError: the class is not registered, a value is not one that JSON can hold, or the name of
                a metric or of a figure is taken.
        """
        check(item)
        if isinstance(item, Metric) and item.name in self.metrics:
            raise UsageError(f"metric {item.name!r}: expected a new name of lower-case letters, digits and underscores")
        self.items.append(item)

    def section(self, title: str) -> None:
        """Begins a section."""
        progress(f"writing the report: {title}")
        self.add(Section(title))

    def text(self, text: str) -> None:
        """Adds a paragraph of plain text; parts between backticks are shown as code."""
        self.add(Text(" ".join(text.split())))

    def answer(self, question: str, text: str) -> None:
        """Adds a question and its answer, in a box."""
        self.add(Answer(question, " ".join(text.split())))

    def sample(self, title: str, text: str) -> None:
        """Adds text whose lines and spaces are kept, such as verse, below a title."""
        self.add(Sample(title, text))

    def metric(self, name: str, value: float, help: str = "") -> None:
        """Adds a number.

        Args:
            name: lower case with underscores; unique in the report.
            value: finite.
            help: what it is, with its unit.

        Raises:
            UsageError: the name is taken or malformed, or the value is not finite.
        """
        self.add(Metric(name, float(value), help))

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "") -> None:
        """Adds a table; numbers are rounded to four significant digits.

        Raises:
            UsageError: a row has more or fewer cells than there are columns.
        """
        self.add(Table(tuple(columns), tuple(tuple(cell(value) for value in row) for row in rows), caption))

    def figure(self, name: str, figure: Figure, caption: str = "") -> None:
        """Adds a figure, writes it as `figures/<name>.png` and closes it.

        Raises:
            UsageError: the name is taken or malformed.
        """
        from matplotlib import pyplot

        file = f"figures/{name}.png"
        if not NAME.fullmatch(name) or any(isinstance(item, Picture) and item.file == file for item in self.items):
            raise UsageError(f"figure {name!r}: expected a new name of lower-case letters, digits and underscores")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        pyplot.close(figure)
        write_bytes(self.folder / file, buffer.getvalue())
        self.add(Picture(file, caption))

    def write(self, record: Mapping[str, Any]) -> None:
        """Writes `report.json`, `report.md` and `report.html`.

        Args:
            record: further entries of `report.json`: experiment, settings, data, environment.
        """
        write_text(self.folder / "report.html", to_html(self))
        write_text(self.folder / "report.md", to_markdown(self))
        items = [encode(item, self.folder) for item in self.items]
        head = {"title": self.title, "subtitle": self.subtitle, "metrics": self.metrics}
        write_json(self.folder / "report.json", {**head, **record, "items": items})

    @classmethod
    def read(cls, folder: Path, record: Mapping[str, Any]) -> Report:
        """Returns the report that `report.json` holds.

        An item whose class is not registered in this process is read in its plain form, such as a table.

        Raises:
            RunError: it is damaged.
        """
        report = cls(folder, str(record.get("title", "")), str(record.get("subtitle", "")))
        try:
            report.items = [decode(entry) for entry in record["items"]]
        except (KeyError, TypeError, AttributeError, ValueError, LabError) as error:
            reason = " ".join(str(error).split())
            raise RunError(f"{folder / 'report.json'}: expected a report, {type(error).__name__}: {reason}") from None
        return report
