"""Codes in the plane: the projections, and the scatter plot by class."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib import colors
from matplotlib.collections import PathCollection

from lab.report import plots
from lab.tasks.images.baselines import Pca
from lab.tasks.images.codes import scatter_by_class, to_plane

RNG = np.random.default_rng(0)


def test_codes_of_two_numbers_are_not_projected() -> None:
    codes = RNG.random((20, 2))
    assert to_plane(codes) == {"the two numbers": pytest.approx(codes)}


def test_longer_codes_are_projected_by_pca_and_by_tsne() -> None:
    centres = 10 * np.eye(3)[np.arange(60) % 3]
    codes = centres + RNG.normal(0, 0.1, (60, 3))
    views = to_plane(codes)
    assert list(views) == ["principal components", "t-SNE"]
    assert views["principal components"] == pytest.approx(Pca(codes, 2).project(codes))
    for points in views.values():  # neighbours stay neighbours
        assert points.shape == (60, 2)
        apart = np.linalg.norm(points[:, None] - points[None], axis=-1)
        np.fill_diagonal(apart, np.inf)
        assert (apart.argmin(axis=1) % 3 == np.arange(60) % 3).all()


def test_the_same_seed_gives_the_same_map() -> None:
    codes = RNG.random((12, 4))
    assert np.array_equal(to_plane(codes, 1)["t-SNE"], to_plane(codes, 1)["t-SNE"])


def test_each_panel_has_its_classes_labelled_at_the_median() -> None:
    labels = np.array([0, 0, 0, 7, 7, 7])
    points = np.array([[0, 0], [0, 1], [0, 50], [5, 5], [6, 6], [7, 7]], float)
    figure = scatter_by_class({"codes": (points, labels), "PCA": (-points, labels)})
    assert [axes.get_title() for axes in figure.axes] == ["codes", "PCA"]
    (left, _) = figure.axes
    assert [(text.get_text(), text.get_position()) for text in left.texts] == [("0", (0.0, 1.0)), ("7", (6.0, 6.0))]
    clouds = [cloud for cloud in left.collections if isinstance(cloud, PathCollection)]
    assert [np.asarray(cloud.get_offsets()).tolist() for cloud in clouds] == [points[:3].tolist(), points[3:].tolist()]
    faces = [np.asarray(cloud.get_facecolor())[0, :3] for cloud in clouds]
    assert np.allclose(faces, [colors.to_rgb(plots.TEN[0]), colors.to_rgb(plots.TEN[7])])
    figure.savefig(io.BytesIO(), format="png")
