"""A report item that shows the effect of each threshold of a classifier of two classes."""

from __future__ import annotations

import dataclasses
import importlib.resources
from pathlib import Path
from typing import Any

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from lab.errors import UsageError
from lab.report import html, register
from lab.report.items import Table

COLUMNS = ("threshold", "precision", "recall", "F1", "TN", "FP", "FN", "TP", "cost")
ROWS = 11  # of the table


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """The effect of each threshold; a slider in HTML, and a table of eleven of them elsewhere.

    Args:
        classes: names of the negative and the positive class.
        thresholds: probabilities of the positive class, ascending.
        counts: for each, true negatives, false positives, false negatives, true positives.
        start: the threshold that the slider begins at.
        costs: of one false positive and of one false negative, which a reader can change.
        caption: what it is about.

    Raises:
        UsageError: there is not one row of counts for each threshold.
    """

    classes: tuple[str, str]
    thresholds: tuple[float, ...]
    counts: tuple[tuple[int, int, int, int], ...]
    start: float = 0.5
    costs: tuple[float, float] = (1.0, 1.0)
    caption: str = ""

    def __post_init__(self) -> None:
        count = len(self.thresholds)
        if not 0 < count == len(self.counts):
            raise UsageError(f"thresholds: expected counts for each of {count} thresholds, got {len(self.counts)}")

    @classmethod
    def of(
        cls,
        classes: tuple[str, str],
        thresholds: Any,
        counts: Any,
        *,
        start: float = 0.5,
        costs: tuple[float, float] = (1.0, 1.0),
        caption: str = "",
    ) -> Thresholds:
        """Returns the item for arrays: thresholds of shape (n,) and counts of shape (n, 4)."""
        rows = tuple((int(tn), int(fp), int(fn), int(tp)) for tn, fp, fn, tp in counts)
        false_positive, false_negative = map(float, costs)
        numbers = tuple(map(float, thresholds))
        return cls(classes, numbers, rows, float(start), (false_positive, false_negative), caption)

    def table(self) -> Table:
        """Returns eleven of the thresholds as a table."""
        rows, last = [], len(self.thresholds) - 1
        for place in sorted({round(step * last / (ROWS - 1)) for step in range(ROWS)}):
            tn, fp, fn, tp = self.counts[place]
            precision = f"{tp / (tp + fp):.3f}" if tp + fp else ""
            recall = f"{tp / (tp + fn):.3f}" if tp + fn else ""
            f1 = f"{2 * tp / (2 * tp + fp + fn):.3f}" if tp + fp + fn else ""
            cost = f"{self.costs[0] * fp + self.costs[1] * fn:,.0f}"
            threshold = f"{self.thresholds[place]:.3f}"
            rows.append((threshold, precision, recall, f1, f"{tn:,}", f"{fp:,}", f"{fn:,}", f"{tp:,}", cost))
        return Table(COLUMNS, tuple(rows), self.caption)


def _html(item: Thresholds, folder: Path) -> Markup:
    """The data for the script, and the table for a browser without scripts."""
    data, table = htmlsafe_json_dumps(dataclasses.asdict(item)), html.VIEWS(item.table(), folder)
    return Markup(
        '<div class="thresholds"><script type="application/json">{}</script><noscript>{}</noscript></div>'
    ).format(data, table)


def _table(item: Thresholds, folder: Path) -> Table:
    return item.table()


def _file(name: str) -> str:
    return importlib.resources.files(__package__).joinpath(name).read_text("utf-8")


register(
    Thresholds,
    html=_html,
    markdown=_table,
    terminal=_table,
    script=_file("thresholds.js"),
    style=_file("thresholds.css"),
)
