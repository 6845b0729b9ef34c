"""Metrics of two classes against scikit-learn, by hand, and on data whose answer is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from lab.data import Array
from lab.tasks.classification import metrics as scores

counts = st.integers(2, 60)


def drawn(count: int, seed: int, levels: int) -> tuple[Array, Array, Array]:
    """Labels of both classes, probabilities with ties, and weights."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    labels[:2] = 0, 1
    return labels, rng.integers(0, levels + 1, count) / levels, rng.integers(0, 4, count) + np.eye(1, count)[0]


labelled = st.builds(drawn, counts, st.integers(0, 999), st.integers(1, 40))


# --- counts -----------------------------------------------------------------------------------------


@given(labelled, st.floats(0, 1))
@settings(deadline=None)
def test_counts_and_shares_are_those_of_scikit_learn(given_: tuple[Array, Array, Array], threshold: float) -> None:
    labels, probabilities, _ = given_
    predicted = probabilities >= threshold
    found = scores.confusion(labels, probabilities, threshold)
    matrix = metrics.confusion_matrix(labels, predicted, labels=[0, 1])
    assert [
        found.true_negative,
        found.false_positive,
        found.false_negative,
        found.true_positive,
    ] == matrix.ravel().tolist()
    assert found.accuracy == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert found.precision == pytest.approx(
        metrics.precision_score(labels, predicted, zero_division=np.nan), nan_ok=True
    )
    assert found.recall == pytest.approx(metrics.recall_score(labels, predicted, zero_division=np.nan), nan_ok=True)
    assert found.f1 == pytest.approx(metrics.f1_score(labels, predicted, zero_division=np.nan), nan_ok=True)
    assert found.false_positive_rate == pytest.approx(1 - metrics.recall_score(labels, predicted, pos_label=0))
    assert found.cost(3, 0.5) == 3 * matrix[0, 1] + 0.5 * matrix[1, 0]


@given(labelled)
@settings(deadline=None)
def test_many_thresholds_are_as_each_by_itself(given_: tuple[Array, Array, Array]) -> None:
    labels, probabilities, _ = given_
    thresholds = scores.candidate_thresholds(probabilities)
    assert len(thresholds) == len(np.unique(probabilities)) + 1
    assert (np.diff(thresholds) > 0).all() or thresholds[0] == thresholds[1] == 0
    together = scores.confusion(labels, probabilities, thresholds)
    for place, threshold in enumerate(thresholds):
        alone = scores.confusion(labels, probabilities, float(threshold))
        for name in ("true_negative", "false_positive", "false_negative", "true_positive", "precision", "f1"):
            np.testing.assert_equal(getattr(together, name)[place], getattr(alone, name))
    predicted = {tuple(probabilities >= threshold) for threshold in thresholds}
    assert predicted == {tuple(probabilities >= threshold) for threshold in [*probabilities.tolist(), 0, 2]}


def test_a_ratio_without_a_denominator_is_undefined() -> None:
    nothing = scores.confusion(np.array([0, 0]), np.array([0.1, 0.2]), 0.5)
    assert nothing.accuracy == 1
    for ratio in (nothing.precision, nothing.recall, nothing.f1):
        assert np.isnan(ratio)
    assert np.isnan(scores.confusion(np.array([1]), np.array([0.9]), 0.5).false_positive_rate)
    at_many = scores.confusion(np.array([0, 1]), np.array([0.1, 0.8]), np.array([0.0, 0.5, 1.0]))
    np.testing.assert_equal(at_many.precision, [0.5, 1.0, np.nan])


# --- threshold rules --------------------------------------------------------------------------------

LABELS = np.array([0, 0, 1, 0, 0, 1, 1, 1])
PROBABILITIES = np.array([0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 0.9])


@pytest.mark.parametrize(
    ("costs", "low", "high"),
    [((1, 1), 0.4, 0.6), ((1, 10), 0.1, 0.2), ((10, 1), 0.4, 0.6), ((1, 0), 0.9, math.inf), ((0, 1), -1, 0.2)],
    ids=str,
)
def test_the_cheapest_threshold_is_where_it_was_planted(costs: tuple[float, float], low: float, high: float) -> None:
    found = scores.cheapest_threshold(LABELS, PROBABILITIES, *costs)
    assert low < found <= high
    counted = scores.confusion(LABELS, PROBABILITIES, scores.candidate_thresholds(PROBABILITIES)).cost(*costs)
    assert scores.confusion(LABELS, PROBABILITIES, found).cost(*costs) == counted.min()


