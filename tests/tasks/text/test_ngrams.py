"""N-gram models: probabilities sum to one, and have the values that the formula gives."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lab.errors import UsageError
from lab.tasks.text.ngrams import WittenBell

SIZE = 4  # symbols; the texts below have three of them

trained = st.lists(st.integers(0, SIZE - 2), min_size=5, max_size=40)
any_text = st.lists(st.integers(0, SIZE - 1), max_size=15)
orders = st.integers(1, 4)


def array(text: list[int]) -> np.ndarray:
    return np.array(text, np.int32)


def slowly(text: list[int], size: int, context: tuple[int, ...], symbol: int) -> Fraction:
    """The probability of a symbol after a context, from the definition, with dictionaries and fractions."""
    shorter = slowly(text, size, context[1:], symbol) if context else Fraction(1, size)
    length = len(context)
    places = [place for place in range(length, len(text)) if tuple(text[place - length : place]) == context]
    followers = Counter(text[place] for place in places)
    if not followers:
        return shorter
    return (followers[symbol] + len(followers) * shorter) / (len(places) + len(followers))


def after(model: WittenBell, context: list[int]) -> np.ndarray:
    """The probabilities of every symbol after a context; (order, size)."""
    rows = [model.log_probabilities(array([*context, symbol]))[:, -1] for symbol in range(model.size)]
    return np.asarray(np.exp(np.stack(rows, axis=1)))


@given(text=trained, context=any_text, order=orders)
@example(text=[0, 0, 0, 0, 0], context=[3, 3, 3], order=4)
@example(text=[0, 1, 2, 0, 1], context=[0, 1, 2, 0], order=5)
@settings(deadline=None, max_examples=40)
def test_the_probabilities_of_every_next_symbol_sum_to_one_at_each_order(
    text: list[int], context: list[int], order: int
) -> None:
    found = after(WittenBell(array(text), SIZE, order), context)
    assert found.shape == (order, SIZE)
    assert np.allclose(found.sum(axis=1), 1, rtol=1e-12)
    assert found.min() > 0


@given(text=trained, read=any_text, order=orders)
@example(text=[0, 1, 0, 1, 2], read=[0, 1, 0, 1, 2, 3, 1], order=5)
@settings(deadline=None, max_examples=40)
def test_each_probability_equals_that_of_a_slow_count(text: list[int], read: list[int], order: int) -> None:
    found = WittenBell(array(text), SIZE, order).log_probabilities(array(read))
    assert found.shape == (order, len(read))
    for row in range(order):
        for place, symbol in enumerate(read):
            context = tuple(read[max(0, place - row) : place])
            expected = slowly(text, SIZE, context, symbol)
            assert found[row, place] == pytest.approx(math.log(expected), rel=1e-9), (row, place)


def test_a_tiny_text_has_the_values_computed_by_hand() -> None:
    model = WittenBell(array([0, 1, 0, 1, 1]), 3, 2)
    # 0 twice and 1 three times among five, two kinds: (count + 2 / 3) / (5 + 2)
    alone = [(2 + 2 / 3) / 7, (3 + 2 / 3) / 7, (2 / 3) / 7]
    assert np.allclose(after(model, []), [alone, alone])
    # 1 follows 0 twice, one kind: (count + alone) / (2 + 1)
    assert np.allclose(after(model, [0]), [alone, [alone[0] / 3, (2 + alone[1]) / 3, alone[2] / 3]])
    # 0 and 1 follow 1 once each, two kinds: (count + 2 * alone) / (2 + 2)
    assert np.allclose(after(model, [1])[1], [(1 + 2 * alone[0]) / 4, (1 + 2 * alone[1]) / 4, 2 * alone[2] / 4])
    # 2 was never seen
    assert np.allclose(after(model, [2]), [alone, alone])


def test_an_unseen_context_has_the_probabilities_of_the_shorter_one() -> None:
    model = WittenBell(array([0, 1, 2, 0, 1, 2, 0]), SIZE, 3)
    found = after(model, [1, 1])
    assert np.array_equal(found[2], found[1])
    assert not np.allclose(found[1], found[0])


def test_a_context_at_the_end_of_the_text_has_no_followers() -> None:
    found = after(WittenBell(array([0, 1, 0, 1, 2]), SIZE, 2), [2])
    assert np.array_equal(found[1], found[0])


@given(text=trained, read=any_text, order=orders, longest=orders)
@settings(deadline=None, max_examples=40)
def test_a_model_of_a_higher_order_has_the_lower_ones_as_its_first_rows(
    text: list[int], read: list[int], order: int, longest: int
) -> None:
    order, longest = sorted((order, longest))
    lower = WittenBell(array(text), SIZE, order).log_probabilities(array(read))
    higher = WittenBell(array(text), SIZE, longest).log_probabilities(array(read))
    assert np.array_equal(lower, higher[:order])


@given(text=trained, read=any_text, more=any_text)
@settings(deadline=None, max_examples=40)
def test_probabilities_do_not_depend_on_later_symbols(text: list[int], read: list[int], more: list[int]) -> None:
    model = WittenBell(array(text), SIZE, 4)
    complete = model.log_probabilities(array(read + more))
    assert np.array_equal(complete[:, : len(read)], model.log_probabilities(array(read)))


def test_a_periodic_text_is_nearly_sure_from_order_three_on() -> None:
    """In 0 0 1 1 repeated, two symbols determine the next one; one symbol does not."""
    model = WittenBell(array([0, 0, 1, 1] * 100), SIZE, 4)
    read = model.log_probabilities(array([0, 0, 1, 1] * 5))
    sure = np.exp(read[:, 3:])
    assert sure[2:].min() > 0.99
    assert sure[:2].max() < 0.6
    assert np.allclose(sure[1], 0.5, atol=0.01)


def test_longer_contexts_fit_the_training_text_better() -> None:
    rng = np.random.default_rng(0)
    text = np.cumsum(rng.choice([0, 1, 2], 2000, p=[0.7, 0.2, 0.1])) % SIZE
    rows = -WittenBell(text, SIZE, 3).log_probabilities(text).mean(axis=1)
    steps = -(0.7 * math.log(0.7) + 0.2 * math.log(0.2) + 0.1 * math.log(0.1))  # the entropy of a step
    assert rows[0] == pytest.approx(math.log(SIZE), abs=0.01)
    assert rows[1] == pytest.approx(steps, abs=0.05)
    assert rows[2] < rows[1]


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int64])
def test_small_kinds_of_numbers_do_not_overflow(kind: type[np.generic]) -> None:
    text = [0, 199, 100, 199] * 10
    found = WittenBell(np.array(text, kind), 200, 3).log_probabilities(np.array(text, kind))
    assert np.array_equal(found, WittenBell(array(text), 200, 3).log_probabilities(array(text)))
    assert math.exp(found[1, 1]) == pytest.approx(float(slowly(text, 200, (0,), 199)))


def test_a_text_of_one_symbol_has_unigrams() -> None:
    found = after(WittenBell(array([2]), SIZE, 1), [])
    assert np.allclose(found, [[1 / 8, 1 / 8, 5 / 8, 1 / 8]])


def test_no_text_has_no_probabilities() -> None:
    assert WittenBell(array([0, 1]), 2, 2).log_probabilities(array([])).shape == (2, 0)


@pytest.mark.parametrize(("text", "order"), [([0, 1], 0), ([0, 1], -1), ([], 3)])
def test_no_text_and_no_order_are_refused(text: list[int], order: int) -> None:
    with pytest.raises(UsageError) as caught:
        WittenBell(array(text), 2, order)
    assert str(caught.value) == f"order={order}: expected 1 or more, and a text of at least one symbol"
