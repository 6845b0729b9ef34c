"""The order of examples, and batches as NumPy, the device and Keras have them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.data import Batches, Split
from lab.data.arrays import leaves, map_arrays
from lab.data.batches import stable_argsort
from lab.data.batching import as_dataset
from lab.data.device import gather, tensors_of, to_device, with_tensors
from lab.engine.compiled import compiled
from lab.errors import UsageError

seeds = st.integers(0, 2**64 - 1)
epochs = st.integers(0, 2**32)
sizes = st.integers(1, 120)
batch_sizes = st.integers(1, 40)


def numbered(count: int) -> Split:
    """A split whose examples are their own indices."""
    return Split("train", np.arange(count))


def every_kind(count: int) -> dict[str, Split]:
    """Splits of the shapes and dtypes that experiments use."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 4, 3), np.uint8)
    floats = rng.normal(size=(count, 5)).astype(np.float32)
    classes = rng.integers(0, 10, count)
    weights = rng.random(count).astype(np.float32)
    return {
        "inputs": Split("train", floats),
        "bytes_and_classes": Split("train", images, classes, labels=classes),
        "autoencoder": Split("train", floats, floats, labels=classes),
        "weighted": Split("train", floats, classes.astype(np.uint8), weights),
        "mapping": Split("train", {"image": images, "code": floats}, {"digit": classes, "copy": floats}, weights),
        "tuple": Split("train", (images, floats), (classes, {"code": floats.astype(np.float64)})),
    }


KINDS = tuple(every_kind(1))


def as_numpy(batch: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(map_arrays(np.asarray, part) for part in batch)


def assert_same(batches: list[tuple[Any, ...]], expected: list[tuple[Any, ...]]) -> None:
    """Compares structure, dtypes, shapes and every bit."""
    assert len(batches) == len(expected)
    for batch, wanted in zip(batches, expected, strict=True):
        assert len(batch) == len(wanted)
        for part, wanted_part in zip(batch, wanted, strict=True):
            assert_same_tree(part, wanted_part)


def assert_same_tree(tree: Any, wanted: Any) -> None:
    if isinstance(wanted, dict):
        assert set(tree) == set(wanted)
        for name in wanted:
            assert_same_tree(tree[name], wanted[name])
    elif isinstance(wanted, tuple):
        assert len(tree) == len(wanted)
        for one, other in zip(tree, wanted, strict=True):
            assert_same_tree(one, other)
    else:
        assert tree.dtype == wanted.dtype
        assert tree.shape == wanted.shape
        assert tree.tobytes() == wanted.tobytes()


@given(size=sizes, batch_size=batch_sizes, seed=seeds, epoch=epochs, shuffle=st.booleans())
@settings(deadline=None)
def test_an_epoch_has_each_example_exactly_once(
    size: int, batch_size: int, seed: int, epoch: int, shuffle: bool
) -> None:
    batches = Batches(numbered(size), batch_size, seed=seed, shuffle=shuffle)
    made = [x for (x,) in batches.epoch(epoch)]
    assert sorted(np.concatenate(made).tolist()) == list(range(size))
    assert len(made) == batches.steps_per_epoch == math.ceil(size / batch_size)
    assert [len(x) for x in made[:-1]] == [batch_size] * (len(made) - 1)
    assert 1 <= len(made[-1]) <= batch_size


@given(data=st.data(), size=sizes, batch_size=batch_sizes, seed=seeds, epoch=epochs)
@settings(deadline=None)
def test_an_epoch_from_any_step_on_is_the_tail_of_the_whole(
    data: st.DataObject, size: int, batch_size: int, seed: int, epoch: int
) -> None:
    batches = Batches(numbered(size), batch_size, seed=seed)
    step = data.draw(st.integers(0, batches.steps_per_epoch))
    assert_same(list(batches.epoch(epoch, step)), list(batches.epoch(epoch))[step:])


@given(size=sizes, batch_size=batch_sizes, seed=seeds, epoch=epochs)
@settings(deadline=None)
def test_the_order_depends_on_seed_and_epoch_alone(size: int, batch_size: int, seed: int, epoch: int) -> None:
    used = Batches(numbered(size), batch_size, seed=seed)
    for (x,) in used.epoch(epoch + 1):
        x[:] = -1
    np.random.default_rng(0).random(3)
    fresh = Batches(numbered(size), 1, seed=seed)
    assert np.array_equal(used.order(epoch), fresh.order(epoch))
    assert used.order(epoch).dtype == np.int64


@given(words=st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 9), max_size=300))
@settings(deadline=None)
def test_words_are_sorted_as_a_stable_sort_does_it(words: list[int]) -> None:
    found = stable_argsort(np.array(words, np.uint64))
    assert found.tolist() == sorted(range(len(words)), key=words.__getitem__)