@given(labelled, st.floats(0.1, 5), st.floats(0.1, 5))
@settings(deadline=None)
def test_no_threshold_is_cheaper(given_: tuple[Array, Array, Array], one: float, other: float) -> None:
    labels, probabilities, _ = given_
    found = scores.confusion(labels, probabilities, scores.cheapest_threshold(labels, probabilities, one, other))
    for threshold in [*probabilities.tolist(), 0.0, 1.1]:
        predicted = probabilities >= threshold
        cost = one * (predicted & (labels == 0)).sum() + other * (~predicted & (labels == 1)).sum()
        assert found.cost(one, other) <= cost + 1e-9


def test_of_thresholds_that_cost_the_same_the_one_nearest_the_ideal_is_taken() -> None:
    labels, probabilities = np.array([0, 1, 0, 1]), np.array([0.1, 0.3, 0.6, 0.8])
    assert scores.cheapest_threshold(labels, probabilities, 1, 1) == pytest.approx(0.7)
    assert scores.cheapest_threshold(labels, probabilities, 0, 0) == pytest.approx(0.45)
    assert scores.cheapest_threshold(labels, probabilities, 1, 1.001) == pytest.approx(0.2)


def test_the_precise_threshold_has_the_highest_recall_that_its_precision_allows() -> None:
    assert scores.threshold_for_precision(LABELS, PROBABILITIES, 1.0) == pytest.approx(0.5)
    assert scores.threshold_for_precision(LABELS, PROBABILITIES, 4 / 6) == pytest.approx(0.15)
    assert scores.threshold_for_precision(LABELS, PROBABILITIES, 0.5) in (0.0, 0.025, pytest.approx(0.075))
    assert scores.threshold_for_precision(LABELS, 1 - PROBABILITIES, 0.9) is None
    assert scores.threshold_for_precision(np.zeros(8, int), PROBABILITIES, 0.1) is None


def test_the_complete_threshold_is_the_highest_whose_recall_suffices() -> None:
    assert scores.threshold_for_recall(LABELS, PROBABILITIES, 1.0) == pytest.approx(0.15)
    assert scores.threshold_for_recall(LABELS, PROBABILITIES, 0.75) == pytest.approx(0.5)
    assert scores.threshold_for_recall(LABELS, PROBABILITIES, 0.5) == pytest.approx(0.7)
    highest = scores.threshold_for_recall(LABELS, PROBABILITIES, 0.0)
    assert highest is not None
    assert highest > 0.9
    assert scores.threshold_for_recall(np.zeros(8, int), PROBABILITIES, 0.5) is None


# --- areas ------------------------------------------------------------------------------------------


@given(labelled)
@settings(deadline=None)
def test_areas_are_those_of_scikit_learn_with_weights_and_ties(given_: tuple[Array, Array, Array]) -> None:
    labels, probabilities, weights = given_
    weights[1] = 1
    both = np.stack([np.ones(len(labels)), weights])
    roc = scores.roc_areas(labels, probabilities, both)
    average = scores.average_precisions(labels, probabilities, both)
    for row, weight in enumerate(both):
        options: dict[str, Any] = {"sample_weight": weight}
        assert roc[row] == pytest.approx(metrics.roc_auc_score(labels, probabilities, **options))
        assert average[row] == pytest.approx(metrics.average_precision_score(labels, probabilities, **options))


def test_an_interval_holds_its_area_and_is_the_same_again() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 300)
    probabilities = labels + rng.normal(0, 1, 300)
    for area in (scores.roc_areas, scores.average_precisions):
        value, low, high = scores.bootstrap_interval(area, labels, probabilities)
        assert low < value < high
        assert 0.03 < high - low < 0.2
        assert scores.bootstrap_interval(area, labels, probabilities) == (value, low, high)
        wider = scores.bootstrap_interval(area, labels[:60], probabilities[:60], samples=200)
        assert wider[2] - wider[1] > 1.4 * (high - low)
    roc, low, high = scores.bootstrap_interval(scores.roc_areas, labels, probabilities)
    positive, negative = np.bincount(labels)[::-1]
    spread = roc * (1 - roc)  # (Hanley and McNeil, 1982)
    spread += (positive - 1) * (roc / (2 - roc) - roc**2) + (negative - 1) * (2 * roc**2 / (1 + roc) - roc**2)
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(spread / (positive * negative)), rel=0.2)


def test_perfect_scores_have_an_interval_of_no_width() -> None:
    labels = np.array([0] * 20 + [1] * 5)
    assert scores.bootstrap_interval(scores.roc_areas, labels, labels.astype(float), samples=50) == (1, 1, 1)


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (81, 263, 0.2553, 0.3662),  # Newcombe, 1998, table I
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilsons_interval_has_its_known_values(count: int, total: int, low: float, high: float) -> None:
    assert scores.wilson_interval(count, total) == pytest.approx((low, high), abs=6e-5)
