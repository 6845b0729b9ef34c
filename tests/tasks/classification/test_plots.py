"""Figures of a binary classifier on small inputs: axes, lines and labels."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from lab.tasks.classification import plots


def draw(figure: Figure) -> None:
    """Draws a figure as a report does."""
    figure.savefig(io.BytesIO(), format="png")


def legend(figure: Figure) -> list[str]:
    box = figure.axes[0].get_legend()
    assert box is not None
    return [text.get_text() for text in box.get_texts()]


def lines_of(axes: Axes) -> list[tuple[list[float], list[float]]]:
    return [(np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist()) for line in axes.lines]


def texts_of(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_a_confusion_matrix_has_counts_and_shares_of_the_true_class() -> None:
    figure = plots.confusion_matrix(np.array([[9_000, 1_000], [0, 500]]), ("po$or_", "fine"))
    (axes,) = figure.axes
    found = {(float(text.get_position()[1]), float(text.get_position()[0])): text.get_text() for text in axes.texts}
    assert found == {(0, 0): "9,000\n90.0%", (0, 1): "1,000\n10.0%", (1, 0): "0\n0.0%", (1, 1): "500\n100.0%"}
    assert np.asarray(axes.images[0].get_array()).tolist() == [[0.9, 0.1], [0.0, 1.0]]
    assert [text.get_color() for text in axes.texts] == ["white", "black", "black", "white"]
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [label.get_text() for label in labels] == ["po$or_", "fine"]
        assert not any(label.get_parse_math() for label in labels)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
    draw(figure)


def test_a_class_without_examples_has_shares_of_zero() -> None:
    figure = plots.confusion_matrix(np.array([[0, 0], [1, 3]]), ("a", "b"))
    assert texts_of(figure.axes[0]) == ["0\n0.0%", "0\n0.0%", "1\n25.0%", "3\n75.0%"]
    draw(figure)


def test_both_curves_are_drawn_for_each_classifier_with_the_level_of_guessing() -> None:
    rates = (np.array([0, 0.2, 1.0]), np.array([0, 0.9, 1.0]))
    precisions = (np.array([0.0, 0.5, 1.0]), np.array([1.0, 0.8, 0.4]))
    both = {"one": rates, "two": rates}, {"one": precisions, "two": precisions}
    figure = plots.roc_and_precision_recall(*both, 0.3, (rates, precisions))
    left, right = figure.axes
    assert (left.get_title(), right.get_title()) == ("ROC", "Precision and recall")
    assert lines_of(left)[:2] == [([0, 0.2, 1.0], [0, 0.9, 1.0])] * 2
    assert lines_of(left)[2] == ([0, 1], [0, 1])
    assert lines_of(right)[:2] == [([0.0, 0.5, 1.0], [1.0, 0.8, 0.4])] * 2
    assert lines_of(right)[2] == ([0, 1], [0.3, 0.3])
    assert legend(figure) == ["one", "two"]
    assert right.get_ylim() == pytest.approx((0.28, 1.01))
    draw(figure)


def test_the_mark_stands_on_both_curves_and_may_be_left_out() -> None:
    curve = (np.array([0.0, 1.0]), np.array([0.6, 1.0]))
    marks: Any = ((0.25, 0.75), (0.75, 0.5))
    marked = plots.roc_and_precision_recall({"a": curve}, {"a": curve}, 0.9, marks)
    assert [lines_of(axes)[2] for axes in marked.axes] == [([0.25], [0.75]), ([0.75], [0.5])]
    bare = plots.roc_and_precision_recall({"a": curve}, {"a": curve}, 0.9)
    assert [len(axes.lines) for axes in bare.axes] == [2, 2]
    draw(marked)


def test_a_reliability_diagram_has_a_line_for_each_with_dots_by_count() -> None:
    lines = {
        "before": (np.array([0.1, 0.6]), np.array([0.2, 0.5]), np.array([10, 40])),
        "after": (np.array([0.3]), np.array([0.3]), np.array([7])),
    }
    figure = plots.reliability_diagram(lines)
    (axes,) = figure.axes
    assert lines_of(axes) == [([0, 1], [0, 1]), ([0.1, 0.6], [0.2, 0.5]), ([0.3], [0.3])]
    clouds = [cloud for cloud in axes.collections if isinstance(cloud, PathCollection)]
    assert [np.asarray(cloud.get_sizes()).tolist() for cloud in clouds] == [[34, 124], [124]]
    assert np.asarray(clouds[0].get_offsets()).tolist() == [[0.1, 0.2], [0.6, 0.5]]
    assert legend(figure) == ["before", "after"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted probability", "share of positives")
    assert (axes.get_xlim(), axes.get_ylim()) == ((0, 1), (0, 1))
    draw(figure)
