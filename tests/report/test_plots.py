"""Every plot on small inputs: axes, lines, labels; and a style that goes as it came."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib import colors
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from lab.report import plots

IMAGES = np.linspace(0, 1, 3 * 4 * 4).reshape(3, 4, 4)


def drawn(figure: Figure) -> bytes:
    """Draws a figure as a report does."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def legend(figure: Figure) -> list[str]:
    found = figure.axes[0].get_legend()
    assert found is not None
    return [text.get_text() for text in found.get_texts()]


def shown(figure: Figure) -> list[list[float]]:
    """The y values of each line that has a label of its own."""
    lines = [line for line in figure.axes[0].lines if not str(line.get_label()).startswith("_")]
    return [[float(value) for value in np.asarray(line.get_ydata())] for line in lines]


# --- style ----------------------------------------------------------------------------------------


def settings() -> dict[str, Any]:
    return {name: matplotlib.rcParams[name] for name in matplotlib.rcParams if not name.startswith("backend")}


def test_style_changes_the_look_inside_and_puts_it_back() -> None:
    before = settings()
    with plots.style():
        assert settings() != before
        assert matplotlib.rcParams["savefig.dpi"] == plots.DPI
    assert settings() == before


def test_style_is_put_back_after_an_error() -> None:
    before = settings()
    with pytest.raises(ValueError, match="inside"), plots.style():
        raise ValueError("inside")
    assert settings() == before


def test_lines_differ_in_colour_and_in_dash() -> None:
    with plots.style():
        figure = plots.curves({name: ([1, 2], [1, 2]) for name in "abcd"}, x="x", y="y")
    lines = figure.axes[0].lines[:4]
    assert len({line.get_color() for line in lines}) == 4
    assert len({line.get_linestyle() for line in lines}) == 4


def test_colours_are_colours_and_all_different() -> None:
    for palette, count in ((plots.COLOURS, 8), (plots.TEN, 10)):
        assert len({colors.to_hex(colour) for colour in palette}) == count


def test_importing_plots_does_not_load_matplotlib() -> None:
    code = "import sys; from lab import plots; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# --- grid and curves ------------------------------------------------------------------------------


def test_grid_has_rows_and_columns_and_leaves_pyplot_alone() -> None:
    from matplotlib import pyplot

    figure, axes = plots.grid(2, 3, size=(5, 4), sharex=True)
    assert axes.shape == (2, 3)
    assert len(figure.axes) == 6
    assert figure.get_size_inches().tolist() == [5, 4]
    assert pyplot.get_fignums() == []


def test_curves_draw_each_line_with_its_label() -> None:
    figure = plots.curves({"one": ([1, 2, 3], [3, 2, 1]), "two": ([1, 3], [5, 6])}, x="epoch", y="loss (nats)")
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "loss (nats)")
    assert legend(figure) == ["one", "two"]
    assert shown(figure) == [[3, 2, 1], [5, 6]]
    assert drawn(figure).startswith(b"\x89PNG")


def test_curves_mark_points_when_asked_and_a_single_point_always() -> None:
    def marks(**options: Any) -> list[str]:
        lines = {"one": ([1], [1]), "two": ([1, 2], [1, 2])}
        figure = plots.curves(lines, x="x", y="y", **options)
        return [str(line.get_marker()) for line in figure.axes[0].lines]

    assert marks() == ["o", "None"]
    assert marks(markers=True) == ["o", "o"]


def test_levels_are_horizontal_lines_with_their_label() -> None:
    figure = plots.curves({"one": ([1, 2], [1, 2])}, x="x", y="y", levels={"floor": 0.5, "PCA": 1.5})
    (axes,) = figure.axes
    levels = [line for line in axes.lines if str(line.get_label()).startswith("_")]
    assert [np.asarray(line.get_ydata()).tolist() for line in levels] == [[0.5, 0.5], [1.5, 1.5]]
    assert [text.get_text() for text in axes.texts] == ["floor", "PCA"]
    assert levels[0].get_linestyle() != levels[1].get_linestyle()


def test_a_logarithmic_axis_shows_the_values_themselves() -> None:
    figure = plots.curves({"one": ([2, 8, 32], [1, 10, 100]), "two": ([4], [1])}, x="x", y="y", log_x=True, log_y=True)
    (axes,) = figure.axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2", "4", "8", "32"]
    assert axes.get_xticks().tolist() == [2, 4, 8, 32]
    drawn(figure)


def test_axes_are_linear_unless_asked() -> None:
    (axes,) = plots.curves({"one": ([1, 2], [1, 2])}, x="x", y="y").axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "linear")


