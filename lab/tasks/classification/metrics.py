"""Metrics of binary classifiers: counts at thresholds, choosing a threshold, and areas with intervals.

Everywhere `labels` are 0 or 1, shape (n,), and `probabilities` are a model's of class 1, shape (n,). What
scikit-learn and SciPy have is used from there; here stands what they lack, and what a thousand bootstrap samples
need vectorised.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy.special import expit

from lab.data import Array


@dataclasses.dataclass(frozen=True)
class Confusion:
    """The confusion matrix at one threshold, or at many (then each count is an array).

    A ratio whose denominator is 0 is undefined and NaN, as with scikit-learn's `zero_division=np.nan`.

    Args:
        true_negative, false_positive, false_negative, true_positive: counts.
    """

    true_negative: Array
    false_positive: Array
    false_negative: Array
    true_positive: Array

    @property
    def accuracy(self) -> Array:
        """The share of correct predictions."""
        correct = self.true_positive + self.true_negative
        return _ratio(correct, correct + self.false_positive + self.false_negative)

    @property
    def precision(self) -> Array:
        """The share of positive predictions that are correct."""
        return _ratio(self.true_positive, self.true_positive + self.false_positive)

    @property
    def recall(self) -> Array:
        """The share of positive examples that are predicted positive."""
        return _ratio(self.true_positive, self.true_positive + self.false_negative)

    @property
    def f1(self) -> Array:
        """The harmonic mean of precision and recall."""
        return _ratio(2 * self.true_positive, 2 * self.true_positive + self.false_positive + self.false_negative)

    @property
    def false_positive_rate(self) -> Array:
        """The share of negative examples that are predicted positive."""
        return _ratio(self.false_positive, self.false_positive + self.true_negative)

    def cost(self, false_positive: float, false_negative: float) -> Array:
        """Returns the total cost of the errors, given the cost of one error of each kind."""
        return np.asarray(false_positive * self.false_positive + false_negative * self.false_negative)


def _ratio(part: Array, total: Array) -> Array:
    part, total = np.asarray(part, float), np.asarray(total, float)
    undefined = np.full(np.broadcast(part, total).shape, np.nan)
    return np.asarray(np.divide(part, total, out=undefined, where=total > 0))


def confusion(labels: Array, probabilities: Array, thresholds: Array | float) -> Confusion:
    """Counts predictions, which are positive where the probability is at least the threshold.

    Args:
        labels, probabilities: shape (n,).
        thresholds: one, or an array of them in any order.
    """
    positive = np.sort(probabilities[labels == 1])
    negative = np.sort(probabilities[labels == 0])
    below, negative_below = np.searchsorted(positive, thresholds), np.searchsorted(negative, thresholds)
    return Confusion(negative_below, len(negative) - negative_below, below, len(positive) - below)


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Labels of some examples, and a model's logits for them.

    Args:
        labels: 0 or 1, shape (n,).
        logits: above 0 for class 1, shape (n,).
    """

    labels: Array
    logits: Array

    @property
    def probabilities(self) -> Array:
        """The probability of class 1; float64, shape (n,)."""
        return np.asarray(expit(np.asarray(self.logits, np.float64)))

    def correct(self) -> Array:
        """Returns which predictions are correct at a threshold of 0.5; bool, shape (n,)."""
        return np.asarray((self.logits >= 0) == self.labels)

    def confusion(self, thresholds: Array | float = 0.5) -> Confusion:
        """Returns the counts at thresholds of the probability."""
        return confusion(self.labels, self.probabilities, thresholds)

    def log_loss(self) -> float:
        """Returns the cross-entropy, in nats."""
        from sklearn.metrics import log_loss

        return float(log_loss(self.labels, self.probabilities, labels=[0, 1]))

    def brier(self) -> float:
        """Returns the mean squared error of the probability (Brier, 1950); 0 is best."""
        from sklearn.metrics import brier_score_loss

        return float(brier_score_loss(self.labels, self.probabilities, pos_label=1))

    def swapped(self) -> Predictions:
        """Returns the same with the two classes swapped."""
        return Predictions(1 - self.labels, -self.logits)


# --- choosing a threshold -------------------------------------------------------------------------


def candidate_thresholds(probabilities: Array) -> Array:
    """Returns one threshold for each possible set of predictions, ascending, shape (distinct + 1,).

    They lie midway between neighbouring probabilities, below the lowest and above the highest.
    """
    values = np.unique(np.asarray(probabilities, np.float64))
    return np.concatenate([[0.0], (values[:-1] + values[1:]) / 2, [np.nextafter(max(1.0, values[-1]), 2)]])


