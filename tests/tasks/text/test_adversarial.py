"""Adversarial training: the gradients of a step, that the perturbation raises the loss, and what is saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from lab import layers
from lab.errors import UsageError
from lab.tasks.text.adversarial import AdversarialModel

WORDS = tuple("abcdefgh")
X = np.array([[2, 3, 4, 0], [5, 6, 0, 0], [7, 8, 9, 2], [3, 3, 3, 3]], np.int32)
Y = np.array([[1], [0], [1], [0]], np.float32)
IS_WORD = (X != 0)[..., None]


def build(optimizer: Any, strength: float = 0.1, jit: bool = False) -> AdversarialModel:
    keras.utils.set_random_seed(3)
    words = keras.Input((None,), dtype="int32")
    x = layers.WordEmbedding(WORDS, 3, max_words=4, cut="end", multiple=1, name="words")(words)
    x = keras.layers.Dense(5, "tanh")(x)
    model = AdversarialModel(words, layers.Logit(("no", "yes"))(layers.MaxAndMean()([x, words])), strength=strength)
    accuracy = keras.metrics.BinaryAccuracy(threshold=0.0, name="accuracy")
    model.compile(optimizer, keras.losses.BinaryCrossentropy(from_logits=True), metrics=[accuracy], jit_compile=jit)
    return model


def values(variables: Any) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def gradients(model: keras.Model, shift: Any = 0.0) -> tuple[float, np.ndarray, list[np.ndarray]]:
    """The loss with shifted word vectors, and its gradients by those vectors and by the weights."""
    embedding = model.get_layer("words")
    rest = keras.Model([model.input, embedding.output], model.output)
    with tf.GradientTape() as tape:
        vectors = embedding(X)
        tape.watch(vectors)
        loss = model.compute_loss(x=X, y=Y, y_pred=rest([tf.constant(X), vectors + shift]))
    by_vector, by_weight = tape.gradient(loss, [vectors, [weight.value for weight in model.trainable_variables]])
    return float(loss), np.asarray(by_vector), [np.asarray(tf.convert_to_tensor(one)) for one in by_weight]


def test_a_step_of_zero_strength_is_twice_the_plain_gradient() -> None:
    model = build(keras.optimizers.SGD(1.0), strength=0.0)
    before = values(model.trainable_variables)
    _, _, plain = gradients(model)
    model.train_on_batch(X, Y)
    for old, gradient, new in zip(before, plain, values(model.trainable_variables), strict=True):
        np.testing.assert_allclose(old - 2 * gradient, new, atol=1e-6)


def test_the_second_gradient_is_that_of_vectors_moved_uphill_by_the_strength() -> None:
    model, strength = build(keras.optimizers.SGD(1.0)), 0.1
    before = values(model.trainable_variables)
    loss, uphill, plain = gradients(model)
    vectors = values([model.get_layer("words").embeddings])[0][X] * IS_WORD
    vector_norms, slopes = (
        np.sqrt(np.square(part * IS_WORD).sum(axis=(1, 2), keepdims=True)) for part in (vectors, uphill)
    )
    worse, _, moved = gradients(model, tf.constant(strength * vector_norms * uphill * IS_WORD / slopes))
    assert worse > loss + 1e-4
    model.train_on_batch(X, Y)
    for old, one, other, new in zip(before, plain, moved, values(model.trainable_variables), strict=True):
        np.testing.assert_allclose(old - one - other, new, atol=1e-5)


def test_loss_and_metrics_are_those_of_the_unchanged_examples_by_their_number() -> None:
    model = build(keras.optimizers.SGD(0.0))
    logits = np.asarray(model(X))
    history = model.fit(X, Y, batch_size=3, shuffle=False, verbose=0).history
    expected = np.logaddexp(0, np.where(Y == 1, -logits, logits)).mean()
    assert history["loss"] == [pytest.approx(expected, abs=1e-6)]
    assert history["accuracy"] == [pytest.approx(((logits > 0) == Y).mean())]


@pytest.mark.parametrize("jit", [True, False])
def test_it_learns_compiled_by_xla_and_without(jit: bool) -> None:
    losses = build(keras.optimizers.Adam(0.05), jit=jit).fit(X, Y, batch_size=2, epochs=10, verbose=0).history["loss"]
    assert losses[-1] < 0.9 * losses[0]


def test_a_step_in_half_precision_scales_the_loss() -> None:
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        model = build(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)))
        model.train_on_batch(X, Y)
    finally:
        keras.mixed_precision.set_dtype_policy(before)
    assert all(np.isfinite(value).all() for value in values(model.trainable_variables))
    assert float(model.optimizer.inner_optimizer.iterations) == 1, "no overflow"


@pytest.mark.filterwarnings("ignore:Skipping variable loading")  # where no optimizer was saved
def test_it_is_saved_as_a_plain_model_with_or_without_its_optimizer(tmp_path: Path) -> None:
    model = build(keras.optimizers.Adam(0.05))
    model.train_on_batch(X, Y)
    model.save(tmp_path / "with.keras")
    model.optimizer = None
    model.save(tmp_path / "without.keras")
    assert (tmp_path / "without.keras").stat().st_size < (tmp_path / "with.keras").stat().st_size
    for name in ("with.keras", "without.keras"):
        loaded = keras.saving.load_model(tmp_path / name)
        assert type(loaded) is type(keras.Model(model.input, model.output))
        assert loaded.name == model.name
        np.testing.assert_allclose(np.asarray(loaded(X)), np.asarray(model(X)), atol=1e-6)
        assert set(loaded.evaluate(X, Y, verbose=0, return_dict=True)) == {"loss", "accuracy"}
    assert int(keras.saving.load_model(tmp_path / "with.keras").optimizer.iterations) == 1


def test_its_configuration_makes_the_same_model() -> None:
    model = build("sgd", strength=0.25)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(model))
    assert isinstance(again, AdversarialModel)
    assert again.strength == 0.25
    assert [weight.shape for weight in again.weights] == [weight.shape for weight in model.weights]


def test_another_backend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    words = keras.Input((3,))
    with pytest.raises(UsageError, match="expected the tensorflow backend, got jax; set KERAS_BACKEND=tensorflow"):
        AdversarialModel(words, words, strength=0.1)


def test_a_model_without_words_is_refused() -> None:
    x = keras.Input((3,))
    with pytest.raises(UsageError, match="expected a model with a WordEmbedding layer, got none"):
        AdversarialModel(x, keras.layers.Dense(1)(x), strength=0.1)
