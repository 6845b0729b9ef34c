"""Figures of texts and of a model's values for each character."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lab.data import Array
from lab.report.plots.core import grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    """Draws a matrix of shares between 0 and 1 as shades of blue.

    Args:
        values: shape (rows, columns).
        rows, columns: tick labels, drawn literally, without mathematics.
        x, y: labels of the axes.
        what: label of the colour bar.
        marks: for each column, the row that a dot marks, or None.
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
    """Draws lines of text on a background that is coloured by values from -1 (blue) through 0 (white) to 1 (red).

    Args:
        texts: for each title, the lines, and for each line an array with a value for every character.
    """
    from matplotlib import colormaps

    widest = max(len(line) for lines, _ in texts.values() for line in lines)
    count = sum(len(lines) + 1.6 for lines, _ in texts.values())
    figure, axes = grid(size=(0.105 * widest + 0.3, 0.2 * count + 0.1))
    figure.set_layout_engine("none")  # the axes fill the figure
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
