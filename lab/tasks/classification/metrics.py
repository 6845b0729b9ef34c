"""Two classes, and how sure a model is of them: thresholds, areas with intervals, calibration.

Everywhere `labels` are 0 or 1, shape (n,), and `probabilities` a model's of class 1, shape (n,).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from lab.data import Array
from lab.tasks.images.scores import EPSILON


@dataclasses.dataclass(frozen=True)
class Confusion:
    """How often each class was taken for each, at one threshold or at many (then each is an array).

    Args:
        true_negative, false_positive, false_negative, true_positive: counts.
    """

    true_negative: Array
    false_positive: Array
    false_negative: Array
    true_positive: Array

    @property
    def accuracy(self) -> Array:
        """The share that is right."""
        right = self.true_positive + self.true_negative
        return _share(right, right + self.false_positive + self.false_negative)

    @property
    def precision(self) -> Array:
        """Of those called positive, the share that is; 1 where none is called so."""
        return _share(self.true_positive, self.true_positive + self.false_positive)

    @property
    def recall(self) -> Array:
        """Of those that are positive, the share called so; 1 where there are none."""
        return _share(self.true_positive, self.true_positive + self.false_negative)

    @property
    def f1(self) -> Array:
        """The harmonic mean of precision and recall."""
        return _share(2 * self.true_positive, 2 * self.true_positive + self.false_positive + self.false_negative)

    @property
    def false_positive_rate(self) -> Array:
        """Of those that are negative, the share called positive; 1 where there are none."""
        return _share(self.false_positive, self.false_positive + self.true_negative)

    def cost(self, false_positive: float, false_negative: float) -> Array:
        """What the errors cost together, at a price for each kind."""
        return np.asarray(false_positive * self.false_positive + false_negative * self.false_negative)


def _share(part: Array, whole: Array) -> Array:
    part, whole = np.asarray(part, float), np.asarray(whole, float)
    return np.asarray(np.divide(part, whole, out=np.ones(np.broadcast(part, whole).shape), where=whole > 0))


def confusion(labels: Array, probabilities: Array, thresholds: Array | float) -> Confusion:
    """Counts what is called positive where the probability is at least a threshold.

    Args:
        labels, probabilities: shape (n,).
        thresholds: one, or an array of them.
    """
    positive = np.sort(probabilities[labels == 1])
    negative = np.sort(probabilities[labels == 0])
    missed, spared = np.searchsorted(positive, thresholds), np.searchsorted(negative, thresholds)
    return Confusion(spared, len(negative) - spared, missed, len(positive) - missed)


def candidates(probabilities: Array) -> Array:
    """Returns every threshold that makes a difference, ascending: midway between neighbouring
    probabilities, below the least and above the greatest; shape (distinct + 1,)."""
    found = np.unique(np.asarray(probabilities, np.float64))
    return np.concatenate([[0.0], (found[:-1] + found[1:]) / 2, [np.nextafter(max(1.0, found[-1]), 2)]])


def cheapest_threshold(labels: Array, probabilities: Array, false_positive: float, false_negative: float) -> float:
    """Returns the threshold whose errors cost least, at a price for each kind.

    With perfect probabilities that is `false_positive / (false_positive + false_negative)` (Elkan, 2001);
    of thresholds that cost the same, the nearest to that is returned.
    """
    tried = candidates(probabilities)
    cost = confusion(labels, probabilities, tried).cost(false_positive, false_negative)
    total = false_positive + false_negative
    ideal = false_positive / total if total else 0.5
    best = tried[cost == cost.min()]
    return float(best[np.abs(best - ideal).argmin()])


def precise_threshold(labels: Array, probabilities: Array, least: float) -> float | None:
    """Returns the threshold of highest recall whose precision is at least so much; None where none is."""
    tried = candidates(probabilities)
    counts = confusion(labels, probabilities, tried)
    able = (counts.precision >= least) & (counts.true_positive > 0)
    return float(tried[able][counts.recall[able].argmax()]) if able.any() else None


def complete_threshold(labels: Array, probabilities: Array, least: float) -> float:
    """Returns the highest threshold whose recall is at least so much."""
    tried = candidates(probabilities)
    return float(tried[confusion(labels, probabilities, tried).recall >= least].max())


def wilson(count: float, total: float) -> tuple[float, float]:
    """Returns the 95 % interval of a share, `count` of `total` (Wilson, 1927); all of it where total is 0."""
    if not total:
        return 0.0, 1.0
    z = 1.959964
    share, spread = count / total, z * z / total
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / total + spread / (4 * total)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


Weighted = Callable[[Array, Array], Array]


def _cumulated(labels: Array, probabilities: Array, weights: Array) -> tuple[Array, Array]:
    """Weights of positives and of negatives at or above each distinct probability, descending; (samples, distinct)."""
    order = np.argsort(-probabilities, kind="stable")
    falls = np.diff(probabilities[order], append=-np.inf) != 0
    ranked = weights[:, order]
    positive = np.cumsum(ranked * labels[order], axis=1)[:, falls]
    return positive, np.cumsum(ranked, axis=1)[:, falls] - positive


def roc_areas(labels: Array, probabilities: Array, weights: Array) -> Array:
    """Returns the area below the ROC curve for each row of example weights, (samples, n) to (samples,)."""
    positive, negative = _cumulated(labels, probabilities, weights)
    higher = positive - np.diff(positive, axis=1, prepend=0) / 2  # a tie counts half
    pairs = (higher * np.diff(negative, axis=1, prepend=0)).sum(axis=1)
    return np.asarray(pairs / (positive[:, -1] * negative[:, -1]))


def average_precisions(labels: Array, probabilities: Array, weights: Array) -> Array:
    """Returns the average precision, the area below the precision-recall curve in steps, likewise."""
    positive, negative = _cumulated(labels, probabilities, weights)
    called = positive + negative
    precision = np.divide(positive, called, out=np.zeros_like(called), where=called > 0)
    return np.asarray((precision * np.diff(positive, axis=1, prepend=0)).sum(axis=1) / positive[:, -1])


def with_interval(
    area: Callable[[Array, Array, Array], Array], labels: Array, probabilities: Array, samples: int = 1000
) -> tuple[float, float, float]:
    """Returns an area and its 95 % interval by the bootstrap (Efron, 1979), examples drawn within each class."""
    whole = float(area(labels, probabilities, np.ones((1, len(labels))))[0])
    random, found = np.random.default_rng(0), []
    for _ in range(0, samples, 50):
        weights = np.zeros((50, len(labels)))
        for label in (0, 1):
            members = np.flatnonzero(labels == label)
            weights[:, members] = random.multinomial(len(members), np.full(len(members), 1 / len(members)), 50)
        found.append(area(labels, probabilities, weights))
    low, high = np.quantile(np.concatenate(found), (0.025, 0.975))
    return whole, float(low), float(high)


# --- calibration --------------------------------------------------------------------------------


def sigmoid(logits: Array) -> Array:
    """Returns probabilities for logits; float64."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * np.asarray(logits, np.float64))))


