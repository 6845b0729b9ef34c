"""Figures of texts: shades, marks, and characters that are drawn literally."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lab.tasks.text import plots


def drawn(figure: Figure) -> bytes:
    """A figure's PNG, as a report draws it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


ODD = (
    "$",
    "_",
    "$x^2$",
    "a_b",
    "\\alpha",
    "%",
    "{",
    "#",
    "&",
    "~",
    "^",
    " ",
)  # special to the mathematics of matplotlib or to TeX


def test_heat_draws_a_matrix_with_a_label_for_each_row_and_column() -> None:
    values = np.array([[0.0, 0.25, 0.5], [1.0, 0.75, 0.1]])
    figure = plots.heat(values, ["one", "two"], ["a", "b", "c"], x="character", y="next", what="probability")
    axes, colourbar = figure.axes
    (image,) = axes.images
    assert np.array_equal(np.asarray(image.get_array()), values)
    assert image.get_clim() == (0, 1)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b", "c"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["one", "two"]
    assert (axes.get_xlabel(), axes.get_ylabel(), colourbar.get_ylabel()) == ("character", "next", "probability")
    assert drawn(figure).startswith(b"\x89PNG")


def test_dots_mark_the_given_row_of_each_column() -> None:
    values = np.full((3, 4), 0.5)
    figure = plots.heat(values, "xyz", "abcd", x="x", y="y", what="share", marks=(2, None, 0, 1))
    (dots,) = figure.axes[0].lines
    assert (np.asarray(dots.get_xdata()).tolist(), np.asarray(dots.get_ydata()).tolist()) == ([0, 2, 3], [2, 0, 1])
    assert (dots.get_marker(), dots.get_linestyle()) == ("o", "None")
    assert figure.axes[0].get_xlim() == (-0.5, 3.5)
    assert figure.axes[0].get_ylim() == (2.5, -0.5)
    for marks in ((), (None,) * 4):
        (none,) = plots.heat(values, "xyz", "abcd", x="x", y="y", what="share", marks=marks).axes[0].lines
        assert len(np.asarray(none.get_xdata())) == 0


def test_labels_of_a_heat_are_drawn_literally() -> None:
    figure = plots.heat(np.zeros((len(ODD), len(ODD))), ODD, ODD, x="x", y="y", what="share")
    axes = figure.axes[0]
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [label.get_text() for label in labels] == list(ODD)
        assert not any(label.get_parse_math() for label in labels)
    drawn(figure)


LINES = ["Shall I", "com$pa_re$ thee"]
SHADES = [np.linspace(-1, 1, len(line)) for line in LINES]


def characters(axes: Axes, titles: tuple[str, ...]) -> list[str]:
    """The lines that the single characters form, from the top."""
    placed: dict[float, dict[float, str]] = {}
    for text in axes.texts:
        if text.get_text() not in titles:
            (x, y) = text.get_position()
            placed.setdefault(float(y), {})[float(x)] = text.get_text()
    for line in placed.values():
        assert sorted(line) == list(range(len(line)))
    return ["".join(placed[y][x] for x in sorted(placed[y])) for y in sorted(placed)]


def test_coloured_texts_draw_each_character_at_its_place_below_the_title() -> None:
    titles = ("a cell of $verse$", "another_one")
    figure = plots.coloured_texts({titles[0]: (LINES, SHADES), titles[1]: (LINES[:1], SHADES[:1])})
    (axes,) = figure.axes
    assert characters(axes, titles) == [*LINES, LINES[0]]
    heights = {text.get_text(): text.get_position()[1] for text in axes.texts if text.get_text() in titles}
    below = [image.get_extent() for image in axes.images]
    assert heights[titles[0]] < min(below[0][2:]) < min(below[1][2:]) < heights[titles[1]] < min(below[2][2:])
    assert not any(text.get_parse_math() for text in axes.texts)
    assert not axes.axison
    bottom, top = axes.get_ylim()
    assert top < 0 < max(below[2][2:]) <= bottom
    left, right = axes.get_xlim()
    assert left <= -0.5
    assert right >= max(map(len, LINES)) - 0.5
    drawn(figure)


def test_the_background_of_each_character_shows_its_value() -> None:
    shades = [np.array([-1.0, 0.0, 1.0, -7.0, 7.0])]
    (axes,) = plots.coloured_texts({"a cell": (["abcde"], shades)}).axes
    (image,) = axes.images
    assert tuple(image.get_extent())[:2] == (-0.5, 4.5)
    colour = np.asarray(image.get_array())[0]
    blue, white, red = colour[:3]
    assert blue[2] > blue[0] + 0.2
    assert min(white) > 0.95
    assert red[0] > red[2] + 0.2
    assert np.array_equal(colour[3:], [blue, red])  # values beyond the scale have the colour of its end


def test_special_characters_are_drawn_literally() -> None:
    line = "".join(ODD)
    figure = plots.coloured_texts({"title": ([line], [np.zeros(len(line))])})
    assert characters(figure.axes[0], ("title",)) == [line]
    drawn(figure)


def test_lines_without_values_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        plots.coloured_texts({"title": (LINES, SHADES[:1])})
