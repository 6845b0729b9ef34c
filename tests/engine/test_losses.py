"""The sooner cross-entropy against Keras's: values, gradients, weights, where it steps aside, and what is saved."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from lab.data import Batches, Split
from lab.engine.fused import fused
from lab.engine.losses import binary_crossentropy, sooner
from lab.runs import model_file

RNG = np.random.default_rng(0)
PICTURES = RNG.random((6, 28, 28)).astype(np.float32)
LOGITS = RNG.normal(scale=4, size=(6, 28, 28)).astype(np.float32)


class Model:
    """All that `sooner` looks at."""

    def __init__(self, loss: Any) -> None:
        self.loss = loss


def value_and_gradient(loss: Any, y: Any, logits: Any, *, jit: bool, **rest: Any) -> tuple[float, np.ndarray]:
    @tf.function(jit_compile=jit)  # type: ignore[untyped-decorator]
    def both(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            found = loss(y, x if getattr(loss, "from_logits", False) else keras.activations.sigmoid(x), **rest)
        return found, tape.gradient(found, x)

    found, gradient = both(tf.constant(logits))
    return float(found), np.asarray(gradient)


def both_ways(y: Any, logits: Any, *, jit: bool = True, from_logits: bool = False, **rest: Any) -> list[Any]:
    loss = keras.losses.BinaryCrossentropy(from_logits=from_logits)
    with sooner(Model(loss)):
        ours = value_and_gradient(loss, y, logits, jit=jit, **rest)
    return [ours, value_and_gradient(loss, y, logits, jit=jit, **rest)]


@pytest.mark.parametrize("from_logits", [False, True], ids=["sigmoid", "logits"])
@pytest.mark.parametrize("jit", [False, True], ids=["graph", "XLA"])
@pytest.mark.parametrize("shape", [(6, 28, 28), (6, 784), (42, 7, 8, 2), (4704, 1)], ids=str)
def test_it_is_the_loss_of_keras(shape: tuple[int, ...], jit: bool, from_logits: bool) -> None:
    y, logits = PICTURES.reshape(shape), LOGITS.reshape(shape)
    (ours, gradient), (theirs, other) = both_ways(y, logits, jit=jit, from_logits=from_logits)
    assert ours == pytest.approx(theirs, rel=1e-6)
    assert gradient == pytest.approx(other, rel=1e-4, abs=1e-10)


@pytest.mark.parametrize("logit", [0.0, 1e-3, -1e-3, 20.0, -20.0, 90.0, -90.0, 1e30, -1e30])
@pytest.mark.parametrize("ink", [0.0, 0.3, 1.0])
def test_its_gradient_is_probability_less_pixel_and_finite_everywhere(logit: float, ink: float) -> None:
    y, x = np.full((1, 4), ink, np.float32), np.full((1, 4), logit, np.float32)
    (found, gradient), _ = both_ways(y, x)
    exact = max(logit, 0) - logit * ink + np.log1p(np.exp(-abs(logit)))
    assert found == pytest.approx(exact, rel=1e-6, abs=1e-7)
    assert gradient * 4 == pytest.approx(np.full((1, 4), 1 / (1 + np.exp(-np.clip(logit, -700, 700))) - ink), abs=1e-6)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
@pytest.mark.parametrize("width", [3, 16, 32, 112, 256, 784, 1072, 3072])  # 1 to 16 logarithms in one
def test_the_logarithm_of_a_product_is_the_sum_of_the_logarithms(width: int, scale: float) -> None:
    y = RNG.random((32, width)).astype(np.float32)
    x = RNG.normal(scale=scale, size=(32, width)).astype(np.float32)
    exact, z = np.float64(y), np.float64(x)
    expected = (np.maximum(z, 0) - z * exact + np.log1p(np.exp(-np.abs(z)))).mean(axis=1)
    assert np.asarray(binary_crossentropy(tf.constant(y), tf.constant(x))) == pytest.approx(expected, rel=1e-6)


def test_its_gradients_by_target_and_logit_have_gradients_themselves() -> None:
    y, x = tf.constant(PICTURES[:2]), tf.constant(LOGITS[:2])
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as tape:
            tape.watch([y, x])
            found = tf.reduce_sum(binary_crossentropy(y, x))
        by_target, by_logit = tape.gradient(found, [y, x])
        assert np.asarray(by_target) * 784 == pytest.approx(-LOGITS[:2], rel=1e-5)
        said = 1 / (1 + np.exp(-np.float64(LOGITS[:2])))
        assert np.asarray(by_logit) * 784 == pytest.approx(said - PICTURES[:2], abs=1e-6)
    assert np.asarray(outer.gradient(by_logit, x)) * 784 == pytest.approx(said * (1 - said), abs=1e-6)


def test_examples_of_a_size_that_the_program_does_not_know_are_left_to_keras() -> None:
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    with sooner(Model(loss)):
        unknown = tf.function(loss, input_signature=[tf.TensorSpec([None, None])] * 2)
        y, x = PICTURES.reshape(6, -1), LOGITS.reshape(6, -1)
        assert float(unknown(y, x)) == pytest.approx(float(loss(y, x)), rel=1e-6)


def test_a_loss_in_half_precision_is_left_to_keras() -> None:
    y, x = tf.zeros([1, 12288], tf.float16), tf.fill([1, 12288], tf.constant(10, tf.float16))  # the sum is no float16
    loss = keras.losses.BinaryCrossentropy(from_logits=True, dtype="float16")
    with sooner(Model(loss)):
        assert float(loss(y, x)) == 10


def test_examples_are_weighted_one_by_one() -> None:
    weights = np.array([1, 0, 0, 2, 0, 0.5], np.float32)
    y, logits = PICTURES.reshape(6, -1), LOGITS.reshape(6, -1)  # Keras takes no weights of whole pictures otherwise
    (ours, gradient), (theirs, other) = both_ways(y, logits, sample_weight=weights)
    assert ours == pytest.approx(theirs, rel=1e-6)
    assert gradient == pytest.approx(other, rel=1e-4, abs=1e-10)


@pytest.mark.parametrize(
    "loss",
    [
        "binary_crossentropy",
        keras.losses.BinaryCrossentropy(label_smoothing=0.1),
        keras.losses.BinaryCrossentropy(axis=1),
        keras.losses.BinaryFocalCrossentropy(),
        {"a": keras.losses.BinaryCrossentropy()},
        None,
    ],
    ids=["by name", "smoothed", "another axis", "focal", "two outputs", "none"],
)
def test_other_losses_are_left_as_they_are(loss: Any) -> None:
    before = getattr(loss, "call", None)
    with sooner(Model(loss)):
        assert getattr(loss, "call", None) == before


def test_masks_and_probabilities_without_logits_are_left_to_keras() -> None:
    loss = keras.losses.BinaryCrossentropy()
    drawn = tf.sigmoid(LOGITS)
    masked = keras.activations.sigmoid(tf.constant(LOGITS))
    masked._keras_mask = tf.constant(RNG.random((6, 28)) < 0.5)
    expected = [float(loss(PICTURES, one)) for one in (drawn, masked)]
    with sooner(Model(loss)):
        assert [float(loss(PICTURES, one)) for one in (drawn, masked)] == expected
    assert expected[0] != pytest.approx(expected[1], rel=1e-3)


def test_the_fused_loop_has_it_and_what_is_saved_is_keras_s_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((28, 28)), keras.layers.Dense(28), keras.layers.Activation("sigmoid")])
    model.compile("adam", keras.losses.BinaryCrossentropy())
    model.jit_compile, model.steps_per_execution = True, 2
    seen: list[Any] = []

    def noted(target: Any, logits: Any) -> Any:
        seen.append(target)
        return binary_crossentropy(target, logits)

    monkeypatch.setattr("lab.engine.losses.binary_crossentropy", noted)
    train, validation = (Batches(Split(name, PICTURES, PICTURES), 3) for name in ("train", "validation"))
    with fused(model, train, validation):
        history = model.fit(train.feed(), validation_data=validation.feed(), verbose=0).history
    assert seen
    seen.clear()
    assert model.evaluate(PICTURES, PICTURES, verbose=0) == pytest.approx(history["val_loss"][0], rel=1e-6)
    assert not seen
    assert "call" not in vars(model.loss)
    model_file.save(model, tmp_path / "model.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the optimizer's state is left out
        again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again.loss) is keras.losses.BinaryCrossentropy