@given(seed=seeds, epoch=epochs, other=st.integers(0, 2**32))
@settings(deadline=None)
def test_another_seed_or_epoch_is_another_order(seed: int, epoch: int, other: int) -> None:
    def order(seed: int, epoch: int) -> bytes:
        return Batches(numbered(300), 10, seed=seed).order(epoch).tobytes()

    if other != epoch:
        assert order(seed, other) != order(seed, epoch)
    if other != seed:
        assert order(other, epoch) != order(seed, epoch)
    if epoch != seed:
        assert order(epoch, seed) != order(seed, epoch)


def test_the_orders_of_a_small_split_are_evenly_spread() -> None:
    batches = Batches(numbered(3), 3, seed=1)
    orders = [tuple(batches.order(epoch).tolist()) for epoch in range(1200)]
    counts = [orders.count(order) for order in set(orders)]
    assert len(counts) == 6
    assert min(counts) > 150
    assert max(counts) < 250


def test_the_stream_is_the_one_that_earlier_runs_used() -> None:
    """A run that was begun with an older version resumes in the same order only as long as this holds."""
    assert Batches(numbered(12), 4, seed=7).order(3).tolist() == GOLDEN_ORDER
    assert Batches(numbered(12), 4, seed=2**64 - 1).order(0).tolist() == GOLDEN_ORDER_OF_THE_LAST_SEED


GOLDEN_ORDER = [2, 5, 9, 7, 3, 0, 6, 8, 4, 1, 11, 10]
GOLDEN_ORDER_OF_THE_LAST_SEED = [8, 9, 10, 11, 0, 7, 4, 2, 6, 3, 1, 5]


@given(data=st.data(), size=sizes, batch_size=batch_sizes, seed=seeds, epoch=epochs)
@settings(deadline=None)
def test_indices_are_those_of_the_batch(data: st.DataObject, size: int, batch_size: int, seed: int, epoch: int) -> None:
    batches = Batches(numbered(size), batch_size, seed=seed)
    step = data.draw(st.integers(0, batches.steps_per_epoch - 1))
    (x,) = next(batches.epoch(epoch, step))
    assert batches.indices(epoch, step).tolist() == x.tolist()