@dataclasses.dataclass(frozen=True)
class Scaling:
    """Makes logits of what a model says: `(said - bias) / temperature`.

    Args:
        temperature: above 1 where the model is too sure.
        bias: above 0 where it says class 1 too often.
    """

    temperature: float = 1.0
    bias: float = 0.0

    def __call__(self, said: Array) -> Array:
        """Returns the logits; float64."""
        return np.asarray((np.asarray(said, np.float64) - self.bias) / self.temperature)


def fit_scaling(labels: Array, logits: Array) -> Scaling:
    """Returns temperature and bias with the least cross-entropy (Platt, 1999)."""
    from scipy.optimize import minimize

    sign = np.where(labels == 1, 1.0, -1.0)
    said = np.asarray(logits, np.float64)

    def loss(values: Array) -> float:
        return float(np.logaddexp(0, -sign * (said - values[1]) * math.exp(-values[0])).mean())

    start = [math.log(fit_temperature(labels, logits)), 0.0]
    best = minimize(loss, start, method="L-BFGS-B", bounds=[(-3, 4), (float(said.min()), float(said.max()))])
    return Scaling(math.exp(best.x[0]), float(best.x[1]))


def fit_temperature(labels: Array, logits: Array) -> float:
    """Returns what logits are divided by to have the least cross-entropy (Guo et al., 2017)."""
    from scipy.optimize import minimize_scalar

    signed = np.where(labels == 1, logits, -logits).astype(np.float64)
    loss = lambda log: float(np.logaddexp(0, -signed / math.exp(log)).mean())  # noqa: E731
    return math.exp(minimize_scalar(loss, bounds=(-3, 4), method="bounded", options={"xatol": 1e-6}).x)


def cross_entropy(labels: Array, probabilities: Array) -> float:
    """Returns the mean negative log-likelihood, in nats."""
    p = np.clip(np.where(labels == 1, probabilities, 1 - probabilities), EPSILON, 1)
    return float(-np.log(p).mean())


def brier(labels: Array, probabilities: Array) -> float:
    """Returns the mean squared distance of probability and label (Brier, 1950); 0 is best."""
    return float(np.square(probabilities - labels).mean())


@dataclasses.dataclass(frozen=True)
class Reliability:
    """What a model said and what came, in bins of equal width that hold any example.

    Args:
        said: mean probability, shape (bins,).
        came: share of positives, shape (bins,).
        count: examples, shape (bins,).
    """

    said: Array
    came: Array
    count: Array

    @property
    def error(self) -> float:
        """The expected calibration error (Naeini et al., 2015): the mean distance, by examples."""
        return float((np.abs(self.said - self.came) * self.count).sum() / self.count.sum())


def reliability(labels: Array, probabilities: Array, bins: int = 15) -> Reliability:
    """Sorts examples into bins by their probability of class 1."""
    place = np.minimum((probabilities * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    held = count > 0
    said, came = (np.bincount(place, values, bins)[held] / count[held] for values in (probabilities, labels))
    return Reliability(said, came, count[held])
