"""Calibration of binary classifiers: probabilities that equal observed frequencies.

`sklearn.calibration` calibrates classifiers with `fit` and `predict_proba`; here are logits and no classifier.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from lab.data import Array


@dataclasses.dataclass(frozen=True)
class Scaling:
    """Calibrates logits: `(logits - bias) / temperature`.

    Args:
        temperature: above 1 if the model is too confident.
        bias: above 0 if the model favours class 1.
    """

    temperature: float = 1.0
    bias: float = 0.0

    def __call__(self, logits: Array) -> Array:
        """Returns the calibrated logits; float64."""
        return np.asarray((np.asarray(logits, np.float64) - self.bias) / self.temperature)


def fit_scaling(labels: Array, logits: Array) -> Scaling:
    """Returns the temperature and bias of least cross-entropy (Platt, 1999).

    Both are bounded, so that logits of a single class have a finite answer.
    """
    from scipy.optimize import minimize

    sign = np.where(labels == 1, 1.0, -1.0)
    logits = np.asarray(logits, np.float64)

    def loss(values: Array) -> float:
        return float(np.logaddexp(0, -sign * (logits - values[1]) * math.exp(-values[0])).mean())

    start = [math.log(fit_temperature(labels, logits)), 0.0]
    best = minimize(loss, start, method="L-BFGS-B", bounds=[(-3, 4), (float(logits.min()), float(logits.max()))])
    return Scaling(math.exp(best.x[0]), float(best.x[1]))


def fit_temperature(labels: Array, logits: Array) -> float:
    """Returns the temperature of least cross-entropy (Guo et al., 2017, https://arxiv.org/abs/1706.04599)."""
    from scipy.optimize import minimize_scalar

    signed = np.where(labels == 1, logits, -logits).astype(np.float64)
    loss = lambda log: float(np.logaddexp(0, -signed / math.exp(log)).mean())  # noqa: E731
    return math.exp(minimize_scalar(loss, bounds=(-3, 4), method="bounded", options={"xatol": 1e-6}).x)


@dataclasses.dataclass(frozen=True)
class Reliability:
    """Predicted probabilities and observed frequencies, in the bins that have examples.

    Args:
        predicted: mean probability, shape (bins,).
        observed: share of positives, shape (bins,).
        count: examples, shape (bins,).
    """

    predicted: Array
    observed: Array
    count: Array

    @property
    def error(self) -> float:
        """The expected calibration error: the mean distance of both, weighted by examples (Naeini et al., 2015)."""
        return float((np.abs(self.predicted - self.observed) * self.count).sum() / self.count.sum())


def reliability(labels: Array, probabilities: Array, bins: int = 15) -> Reliability:
    """Returns the reliability in bins of equal width.

    `sklearn.calibration.calibration_curve` does not return the counts, which the calibration error needs.
    """
    place = np.minimum((probabilities * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    filled = count > 0
    predicted, observed = (np.bincount(place, value, bins)[filled] / count[filled] for value in (probabilities, labels))
    return Reliability(predicted, observed, count[filled])
