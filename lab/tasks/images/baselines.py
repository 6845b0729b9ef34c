"""Baselines without a network: principal components, a linear map, nearest neighbours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lab.data import Array
from lab.tasks.images.scores import squared_error


class Pca:
    """Principal components: the lowest squared error on `x` that a linear code of a given size can have.

    Args:
        x: examples, shape (n, ...); each is treated as one vector.
        rank: the most components to compute.

    Attributes:
        rank: the components computed, which the number of examples and of their values limits.
        shape: of one example.
    """

    def __init__(self, x: Array, rank: int) -> None:
        from sklearn.decomposition import PCA

        flat = x.reshape(len(x), -1)
        self.shape = x.shape[1:]
        self.rank = min(rank, *flat.shape)
        self._pca = PCA(self.rank, svd_solver="covariance_eigh").fit(flat)

    def project(self, x: Array) -> Array:
        """Returns the components of examples, shape (n, rank)."""
        return np.asarray(self._pca.transform(x.reshape(len(x), -1)))

    def reconstruct(self, x: Array, size: int) -> Array:
        """Returns examples reconstructed from their first `size` components, clipped to [0, 1]; shape (n, ...)."""
        size = min(size, self.rank)
        flat = self.project(x)[:, :size] @ self._pca.components_[:size] + self._pca.mean_
        return np.asarray(np.clip(flat, 0, 1).reshape(len(x), *self.shape))

    def error(self, x: Array, size: int) -> float:
        """Returns the mean squared error per value of examples reconstructed from `size` components."""
        return float(squared_error(x, self.reconstruct(x, size)).mean())


class LinearMap:
    """The affine map with the least squared error from examples to targets: ridge regression.

    Args:
        x: examples, shape (n, ...); each is treated as one vector.
        y: targets, shape (n, ...).
        ridge: added to the covariance's diagonal, so that constant values do not make it singular.
    """

    def __init__(self, x: Array, y: Array, ridge: float = 1e-3) -> None:
        flat, targets = x.reshape(len(x), -1), y.reshape(len(y), -1)
        self.shape = y.shape[1:]
        self._mean_x, self._mean_y = flat.mean(axis=0), targets.mean(axis=0)
        centred = flat - self._mean_x
        covariance = centred.T @ centred / len(x) + ridge * np.eye(flat.shape[1], dtype=flat.dtype)
        self._weights = np.linalg.solve(covariance, centred.T @ (targets - self._mean_y) / len(x))

    def __call__(self, x: Array) -> Array:
        """Returns the predicted targets of examples, clipped to [0, 1]; shape (n, ...)."""
        flat = (x.reshape(len(x), -1) - self._mean_x) @ self._weights + self._mean_y
        return np.asarray(np.clip(flat, 0, 1).reshape(len(x), *self.shape))


def nearest_neighbours(x: Array, labels: Array, components: int = 50) -> Callable[[Array], Array]:
    """Returns a classifier: a vote of the three nearest examples of `x`, after PCA.

    Args:
        x: examples, shape (n, ...).
        labels: their classes, shape (n,).
        components: of the PCA; the number of examples limits them.

    Returns:
        A function of examples, shape (n, ...), that returns their classes, shape (n,).
    """
    from sklearn.neighbors import KNeighborsClassifier

    pca = Pca(x, min(components, len(x)))
    voters = KNeighborsClassifier(min(3, len(x))).fit(pca.project(x), labels)
    return lambda examples: np.asarray(voters.predict(pca.project(examples)))
