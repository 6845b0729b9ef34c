"""What a report consists of: one class for each kind of item, and the table in which a writer keeps its views."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from lab.errors import UsageError

V = TypeVar("V")

NAME = re.compile(r"[a-z][a-z0-9_]*")


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
    """A question that the experiment was asked, and what its numbers show."""

    question: str
    text: str


@dataclasses.dataclass(frozen=True)
class Sample:
    """Text that a model wrote or read; its lines and spaces are kept."""

    title: str
    text: str


@dataclasses.dataclass(frozen=True)
class Metric:
    """A number with a name; `report.json` also lists it under `metrics`.

    Raises:
        UsageError: the name is malformed or the value is not finite.
    """

    name: str
    value: float
    help: str

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise UsageError(f"metric {self.name!r}: expected a new name of lower-case letters, digits and underscores")
        if not math.isfinite(self.value):
            raise UsageError(f"metric {self.name}: expected a finite number, got {self.value}")


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows below columns, as text.

    Raises:
        UsageError: a row has more or fewer cells than there are columns.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                got = f"got {len(row)}: {', '.join(row)}"
                raise UsageError(f"table: expected {len(self.columns)} cells in a row, {got}")


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure, by its file below the run directory."""

    file: str
    caption: str


@dataclasses.dataclass(frozen=True)
class Metrics:
    """Consecutive metrics, which a reader sees as one block; a report holds each `Metric` by itself."""

    metrics: tuple[Metric, ...]


STORED = (Section, Text, Answer, Sample, Metric, Table, Picture)  # in `report.json`
SHOWN = (Section, Text, Answer, Sample, Metrics, Table, Picture)  # by the writers


@dataclasses.dataclass(eq=False)
class Document:
    """What a writer takes: a report's title, subtitle and items, in reading order.

    Args:
        folder: the run directory, where the files of pictures are.
        title: the heading.
        subtitle: a line below it.
    """

    folder: Path
    title: str
    subtitle: str = ""
    items: list[Any] = dataclasses.field(default_factory=list, init=False)

    def blocks(self) -> Iterator[Any]:
        """Yields the items, with consecutive metrics as one `Metrics`."""
        metrics: list[Metric] = []
        for item in self.items:
            if isinstance(item, Metric):
                metrics.append(item)
                continue
            if metrics:
                yield Metrics(tuple(metrics))
                metrics = []
            yield item
        if metrics:
            yield Metrics(tuple(metrics))


class Views(Generic[V]):
    """The table of one writer: for each item class, the function that shows an item.

    A function takes an item and the run directory. It returns what the writer writes, or another item,
    which is shown in its place.

    Args:
        writer: the writer's name, for errors.
        views: the functions for the lab's own items.

    Raises:
        TypeError: an item class has no function.
    """

    def __init__(self, writer: str, views: Mapping[type[Any], Callable[[Any, Path], V]]) -> None:
        missing = ", ".join(kind.__name__ for kind in SHOWN if kind not in views)
        if missing:
            raise TypeError(f"{writer}: expected a view of every report item, got none of {missing}")
        self._views: dict[type[Any], Callable[[Any, Path], Any]] = dict(views)

    def add(self, kind: type[Any], view: Callable[[Any, Path], Any]) -> None:
        """Adds the view of a registered item class, or replaces it."""
        self._views[kind] = view

    def __call__(self, item: Any, folder: Path) -> V:
        """Returns what the writer writes for an item."""
        content = self._views[type(item)](item, folder)
        return self(content, folder) if type(content) in self._views else content

    def stand_in(self, item: Any, folder: Path) -> Any:
        """Returns the item of the lab's own that this writer shows in place of a registered one, or None."""
        while type(item) not in SHOWN:
            if type(item) not in self._views:
                return None
            item = self._views[type(item)](item, folder)
        return item
