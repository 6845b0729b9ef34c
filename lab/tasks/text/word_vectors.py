"""Vectors of words from the company they keep in the training texts, before any label is looked at."""

from __future__ import annotations

from typing import Any

import numpy as np

from lab.data import Array
from lab.data.io.words import UNKNOWN
from lab.data.ragged import Ragged

SMOOTHING = 0.75  # of the context's frequencies (Levy, Goldberg and Dagan, 2015)


def word_vectors(texts: Ragged, words: int, size: int, window: int = 5, seed: int = 0) -> Array:
    """Returns a vector for each word, of length 1: like words stand near to each other.

    Words count as neighbours within the window, the nearer the more; the positive part of their
    pointwise mutual information is factorised (Levy and Goldberg, 2014). A word without neighbours has
    zeros, and so have padding and the unknown word.

    Args:
        texts: numbers of words.
        words: how many there are, shape of the result (words, size).
        size: numbers in a vector; those that the texts cannot fill are 0.
        window: how far a neighbour may stand.
        seed: of the factorisation's random start.
    """
    from scipy import sparse
    from sklearn.utils.extmath import randomized_svd

    counts = _neighbours(texts, words, window).tocoo()
    found = np.zeros((words, size), np.float32)
    if not counts.nnz:
        return found
    often = np.asarray(counts.sum(axis=1), np.float64).ravel()
    context = often**SMOOTHING
    information = np.log(counts.data * context.sum() / (often[counts.row] * context[counts.col]))
    kept = information > 0
    matrix = sparse.csr_matrix(
        (information[kept].astype(np.float32), (counts.row[kept], counts.col[kept])), shape=counts.shape
    )
    rank = min(size, words - 1)
    left, strength, _ = randomized_svd(matrix, rank, n_iter=3, random_state=seed)
    found[:, :rank] = left * np.sqrt(strength)
    norm = np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(np.divide(found, norm, out=np.zeros_like(found), where=norm > 1e-6))


def _neighbours(texts: Ragged, words: int, window: int) -> Any:
    """How often each word stands near each other one, weighed by 1 / distance; sparse and symmetric."""
    from scipy import sparse

    whole = texts[:]  # packed: one text behind the other
    tokens, text = whole.tokens, np.repeat(np.arange(len(whole)), whole.lengths)
    total = sparse.csr_matrix((words, words), dtype=np.float32)
    for distance in range(1, window + 1):
        first, second = tokens[:-distance], tokens[distance:]
        near = (text[:-distance] == text[distance:]) & (first > UNKNOWN) & (second > UNKNOWN)
        weights = np.full(int(near.sum()), 1 / distance, np.float32)
        total = total + sparse.coo_matrix((weights, (first[near], second[near])), shape=total.shape).tocsr()
    return total + total.T
