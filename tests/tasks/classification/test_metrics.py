"""Measures of two classes against scikit-learn, by hand, and on scores whose answer is planted."""

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
    called = probabilities >= threshold
    found = scores.confusion(labels, probabilities, threshold)
    matrix = metrics.confusion_matrix(labels, called, labels=[0, 1])
    assert [
        found.true_negative,
        found.false_positive,
        found.false_negative,
        found.true_positive,
    ] == matrix.ravel().tolist()
    assert found.accuracy == pytest.approx(metrics.accuracy_score(labels, called))
    assert found.precision == pytest.approx(metrics.precision_score(labels, called, zero_division=1))
    assert found.recall == pytest.approx(metrics.recall_score(labels, called, zero_division=1))
    assert found.f1 == pytest.approx(metrics.f1_score(labels, called, zero_division=1))
    assert found.false_positive_rate == pytest.approx(1 - metrics.recall_score(labels, called, pos_label=0))
    assert found.cost(3, 0.5) == 3 * matrix[0, 1] + 0.5 * matrix[1, 0]


@given(labelled)
@settings(deadline=None)
def test_many_thresholds_are_as_each_by_itself(given_: tuple[Array, Array, Array]) -> None:
    labels, probabilities, _ = given_
    tried = scores.candidates(probabilities)
    assert len(tried) == len(np.unique(probabilities)) + 1
    assert (np.diff(tried) > 0).all() or tried[0] == tried[1] == 0
    together = scores.confusion(labels, probabilities, tried)
    for place, threshold in enumerate(tried):
        alone = scores.confusion(labels, probabilities, float(threshold))
        for name in ("true_negative", "false_positive", "false_negative", "true_positive", "precision", "f1"):
            assert getattr(together, name)[place] == getattr(alone, name)
    called = {tuple(probabilities >= threshold) for threshold in tried}
    assert called == {tuple(probabilities >= threshold) for threshold in [*probabilities.tolist(), 0, 2]}


# --- threshold rules --------------------------------------------------------------------------------

LABELS = np.array([0, 0, 1, 0, 0, 1, 1, 1])
SAID = np.array([0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 0.9])


@pytest.mark.parametrize(
    ("costs", "low", "high"),
    [((1, 1), 0.4, 0.6), ((1, 10), 0.1, 0.2), ((10, 1), 0.4, 0.6), ((1, 0), 0.9, math.inf), ((0, 1), -1, 0.2)],
    ids=str,
)
def test_the_cheapest_threshold_is_where_it_was_planted(costs: tuple[float, float], low: float, high: float) -> None:
    found = scores.cheapest_threshold(LABELS, SAID, *costs)
    assert low < found <= high
    counted = scores.confusion(LABELS, SAID, scores.candidates(SAID)).cost(*costs)
    assert scores.confusion(LABELS, SAID, found).cost(*costs) == counted.min()


@given(labelled, st.floats(0.1, 5), st.floats(0.1, 5))
@settings(deadline=None)
def test_no_threshold_is_cheaper(given_: tuple[Array, Array, Array], one: float, other: float) -> None:
    labels, probabilities, _ = given_
    found = scores.confusion(labels, probabilities, scores.cheapest_threshold(labels, probabilities, one, other))
    for threshold in [*probabilities.tolist(), 0.0, 1.1]:
        called = probabilities >= threshold
        cost = one * (called & (labels == 0)).sum() + other * (~called & (labels == 1)).sum()
        assert found.cost(one, other) <= cost + 1e-9


def test_of_thresholds_that_cost_the_same_the_one_nearest_the_ideal_is_taken() -> None:
    labels, said = np.array([0, 1, 0, 1]), np.array([0.1, 0.3, 0.6, 0.8])
    assert scores.cheapest_threshold(labels, said, 1, 1) == pytest.approx(0.7)
    assert scores.cheapest_threshold(labels, said, 0, 0) == pytest.approx(0.45)
    assert scores.cheapest_threshold(labels, said, 1, 1.001) == pytest.approx(0.2)


def test_the_precise_threshold_has_the_highest_recall_that_its_precision_allows() -> None:
    assert scores.precise_threshold(LABELS, SAID, 1.0) == pytest.approx(0.5)
    assert scores.precise_threshold(LABELS, SAID, 4 / 6) == pytest.approx(0.15)
    assert scores.precise_threshold(LABELS, SAID, 0.5) in (0.0, 0.025, pytest.approx(0.075))
    assert scores.precise_threshold(LABELS, 1 - SAID, 0.9) is None
    assert scores.precise_threshold(np.zeros(8, int), SAID, 0.1) is None


def test_the_complete_threshold_is_the_highest_whose_recall_suffices() -> None:
    assert scores.complete_threshold(LABELS, SAID, 1.0) == pytest.approx(0.15)
    assert scores.complete_threshold(LABELS, SAID, 0.75) == pytest.approx(0.5)
    assert scores.complete_threshold(LABELS, SAID, 0.5) == pytest.approx(0.7)
    assert scores.complete_threshold(LABELS, SAID, 0.0) > 0.9


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
        held: dict[str, Any] = {"sample_weight": weight}
        assert roc[row] == pytest.approx(metrics.roc_auc_score(labels, probabilities, **held))
        assert average[row] == pytest.approx(metrics.average_precision_score(labels, probabilities, **held))