# --- history --------------------------------------------------------------------------------------


def rows(losses: list[float], **more: list[float]) -> list[Mapping[str, float]]:
    columns = {"loss": losses, **more}
    return [
        {"epoch": epoch + 1, **{name: values[epoch] for name, values in columns.items() if epoch < len(values)}}
        for epoch in range(len(losses))
    ]


def test_history_draws_training_and_validation() -> None:
    figure = plots.history(rows([3, 2, 1], val_loss=[4, 3, 2]))
    assert legend(figure) == ["training", "validation"]
    assert shown(figure) == [[3, 2, 1], [4, 3, 2]]
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("epoch", "loss")
    drawn(figure)


def test_history_draws_another_metric() -> None:
    figure = plots.history(rows([3, 2], mae=[1, 0], val_mae=[2, 1]), "mae")
    assert shown(figure) == [[1, 0], [2, 1]]
    assert figure.axes[0].get_ylabel() == "mae"


def test_history_without_validation_has_one_line() -> None:
    figure = plots.history(rows([3, 2, 1]))
    assert legend(figure) == ["training"]


def test_history_with_gaps_draws_what_there_is() -> None:
    figure = plots.history(rows([3, 2, 1], val_loss=[4]))
    assert shown(figure) == [[3, 2, 1], [4]]
    drawn(figure)


def test_history_has_ticks_at_whole_epochs() -> None:
    figure = plots.history(rows([3, 2]))
    drawn(figure)
    assert all(float(tick).is_integer() for tick in figure.axes[0].get_xticks())


def test_a_high_beginning_does_not_flatten_a_long_history() -> None:
    falling = [100.0, 90.0, *np.linspace(2, 1, 18)]
    low, high = plots.history(rows(falling)).axes[0].get_ylim()
    assert low < 1
    assert 2 < high < 3


def test_a_short_or_a_steady_history_is_shown_whole() -> None:
    for losses in ([100.0, 2.0, 1.0], list(np.linspace(2, 1, 20))):
        low, high = plots.history(rows(losses)).axes[0].get_ylim()
        assert low < min(losses)
        assert max(losses) < high


def test_a_long_history_that_is_flat_after_its_beginning_is_drawn_without_warning() -> None:
    figure = plots.history(rows([100.0, *[1.0] * 19]))
    low, high = figure.axes[0].get_ylim()
    assert low < 1 < high


# --- images ---------------------------------------------------------------------------------------


def test_image_rows_draw_each_row_with_its_label() -> None:
    figure = plots.image_rows({"true": IMAGES, "drawn": IMAGES * 0.5})
    assert len(figure.axes) == 6
    assert [axes.get_ylabel() for axes in figure.axes] == ["true", "", "", "drawn", "", ""]
    first = figure.axes[1].images[0]
    assert np.array_equal(np.asarray(first.get_array()), IMAGES[1])
    assert first.get_clim() == (0, 1)
    assert first.get_cmap().name == "gray_r"
    drawn(figure)


def test_image_rows_have_texts_below_the_columns() -> None:
    figure = plots.image_rows({"true": IMAGES, "drawn": IMAGES}, columns=("a", "b"))
    assert [axes.get_xlabel() for axes in figure.axes] == ["", "", "", "a", "b", ""]


def test_image_rows_have_groups_above_neighbouring_columns() -> None:
    figure = plots.image_rows({"true": IMAGES, "drawn": IMAGES}, groups=(("easy", 2), ("hard", 1)))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["easy", "", "hard", "", "", ""]
    bounds = [axes.spines["left"].get_visible() for axes in figure.axes]
    assert bounds == [False, False, True] * 2
    drawn(figure)


def test_image_rows_of_unequal_length_leave_places_empty() -> None:
    figure = plots.image_rows({"true": IMAGES, "drawn": IMAGES[:1]})
    assert [len(axes.images) for axes in figure.axes] == [1, 1, 1, 1, 0, 0]


def test_a_single_image_is_a_row_too() -> None:
    assert len(plots.image_rows({"one": IMAGES[:1]}).axes) == 1


# --- bars -----------------------------------------------------------------------------------------


def bar_groups(figure: Figure) -> list[BarContainer]:
    return [container for container in figure.axes[0].containers if isinstance(container, BarContainer)]


def test_bars_draw_a_group_for_each_name_and_a_bar_for_each_series() -> None:
    figure = plots.bars(["a", "b", "c"], {"one": [1, 2, 3], "two": [4, 5, 6]}, x="kind", y="error (%)")
    (axes,) = figure.axes
    assert [[bar.get_height() for bar in group] for group in bar_groups(figure)] == [[1, 2, 3], [4, 5, 6]]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b", "c"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("kind", "error (%)")
    assert legend(figure) == ["one", "two"]
    drawn(figure)


