"""The order of examples: what it promises, and that every way of feeding a model keeps it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.data import Batches, Split
from lab.data.arrays import leaves, map_arrays
from lab.data.batches import stable_argsort
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
    used.seek(epoch + 2, 1)
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
    with pytest.raises(UsageError, match=r"expected at least one example .*the train split is empty"):
        Batches(Split("train", np.zeros((0, 3))), 4)


@pytest.mark.parametrize(("batch_size", "limit"), [(0, None), (-1, None), (4, 0), (4, -2)])
def test_numbers_below_one_are_refused(batch_size: int, limit: int | None) -> None:
    with pytest.raises(UsageError, match=rf"batch_size={batch_size}, limit={limit}: expected numbers of 1 or more"):
        Batches(numbered(3), batch_size, limit=limit)


@pytest.mark.parametrize("kind", KINDS)
def test_tensorflow_is_fed_the_same_bits(kind: str) -> None:
    batches = Batches(every_kind(23)[kind], 5, seed=11)
    dataset = batches.feed().get_tf_dataset()
    for epoch, step in [(0, 0), (1, 0), (2, 3), (0, 4), (7, 1), (3, 5), (0, 0)]:
        batches.seek(epoch, step)
        assert_same([as_numpy(batch) for batch in dataset], list(batches.epoch(epoch, step)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_numpy_iterator_gives_the_same_bits(kind: str) -> None:
    batches = Batches(every_kind(23)[kind], 5, seed=11)
    feed = batches.feed()
    for epoch, step in [(0, 0), (2, 3), (0, 5)]:
        batches.seek(epoch, step)
        assert_same(list(feed.get_numpy_iterator()), list(batches.epoch(epoch, step)))
        assert_same(list(feed.get_jax_iterator()), list(batches.epoch(epoch, step)))


@given(
    data=st.data(),
    size=sizes,
    batch_size=batch_sizes,
    seed=seeds,
    shuffle=st.booleans(),
    limit=st.none() | st.integers(1, 5),
    stop=st.none() | st.integers(1, 12),
)
@settings(deadline=None, max_examples=25)
def test_tensorflow_has_the_same_order_whatever_the_numbers(
    data: st.DataObject, size: int, batch_size: int, seed: int, shuffle: bool, limit: int | None, stop: int | None
) -> None:
    batches = Batches(numbered(size), batch_size, seed=seed, shuffle=shuffle, limit=limit, stop=stop)
    dataset = batches.feed().get_tf_dataset()
    for _ in range(2):
        epoch, step = data.draw(st.integers(0, 5)), data.draw(st.integers(0, 3))
        batches.seek(epoch, step)
        assert_same([as_numpy(batch) for batch in dataset], list(batches.epoch(epoch, step)))


def test_arrays_that_change_after_feed_do_not_change_what_tensorflow_is_fed() -> None:
    split = numbered(8)
    batches = Batches(split, 4, shuffle=False)
    dataset = batches.feed().get_tf_dataset()
    split.x[:] = -1
    assert [np.asarray(x).tolist() for (x,) in dataset] == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_an_autoencoders_inputs_are_held_and_gathered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow as tf

    calls = {"constant": 0, "gather": 0}

    def counting(name: str) -> Callable[..., Any]:
        original = getattr(tf, name)

        def call(*args: Any) -> Any:
            calls[name] += 1
            return original(*args)

        return call

    for name in calls:
        monkeypatch.setattr(tf, name, counting(name))
    images = np.arange(12, dtype=np.float32)
    dataset = Batches(Split("train", images, images), 4, shuffle=False).feed().get_tf_dataset()
    for x, y in dataset:
        assert np.array_equal(x, y)
    assert calls == {"constant": 1, "gather": 1}


@pytest.mark.parametrize(
    ("size", "batch_size", "limit", "expected"),
    [
        (10, 4, None, (3, True, 2)),
        (8, 4, None, (2, False, None)),
        (3, 4, None, (1, True, 3)),
        (10, 4, 2, (2, False, None)),
    ],
    ids=["partial", "even", "less than one", "cut before the partial one"],
)
def test_keras_is_told_the_numbers_of_batches(
    size: int, batch_size: int, limit: int | None, expected: tuple[int, bool, int | None]
) -> None:
    feed = Batches(numbered(size), batch_size, limit=limit).feed()
    assert feed.batch_size == batch_size
    assert (feed.num_batches, feed.has_partial_batch, feed.partial_batch_size) == expected


class Fitted:
    """A model that counts how often it sees each of some numbered examples while it trains."""

    def __init__(self, count: int, *, steps_per_execution: int = 1, eager: bool = False) -> None:
        import keras

        trail: list[list[int]] = []

        class Counter(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
            def build(self, _: Any) -> None:
                self.seen = self.add_weight(shape=(count,), initializer="zeros", trainable=False)

            def call(self, ids: Any, training: bool = False) -> Any:
                if training:
                    self.seen.assign(self.seen + keras.ops.sum(keras.ops.one_hot(ids[:, 0], count), axis=0))
                    if eager:
                        trail.append(np.asarray(ids)[:, 0].tolist())
                return keras.ops.cast(ids, "float32")

        self.counter = Counter()
        self.trail = trail
        ids = keras.Input((1,), dtype="int32")
        self.model = keras.Model(ids, keras.layers.Dense(1)(self.counter(ids)))
        self.model.compile("sgd", "mse", steps_per_execution=steps_per_execution, run_eagerly=eager)

    def fit(self, batches: Batches, epochs: int) -> Fitted:
        import keras

        def seek(epoch: int, _: Any) -> None:
            batches.seek(epoch)

        callbacks = [keras.callbacks.LambdaCallback(on_epoch_begin=seek)]
        self.model.fit(batches.feed(), epochs=epochs, callbacks=callbacks, verbose=0)
        return self

    @property
    def seen(self) -> list[int]:
        return [int(count) for count in np.asarray(self.counter.seen)]


def ids_and_targets(count: int) -> Split:
    ids = np.arange(count, dtype=np.int32)[:, None]
    return Split("train", ids, ids.astype(np.float32) / count)


@pytest.mark.parametrize("steps_per_execution", [1, 3, 16])
def test_fit_sees_each_example_once_an_epoch(steps_per_execution: int) -> None:
    fitted = Fitted(22, steps_per_execution=steps_per_execution)
    assert fitted.fit(Batches(ids_and_targets(22), 4, seed=5), epochs=2).seen == [2] * 22


def test_fit_sees_the_examples_in_the_order_of_the_batches() -> None:
    batches = Batches(ids_and_targets(11), 4, seed=5)
    fitted = Fitted(11, eager=True).fit(batches, epochs=2)
    assert fitted.trail == [x[:, 0].tolist() for epoch in (0, 1) for x, _ in batches.epoch(epoch)]


@pytest.mark.parametrize("steps_per_execution", [1, 16])
def test_fit_sees_only_the_batches_of_the_limit(steps_per_execution: int) -> None:
    batches = Batches(ids_and_targets(22), 4, seed=5, limit=2)
    fitted = Fitted(22, steps_per_execution=steps_per_execution).fit(batches, epochs=2)
    shown = np.concatenate([x[:, 0] for epoch in (0, 1) for x, _ in batches.epoch(epoch)])
    assert fitted.seen == np.bincount(shown, minlength=22).tolist()


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize("steps_per_execution", [1, 3])
def test_fit_ends_where_stop_says(steps_per_execution: int) -> None:
    batches = Batches(ids_and_targets(22), 4, seed=5, stop=8)
    fitted = Fitted(22, steps_per_execution=steps_per_execution).fit(batches, epochs=2)
    shown = np.concatenate([x[:, 0] for epoch in (0, 1) for x, _ in batches.epoch(epoch)])
    assert len(shown) == 22 + 2 * 4
    assert fitted.seen == np.bincount(shown, minlength=22).tolist()


def test_predict_gives_the_examples_in_the_order_of_the_arrays() -> None:
    import keras

    values = np.arange(11, dtype=np.float32)[:, None]
    model = keras.Sequential([keras.Input((1,)), keras.layers.Rescaling(2.0)])
    feed = Batches(Split("test", values, values), 4, shuffle=False).feed()
    assert np.array_equal(model.predict(feed, verbose=0), values * 2)


def test_evaluate_weighs_the_examples() -> None:
    import keras

    targets, weights = np.array([[1.0], [3.0], [5.0]], np.float32), np.array([1.0, 0.0, 2.0], np.float32)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Rescaling(0.0)])
    model.compile(loss=keras.losses.MeanAbsoluteError(reduction="sum"))
    feed = Batches(Split("test", targets, targets, weights), 3, shuffle=False).feed()
    assert model.evaluate(feed, verbose=0) == pytest.approx(1 * 1 + 0 * 3 + 2 * 5)


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
