"""Windows and streams: where each batch continues, and what an epoch reads and leaves out."""

from __future__ import annotations

import itertools
import math
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lab.data import Array, Batches, Data, Split
from lab.data.batching import batched
from lab.data.device import gather, to_device
from lab.data.windows import Streams, Windows
from lab.engine.compiled import compiled
from lab.errors import DataError, UsageError

FILL = -1

seeds = st.integers(0, 2**64 - 1)
epochs = st.integers(0, 2**32)
counts = st.integers(1, 300)
batch_sizes = st.integers(1, 9)
lengths = st.integers(1, 12)


def text(count: int, length: int) -> Split:
    """A split whose tokens are their own places; a target is one more than the input it belongs to."""
    return Split("train", Windows(np.arange(count), length), Windows(np.arange(1, count + 1), length, FILL))


def targets(batches: Batches, epoch: int = 0) -> Array:
    """The targets of an epoch; (steps, streams, length)."""
    return np.stack([y for _, y in batches.epoch(epoch)])


def assert_same(batches: list[tuple[Any, ...]], expected: list[tuple[Any, ...]]) -> None:
    assert len(batches) == len(expected)
    for batch, wanted in zip(batches, expected, strict=True):
        assert len(batch) == len(wanted)
        for part, wanted_part in zip(batch, wanted, strict=True):
            part = np.asarray(part)
            assert part.dtype == wanted_part.dtype
            assert part.shape == wanted_part.shape
            assert np.array_equal(part, wanted_part)


# --- windows --------------------------------------------------------------------------------------


@given(count=counts, length=lengths, data=st.data())
@settings(deadline=None, max_examples=60)
def test_a_window_is_the_tokens_from_its_start_and_fill_behind_the_end(
    count: int, length: int, data: st.DataObject
) -> None:
    starts = data.draw(st.lists(st.integers(0, count + 20), max_size=5))
    tokens = [1000 + place for place in range(count)]
    made = Windows(np.array(tokens, np.int16), length, FILL)[np.array(starts, np.int64)]
    assert made.dtype == np.int16
    assert made.shape == (len(starts), length)
    assert made.tolist() == [(tokens + [FILL] * (length + 21))[start : start + length] for start in starts]


def test_windows_say_what_array_they_stand_for() -> None:
    windows = Windows(np.arange(10, dtype=np.uint8), 4, 7)
    assert windows.dtype == np.uint8
    assert (windows.ndim, windows.shape, len(windows)) == (2, (10, 4), 10)
    assert windows[2].tolist() == [2, 3, 4, 5]
    assert windows[np.array([[0, 9], [7, 3]])].tolist() == [
        [[0, 1, 2, 3], [9, 7, 7, 7]],
        [[7, 8, 9, 7], [3, 4, 5, 6]],
    ]


def test_without_a_fill_zeros_stand_behind_the_end() -> None:
    assert Windows(np.array([5, 6]), 3)[np.array([1])].tolist() == [[6, 0, 0]]


@pytest.mark.parametrize("which", [slice(3), slice(2, 7), slice(-4, None), slice(None), slice(5, 99)], ids=str)
def test_a_slice_is_the_windows_of_a_part_of_the_text(which: slice) -> None:
    tokens = np.arange(10, dtype=np.int16)
    part = Windows(tokens, 4, FILL)[which]
    assert isinstance(part, Windows)
    assert (part.length, part.fill) == (4, FILL)
    assert part.tokens.tolist() == list(range(10))[which]
    assert np.shares_memory(part.tokens, tokens)
    last = len(part) - 1
    assert part[np.array([last])].tolist() == [[list(range(10))[which][-1], FILL, FILL, FILL]]


@pytest.mark.parametrize(
    ("tokens", "length", "got"),
    [
        (np.zeros((2, 3), int), 4, "int64 (2, 3)"),
        (np.zeros(3), 4, "float64 (3,)"),
        (np.zeros(3, bool), 4, "bool (3,)"),
        (np.array(["a"]), 4, "<U1 (1,)"),
        (np.zeros(0, np.int16), 4, "int16 (0,)"),
        (np.zeros(3, np.int32), 0, "int32 (3,)"),
    ],
    ids=["two axes", "floats", "booleans", "text", "empty", "no length"],
)
def test_what_is_no_sequence_of_whole_numbers_is_refused(tokens: Array, length: int, got: str) -> None:
    with pytest.raises(DataError) as caught:
        Windows(tokens, length)
    assert str(caught.value) == f"expected a sequence of whole numbers and a length, got {got}"


# --- what an epoch reads --------------------------------------------------------------------------


