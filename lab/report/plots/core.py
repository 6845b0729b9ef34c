"""One style for every figure, readable in print and for the colour-blind; lines, bars and panels.

Colours are those of Okabe and Ito, https://jfly.uni-koeln.de/color/; lines differ in dash too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
# Ten that can be told apart when ten classes share one plot (Tol's muted scheme, with black).
TEN = ("#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255", "#AA4499", "#111111")
DASHES = ("-", "--", "-.", ":")
DPI = 144


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Applies the lab's style to all figures drawn in this block."""
    import matplotlib
    from cycler import cycler

    colours = cycler(color=COLOURS[:6]) + cycler(linestyle=[*DASHES, (0, (6, 1)), (0, (3, 1, 1, 1, 1, 1))])
    options: dict[Any, Any] = {
        "axes.prop_cycle": colours,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": "medium",
        "axes.titlelocation": "left",
        "axes.grid": True,
        "grid.color": "#dddddd",
        "grid.linewidth": 0.6,
        "axes.axisbelow": True,
        "font.size": 10,
        "legend.frameon": False,
        "lines.linewidth": 1.8,
        "savefig.dpi": DPI,
        "figure.dpi": DPI,
        "figure.constrained_layout.use": True,
    }
    with matplotlib.rc_context(options):
        yield


def grid(rows: int = 1, columns: int = 1, size: tuple[float, float] = (6.4, 3.6), **options: Any) -> tuple[Figure, Any]:
    """Returns a figure and its axes (as `pyplot.subplots` does), without pyplot's global state.

    Args:
        rows, columns: the numbers of axes.
        size: width and height in inches.
        **options: what `Figure.subplots` takes.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, **options)


def curves(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    x: str,
    y: str,
    levels: Mapping[str, float] | None = None,
    verticals: Mapping[str, float] | None = None,
    log_x: bool = False,
    log_y: bool = False,
    markers: bool = False,
) -> Figure:
    """Draws lines over common axes.

    Args:
        lines: for each label, its x and y values.
        x, y: labels of the axes, with units.
        levels: horizontal lines with a label, such as a baseline or a bound.
        verticals: vertical lines with a label, such as a choice.
        log_x, log_y: whether an axis is logarithmic; a logarithmic x axis has a tick at each value.
        markers: whether each point is marked.
    """
    figure, axes = grid()
    for label, (xs, ys) in lines.items():
        axes.plot(xs, ys, label=label, marker="o" if markers or len(xs) < 2 else None, markersize=4)
    for place, (label, level) in enumerate((levels or {}).items()):
        axes.axhline(level, color="#555555", linewidth=1, linestyle=DASHES[(place + 1) % 4])
        axes.annotate(label, (1, level), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8)
    for label, at in (verticals or {}).items():
        axes.axvline(at, color="#555555", linewidth=1, linestyle=":")
        axes.annotate(
            label, (at, 0.02), xycoords=("data", "axes fraction"), ha="right", va="bottom", rotation=90, fontsize=8
        )
    if log_x:
        ticks = sorted({value for xs, _ in lines.values() for value in xs})
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
    if log_y:
        axes.set_yscale("log")
    axes.set(xlabel=x, ylabel=y)
    axes.legend()
    return figure


def history(rows: Sequence[Mapping[str, float]], metric: str = "loss") -> Figure:
    """Draws a metric on training and validation data against the epoch.

    Args:
        rows: `Run.history`.
        metric: its name, without `val_`.
    """
    from matplotlib.ticker import MaxNLocator

    lines = {}
    for name, label in ((metric, "training"), (f"val_{metric}", "validation")):
        points = [(row["epoch"], row[name]) for row in rows if name in row]
        if points:
            lines[label] = ([epoch for epoch, _ in points], [value for _, value in points])
    figure = curves(lines, x="epoch", y=metric)
    figure.axes[0].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    values = [value for _, ys in lines.values() for value in ys]
    settled = [value for _, ys in lines.values() for value in ys[len(ys) // 10 :]]
    if len(rows) > 10 and settled and max(values) > 1.5 * max(settled):  # the first epochs would flatten the rest
        axes = figure.axes[0]
        spread = max(settled) - min(settled) or abs(max(settled)) or 1.0
        axes.set_ylim(min(settled) - 0.05 * spread, max(settled) + 0.25 * spread)
    return figure


def bars(names: Sequence[str], series: Mapping[str, Sequence[float]], *, x: str, y: str) -> Figure:
    """Draws groups of bars.

    Args:
        names: the groups' labels.
        series: for each label, one value for each group.
        x, y: labels of the axes, with units.
    """
    figure, axes = grid()
    width = 0.8 / len(series)
    for place, (label, values) in enumerate(series.items()):
        offset = (place - (len(series) - 1) / 2) * width
        hatch = ("", "///", "...", "xx")[place % 4]
        axes.bar(
            np.arange(len(names)) + offset,
            values,
            width,
            label=label,
            color=COLOURS[place % len(COLOURS)],
            edgecolor="white",
            hatch=hatch,
        )
    axes.set_xticks(range(len(names)), names)
    axes.grid(axis="x", visible=False)
    axes.set(xlabel=x, ylabel=y)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(series))  # above, where no bar is
    return figure


def panels(
    panels: Mapping[str, tuple[Sequence[float], Sequence[float], Sequence[float]]],
    *,
    x: str,
    levels: Mapping[str, float] | None = None,
    mark: float | None = None,
    columns: int = 3,
) -> Figure:
    """Draws several measures against one quantity, each with its interval, in one panel each.

    Args:
        panels: for each title, x values, y values, and half the width of each one's interval.
        x: label of the common axis, with its unit.
        levels: for a title, the value of a horizontal line to compare with.
        mark: an x value that a vertical line marks in every panel.
        columns: panels side by side.
    """
    lines = -(-len(panels) // columns)
    figure, axes = grid(lines, columns, size=(3.1 * columns, 2.4 * lines), squeeze=False)
    for plot, (title, (xs, ys, halves)) in zip(axes.flat, panels.items(), strict=False):
        middle, half = np.asarray(ys, float), np.asarray(halves, float)
        plot.plot(xs, middle, marker="o", markersize=3)
        plot.fill_between(xs, middle - half, middle + half, alpha=0.25, linewidth=0)
        if levels and title in levels:
            plot.axhline(levels[title], color="#555555", linewidth=1, linestyle="--")
        if mark is not None:
            plot.axvline(mark, color="#555555", linewidth=1, linestyle=":")
        plot.set_title(title, fontsize=9)
        plot.set_xlabel(x, fontsize=8)
        plot.tick_params(labelsize=8)
    for plot in axes.flat[len(panels) :]:
        plot.set_visible(False)
    return figure
