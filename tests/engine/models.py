"""Models, data and comparisons that the tests of the engine share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import pytest

from lab.data import Batches, Split
from lab.engine.call import Mode
from lab.engine.loop import fit
from lab.engine.steps import steps_of

History = dict[str, list[float]]
FUSED: Mapping[str, Any] = {"jit_compile": True}
STEP_BY_STEP: Mapping[str, Any] = {"jit_compile": False}
EAGER: Mapping[str, Any] = {"run_eagerly": True}


def split(count: int = 50, seed: int = 0) -> Split:
    """Weighted examples of three numbers and their sum."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 3)).astype(np.float32)
    return Split("train", x, np.sum(x, axis=1, keepdims=True), sample_weight=rng.random(count).astype(np.float32))


def build(**compiled: Any) -> keras.Model:
    """A model with all that has a state: batch normalization, dropout, Adam, a metric.

    Dropout advances its seed and changes no number, as TensorFlow draws other masks with XLA than without.
    """
    keras.utils.set_random_seed(3)
    x = keras.Input((3,))
    hidden = keras.layers.BatchNormalization()(keras.layers.Dense(5, "tanh")(x))
    nothing = keras.layers.Rescaling(0.0)(keras.layers.Dropout(0.2, seed=5)(hidden))
    model = keras.Model(x, keras.layers.Dense(1)(keras.layers.Add()([hidden, nothing])))
    model.compile(keras.optimizers.Adam(0.05), "mse", metrics=["mae"], **compiled)
    return model


def small(**compiled: Any) -> keras.Model:
    """A model that is compiled quickly."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.05), "mse", metrics=["mae"], **compiled)
    return model


def build_with(layer: Callable[[], keras.layers.Layer], **compiled: Any) -> keras.Model:
    """A model around a layer that takes and gives three numbers."""
    keras.utils.set_random_seed(3)
    x = keras.Input((3,))
    middle = keras.layers.Reshape((-1,))(layer()(keras.layers.Reshape((3, 1))(x)))
    model = keras.Model(x, keras.layers.Dense(1)(middle))
    model.compile(keras.optimizers.Adam(0.05), "mse", **compiled)
    return model


def train(model: keras.Model, *, epochs: int = 3, **options: Any) -> History:
    """Trains on seven batches of eight, the last of two, validates on three, and returns the history."""
    batching = {name: options.pop(name) for name in ("limit", "shuffle", "stop") if name in options}
    batches, validation = Batches(split(), 8, seed=1, **batching), Batches(split(20, 1), 8, shuffle=False)
    return numbers(fit(model, batches, validation, epochs=epochs, **options).history)


@functools.cache
def eager_reference(**options: Any) -> tuple[History, list[np.ndarray]]:
    """The history and the variables of the model, trained step by step without a compiler."""
    model = build(**EAGER)
    return train(model, **options), state(model)


def numbers(history: Mapping[str, Any]) -> History:
    return {name: [float(value) for value in values] for name, values in history.items()}


def state(model: keras.Model) -> list[np.ndarray]:
    """The values of all variables: weights, running means, seeds, the optimizer's."""
    variables = [*model.variables, *(model.optimizer.variables if model.optimizer is not None else [])]
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def assert_close(mine: list[np.ndarray], other: list[np.ndarray]) -> None:
    assert len(mine) == len(other)
    for one, wanted in zip(mine, other, strict=True):
        assert np.allclose(one, wanted, rtol=1e-3, atol=1e-5), (one, wanted)


def assert_same_history(mine: History, other: History) -> None:
    assert mine.keys() == other.keys()
    for name, values in mine.items():
        assert values == pytest.approx(other[name], rel=1e-4), name


def run(model: keras.Model, batches: Batches, mode: Mode = "train") -> list[tuple[int, int]]:
    """Runs the first epoch's steps, and returns the first and the last step of each call."""
    ends = []
    for call in steps_of(model, batches, mode).calls(0):
        call.run()
        ends.append((call.first, call.last))
    return ends
