"""Adversarial steps: what they add to the gradient, that they go uphill, and that they train."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from lab.engine.fused import fused

from lab import layers
from lab.data.arrays import Split
from lab.data.batches import Batches
from lab.errors import UsageError

WORDS = tuple("abcdefgh")
X = np.array([[2, 3, 4, 0], [5, 6, 0, 0], [7, 8, 9, 2], [3, 3, 3, 3]], np.int32)
Y = np.array([[1], [0], [1], [0]], np.float32)


def build(optimizer: Any) -> keras.Model:
    keras.utils.set_random_seed(3)
    words = keras.Input((None,), dtype="int32")
    x = layers.WordEmbedding(WORDS, 3, max_words=4, cut="end", multiple=1, name="words")(words)
    x = keras.layers.Dense(5, "tanh")(x)
    model = keras.Model(words, layers.Logit(("no", "yes"))(layers.MaxAndMean()([x, words])))
    model.compile(optimizer, keras.losses.BinaryCrossentropy(from_logits=True), jit_compile=True)
    return model


def numbers(variable: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(variable)).copy()


def gradient(model: keras.Model, shift: Any = None) -> tuple[float, list[np.ndarray]]:
    model.get_layer("words").shift = shift
    with tf.GradientTape() as tape:
        loss = model.compute_loss(x=X, y=Y, y_pred=model(X, training=True))
    found = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    model.get_layer("words").shift = None
    return float(loss), [np.asarray(tf.convert_to_tensor(one)) for one in found]


def test_a_step_of_no_strength_is_twice_the_plain_gradient() -> None:
    model = build(keras.optimizers.SGD(1.0))
    before = [numbers(variable) for variable in model.trainable_variables]
    _, plain = gradient(model)
    layers.adversarial_step(model, 0.0)((tf.constant(X), tf.constant(Y)))
    for old, one, variable in zip(before, plain, model.trainable_variables, strict=True):
        np.testing.assert_allclose(old - 2 * one, numbers(variable), atol=1e-6)


def test_the_second_gradient_is_that_of_worse_neighbours_so_far_away() -> None:
    model, strength = build(keras.optimizers.SGD(1.0)), 0.1
    embedding = model.get_layer("words")
    vectors = numbers(embedding.embeddings)[X] * (X != 0)[..., None]
    before = [numbers(variable) for variable in model.trainable_variables]
    with tf.GradientTape() as tape:
        embedding.shift = tf.zeros_like(vectors)
        tape.watch(embedding.shift)
        loss = model.compute_loss(x=X, y=Y, y_pred=model(X, training=True))
    uphill = np.asarray(tape.gradient(loss, embedding.shift)) * (X != 0)[..., None]
    lengths = [np.sqrt(np.square(one).sum(axis=(1, 2), keepdims=True)) for one in (vectors, uphill)]
    worse, moved = gradient(model, tf.constant(strength * lengths[0] * uphill / lengths[1]))
    usual, plain = gradient(model)
    assert worse > usual + 1e-4
    layers.adversarial_step(model, strength)((tf.constant(X), tf.constant(Y)))
    assert embedding.shift is None
    for old, one, other, variable in zip(before, plain, moved, model.trainable_variables, strict=True):
        np.testing.assert_allclose(old - one - other, numbers(variable), atol=1e-5)


@pytest.mark.parametrize("jit", [True, False])
def test_it_trains_in_the_fused_loop_and_without(jit: bool) -> None:
    model = build(keras.optimizers.Adam(0.05))
    model.jit_compile = jit
    batches = Batches(Split("train", X, Y), 2)
    step = layers.adversarial_step(model, 0.1)
    with fused(model, batches, Batches(Split("validation", X, Y), 2, shuffle=False), step):
        found = model.fit(batches.feed(), epochs=20, verbose=0).history["loss"]
    assert found[-1] < 0.5 * found[0]
    assert "train_step" not in vars(model), "the model has its own step again"


def test_another_backend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build("sgd")
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(UsageError, match="expected the backend tensorflow, got jax"):
        layers.adversarial_step(model, 0.1)


def test_a_model_without_words_is_refused() -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    with pytest.raises(UsageError, match="expected a model with a WordEmbedding"):
        layers.adversarial_step(model, 0.1)