def cheapest_threshold(labels: Array, probabilities: Array, false_positive: float, false_negative: float) -> float:
    """Returns the threshold whose errors cost least, given the cost of one error of each kind.

    With perfect probabilities that is `false_positive / (false_positive + false_negative)` (Elkan, 2001, "The
    foundations of cost-sensitive learning"); of equally cheap thresholds, the nearest to it is returned.
    """
    thresholds = candidate_thresholds(probabilities)
    cost = confusion(labels, probabilities, thresholds).cost(false_positive, false_negative)
    total = false_positive + false_negative
    ideal = false_positive / total if total else 0.5
    cheapest = thresholds[cost == cost.min()]
    return float(cheapest[np.abs(cheapest - ideal).argmin()])


def threshold_for_precision(labels: Array, probabilities: Array, minimum: float) -> float | None:
    """Returns the threshold of the highest recall whose precision is at least `minimum`; None if there is none."""
    thresholds = candidate_thresholds(probabilities)
    counts = confusion(labels, probabilities, thresholds)
    precise = (counts.precision >= minimum) & (counts.true_positive > 0)
    return float(thresholds[precise][counts.recall[precise].argmax()]) if precise.any() else None


def threshold_for_recall(labels: Array, probabilities: Array, minimum: float) -> float | None:
    """Returns the highest threshold whose recall is at least `minimum`; None if no label is 1."""
    thresholds = candidate_thresholds(probabilities)
    complete = confusion(labels, probabilities, thresholds).recall >= minimum
    return float(thresholds[complete].max()) if complete.any() else None


# --- intervals ------------------------------------------------------------------------------------


def wilson_interval(count: int, total: int) -> tuple[float, float]:
    """Returns the 95 % interval of the share `count / total` (Wilson, 1927); (0, 1) if `total` is 0."""
    from scipy.stats import binomtest

    if not total:
        return 0.0, 1.0
    interval = binomtest(int(count), int(total)).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def _cumulated(labels: Array, probabilities: Array, weights: Array) -> tuple[Array, Array]:
    """Returns the weights of positives and of negatives at or above each distinct probability, in descending
    order, each of shape (samples, distinct)."""
    order = np.argsort(-probabilities, kind="stable")
    is_last = np.diff(probabilities[order], append=-np.inf) != 0  # of equal probabilities
    ranked = weights[:, order]
    positive = np.cumsum(ranked * labels[order], axis=1)[:, is_last]
    return positive, np.cumsum(ranked, axis=1)[:, is_last] - positive


def roc_areas(labels: Array, probabilities: Array, weights: Array) -> Array:
    """Returns the area under the ROC curve for each row of example weights, (samples, n) to (samples,).

    One sort serves all rows: `sklearn.metrics.roc_auc_score` sorts again for each.
    """
    positive, negative = _cumulated(labels, probabilities, weights)
    higher = positive - np.diff(positive, axis=1, prepend=0) / 2  # a tie counts half
    pairs = (higher * np.diff(negative, axis=1, prepend=0)).sum(axis=1)
    return np.asarray(pairs / (positive[:, -1] * negative[:, -1]))


def average_precisions(labels: Array, probabilities: Array, weights: Array) -> Array:
    """Returns the average precision for each row of example weights, (samples, n) to (samples,)."""
    positive, negative = _cumulated(labels, probabilities, weights)
    predicted = positive + negative
    precision = np.divide(positive, predicted, out=np.zeros_like(predicted), where=predicted > 0)
    return np.asarray((precision * np.diff(positive, axis=1, prepend=0)).sum(axis=1) / positive[:, -1])


def bootstrap_interval(
    area: Callable[[Array, Array, Array], Array], labels: Array, probabilities: Array, samples: int = 1000
) -> tuple[float, float, float]:
    """Returns an area and its 95 % bootstrap interval (Efron, 1979); examples are resampled within each class.

    Args:
        area: `roc_areas` or `average_precisions`.
        labels, probabilities: shape (n,), with both classes.
        samples: rounded up to a multiple of 50.
    """
    value = float(area(labels, probabilities, np.ones((1, len(labels))))[0])
    random, areas = np.random.default_rng(0), []
    for _ in range(0, samples, 50):
        weights = np.zeros((50, len(labels)))
        for label in (0, 1):
            members = np.flatnonzero(labels == label)
            weights[:, members] = random.multinomial(len(members), np.full(len(members), 1 / len(members)), 50)
        areas.append(area(labels, probabilities, weights))
    low, high = np.quantile(np.concatenate(areas), (0.025, 0.975))
    return value, float(low), float(high)
