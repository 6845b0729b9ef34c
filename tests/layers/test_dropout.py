"""Dropout with Threefry random numbers equals Keras's but for the numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from lab.layers import Dropout

ONES = np.ones((64, 30, 20), np.float32)


def dropped(layer: keras.layers.Layer, x: Any = ONES) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(layer(x, training=True)))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_rate_is_dropped_and_the_rest_is_scaled_up(rate: float) -> None:
    actual = dropped(Dropout(rate, seed=3))
    left = actual[actual != 0]
    assert np.allclose(left, 1 / (1 - rate))
    spread = np.sqrt(rate * (1 - rate) / actual.size)
    assert abs((actual == 0).mean() - rate) < 4 * spread
    for axes in ((0, 1), (0, 2), (1, 2)):  # no row, step or feature deviates more than chance allows
        shares = (actual == 0).mean(axis=axes)
        assert np.abs(shares - rate).max() < 5 * np.sqrt(rate * (1 - rate) / (actual.size / len(shares)))


@pytest.mark.parametrize(
    ("noise_shape", "axis"), [((None, None, 1), 2), ((None, 1, None), 1), ((1, None, None), 0), ((64, 30, 1), 2)]
)
def test_one_draw_along_an_axis(noise_shape: tuple[int | None, ...], axis: int) -> None:
    actual = dropped(Dropout(0.5, noise_shape=noise_shape, seed=3))
    first = np.take(actual, [0], axis=axis)
    assert np.array_equal(actual, np.broadcast_to(first, actual.shape))
    assert abs((first == 0).mean() - 0.5) < 4 * 0.5 / np.sqrt(first.size)


def test_each_step_has_its_own_mask_which_follows_from_the_number_of_steps() -> None:
    layer = Dropout(0.5, seed=3)
    first, second = dropped(layer), dropped(layer)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 4 / np.sqrt(first.size)
    again = Dropout(0.5, seed=3)
    assert np.array_equal(dropped(again), first)
    (state,) = (variable for variable in layer.variables if "seed" in variable.path)
    state.assign(again.variables[0])
    assert np.array_equal(dropped(layer), second)
    assert not np.array_equal(dropped(Dropout(0.5, seed=4)), first)


@pytest.mark.parametrize(("rate", "training"), [(0.0, True), (0.5, False)])
def test_without_a_rate_or_training_nothing_is_dropped(rate: float, training: bool) -> None:
    layer = Dropout(rate)
    assert np.array_equal(layer(ONES, training=training), ONES)


def test_everything_can_be_dropped() -> None:
    assert not dropped(Dropout(1.0)).any()


def test_gradients_pass_where_nothing_was_dropped() -> None:
    layer, x = Dropout(0.25, seed=1), tf.Variable(ONES)
    with tf.GradientTape() as tape:
        y = layer(x, training=True)
        total = tf.reduce_sum(3 * y)
    assert np.allclose(tape.gradient(total, x), 3 * np.asarray(y))


@pytest.mark.parametrize("jit", [False, True], ids=["graph", "XLA"])
def test_sizes_may_be_unknown_when_the_graph_is_traced(jit: bool) -> None:
    for noise_shape in (None, (None, None, 1), (None, 1, None)):
        expected = dropped(Dropout(0.5, noise_shape=noise_shape, seed=3))
        layer = Dropout(0.5, noise_shape=noise_shape, seed=3)
        layer.build((None, None, 20))
        late = tf.function(lambda x, layer=layer: layer(x, training=True), jit_compile=jit, autograph=False)
        actual = late.get_concrete_function(tf.TensorSpec((None, None, 20)))(tf.constant(ONES))
        assert np.array_equal(actual, expected)


def test_half_precision_is_kept() -> None:
    layer = Dropout(0.5, dtype="mixed_float16", seed=3)
    actual = layer(ONES, training=True)
    assert keras.backend.standardize_dtype(actual.dtype) == "float16"
    assert np.array_equal(np.asarray(actual, np.float32), dropped(Dropout(0.5, seed=3)))


def test_a_saved_model_restores_the_arguments(tmp_path: Path) -> None:
    x = keras.Input((30, 20))
    model = keras.Model(x, Dropout(0.3, noise_shape=(None, 1, None), seed=5)(x))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    layer = again.layers[-1]
    assert isinstance(layer, Dropout)
    assert (layer.rate, tuple(layer.noise_shape), layer.seed) == (0.3, (None, 1, None), 5)
    assert np.array_equal(dropped(layer), dropped(model.layers[-1]))


@pytest.mark.parametrize("rate", [-0.1, 1.1])
def test_a_rate_outside_0_and_1_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="rate"):
        Dropout(rate)
