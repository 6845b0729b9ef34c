"""Codes and other vectors as points in the plane: projections, and a scatter plot coloured by class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from lab.data import Array
from lab.report.plots import TEN, grid
from lab.tasks.images.baselines import Pca

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def to_plane(codes: Array, seed: int = 0) -> dict[str, Array]:
    """Returns codes as points in the plane, shape (n, 2), by the name of each projection.

    Codes of two numbers need none. Longer ones are projected to their two principal components, and
    by t-SNE (van der Maaten and Hinton, 2008), which preserves neighbours but not distances.

    Args:
        codes: shape (n, size), with 2 numbers or more each.
        seed: of t-SNE.
    """
    if codes.shape[1] == 2:
        return {"the two numbers": codes}
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(codes) - 1) / 3)
    points = TSNE(init="pca", perplexity=perplexity, random_state=seed).fit_transform(codes)
    return {"principal components": Pca(codes, 2).project(codes), "t-SNE": np.asarray(points)}


def scatter_by_class(panels: Mapping[str, tuple[Array, Array]]) -> Figure:
    """Draws points in the plane coloured by class, with each class's label at its median.

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