def test_without_shuffling_every_epoch_has_the_order_of_the_arrays() -> None:
    batches = Batches(numbered(10), 4, seed=3, shuffle=False)
    for epoch in (0, 5):
        assert [x.tolist() for (x,) in batches.epoch(epoch)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


@pytest.mark.parametrize(("limit", "steps"), [(1, 1), (2, 2), (3, 3), (99, 3), (None, 3)])
def test_limit_is_the_most_batches_of_an_epoch(limit: int | None, steps: int) -> None:
    batches = Batches(numbered(10), 4, seed=3, limit=limit)
    assert batches.steps_per_epoch == batches.steps(0) == batches.steps(8) == steps
    assert_same(list(batches.epoch(8)), list(Batches(numbered(10), 4, seed=3).epoch(8))[:steps])


@given(size=sizes, batch_size=batch_sizes, limit=st.none() | st.integers(1, 10), stop=st.integers(0, 60))
@settings(deadline=None)
def test_stop_is_the_number_of_steps_over_all_epochs(size: int, batch_size: int, limit: int | None, stop: int) -> None:
    batches = Batches(numbered(size), batch_size, limit=limit, stop=stop)
    steps = [batches.steps(epoch) for epoch in range(stop + 2)]
    assert sum(steps) == stop
    assert steps == sorted(steps, reverse=True)
    assert [count for count in steps if count not in (0, batches.steps_per_epoch)] == (
        [stop % batches.steps_per_epoch] if stop % batches.steps_per_epoch else []
    )


def test_stop_cuts_the_last_epoch_and_leaves_the_others() -> None:
    batches, whole = Batches(numbered(10), 4, stop=5), Batches(numbered(10), 4)
    assert_same(list(batches.epoch(0)), list(whole.epoch(0)))
    assert_same(list(batches.epoch(1)), list(whole.epoch(1))[:2])
    assert_same(list(batches.epoch(1, 1)), list(whole.epoch(1))[1:2])
    assert list(batches.epoch(1, 2)) == []
    assert list(batches.epoch(2)) == []


def test_batches_of_an_empty_split_are_refused() -> None:
    with pytest.raises(UsageError, match=r"expected at least one example, the train split is empty"):
        Batches(Split("train", np.zeros((0, 3))), 4)


@pytest.mark.parametrize(("batch_size", "limit"), [(0, None), (-1, None), (4, 0), (4, -2)])
def test_numbers_below_one_are_refused(batch_size: int, limit: int | None) -> None:
    with pytest.raises(UsageError, match=rf"batch_size={batch_size}, limit={limit}: expected numbers of 1 or more"):
        Batches(numbered(3), batch_size, limit=limit)


@pytest.mark.parametrize("jit", [False, True], ids=["plain", "XLA"])
@pytest.mark.parametrize("kind", KINDS)
def test_batches_on_the_device_are_the_same_to_the_bit(kind: str, jit: bool) -> None:
    batches = Batches(every_kind(23)[kind], 5, seed=11)
    parts, tensors = to_device(batches), tensors_of(to_device(batches))

    def one(tensors: Any, chosen: Any) -> tuple[Any, ...]:
        return gather(with_tensors(parts, tensors), chosen)

    program = compiled(one) if jit else one
    for step, expected in enumerate(batches.epoch(1)):
        if jit and len(leaves(expected)[0]) < 5:
            continue  # another shape is another program
        batch = program(tensors, np.asarray(batches.indices(1, step), np.int32))
        assert_same([as_numpy(batch)], [expected])


# --- as Keras takes them ----------------------------------------------------------------------------


def test_predict_gives_the_examples_in_the_order_of_the_arrays() -> None:
    values = np.arange(11, dtype=np.float32)[:, None]
    model = keras.Sequential([keras.Input((1,)), keras.layers.Rescaling(2.0)])
    dataset = as_dataset(Batches(Split("test", values, values), 4, shuffle=False))
    assert len(dataset) == 3
    assert np.array_equal(model.predict(dataset, verbose=0), values * 2)


def test_evaluate_weighs_the_examples() -> None:
    targets, weights = np.array([[1.0], [3.0], [5.0]], np.float32), np.array([1.0, 0.0, 2.0], np.float32)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Rescaling(0.0)])
    model.compile(loss=keras.losses.MeanAbsoluteError(reduction="sum"), run_eagerly=True)
    dataset = as_dataset(Batches(Split("test", targets, targets, weights), 3, shuffle=False))
    assert model.evaluate(dataset, verbose=0) == pytest.approx(1 * 1 + 0 * 3 + 2 * 5)


def test_another_split_and_another_size_keep_the_order() -> None:
    batches = Batches(numbered(10), 4, seed=3, shuffle=True, stop=5)
    doubled = batches.with_split(Split("train", np.arange(10) * 2))
    assert_same(list(doubled.epoch(1)), [(x * 2,) for (x,) in batches.epoch(1)])
    smaller = batches.with_split(batches.split, batch_size=3)
    assert (smaller.batch_size, smaller.steps_per_epoch, smaller.stop) == (3, 4, 5)
    assert np.array_equal(smaller.order(2), batches.order(2))
    assert batches.batch_size == 4


def test_a_batch_leaves_the_split_as_it_is() -> None:
    split = every_kind(9)["mapping"]
    before = [array.copy() for array in leaves(split.parts())]
    for batch in Batches(split, 4).epoch(0):
        for array in leaves(batch):
            array[...] = 0
    for array, kept in zip(leaves(split.parts()), before, strict=True):
        assert np.array_equal(array, kept)


def test_epochs_are_made_one_batch_at_a_time() -> None:
    made: Iterator[Any] = Batches(numbered(1_000_000), 2).epoch(0)
    assert len(next(made)[0]) == 2
