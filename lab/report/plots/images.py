"""Figures of images."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from lab.data import Array
from lab.report.plots.core import grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def image_rows(
    rows: Mapping[str, Array],
    columns: Sequence[str] = (),
    groups: Sequence[tuple[str, int]] = (),
    signed: Collection[str] = (),
) -> Figure:
    """Draws rows of grey images, with the same example in each column.

    Args:
        rows: for each label, images of shape (columns, height, width); 0 is white and 1 black.
        columns: a short text below each column.
        groups: for neighbouring columns, the name above them and their number.
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
