"""Feeding `fit`: the fused loop trains as Keras's own does, and steps aside where it must."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from lab.data import Batches, Split
from lab.data.feed import _has_convolutions, fused
from lab.layers import Noise

STEPS = 4


def split(count: int = 50, seed: int = 0) -> Split:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 3)).astype(np.float32)
    return Split("train", x, np.sum(x, axis=1, keepdims=True), sample_weight=rng.random(count).astype(np.float32))


def build(kind: type[keras.Model] = keras.Model, **compiled: Any) -> keras.Model:
    keras.utils.set_random_seed(3)
    x = keras.Input((3,))
    hidden = keras.layers.BatchNormalization()(keras.layers.Dense(5, "tanh")(x))
    model = kind(x, keras.layers.Dense(1)(keras.layers.Dropout(0.2)(hidden)))
    model.compile(keras.optimizers.Adam(0.05), "mse", metrics=["mae"], **compiled)
    model.jit_compile, model.steps_per_execution = True, STEPS
    return model


class Seek(keras.callbacks.Callback):  # type: ignore[misc]
    """Moves the batches to each epoch, and counts the calls."""

    def __init__(self, batches: Batches, step: int = 0) -> None:
        super().__init__()
        self.batches, self.step, self.ends = batches, step, list[int]()

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.batches.seek(epoch, self.step)
        self.step = 0

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.ends.append(batch)


def train(model: keras.Model, *, fuse: bool, epochs: int = 3, **batching: Any) -> dict[str, list[float]]:
    batches, validation = Batches(split(), 8, seed=1, **batching), Batches(split(20, 1), 8, shuffle=False)
    options = {"epochs": epochs, "verbose": 0, "callbacks": [Seek(batches)]}
    if not fuse:
        history = model.fit(batches.feed(), validation_data=validation.feed(), **options).history
    else:
        with fused(model, batches, validation):
            assert batches.block == STEPS
            history = model.fit(batches.feed(), validation_data=validation.feed(), **options).history
    return {name: [float(value) for value in values] for name, values in history.items()}


@pytest.mark.parametrize("batching", [{}, {"limit": 5}, {"limit": 1}, {"shuffle": False}], ids=str)
def test_the_fused_loop_trains_as_keras_does(batching: dict[str, Any]) -> None:
    one, two = build(), build()
    ours, theirs = train(one, fuse=True, **batching), train(two, fuse=False, **batching)
    assert ours.keys() == theirs.keys()
    for name, values in ours.items():
        assert values == pytest.approx(theirs[name], rel=1e-4), name
    for mine, other in zip(one.variables, two.variables, strict=True):  # Dropout's seeds are among them
        assert np.allclose(mine, other, rtol=1e-4, atol=1e-5), mine.path
    assert int(one.optimizer.iterations.numpy()) == int(two.optimizer.iterations.numpy())


def build_with(layer: Callable[[], keras.layers.Layer]) -> keras.Model:
    """A model whose layer has something that the loop could get wrong; it takes and gives three numbers."""
    keras.utils.set_random_seed(3)
    x = keras.Input((3,))
    middle = keras.layers.Reshape((-1,))(layer()(keras.layers.Reshape((3, 1))(x)))
    model = keras.Model(x, keras.layers.Dense(1)(middle))
    model.compile(keras.optimizers.Adam(0.05), "mse")
    model.jit_compile, model.steps_per_execution = True, STEPS
    return model


@pytest.mark.parametrize(
    "layer",
    [lambda: keras.layers.Conv1D(4, 2), lambda: Noise("masking", 0.2, 0.6, seed=7)],
    ids=["convolution", "noise"],
)
def test_layers_that_need_care_train_as_in_keras(layer: Callable[[], keras.layers.Layer]) -> None:
    one, two = build_with(layer), build_with(layer)
    ours, theirs = train(one, fuse=True), train(two, fuse=False)
    for name, values in ours.items():
        assert values == pytest.approx(theirs[name], rel=1e-4), name
    for mine, other in zip(one.variables, two.variables, strict=True):
        assert np.allclose(mine, other, rtol=1e-4, atol=1e-5), mine.path


def test_convolutions_are_not_put_into_a_loop() -> None:
    convolutional = build_with(lambda: keras.layers.Conv1D(4, 2))
    assert _has_convolutions(convolutional)
    assert _has_convolutions(keras.Sequential([keras.Input((3,)), convolutional]))
    assert not _has_convolutions(build())


def test_starting_inside_an_epoch_trains_on_the_rest_only() -> None:
    model = build()
    batches = Batches(split(), 8, seed=1)
    batches.seek(2, 5)
    with fused(model, batches, Batches(split(8), 8)):
        model.train_function(iter(batches.feed().get_tf_dataset()))
    assert int(model.optimizer.iterations.numpy()) == batches.steps_per_epoch - 5


def test_every_epoch_has_its_own_order() -> None:
    batches = Batches(split(), 8, seed=1)
    batches.block = 100
    dataset = batches.feed().get_tf_dataset()
    for epoch in (0, 1, 4):
        batches.seek(epoch)
        (chosen,) = list(dataset)
        assert np.array_equal(chosen.numpy(), batches.order(epoch))


def test_after_the_block_the_model_is_as_it_was() -> None:
    model, batches = build(), Batches(split(), 8)
    with fused(model, batches, batches):
        assert model.train_function is not None
    assert model.train_function is None
    assert batches.block == 0
    assert model.evaluate(batches.feed(), verbose=0, return_dict=True).keys() == {"loss", "mae"}


class OwnStep(keras.Model):  # type: ignore[misc]
    """A model with a training step of its own."""

    def train_step(self, data: Any) -> Any:
        return super().train_step(data)


@pytest.mark.parametrize("why", ["own train_step", "no XLA", "eager", "text"])
def test_a_model_that_cannot_be_fused_is_left_to_keras(why: str) -> None:
    model = build(OwnStep if why == "own train_step" else keras.Model)
    if why == "no XLA":
        model.jit_compile = False
    if why == "eager":
        model.jit_compile, model.run_eagerly = False, True
    examples = Split("train", np.array(["a", "b"], object)) if why == "text" else split()
    batches = Batches(examples, 8)
    with fused(model, batches, batches):
        assert batches.block == 0
        assert model.train_function is None