def test_bars_of_a_group_stand_beside_one_another_around_its_tick() -> None:
    first, second = bar_groups(plots.bars(["a", "b"], {"one": [1, 2], "two": [3, 4]}, x="x", y="y"))
    assert first[0].get_x() + first[0].get_width() == pytest.approx(second[0].get_x())
    assert second[0].get_x() == pytest.approx(0.0)
    assert second[1].get_x() == pytest.approx(1.0)


def test_bars_differ_in_colour_and_hatch() -> None:
    groups = bar_groups(plots.bars(["a"], {name: [1] for name in "abcd"}, x="x", y="y"))
    assert len({group[0].get_facecolor() for group in groups}) == 4
    assert len({group[0].get_hatch() for group in groups}) == 4


def test_there_may_be_more_series_than_colours() -> None:
    figure = plots.bars(["a"], {str(place): [place] for place in range(len(plots.COLOURS) + 1)}, x="x", y="y")
    assert len(bar_groups(figure)) == len(plots.COLOURS) + 1


# --- differences ----------------------------------------------------------------------------------


def test_rows_of_differences_are_drawn_from_blue_over_white_to_red() -> None:
    figure = plots.image_rows({"true": IMAGES, "error": IMAGES - 0.5}, signed=("error",))
    plain, signed = figure.axes[0].images[0], figure.axes[3].images[0]
    assert plain.get_clim() == (0, 1)
    assert signed.get_clim() == (-1, 1)
    red, white, blue = signed.get_cmap()([1.0, 0.5, 0.0])
    assert red[0] > red[2]
    assert min(white[:3]) > 0.95
    assert blue[2] > blue[0]
    drawn(figure)


def test_six_lines_differ_in_colour_and_dash() -> None:
    with plots.style():
        figure = plots.curves({str(name): ([0, 1], [name, name]) for name in range(6)}, x="x", y="y")
        lines = figure.axes[0].lines
        assert len({line.get_color() for line in lines}) == 6
        assert len({str(line.get_linestyle()) + str(getattr(line, "_dash_pattern", "")) for line in lines}) == 6
        drawn(figure)


# --- panels ---------------------------------------------------------------------------------------

MEASURES: dict[str, tuple[list[float], list[float], list[float]]] = {
    "share of words": ([0.2, 0.5, 1.0], [0.9, 0.8, 0.5], [0.1, 0.0, 0.2]),
    "loops": ([0.2, 0.5, 1.0], [30, 10, 2], [5, 2, 1]),
    "nats": ([0.2, 0.5, 1.0], [3.0, 2.0, 1.0], [0.0, 0.0, 0.0]),
    "copies": ([0.2, 0.5], [12, 14], [1, 1]),
}


def lines_of(axes: Axes) -> list[tuple[list[float], list[float]]]:
    return [(np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist()) for line in axes.lines]


def test_panels_draw_each_measure_by_itself_with_its_interval() -> None:
    figure = plots.panels(MEASURES, x="temperature")
    assert len(figure.axes) == 6
    for axes, (title, (xs, ys, halves)) in zip(figure.axes, MEASURES.items(), strict=False):
        assert axes.get_title() == title
        assert axes.get_xlabel() == "temperature"
        assert lines_of(axes) == [(xs, ys)]
        (band,) = axes.collections
        corners = {(x, y) for x, y in np.asarray(band.get_paths()[0].vertices).round(9).tolist()}
        bounds = {(x, round(y + sign * half, 9)) for x, y, half in zip(xs, ys, halves, strict=True) for sign in (-1, 1)}
        assert corners == bounds
    drawn(figure)


def test_places_without_a_measure_are_not_shown() -> None:
    figure = plots.panels(MEASURES, x="x", columns=3)
    assert [axes.get_visible() for axes in figure.axes] == [True] * 4 + [False] * 2
    assert len(plots.panels(MEASURES, x="x", columns=2).axes) == 4
    assert [axes.get_visible() for axes in plots.panels({"one": ([1], [1], [0])}, x="x").axes] == [True, False, False]


def test_panels_have_a_level_where_one_is_told_and_the_mark_everywhere() -> None:
    figure = plots.panels(MEASURES, x="x", levels={"loops": 7, "unknown": 1}, mark=0.8)
    added = [lines_of(axes)[1:] for axes in figure.axes]
    mark = ([0.8, 0.8], [0, 1])
    assert added == [[mark], [([0, 1], [7, 7]), mark], [mark], [mark], [], []]
    drawn(figure)