@given(count=counts, batch_size=batch_sizes, length=lengths, epoch=epochs)
@example(count=3, batch_size=8, length=10, epoch=0)
@example(count=41, batch_size=4, length=10, epoch=0)
@example(count=40, batch_size=4, length=10, epoch=0)
@settings(deadline=None, max_examples=60)
def test_without_shuffling_every_target_is_read_once_and_fill_elsewhere(
    count: int, batch_size: int, length: int, epoch: int
) -> None:
    batches = Streams(text(count, length), batch_size, shuffle=False)
    made = targets(batches, epoch)
    assert made.shape == (math.ceil(count / (batch_size * length)), batch_size, length)
    assert len(made) == batches.steps_per_epoch
    streams = made.transpose(1, 0, 2).ravel()  # one stream after the other: the text from its start on
    assert streams[:count].tolist() == list(range(1, count + 1))
    assert (streams[count:] == FILL).all()


@given(data=st.data(), batch_size=batch_sizes, length=lengths, seed=seeds, epoch=epochs)
@settings(deadline=None, max_examples=60)
def test_shuffled_no_target_is_read_twice_and_few_are_left_out(
    data: st.DataObject, batch_size: int, length: int, seed: int, epoch: int
) -> None:
    covered = batch_size * length
    count = data.draw(st.integers(covered, 6 * covered))
    made = targets(Streams(text(count, length), batch_size, seed=seed), epoch)
    read = np.sort(made.ravel())
    assert np.array_equal(read, np.arange(read[0], read[0] + made.size))  # each once, with no gap
    assert read[0] >= 1
    assert read[-1] <= count
    assert 0 <= count - made.size < covered


