"""However steps run, they see the same batches, in the same order, to the bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.data import Array, Batches, Split
from lab.data.arrays import map_arrays
from lab.data.batching import batched
from lab.data.ragged import Ragged
from lab.data.windows import Windows
from lab.engine.blocks import blocks
from lab.engine.loop import fit
from lab.engine.steps import steps_of

COUNT = 23


def numbered(count: int = COUNT) -> Split:
    ids = np.arange(count, dtype=np.int32)[:, None]
    return Split("train", ids, ids.astype(np.float32) / count)


class Trail(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """Writes down the numbers of the examples that it sees in training, one after another."""

    def build(self, shape: Any) -> None:
        self.seen = self.add_weight(shape=(200,), initializer="zeros", trainable=False)
        self.count = self.add_weight(shape=(), initializer="zeros", dtype="int32", trainable=False)

    def call(self, ids: Any, training: bool = False) -> Any:
        numbers = keras.ops.cast(ids[:, 0], "float32")
        if training:
            self.seen.assign(keras.ops.slice_update(self.seen.value, [self.count.value], numbers))
            self.count.assign(self.count + keras.ops.shape(numbers)[0])
        return keras.ops.cast(ids, "float32")

    def read(self) -> list[int]:
        return [int(number) for number in keras.ops.convert_to_numpy(self.seen)[: int(self.count)]]

    def clear(self) -> None:
        self.count.assign(0)


def network(*, convolutions: bool = False, **compiled: Any) -> tuple[Trail, keras.Model]:
    trail, ids = Trail(), keras.Input((1,), dtype="int32")
    x = trail(ids)
    if convolutions:
        x = keras.layers.Flatten()(keras.layers.Conv1D(1, 1)(keras.layers.Reshape((1, 1))(x)))
    model = keras.Model(ids, keras.layers.Dense(1)(x))
    model.compile("sgd", "mse", **compiled)
    return trail, model


def numbers(batches: Batches, epoch: int, step: int = 0) -> list[int]:
    return [int(number) for x, _ in batches.epoch(epoch, step) for number in x[:, 0]]


@pytest.mark.parametrize(
    "options",
    [
        {"jit_compile": True, "steps_per_execution": 4},
        {"jit_compile": True, "steps_per_execution": 6},
        {"jit_compile": True, "steps_per_execution": 4, "convolutions": True},
        {"jit_compile": False},
        {"jit_compile": False, "steps_per_execution": 4},
        {"run_eagerly": True, "steps_per_execution": 4},
    ],
    ids=str,
)
def test_every_way_sees_the_batches_in_their_order(options: dict[str, Any]) -> None:
    trail, model = network(**options)
    batches = Batches(numbered(), 4, seed=5)  # five full batches, and one of three
    fit(model, batches, batches, epochs=0)
    steps = steps_of(model, batches, "train")
    for epoch, start, stop in ((0, 0, None), (1, 0, None), (7, 3, None), (0, 5, None), (2, 0, 15), (2, 0, 14)):
        trail.clear()
        batches.stop = stop
        for call in steps.calls(epoch, start):
            call.run()
        assert trail.read() == numbers(batches, epoch, start), (epoch, start, stop)


@given(
    count=st.integers(1, 120),
    size=st.integers(1, 40),
    seed=st.integers(0, 2**64 - 1),
    epoch=st.integers(0, 5),
    start=st.integers(0, 9),
    per_call=st.integers(1, 9),
    shuffle=st.booleans(),
    loops=st.booleans(),
    limit=st.none() | st.integers(1, 5),
    stop=st.none() | st.integers(1, 12),
)
def test_blocks_hold_every_batch_once_whatever_the_numbers(
    count: int, size: int, epoch: int, start: int, per_call: int, loops: bool, **options: Any
) -> None:
    batches = Batches(numbered(count), size, **options)
    expected = [x[:, 0].tolist() for x, _ in batches.epoch(epoch, start)]
    found: list[list[int]] = []
    for block in blocks(batches, epoch, start, per_call, loops=loops):
        assert block.first == start + len(found)
        looped = [] if block.looped is None else block.looped[: block.full].tolist()
        assert all(len(rows) == size for rows in looped)
        assert loops or not looped
        found += [*looped, *(rows.tolist() for rows in block.rest)]
        assert block.last == start + len(found) - 1
        assert block.last - block.first < per_call
    assert found == expected


def test_an_order_is_computed_once_an_epoch() -> None:
    asked: list[int] = []

    class Counting(Batches):
        def order(self, epoch: int) -> Any:
            asked.append(epoch)
            return super().order(epoch)

    list(blocks(Counting(numbered(200), 4), 3, 0, 7, loops=True))
    assert asked == [3]


# --- data of every kind -----------------------------------------------------------------------------


def every_kind(count: int = COUNT) -> dict[str, Split]:
    """Splits of the shapes and dtypes that experiments use."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 4, 3), np.uint8)
    floats = rng.normal(size=(count, 5)).astype(np.float32)
    classes = rng.integers(0, 10, count).astype(np.int32)
    weights = rng.random(count).astype(np.float32)
    texts = [rng.integers(1, 10, rng.integers(0, 6)).astype(np.int32) for _ in range(count)]
    tokens = rng.integers(1, 5, count + 1).astype(np.int16)
    return {
        "inputs": Split("train", floats),
        "bytes and classes": Split("train", images, classes, labels=classes),
        "autoencoder": Split("train", floats, floats, labels=classes),
        "weighted": Split("train", floats, classes.astype(np.uint8), weights),
        "mapping": Split("train", {"image": images, "code": floats}, {"digit": classes, "copy": floats}, weights),
        "tuple": Split("train", (images, floats), (classes, {"code": floats * 2})),
        "ragged": Split("train", Ragged.of(texts, (2, 5)), classes),
        "ragged, one width": Split("train", Ragged.of(texts, (5,)), classes),
        "ragged, all empty": Split("train", Ragged.of([np.zeros(0, np.int32)] * count, (2,))),
        "windows": Split("train", Windows(tokens[:-1], 3), Windows(tokens[1:], 3, -1)),
    }


