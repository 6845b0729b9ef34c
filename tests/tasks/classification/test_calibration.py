"""Calibration: planted temperatures are found, and bins are those of scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from sklearn import metrics
from sklearn.calibration import calibration_curve

from lab.tasks.classification.calibration import fit_scaling, fit_temperature, reliability


@pytest.mark.parametrize("planted", [0.4, 1.0, 2.5])
def test_the_temperature_that_was_planted_is_found(planted: float) -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(0, 2, 40_000)
    labels = (rng.random(40_000) < expit(true)).astype(int)
    found = fit_temperature(labels, true * planted)
    assert found == pytest.approx(planted, rel=0.03)
    loss = [metrics.log_loss(labels, expit(true * planted / (found * by))) for by in (0.98, 1, 1.02)]
    assert loss[1] == min(loss)


def test_the_scaling_that_was_planted_is_found() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(0, 2, 40_000)
    labels = (rng.random(40_000) < expit(true)).astype(int)
    found = fit_scaling(labels, 2.5 * true + 0.7)
    assert found.temperature == pytest.approx(2.5, rel=0.03)
    assert found.bias == pytest.approx(0.7, abs=0.06)
    assert found(2.5 * true + 0.7) == pytest.approx(true, abs=0.3)
    assert fit_scaling(np.array([0, 0, 0]), np.array([0.1, 0.2, 0.2])).bias == pytest.approx(0.2), "bounded"


def test_reliability_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.random(200) ** 3
    labels = (rng.random(200) < probabilities).astype(int)
    observed, predicted = calibration_curve(labels, probabilities, n_bins=15)
    found = reliability(labels, probabilities)
    assert found.predicted == pytest.approx(predicted)
    assert found.observed == pytest.approx(observed)


def test_reliability_by_hand() -> None:
    labels, probabilities = np.array([0, 1, 0, 1, 1, 1]), np.array([0.1, 0.15, 0.5, 0.7, 0.9, 1.0])
    found = reliability(labels, probabilities, bins=4)
    assert found.predicted == pytest.approx([0.125, 0.6, 0.95])
    assert found.observed.tolist() == [0.5, 0.5, 1.0]
    assert found.count.tolist() == [2, 2, 2]
    assert found.error == pytest.approx((0.375 + 0.1 + 0.05) / 3)
    uneven = reliability(np.array([1, 1, 1, 0]), np.array([0.8, 0.8, 0.8, 0.2]))
    assert uneven.error == pytest.approx(0.2)
    assert reliability(np.array([1, 0, 0, 0]), np.array([0.9, 0.1, 0.1, 0.1])).error == pytest.approx(0.1)
    assert reliability(np.array([1, 0, 0, 0]), np.array([0.3, 0.1, 0.1, 0.1]), 2).error == pytest.approx(0.1)
