"""Sequences of different lengths: rows and slices, what an epoch of buckets reads, and widths with little padding."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lab.data import Array, Data, Split
from lab.data.batching import batched
from lab.data.ragged import Buckets, Ragged, widths_for
from lab.errors import DataError, UsageError

lists = st.lists(st.lists(st.integers(1, 99), max_size=9), min_size=1, max_size=25)
width_sets = st.lists(st.integers(1, 9), max_size=4)
seeds = st.integers(0, 2**64 - 1)
epochs = st.integers(0, 2**32)


def made(sequences: list[list[int]], widths: list[int] | tuple[int, ...] = ()) -> Ragged:
    return Ragged.of([np.array(some, np.int32) for some in sequences], (*widths, 9))


def padded(sequences: list[list[int]], widths: tuple[int, ...]) -> list[list[int]]:
    """What a batch of these is, by a plain loop."""
    longest = max(map(len, sequences), default=0)
    width = min(width for width in widths if width >= longest)
    return [some + [0] * (width - len(some)) for some in sequences]


def split(lengths: list[int], widths: tuple[int, ...] = (2, 5, 9)) -> Split:
    """A split whose example `place` has tokens of `place + 1` only."""
    x = Ragged.of([np.full(length, place + 1, np.int32) for place, length in enumerate(lengths)], widths)
    return Split("train", x, np.arange(len(lengths)))


# --- arrays -----------------------------------------------------------------------------------------


@given(lists, width_sets, st.data())
@example([[]], [], None)
@settings(deadline=None)
def test_an_index_array_gives_the_padded_rows(sequences: list[list[int]], widths: list[int], data: Any) -> None:
    ragged = made(sequences, widths)
    places = st.lists(st.integers(0, len(sequences) - 1), min_size=1, max_size=8)
    which = data.draw(places) if data else [0]
    rows = ragged[np.array(which)]
    assert rows.dtype == np.int32
    assert rows.tolist() == padded([sequences[place] for place in which], ragged.widths)
    assert rows.shape[1] == ragged.width(np.array(which))


@given(lists, width_sets, st.integers(-30, 30) | st.none(), st.integers(-30, 30) | st.none(), st.integers(1, 3))
@settings(deadline=None)
def test_a_slice_is_fewer_sequences_with_their_own_tokens_alone(
    sequences: list[list[int]], widths: list[int], begin: int | None, end: int | None, step: int
) -> None:
    which = slice(begin, end, step)
    part = made(sequences, widths)[which]
    expected = sequences[which]
    assert isinstance(part, Ragged)
    assert part.tokens.tolist() == list(itertools.chain.from_iterable(expected))
    assert part.lengths.tolist() == [len(some) for some in expected]
    assert part.widths == made(sequences, widths).widths
    if expected:
        assert part[np.arange(len(part))].tolist() == padded(expected, part.widths)


def test_it_has_the_shape_and_dtype_of_the_array_that_it_stands_for() -> None:
    ragged = made([[1], [2, 3], []], [2])
    assert (len(ragged), ragged.ndim, ragged.shape) == (3, 2, (3, 9))
    assert ragged.dtype == np.int32
    assert ragged.widths == (2, 9)
    assert ragged[1].tolist() == [2, 3]
    assert ragged[np.array([[0, 2], [1, 1]])].tolist() == [[[1, 0], [0, 0]], [[2, 3], [2, 3]]]
    assert ragged.bucket(slice(None)).tolist() == [0, 0, 0]


def test_sequences_may_lie_anywhere_among_the_tokens() -> None:
    ragged = Ragged(np.array([5, 6, 7, 8]), np.array([2, 0]), np.array([2, 3]), [4])
    assert ragged[np.array([0, 1])].tolist() == [[7, 8, 0, 0], [5, 6, 7, 0]]
    assert ragged[:1].tokens.tolist() == [7, 8]


@pytest.mark.parametrize(
    ("tokens", "starts", "lengths", "widths"),
    [
        (np.zeros(3), [0], [3], [3]),
        (np.zeros((1, 3), int), [0], [3], [3]),
        (np.zeros(3, int), [0, 1], [3], [3]),
        (np.zeros(3, int), [0], [3], [2]),
        (np.zeros(3, int), [1], [3], [3]),
        (np.zeros(3, int), [0], [3], []),
        (np.zeros(3, int), [0], [3], [0, 3]),
    ],
    ids=["floats", "two axes", "starts", "narrow", "beyond the end", "no widths", "width 0"],
)
def test_what_does_not_fit_is_refused(tokens: Array, starts: list[int], lengths: list[int], widths: list[int]) -> None:
    with pytest.raises(DataError, match="expected"):
        Ragged(tokens, np.array(starts), np.array(lengths), widths)


def test_the_head_of_a_split_and_its_fingerprint() -> None:
    def fingerprint(sequences: list[list[int]]) -> str:
        part = Split("train", made(sequences))
        return Data(part, part, part).fingerprint()

    head = split([1, 4, 2, 9]).head(2)
    assert head.x.tokens.tolist() == [1, 2, 2, 2, 2]
    assert head.y.tolist() == [0, 1]
    prints = [fingerprint(some) for some in ([[1, 2], [3]], [[1], [2, 3]], [[1, 2], [4]], [[1, 2], [3], []])]
    assert len(set(prints)) == 4
    assert fingerprint([[1, 2], [3]]) == prints[0]


# --- buckets ----------------------------------------------------------------------------------------

lengths_of = st.lists(st.integers(0, 9), min_size=1, max_size=60)


@given(lengths_of, st.integers(1, 9), seeds, epochs, st.booleans())
@settings(deadline=None)
def test_an_epoch_has_every_example_once_and_only_its_last_batch_is_smaller(
    lengths: list[int], batch_size: int, seed: int, epoch: int, shuffle: bool
) -> None:
    batches = Buckets(split(lengths), batch_size, seed=seed, shuffle=shuffle)
    order = batches.order(epoch)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(len(lengths)))
    got = list(batches.epoch(epoch))
    assert len(got) == batches.steps_per_epoch == math.ceil(len(lengths) / batch_size)
    assert all(len(y) == batch_size for _, y in got[:-1])
    for x, y in got:
        assert x.tolist() == padded([[place + 1] * lengths[place] for place in y.tolist()], (2, 5, 9))


@given(lengths_of, st.integers(1, 9), seeds, epochs)
@settings(deadline=None)
def test_of_each_bucket_all_but_what_is_left_over_is_in_batches_of_its_width(
    lengths: list[int], batch_size: int, seed: int, epoch: int
) -> None:
    batches = Buckets(split(lengths), batch_size, seed=seed)
    found = [x.shape[1] for x, y in batches.epoch(epoch) if len(y) == batch_size]
    left = 0
    for width, low in ((2, 0), (5, 3), (9, 6)):
        left += sum(low <= length <= width for length in lengths)
        assert found.count(width) == left // batch_size
        left %= batch_size


@given(lengths_of, st.integers(1, 9), seeds, epochs)
@settings(deadline=None)
def test_the_order_depends_on_seed_and_epoch_alone(lengths: list[int], size: int, seed: int, epoch: int) -> None:
    used = Buckets(split(lengths), size, seed=seed)
    list(used.epoch(epoch + 1))
    np.random.default_rng(0).random(3)
    assert np.array_equal(used.order(epoch), Buckets(split(lengths), size, seed=seed, stop=1).order(epoch))


def test_another_epoch_and_another_seed_have_other_batches_in_another_order() -> None:
    lengths = (np.arange(200) % 10).tolist()
    batches, other = Buckets(split(lengths), 8, seed=1), Buckets(split(lengths), 8, seed=2)
    orders = [batches.order(0), batches.order(1), other.order(0)]
    for one, two in itertools.combinations(orders, 2):
        assert not np.array_equal(one, two)
        as_sets = [{frozenset(some) for some in order[:192].reshape(-1, 8).tolist()} for order in (one, two)]
        assert len(as_sets[0] & as_sets[1]) < 3, "batches have other members"
    widths = [[x.shape[1] for x, _ in some] for some in (batches.epoch(0), batches.epoch(1), other.epoch(0))]
    assert len(set(map(tuple, widths))) == 3
    assert widths[0] != sorted(widths[0]), "short and long batches are mixed"


def test_unshuffled_examples_go_by_width_and_then_as_they_stand() -> None:
    lengths = [9, 1, 4, 2, 0, 6, 5, 3]
    batches = Buckets(split(lengths), 3, shuffle=False)
    assert batches.order(0).tolist() == batches.order(7).tolist() == [1, 3, 4, 2, 6, 7, 0, 5]
    assert [x.shape[1] for x, _ in batches.epoch(0)] == [2, 5, 9]


@given(lengths_of, st.integers(1, 9), seeds, epochs, st.booleans(), st.data())
@settings(deadline=None)
def test_an_epoch_continues_from_its_middle(
    lengths: list[int], size: int, seed: int, epoch: int, shuffle: bool, data: st.DataObject
) -> None:
    batches = Buckets(split(lengths), size, seed=seed, shuffle=shuffle)
    step = data.draw(st.integers(0, batches.steps_per_epoch))
    whole, rest = list(batches.epoch(epoch)), list(batches.epoch(epoch, step))
    assert [y.tolist() for _, y in rest] == [y.tolist() for _, y in whole[step:]]
    assert [x.tolist() for x, _ in rest] == [x.tolist() for x, _ in whole[step:]]
    assert batches.remaining(epoch, step).tolist() == [int(place) for _, y in whole[step:] for place in y]


def test_limit_and_stop_cut_as_those_of_batches_do() -> None:
    lengths = [1, 9] * 10
    whole = [y.tolist() for _, y in Buckets(split(lengths), 4, seed=3).epoch(1)]
    limited = Buckets(split(lengths), 4, seed=3, limit=2)
    assert [y.tolist() for _, y in limited.epoch(1)] == whole[:2]
    stopped = Buckets(split(lengths), 4, seed=3, stop=8)
    assert [y.tolist() for _, y in stopped.epoch(1)] == whole[:3]


def test_ragged_inputs_come_in_buckets_and_nothing_else_does() -> None:
    assert type(batched(split([1, 2, 3]), 2, seed=5)) is Buckets
    with pytest.raises(UsageError, match=r"test split: expected lab\.data\.Ragged as inputs, got ndarray"):
        Buckets(Split("test", np.arange(5)), 2)


# --- widths -----------------------------------------------------------------------------------------


def padding(lengths: list[int], widths: tuple[int, ...]) -> int:
    return sum(min(width for width in widths if width >= length) for length in lengths)


@given(st.lists(st.integers(0, 12), min_size=1, max_size=12), st.integers(1, 3), st.integers(1, 4))
@example([0], 1, 1)
@example([0, 0, 7], 3, 2)
@settings(deadline=None)
def test_no_other_widths_have_less_padding(lengths: list[int], multiple: int, count: int) -> None:
    found = widths_for(np.array(lengths), multiple, count)
    assert 1 <= len(found) <= count
    assert list(found) == sorted(set(found))
    assert all(width >= 1 and width % multiple == 0 for width in found)
    longest = multiple * max(1, math.ceil(max(lengths) / multiple))
    able = range(multiple, longest, multiple)
    least = min(
        padding(lengths, (*some, longest)) for used in range(count) for some in itertools.combinations(able, used)
    )
    assert padding(lengths, found) == least


def test_without_lengths_there_is_one_width() -> None:
    assert widths_for(np.zeros(0, int), 50) == (50,)
    assert widths_for(np.array([30, 30]), 50) == (50,)
    assert widths_for(np.array([1, 2, 3, 4]), 1, 4) == (1, 2, 3, 4)
