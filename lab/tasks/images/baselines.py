"""Baselines: what one would try before a network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lab.data import Array
from lab.tasks.images.scores import squared_error


class Pca:
    """Principal components: the least squared error that a linear code of the same size can have.

    Args:
        x: examples, shape (n, ...); each is taken as one vector.
        rank: the most components that will be asked for.
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
        """Returns examples as their first `size` components give them, clipped to [0, 1]."""
        size = min(size, self.rank)
        flat = self.project(x)[:, :size] @ self._pca.components_[:size] + self._pca.mean_
        return np.asarray(np.clip(flat, 0, 1).reshape(len(x), *self.shape))

    def error(self, x: Array, size: int) -> float:
        """Returns the mean squared error per value when examples are drawn from `size` components."""
        return float(squared_error(x, self.reconstruct(x, size)).mean())


class LinearMap:
    """The linear map, with a constant, of least squared error from examples to targets.

    Args:
        x: examples, shape (n, ...); each is taken as one vector.
        y: targets, shape (n, ...).
        ridge: what is added to the covariance's diagonal, so that constant values do no harm.
    """

    def __init__(self, x: Array, y: Array, ridge: float = 1e-3) -> None:
        flat, targets = x.reshape(len(x), -1), y.reshape(len(y), -1)
        self.shape = y.shape[1:]
        self._mean_x, self._mean_y = flat.mean(axis=0), targets.mean(axis=0)
        centred = flat - self._mean_x
        covariance = centred.T @ centred / len(x) + ridge * np.eye(flat.shape[1], dtype=flat.dtype)
        self._weights = np.linalg.solve(covariance, centred.T @ (targets - self._mean_y) / len(x))

    def __call__(self, x: Array) -> Array:
        """Returns the targets of examples, clipped to [0, 1]."""
        flat = (x.reshape(len(x), -1) - self._mean_x) @ self._weights + self._mean_y
        return np.asarray(np.clip(flat, 0, 1).reshape(len(x), *self.shape))


def nearest_neighbours(x: Array, labels: Array, components: int = 50) -> Callable[[Array], Array]:
    """Returns a function that names examples by a vote of the three nearest of `x`, after PCA.

    Args:
        x: examples, shape (n, ...).
        labels: what they are, shape (n,).
        components: of the PCA; fewer where the examples have fewer.
    """
    from sklearn.neighbors import KNeighborsClassifier

    pca = Pca(x, min(components, len(x)))
    voters = KNeighborsClassifier(min(3, len(x))).fit(pca.project(x), labels)
    return lambda examples: np.asarray(voters.predict(pca.project(examples)))


def in_the_plane(codes: Array, seed: int = 0) -> dict[str, Array]:
    """Returns points in the plane that show codes, shape (n, size), by the name of the way that found them.

    Two numbers are shown as they are; more, by their two principal components and by t-SNE (van der
    Maaten and Hinton, 2008), which keeps neighbours together and no distances.
    """
    if codes.shape[1] == 2:
        return {"the two numbers": codes}
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(codes) - 1) / 3)
    flat = TSNE(init="pca", perplexity=perplexity, random_state=seed).fit_transform(codes)
    return {"principal components": Pca(codes, 2).project(codes), "t-SNE": np.asarray(flat)}
