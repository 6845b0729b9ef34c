"""Word vectors from co-occurrence in the training texts, without their labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from lab.data import Array
from lab.data.io.words import UNKNOWN
from lab.data.ragged import Ragged

SMOOTHING = 0.75  # exponent of the context frequencies (Levy, Goldberg and Dagan, 2015)


def word_vectors(texts: Ragged, words: int, size: int, window: int = 5, seed: int = 0) -> Array:
    """Returns a unit vector for each word; similar words have similar vectors.

    Words within the window co-occur, weighted by the inverse of their distance. The positive pointwise mutual
    information is factorised (Levy and Goldberg, 2014, "Neural word embedding as implicit matrix factorization").

    Args:
        texts: word numbers.
        words: number of words, including padding and the unknown word.
        size: length of a vector; components beyond the rank of the matrix are 0.
        window: maximum distance of two co-occurring words.
        seed: of the factorisation's random start.

    Returns:
        float32, shape (words, size); zeros for padding, the unknown word and words that co-occur with none.
    """
    from scipy import sparse
    from sklearn.utils.extmath import randomized_svd

    counts = co_occurrences(texts, words, window).tocoo()
    vectors = np.zeros((words, size), np.float32)
    if not counts.nnz:
        return vectors
    frequency = np.asarray(counts.sum(axis=1), np.float64).ravel()
    context = frequency**SMOOTHING
    information = np.log(counts.data * context.sum() / (frequency[counts.row] * context[counts.col]))
    is_positive = information > 0
    matrix = sparse.csr_matrix(
        (information[is_positive].astype(np.float32), (counts.row[is_positive], counts.col[is_positive])),
        shape=counts.shape,
    )
    rank = min(size, words - 1)
    left, strength, _ = randomized_svd(matrix, rank, n_iter=3, random_state=seed)
    vectors[:, :rank] = left * np.sqrt(strength)
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(np.divide(vectors, norm, out=np.zeros_like(vectors), where=norm > 1e-6))


def co_occurrences(texts: Ragged, words: int, window: int) -> Any:
    """Returns the weighted counts of each pair of words, sparse and symmetric, shape (words, words)."""
    from scipy import sparse

    packed = texts[:]  # without gaps between the texts
    tokens, text = packed.tokens, np.repeat(np.arange(len(packed)), packed.lengths)
    total = sparse.csr_matrix((words, words), dtype=np.float32)
    for distance in range(1, window + 1):
        first, second = tokens[:-distance], tokens[distance:]
        near = (text[:-distance] == text[distance:]) & (first > UNKNOWN) & (second > UNKNOWN)
        weights = np.full(int(near.sum()), 1 / distance, np.float32)
        total = total + sparse.coo_matrix((weights, (first[near], second[near])), shape=total.shape).tocsr()
    return total + total.T
