"""The lab's losses against Keras's: values, gradients, weights, and what is saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import lab
from lab import model_file

RNG = np.random.default_rng(0)
PICTURES = RNG.random((6, 28, 28)).astype(np.float32)
LOGITS = RNG.normal(scale=4, size=(6, 28, 28)).astype(np.float32)


def value_and_gradient(loss: Any, y: Any, logits: Any, *, jit: bool, **rest: Any) -> tuple[float, np.ndarray]:
    @tf.function(jit_compile=jit)  # type: ignore[untyped-decorator]
    def both(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            found = loss(y, keras.activations.sigmoid(x), **rest)
        return found, tape.gradient(found, x)

    found, gradient = both(tf.constant(logits))
    return float(found), np.asarray(gradient)


@pytest.mark.parametrize("jit", [False, True], ids=["graph", "XLA"])
@pytest.mark.parametrize("shape", [(6, 28, 28), (6, 784), (42, 7, 16, 1), (4704, 1)], ids=str)
def test_binary_crossentropy_is_that_of_keras(shape: tuple[int, ...], jit: bool) -> None:
    y, logits = PICTURES.reshape(shape), LOGITS.reshape(shape)
    ours, gradient = value_and_gradient(lab.losses.BinaryCrossentropy(), y, logits, jit=jit)
    theirs, other = value_and_gradient(keras.losses.BinaryCrossentropy(), y, logits, jit=jit)
    assert ours == pytest.approx(theirs, rel=1e-6)
    assert gradient == pytest.approx(other, rel=1e-4, abs=1e-10)


@pytest.mark.parametrize("logit", [0.0, 1e-3, -1e-3, 20.0, -20.0, 90.0, -90.0, 1e30, -1e30])
@pytest.mark.parametrize("ink", [0.0, 0.3, 1.0])
def test_its_gradient_is_probability_less_pixel_and_finite_everywhere(logit: float, ink: float) -> None:
    y, x = np.full((1, 4), ink, np.float32), np.full((1, 4), logit, np.float32)
    found, gradient = value_and_gradient(lab.losses.BinaryCrossentropy(), y, x, jit=True)
    exact = max(logit, 0) - logit * ink + np.log1p(np.exp(-abs(logit)))
    assert found == pytest.approx(exact, rel=1e-6, abs=1e-7)
    assert gradient * 4 == pytest.approx(np.full((1, 4), 1 / (1 + np.exp(-np.clip(logit, -700, 700))) - ink), abs=1e-6)


def test_without_logits_probabilities_are_taken_as_keras_takes_them() -> None:
    drawn = keras.ops.convert_to_numpy(keras.ops.sigmoid(LOGITS))
    drawn[0, 0, :2] = 0, 1
    ours, theirs = (
        kind()(PICTURES, drawn) for kind in (lab.losses.BinaryCrossentropy, keras.losses.BinaryCrossentropy)
    )
    assert float(ours) == pytest.approx(float(theirs), rel=1e-6)


def test_examples_are_weighted_one_by_one() -> None:
    weights = np.array([1, 0, 0, 2, 0, 0.5], np.float32)
    ours, gradient = value_and_gradient(
        lab.losses.BinaryCrossentropy(), PICTURES, LOGITS, jit=False, sample_weight=weights
    )
    flat, logits = PICTURES.reshape(6, -1), LOGITS.reshape(6, -1)
    theirs, other = value_and_gradient(
        keras.losses.BinaryCrossentropy(), flat, logits, jit=False, sample_weight=weights
    )
    assert ours == pytest.approx(theirs, rel=1e-6)
    assert gradient.reshape(6, -1) == pytest.approx(other, rel=1e-4, abs=1e-10)


def test_a_saved_model_has_its_loss_again(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((28, 28)), keras.layers.Activation("sigmoid")])
    model.compile("adam", lab.losses.BinaryCrossentropy())
    model_file.save(model, tmp_path / "model.keras")
    again = model_file.load(tmp_path / "model.keras")
    assert isinstance(again.loss, lab.losses.BinaryCrossentropy)
    expected = model.evaluate(LOGITS, PICTURES, verbose=0)
    assert again.evaluate(LOGITS, PICTURES, verbose=0) == pytest.approx(expected)