class Records(keras.Model):  # type: ignore[misc]  # Keras has no types
    """Keeps the batches that its step is given."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[Any] = []

    def train_step(self, *arguments: Any) -> Any:
        batch = tuple(map_arrays(keras.ops.convert_to_numpy, part) for part in arguments[-1])
        self.batches.append(batch)
        logs = {"loss": keras.ops.zeros(())}
        return (logs, arguments[0]) if len(arguments) == 2 else logs


def assert_same_tree(tree: Any, wanted: Any) -> None:
    """Compares structure, dtypes, shapes and every bit."""
    if isinstance(wanted, Mapping):
        assert set(tree) == set(wanted)
        for name in wanted:
            assert_same_tree(tree[name], wanted[name])
    elif isinstance(wanted, tuple):
        assert len(tree) == len(wanted)
        for one, other in zip(tree, wanted, strict=True):
            assert_same_tree(one, other)
    else:
        assert (tree.dtype, tree.shape) == (wanted.dtype, wanted.shape)
        assert tree.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("kind", list(every_kind(1)))
def test_step_by_step_the_batches_are_those_of_numpy_to_the_bit(kind: str) -> None:
    model = Records()
    model.compile(run_eagerly=True)
    batches = batched(every_kind()[kind], 5, seed=11)
    steps = steps_of(model, batches, "train")
    for epoch, step in [(0, 0), (1, 0), (2, 1), (0, batches.steps_per_epoch), (0, 0)]:
        model.batches = []
        for call in steps.calls(epoch, step):
            call.run()
        assert_same_tree(tuple(model.batches), tuple(batches.epoch(epoch, step)))


def test_arrays_that_change_later_do_not_change_what_tensorflow_trains_on() -> None:
    if keras.backend.backend() != "tensorflow":
        pytest.skip("elsewhere NumPy gathers the batches")
    examples: Array = np.arange(8, dtype=np.float32)
    model = Records()
    model.compile(run_eagerly=True)
    steps = steps_of(model, Batches(Split("train", examples), 4, shuffle=False), "train")
    for epoch in (0, 1):
        for call in steps.calls(epoch):
            call.run()
        examples[:] = -1
    assert [x.tolist() for (x,) in model.batches] == [[0, 1, 2, 3], [4, 5, 6, 7]] * 2