@given(
    data=st.data(),
    count=counts,
    batch_size=batch_sizes,
    length=lengths,
    seed=seeds,
    epoch=epochs,
    shuffle=st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_each_example_begins_where_that_of_the_batch_before_ended(
    data: st.DataObject, count: int, batch_size: int, length: int, seed: int, epoch: int, shuffle: bool
) -> None:
    batches = Streams(text(count, length), batch_size, seed=seed, shuffle=shuffle)
    starts = batches.order(epoch).reshape(-1, batch_size)
    assert starts.dtype == np.int64
    assert len(starts) == batches.steps_per_epoch
    assert (np.diff(starts, axis=0) == length).all()
    assert (starts >= 0).all()
    made = list(batches.epoch(epoch))
    for (before, _), (x, y) in itertools.pairwise(made):
        inside = x[:, 0] != 0
        assert np.array_equal(x[inside, 0], before[inside, -1] + 1)
        assert np.array_equal(y[inside, 0], x[inside, 0] + 1)
    step = data.draw(st.integers(0, batches.steps_per_epoch - 1))
    assert batches.indices(epoch, step).tolist() == starts[step].tolist()
    assert_same(list(batches.epoch(epoch, step)), made[step:])


@given(count=counts, batch_size=batch_sizes, length=lengths, seed=seeds)
@example(count=5, batch_size=4, length=3, seed=0)
@example(count=2, batch_size=4, length=3, seed=0)
@settings(deadline=None, max_examples=60)
def test_a_text_too_short_for_the_streams_is_one_batch_of_windows_that_overlap(
    count: int, batch_size: int, length: int, seed: int
) -> None:
    count = min(count, batch_size * length - 1) or 1
    batches = Streams(text(count, length), batch_size, seed=seed)
    starts = batches.order(0)
    assert batches.steps_per_epoch == 1
    assert starts.shape == (batch_size,)
    assert (np.diff(starts) >= 0).all()
    assert starts[0] == 0
    assert starts.max() <= max(0, count - length)
    assert (targets(batches) == FILL).any() == (count < length)
    if batch_size > 1:
        assert starts[-1] == max(0, count - length)
        if count >= length * 2:
            assert len(set(starts.tolist())) > 1


def test_two_streams_are_the_two_halves_of_the_text() -> None:
    batches = Streams(text(8, 2), 2, shuffle=False)
    assert [(x.tolist(), y.tolist()) for x, y in batches.epoch(0)] == [
        ([[0, 1], [4, 5]], [[1, 2], [5, 6]]),
        ([[2, 3], [6, 7]], [[3, 4], [7, 8]]),
    ]


# --- its order ------------------------------------------------------------------------------------


@given(data=st.data(), count=counts, batch_size=batch_sizes, length=lengths, seed=seeds, epoch=epochs)
@settings(deadline=None, max_examples=60)
def test_the_order_depends_on_seed_and_epoch_alone(
    data: st.DataObject, count: int, batch_size: int, length: int, seed: int, epoch: int
) -> None:
    used = Streams(text(count, length), batch_size, seed=seed)
    for batch in used.epoch(epoch + 1):
        for part in batch:
            part[:] = FILL
    np.random.default_rng(0).random(3)
    fresh = Streams(text(count, length), batch_size, seed=seed, stop=data.draw(st.integers(0, 3)))
    assert np.array_equal(used.order(epoch), fresh.order(epoch))


@given(count=counts, batch_size=batch_sizes, length=lengths, seed=seeds, epoch=epochs)
@settings(deadline=None, max_examples=60)
def test_without_shuffling_every_epoch_begins_at_the_start(
    count: int, batch_size: int, length: int, seed: int, epoch: int
) -> None:
    order = Streams(text(count, length), batch_size, seed=seed, shuffle=False).order(epoch)
    assert order[0] == 0
    assert np.array_equal(order, Streams(text(count, length), batch_size, shuffle=False).order(0))


def test_the_borders_fall_elsewhere_in_another_epoch_and_with_another_seed() -> None:
    def firsts(seed: int) -> list[int]:
        batches = Streams(text(1999, 100), 10, seed=seed)  # 999 targets are left out, 1000 places to begin
        return [int(batches.order(epoch)[0]) for epoch in range(50)]

    assert len(set(firsts(1))) > 40
    assert sum(one == other for one, other in zip(firsts(1), firsts(2), strict=True)) < 5


def test_the_places_to_begin_are_evenly_spread() -> None:
    batches = Streams(text(20 + 7, 2), 5, seed=1)  # two steps of five windows, and seven targets over
    firsts = [int(batches.order(epoch)[0]) for epoch in range(1600)]
    found = np.bincount(firsts)
    assert len(found) == 8
    assert found.min() > 150
    assert found.max() < 250


def test_the_stream_is_the_one_that_earlier_runs_used() -> None:
    """A run that was begun with an older version resumes in the same order only as long as this holds."""
    batches = Streams(text(1000, 30), 8, seed=7)
    assert [int(batches.order(epoch)[0]) for epoch in range(6)] == GOLDEN_FIRSTS
    assert batches.order(0).reshape(-1, 8)[:, :3].tolist() == GOLDEN_STARTS


GOLDEN_FIRSTS = [14, 13, 34, 20, 1, 40]
GOLDEN_STARTS = [[14, 134, 254], [44, 164, 284], [74, 194, 314], [104, 224, 344]]


@pytest.mark.parametrize(("limit", "steps"), [(1, 1), (2, 2), (3, 3), (99, 3), (None, 3)])
def test_limit_is_the_most_batches_of_an_epoch(limit: int | None, steps: int) -> None:
    batches = Streams(text(40, 3), 4, seed=3, limit=limit)
    assert batches.steps_per_epoch == batches.steps(0) == batches.steps(8) == steps
    assert_same(list(batches.epoch(8)), list(Streams(text(40, 3), 4, seed=3).epoch(8))[:steps])


@given(
    count=counts,
    batch_size=batch_sizes,
    length=lengths,
    shuffle=st.booleans(),
    limit=st.none() | st.integers(1, 10),
    stop=st.integers(0, 40),
)
@settings(deadline=None, max_examples=60)
def test_stop_is_the_number_of_steps_over_all_epochs(
    count: int, batch_size: int, length: int, shuffle: bool, limit: int | None, stop: int
) -> None:
    batches = Streams(text(count, length), batch_size, shuffle=shuffle, limit=limit, stop=stop)
    made = [batches.steps(epoch) for epoch in range(stop + 2)]
    assert sum(made) == stop
    assert made == sorted(made, reverse=True)
    assert [steps for steps in made if steps not in (0, batches.steps_per_epoch)] == (
        [stop % batches.steps_per_epoch] if stop % batches.steps_per_epoch else []
    )
    last = (stop - 1) // batches.steps_per_epoch if stop else 0
    assert len(list(batches.epoch(last))) == made[last]


# --- which class, and what is refused -------------------------------------------------------------


@pytest.mark.parametrize("inputs", [np.arange(5), {"a": np.arange(5)}, (np.arange(5),)], ids=["array", "dict", "tuple"])
def test_a_split_without_windows_is_refused(inputs: Any) -> None:
    with pytest.raises(UsageError) as caught:
        Streams(Split("test", inputs), 2)
    assert str(caught.value) == (f"test split: expected lab.data.Windows as inputs, got {type(inputs).__name__}")


@pytest.mark.parametrize("batch_size", [0, -1])
def test_fewer_than_one_stream_is_refused(batch_size: int) -> None:
    with pytest.raises(UsageError, match=rf"batch_size={batch_size}, limit=None: expected numbers of 1 or more"):
        Streams(text(9, 2), batch_size)


@pytest.mark.parametrize("options", [{"seed": -1}, {"seed": 2**64}, {"stop": -1}], ids=str)
def test_seeds_and_stops_are_refused_as_those_of_batches(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"expected a seed from 0 to 2\*\*64 - 1 and 0 or more steps"):
        Streams(text(9, 2), 2, **options)


def test_batched_picks_streams_for_windows_and_batches_for_arrays() -> None:
    options: dict[str, Any] = {"seed": 5, "shuffle": False, "limit": 2, "stop": 3}
    streams, batches = batched(text(40, 3), 4, **options), batched(Split("train", np.arange(40)), 4, **options)
    assert type(streams) is Streams
    assert type(batches) is Batches
    for made in (streams, batches):
        assert (made.batch_size, made.seed, made.shuffle, made.steps_per_epoch, made.stop) == (4, 5, False, 2, 3)


# --- windows in a split and in data ---------------------------------------------------------------


def test_the_head_of_a_split_is_the_windows_of_the_first_tokens() -> None:
    head = text(20, 4).head(6)
    assert len(head) == 6
    assert (head.x.tokens.tolist(), head.y.tokens.tolist()) == ([0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6])
    assert (head.x.length, head.x.fill, head.y.fill) == (4, 0, FILL)
    (batch,) = Streams(head, 2, shuffle=False).epoch(0)
    assert [part.tolist() for part in batch] == [[[0, 1, 2, 3], [4, 5, 0, 0]], [[1, 2, 3, 4], [5, 6, FILL, FILL]]]


def test_inputs_and_targets_of_unequal_length_are_refused() -> None:
    with pytest.raises(DataError, match=r"train split: expected arrays of one length, got \[4, 5\]"):
        Split("train", Windows(np.arange(5), 2), Windows(np.arange(4), 2))


def fingerprint(tokens: Array, length: int = 3) -> str:
    split = Split("train", Windows(tokens, length))
    return Data(split, split, split).fingerprint()


def test_the_fingerprint_changes_with_the_tokens_their_kind_and_the_length() -> None:
    tokens = np.arange(50, dtype=np.int16)
    changed = tokens.copy()
    changed[-1] += 1
    made = [
        fingerprint(tokens),
        fingerprint(changed),
        fingerprint(tokens[:-1]),
        fingerprint(tokens.astype(np.int32)),
        fingerprint(tokens, 4),
    ]
    assert len(set(made)) == len(made)
    assert fingerprint(tokens.copy()) == made[0]
    assert fingerprint(np.repeat(tokens, 2)[::2]) == made[0]  # not contiguous, the same text


def test_neither_fingerprint_nor_head_nor_batches_make_all_windows() -> None:
    split = text(1000, 10**15)  # eight exabytes of windows
    data = Data(split, split, split)
    assert len(data.fingerprint()) == 64
    assert len(data.head(10).train) == 10
    assert data.sizes() == {"train": 1000, "validation": 1000, "test": 1000}
    assert Streams(text(1_000_000, 10), 4, limit=1).steps_per_epoch == 1


# --- on the device --------------------------------------------------------------------------------


def symbols(count: int, length: int, seed: int = 0) -> Split:
    """A text of five symbols, as small numbers."""
    tokens = np.random.default_rng(seed).integers(1, 5, count + 1).astype(np.int16)
    return Split("train", Windows(tokens[:-1], length), Windows(tokens[1:], length, FILL))


def gather_function(parts: Any, *, jit: bool) -> Any:
    """A function that gathers a batch, compiled or not."""
    if not jit:
        return lambda starts: gather(parts, starts)
    program = compiled(lambda starts: gather(parts, starts))
    return lambda starts: program(keras.ops.convert_to_tensor(starts))


@pytest.mark.parametrize("jit", [False, True], ids=["plain", "XLA"])
@pytest.mark.parametrize("count", [2, 50, 96], ids=["short", "uneven", "even"])
def test_batches_on_the_device_are_those_of_numpy(count: int, jit: bool) -> None:
    batches = Streams(symbols(count, 4), 3, seed=11, shuffle=False)
    gathered = gather_function(to_device(batches), jit=jit)
    expected = list(batches.epoch(0))
    assert (expected[-1][1] == FILL).any() == (count != 96), "the last windows run over the end"
    chosen = batches.order(0).astype(np.int32).reshape(-1, 3)
    assert_same([gathered(starts) for starts in chosen], expected)


def test_windows_that_are_used_twice_are_moved_and_gathered_once() -> None:
    windows = Windows(np.arange(9), 2)
    one, two = to_device(Streams(Split("train", windows, windows), 2))
    assert one is two
    first, second = gather((one, two), np.array([0, 4], np.int32))
    assert first is second


@pytest.mark.parametrize(
    ("count", "limit", "expected"), [(50, None, 4), (48, None, 4), (13, None, 1), (50, 2, 2), (5, None, 1)]
)
def test_all_batches_of_an_epoch_are_full(count: int, limit: int | None, expected: int) -> None:
    batches = Streams(symbols(count, 4), 3, limit=limit)
    assert (batches.steps_per_epoch, batches.last_size, batches.drop_remainder) == (expected, 0, True)
    assert [len(x) for x, _ in batches.epoch(0)] == [3] * expected
