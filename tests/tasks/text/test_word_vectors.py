"""Word vectors: co-occurrences against a plain loop, and similar vectors for similar words."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.data.ragged import Ragged
from lab.tasks.text.word_vectors import co_occurrences, word_vectors

TEXTS = st.lists(st.lists(st.integers(0, 6), max_size=9), min_size=1, max_size=5)


@given(TEXTS, st.integers(1, 4))
@settings(deadline=None, max_examples=60)
def test_co_occurrences_are_counted_within_a_text_and_by_distance(texts: list[list[int]], window: int) -> None:
    expected = np.zeros((7, 7))
    for text in texts:
        for here, first in enumerate(text):
            for there, second in enumerate(text):
                if 0 < abs(here - there) <= window and first > 1 and second > 1:
                    expected[first, second] += 1 / abs(here - there)
    ragged = Ragged.of([np.array(text, np.int32) for text in texts], (9,))
    np.testing.assert_allclose(co_occurrences(ragged, 7, window).toarray(), expected, rtol=1e-6)


def test_words_with_the_same_neighbours_have_similar_vectors() -> None:
    random = np.random.default_rng(0)
    good, bad, films, books = (2, 3), (4, 5), (6, 7, 8), (9, 10, 11)
    kinds = [(good, films), (bad, books)]
    pairs = [[random.choice(part) for part in kinds[random.integers(2)]] for _ in range(4000)]
    texts = [np.array(pair, np.int32) for pair in pairs]
    found = word_vectors(Ragged.of(texts, (2,)), 12, 4)
    assert found.shape == (12, 4)
    assert not found[:2].any(), "padding and the unknown word have none"
    np.testing.assert_allclose(np.linalg.norm(found[2:], axis=1), 1, rtol=1e-5)
    near = found @ found.T
    assert near[2, 3] > 0.9
    assert near[4, 5] > 0.9
    assert near[2, 4] < 0.3


def test_it_is_deterministic_and_accepts_few_texts() -> None:
    texts = Ragged.of([np.array([2, 3, 4, 3], np.int32), np.array([], np.int32), np.array([5], np.int32)], (4,))
    found = word_vectors(texts, 6, 10)
    assert found.shape == (6, 10)
    assert np.isfinite(found).all()
    assert not found[5].any(), "a word without neighbours has no vector"
    assert np.array_equal(found, word_vectors(texts, 6, 10))
    alone = word_vectors(Ragged.of([np.array([2], np.int32)], (1,)), 3, 2)
    assert not alone.any()
