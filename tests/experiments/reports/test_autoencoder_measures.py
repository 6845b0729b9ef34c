"""The measures of the autoencoder's report on cases whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.reports.autoencoder import components_for, gain_per_doubling, means_by_class, round_to_byte
from lab.tasks.images.baselines import Pca


def test_codes_are_rounded_to_256_levels_and_cut_at_the_ends() -> None:
    low, high = np.array([0.0, -1.0]), np.array([255.0, 1.0])
    codes = np.array([[3.4, -1.0], [254.6, 1.0], [-7.0, 5.0]])
    rounded = round_to_byte(codes, low, high)
    assert rounded.dtype == np.float32
    assert rounded == pytest.approx(np.array([[3, -1], [255, 1], [0, 1]]))
    assert round_to_byte(np.ones((2, 1)), np.ones(1), np.ones(1)) == pytest.approx(np.ones((2, 1)))  # a constant


def test_the_fewest_components_for_an_error_are_found() -> None:
    x = 0.5 + 0.02 * np.random.default_rng(0).normal(size=(40, 9))
    pca = Pca(x, 6)
    for count in range(1, 7):
        assert components_for(pca, x, pca.error(x, count)) == count
    assert components_for(pca, x, 0.9 * pca.error(x, 6)) is None
    assert components_for(pca, x, 1.0) == 1


def test_the_gain_of_a_doubling_is_that_of_a_power_law() -> None:
    assert gain_per_doubling(8, 0.25, 4, 0.5) == pytest.approx(0.5)
    assert gain_per_doubling(16, 0.25, 4, 1.0) == pytest.approx(0.5)


def test_errors_are_averaged_by_class() -> None:
    assert means_by_class(np.array([1.0, 3.0, 5.0]), np.array([7, 7, 2])) == {2: 5.0, 7: 2.0}
