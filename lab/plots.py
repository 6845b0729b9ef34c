"""One look for every figure: readable in print, and for the colour-blind.

Colours are those of Okabe and Ito, https://jfly.uni-koeln.de/color/; lines differ in dash too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lab.data import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
# Ten that stay apart when ten classes share one plot (Tol's muted scheme, with black).
TEN = ("#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255", "#AA4499", "#111111")
DASHES = ("-", "--", "-.", ":")
DPI = 144


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Draws all figures made in this block in the lab's look."""
    import matplotlib
    from cycler import cycler

    colours = cycler(color=COLOURS[:6]) + cycler(linestyle=[*DASHES, (0, (6, 1)), (0, (3, 1, 1, 1, 1, 1))])
    look: dict[Any, Any] = {
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
    with matplotlib.rc_context(look):
        yield


def grid(rows: int = 1, columns: int = 1, size: tuple[float, float] = (6.4, 3.6), **options: Any) -> tuple[Figure, Any]:
    """Returns a figure and its axes (as `pyplot.subplots` does), without pyplot's global state.

    Args:
        rows, columns: how many axes.
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
    log_x: bool = False,
    log_y: bool = False,
    markers: bool = False,
) -> Figure:
    """Draws lines over common axes.

    Args:
        lines: for each label, its x and y values.
        x, y: what the axes are, with units.
        levels: horizontal lines with a label, such as a baseline or a bound.
        log_x, log_y: whether an axis is logarithmic; x then shows the values themselves.
        markers: whether each point is marked.
    """
    figure, axes = grid()
    for label, (xs, ys) in lines.items():
        axes.plot(xs, ys, label=label, marker="o" if markers or len(xs) < 2 else None, markersize=4)
    for place, (label, level) in enumerate((levels or {}).items()):
        axes.axhline(level, color="#555555", linewidth=1, linestyle=DASHES[(place + 1) % 4])
        axes.annotate(label, (1, level), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8)
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
    if len(rows) > 10 and settled and max(values) > 1.5 * max(settled):  # the first steps would flatten the rest
        axes = figure.axes[0]
        spread = max(settled) - min(settled) or abs(max(settled)) or 1.0
        axes.set_ylim(min(settled) - 0.05 * spread, max(settled) + 0.25 * spread)
    return figure


def image_rows(
    rows: Mapping[str, Array],
    columns: Sequence[str] = (),
    groups: Sequence[tuple[str, int]] = (),
    signed: Collection[str] = (),
) -> Figure:
    """Draws rows of grey images under one another, the same example in each column.

    Args:
        rows: for each label, images of shape (columns, height, width); 0 is paper and 1 ink.
        columns: a short text below each column.
        groups: names of neighbouring columns and how many each spans, written above them.
        signed: labels of rows of differences, from -1 (blue) over 0 (white) to 1 (red).
    """
    count = max(len(images) for images in rows.values())
    width = 0.62 * count + 1.2
    figure, axes = grid(len(rows), count, size=(width, 0.68 * len(rows) + 0.55), squeeze=False)
    for line, (label, images) in enumerate(rows.items()):
        for place in range(count):
            _image(axes[line, place], images[place] if place < len(images) else None, label in signed)
        axes[line, 0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
    for place, text in enumerate(columns):
        axes[-1, place].set_xlabel(text, fontsize=7)
    place = 0
    for name, span in groups:
        axes[0, place].set_title(name, fontsize=9, loc="left")
        for line in range(len(rows)):
            if place:
                axes[line, place].spines["left"].set(visible=True, color="#888888", linewidth=2)
        place += span
    return figure


def _image(axes: Axes, image: Array | None, signed: bool) -> None:
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if image is not None:
        colours, least = ("RdBu_r", -1) if signed else ("gray_r", 0)
        axes.imshow(image, cmap=colours, vmin=least, vmax=1, interpolation="nearest")


def bars(names: Sequence[str], series: Mapping[str, Sequence[float]], *, x: str, y: str) -> Figure:
    """Draws groups of bars.

    Args:
        names: what each group is.
        series: for each label, one value a group.
        x, y: what the axes are, with units.
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


def classes(panels: Mapping[str, tuple[Array, Array]]) -> Figure:
    """Draws points in the plane coloured by class, each class named at its median.

    Args:
        panels: for each title, points of shape (n, 2) and their classes, 0 to 9, of shape (n,).
    """
    figure, axes = grid(1, len(panels), size=(5.0 * len(panels), 4.6), squeeze=False)
    for place, (title, (points, labels)) in enumerate(panels.items()):
        plot = axes[0, place]
        for label in np.unique(labels):
            chosen = points[labels == label]
            plot.scatter(*chosen.T, s=5, alpha=0.5, color=TEN[int(label) % 10], linewidths=0)
        for label in np.unique(labels):
            x, y = np.median(points[labels == label], axis=0)
            frame = {"boxstyle": "circle,pad=0.25", "facecolor": "white", "edgecolor": TEN[int(label) % 10]}
            plot.text(x, y, str(label), fontsize=9, ha="center", va="center", bbox=frame)
        plot.set_title(title)
        plot.set(xticks=[], yticks=[])
    return figure


def panels(
    panels: Mapping[str, tuple[Sequence[float], Sequence[float], Sequence[float]]],
    *,
    x: str,
    levels: Mapping[str, float] | None = None,
    mark: float | None = None,
    columns: int = 3,
) -> Figure:
    """Draws several measures against one quantity, each with its interval, in panels of their own.

    Args:
        panels: for each title, x values, y values, and half the width of each one's interval.
        x: what the axes have in common, with its unit.
        levels: for a title, a horizontal line to compare with.
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


def heat(
    values: Array,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    x: str,
    y: str,
    what: str,
    marks: Sequence[int | None] = (),
) -> Figure:
    """Draws a matrix of shares between 0 and 1 as shades.

    Args:
        values: shape (rows, columns).
        rows, columns: a short text for each; taken as it is, without mathematics.
        x, y: what the axes are.
        what: what the shades are.
        marks: for each column the row that a dot marks, or None.
    """
    figure, axes = grid(size=(0.2 * len(columns) + 1.8, 0.2 * len(rows) + 1.1))
    image = axes.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    for ticks, set_ticks in ((columns, axes.set_xticks), (rows, axes.set_yticks)):
        set_ticks(range(len(ticks)), ticks, fontsize=8, family="monospace", parse_math=False)
    places = [(column, row) for column, row in enumerate(marks) if row is not None]
    axes.plot(*zip(*places, strict=True) if places else ([], []), "o", color="#D55E00", markersize=3)
    axes.grid(False)
    axes.set(xlabel=x, ylabel=y)
    figure.colorbar(image, ax=axes, label=what, fraction=0.05)
    return figure


def coloured_texts(texts: Mapping[str, tuple[Sequence[str], Sequence[Array]]]) -> Figure:
    """Draws lines of text whose characters are coloured by values from -1 (blue) over 0 (white) to 1 (red).

    Args:
        texts: for each title, lines, and for each line a value for every character.
    """
    from matplotlib import colormaps

    widest = max(len(line) for lines, _ in texts.values() for line in lines)
    count = sum(len(lines) + 1.6 for lines, _ in texts.values())
    figure, axes = grid(size=(0.105 * widest + 0.3, 0.2 * count + 0.1))
    figure.set_layout_engine("none")  # the axes are the whole figure
    axes.set_position((0.01, 0.01, 0.98, 0.98))
    colours, place = colormaps["RdBu_r"], 0.0
    for title, (lines, values) in texts.items():
        axes.text(0, place, title, fontsize=9, va="center", parse_math=False)
        place += 1
        for line, shades in zip(lines, values, strict=True):
            if not line:
                place += 1
                continue
            axes.imshow(
                colours(0.5 + 0.5 * np.clip(np.asarray(shades, float), -1, 1))[None, :, :3],
                extent=(-0.5, len(line) - 0.5, place + 0.5, place - 0.5),
                aspect="auto",
                interpolation="nearest",
                alpha=0.75,
            )
            for column, character in enumerate(line):
                axes.text(
                    column, place, character, fontsize=8, family="monospace", ha="center", va="center", parse_math=False
                )
            place += 1
        place += 0.6
    axes.set(xlim=(-0.7, widest), ylim=(place - 0.6, -0.7))
    axes.axis("off")
    return figure
