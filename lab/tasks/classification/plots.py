"""Figures of how well a classifier separates classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lab.data import Array
from lab.report.plots.core import COLOURS, grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def confusion_matrix(counts: Array, names: Sequence[str]) -> Figure:
    """Draws a confusion matrix as counts and as shares of the true class.

    Args:
        counts: rows are true classes and columns predicted ones, shape (classes, classes).
        names: of the classes.
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = grid(size=(1.5 * len(names) + 1.5, 1.1 * len(names) + 1.1))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row, column in np.ndindex(*counts.shape):
        is_dark = shares[row, column] > 0.5
        label = f"{counts[row, column]:,}\n{shares[row, column]:.1%}"
        axes.text(column, row, label, ha="center", va="center", color="white" if is_dark else "black")
    ticks = {"labels": names, "parse_math": False}
    axes.set_xticks(range(len(names)), **ticks)
    axes.set_yticks(range(len(names)), rotation=90, va="center", **ticks)
    axes.grid(False)
    axes.tick_params(length=0)
    axes.set(xlabel="predicted", ylabel="true")
    return figure


Curve = tuple[Array, Array]


def roc_and_precision_recall(
    roc: Mapping[str, Curve],
    precision_recall: Mapping[str, Curve],
    positive_share: float,
    mark: tuple[Curve, Curve] | None = None,
) -> Figure:
    """Draws the ROC and the precision-recall curves of several classifiers.

    Args:
        roc: for each classifier, false and true positive rates, ascending.
        precision_recall: for each classifier, recalls and precisions.
        positive_share: of the examples, which is the precision of guessing.
        mark: a point on either, such as the threshold in use; NaN draws none.
    """
    figure, (left, right) = grid(1, 2, size=(9.2, 3.9))
    for axes, curves in ((left, roc), (right, precision_recall)):
        for label, (xs, ys) in curves.items():
            axes.plot(xs, ys, label=label)
        axes.legend(loc="lower right" if axes is left else "lower left", fontsize=8)
    left.plot([0, 1], [0, 1], color="#888888", linewidth=1, linestyle=":")
    right.axhline(positive_share, color="#888888", linewidth=1, linestyle=":")
    for axes, point in zip((left, right), mark or (), strict=False):
        axes.plot(*point, "o", color=COLOURS[1], markersize=6, zorder=5)
    left.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC")
    right.set(xlabel="recall", ylabel="precision", title="Precision and recall")
    lowest = min(float(ys[xs > 0.02].min()) for xs, ys in precision_recall.values())
    right.set_ylim(max(0.0, min(lowest, positive_share) - 0.02), 1.01)
    return figure


def reliability_diagram(lines: Mapping[str, tuple[Array, Array, Array]]) -> Figure:
    """Draws observed frequencies against predicted probabilities.

    Args:
        lines: for each classifier, mean predicted probabilities, shares of positives, and examples of each bin,
            to which the area of a dot is proportional.
    """
    figure, axes = grid(size=(4.8, 4.2))
    axes.plot([0, 1], [0, 1], color="#888888", linewidth=1, linestyle=":")
    for place, (label, (predicted, observed, count)) in enumerate(lines.items()):
        colour = COLOURS[place % len(COLOURS)]
        axes.plot(predicted, observed, label=label, color=colour)
        axes.scatter(predicted, observed, s=120 * count / count.max() + 4, color=colour, alpha=0.5, linewidths=0)
    axes.set(xlabel="predicted probability", ylabel="share of positives", xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="upper left")
    return figure
