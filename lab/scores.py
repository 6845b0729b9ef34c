"""Scores of drawn images against true ones, one number an image."""

from __future__ import annotations

import numpy as np

from lab.data import Array

EPSILON = 1e-7  # keeps logarithms finite; Keras's own


def squared_error(images: Array, drawn: Array) -> Array:
    """Returns each image's mean squared error over its pixels; float64, shape (n,)."""
    return np.asarray(np.square(images - drawn).reshape(len(images), -1).mean(axis=1, dtype=np.float64))


def binary_crossentropy(images: Array, drawn: Array) -> Array:
    """Returns each image's mean binary cross-entropy over its pixels in nats; float64, shape (n,)."""
    p = np.clip(drawn.astype(np.float64), EPSILON, 1 - EPSILON)
    loss = -(images * np.log(p) + (1 - images) * np.log1p(-p))
    return np.asarray(loss.reshape(len(images), -1).mean(axis=1))


def extremes(errors: Array, count: int) -> dict[str, Array]:
    """Returns the indices of the `count` best, typical (from the median on) and worst examples by their errors."""
    order = np.argsort(errors, kind="stable")
    middle = len(order) // 2
    return {"best": order[:count], "typical": order[middle : middle + count], "worst": order[-count:]}