def test_an_interval_holds_its_area_and_is_the_same_again() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 300)
    said = labels + rng.normal(0, 1, 300)
    for area in (scores.roc_areas, scores.average_precisions):
        whole, low, high = scores.with_interval(area, labels, said)
        assert low < whole < high
        assert 0.03 < high - low < 0.2
        assert scores.with_interval(area, labels, said) == (whole, low, high)
        wider = scores.with_interval(area, labels[:60], said[:60], samples=200)
        assert wider[2] - wider[1] > 1.4 * (high - low)
    roc, low, high = scores.with_interval(scores.roc_areas, labels, said)
    positive, negative = np.bincount(labels)[::-1]
    spread = roc * (1 - roc)  # (Hanley and McNeil, 1982)
    spread += (positive - 1) * (roc / (2 - roc) - roc**2) + (negative - 1) * (2 * roc**2 / (1 + roc) - roc**2)
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(spread / (positive * negative)), rel=0.2)


def test_perfect_scores_have_an_interval_of_no_width() -> None:
    labels = np.array([0] * 20 + [1] * 5)
    assert scores.with_interval(scores.roc_areas, labels, labels.astype(float), samples=50) == (1, 1, 1)


# --- shares and calibration -------------------------------------------------------------------------


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
    assert scores.wilson(count, total) == pytest.approx((low, high), abs=6e-5)


def test_sigmoid_is_the_logistic_function_and_never_overflows() -> None:
    assert scores.sigmoid(np.array([0.0, math.log(3), -math.log(3)])) == pytest.approx([0.5, 0.75, 0.25])
    assert scores.sigmoid(np.array([-1e4, 1e4], np.float32)).tolist() == [0.0, 1.0]
    assert scores.sigmoid(np.zeros(1, np.float32)).dtype == np.float64


@pytest.mark.parametrize("planted", [0.4, 1.0, 2.5])
def test_the_temperature_that_was_planted_is_found(planted: float) -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(0, 2, 40_000)
    labels = (rng.random(40_000) < scores.sigmoid(true)).astype(int)
    found = scores.fit_temperature(labels, true * planted)
    assert found == pytest.approx(planted, rel=0.03)
    loss = [scores.cross_entropy(labels, scores.sigmoid(true * planted / (found * by))) for by in (0.98, 1, 1.02)]
    assert loss[1] == min(loss)


def test_the_scaling_that_was_planted_is_found() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(0, 2, 40_000)
    labels = (rng.random(40_000) < scores.sigmoid(true)).astype(int)
    found = scores.fit_scaling(labels, 2.5 * true + 0.7)
    assert found.temperature == pytest.approx(2.5, rel=0.03)
    assert found.bias == pytest.approx(0.7, abs=0.06)
    assert found(2.5 * true + 0.7) == pytest.approx(true, abs=0.3)
    assert scores.fit_scaling(np.array([0, 0, 0]), np.array([0.1, 0.2, 0.2])).bias == pytest.approx(0.2), "bounded"


@given(labelled)
@settings(deadline=None)
def test_brier_and_cross_entropy_are_those_of_scikit_learn(given_: tuple[Array, Array, Array]) -> None:
    labels, said, _ = given_
    said = 0.001 + 0.998 * said
    assert scores.brier(labels, said) == pytest.approx(metrics.brier_score_loss(labels, said))
    assert scores.cross_entropy(labels, said) == pytest.approx(metrics.log_loss(labels, said, labels=[0, 1]))


def test_being_wholly_wrong_costs_a_finite_number() -> None:
    assert 10 < scores.cross_entropy(np.array([0, 1]), np.array([1.0, 0.0])) < 100


def test_reliability_by_hand() -> None:
    labels, said = np.array([0, 1, 0, 1, 1, 1]), np.array([0.1, 0.15, 0.5, 0.7, 0.9, 1.0])
    found = scores.reliability(labels, said, bins=4)
    assert found.said == pytest.approx([0.125, 0.6, 0.95])
    assert found.came.tolist() == [0.5, 0.5, 1.0]
    assert found.count.tolist() == [2, 2, 2]
    assert found.error == pytest.approx((0.375 + 0.1 + 0.05) / 3)
    uneven = scores.reliability(np.array([1, 1, 1, 0]), np.array([0.8, 0.8, 0.8, 0.2]))
    assert uneven.error == pytest.approx(0.2)
    assert scores.reliability(np.array([1, 0, 0, 0]), np.array([0.9, 0.1, 0.1, 0.1])).error == pytest.approx(0.1)
    assert scores.reliability(np.array([1, 0, 0, 0]), np.array([0.3, 0.1, 0.1, 0.1]), 2).error == pytest.approx(0.1)
