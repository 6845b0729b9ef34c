"""The LSTM equals Keras's: results, gradients, masks, states and files, whatever the arguments."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from lab.layers.kernels import recurrence_tensorflow
from lab.layers.lstm import LSTM, large_batch_inference

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the gradients are taken by TensorFlow")

ROOT = Path(__file__).parents[2]
FLAGS = ("return_sequences", "return_state", "go_backwards", "use_bias", "zero_output_for_mask")


def pair(units: int, shape: tuple[int | None, ...], seed: int = 0, **options: Any) -> tuple[LSTM, keras.layers.LSTM]:
    """The layer of the lab and Keras's, with the same weights."""
    rng = np.random.default_rng(seed)
    ours, theirs = LSTM(units, **options), keras.layers.LSTM(units, **options)
    for layer in (ours, theirs):
        layer.build(shape)
    ours.set_weights([rng.normal(size=weight.shape) for weight in ours.get_weights()])
    theirs.set_weights(ours.get_weights())
    return ours, theirs


def flat(out: Any) -> list[Any]:
    return list(out) if isinstance(out, (list, tuple)) else [out]


def results(layer: Any, x: np.ndarray, state: list[np.ndarray] | None, mask: np.ndarray | None) -> list[np.ndarray]:
    """Every output, and the gradient of a sum over all of them by every weight, the inputs and the states."""
    given_x, given_state = tf.constant(x), None if state is None else [tf.constant(part) for part in state]
    with tf.GradientTape() as tape:
        tape.watch([given_x, *(given_state or [])])
        outputs = flat(layer(given_x, initial_state=given_state, mask=None if mask is None else tf.constant(mask)))
        total = sum(tf.reduce_sum(tf.sin(output * (place + 1))) for place, output in enumerate(outputs))
    sources = [weight.value for weight in layer.trainable_weights] + [given_x, *(given_state or [])]
    gradients = tape.gradient(total, sources, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return [np.asarray(tensor) for tensor in [*outputs, *gradients]]


def assert_close(ours: list[np.ndarray], theirs: list[np.ndarray], tolerance: float = 2e-5) -> None:
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.shape == other.shape
        np.testing.assert_allclose(mine, other, atol=tolerance * max(1.0, float(np.abs(other).max())))


@given(
    units=st.integers(1, 6),
    batch=st.integers(1, 4),
    steps=st.integers(1, 6),
    width=st.integers(1, 5),
    flags=st.lists(st.booleans(), min_size=5, max_size=5),
    masked=st.booleans(),
    begun=st.booleans(),
    many=st.booleans(),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=40, deadline=None)
def test_results_and_every_gradient_are_those_of_keras(
    units: int, batch: int, steps: int, width: int, flags: list[bool], masked: bool, begun: bool, many: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    ours, theirs = pair(units, (batch, steps, width), seed, **dict(zip(FLAGS, flags, strict=True)))
    assert ours.kernels() is recurrence_tensorflow
    x = rng.normal(size=(batch, steps, width)).astype(np.float32)
    state = [rng.normal(size=(batch, units)).astype(np.float32) for _ in range(2)] if begun else None
    mask = rng.random((batch, steps)) > 0.4 if masked else None
    with large_batch_inference() if many else contextlib.nullcontext():
        actual = results(ours, x, state, mask)
    assert_close(actual, results(theirs, x, state, mask))


def test_only_large_batch_inference_saves_nothing_for_a_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[bool] = []
    original, x = recurrence_tensorflow.infer, np.zeros((2, 3, 4), np.float32)

    def recorded(*arguments: Any) -> Any:
        taken.append(True)
        return original(*arguments)

    monkeypatch.setattr(recurrence_tensorflow, "infer", recorded)
    LSTM(2)(x)
    with large_batch_inference():
        LSTM(2)(x, training=True)
        LSTM(2)(x, mask=np.ones((2, 3), bool))
        LSTM(2, dtype="mixed_float16")(x)
        assert not taken
        LSTM(2)(x)
    assert len(taken) == 1
    LSTM(2)(x)
    assert len(taken) == 1


@pytest.mark.parametrize(
    ("shape", "compiled"),
    [((3, 7, 4), False), ((None, 7, 4), False), ((None, None, 4), False), ((3, 7, 4), True), ((None, 7, 4), True)],
    ids=str,
)
def test_large_batch_inference_gives_the_same_results(shape: tuple[int | None, ...], compiled: bool) -> None:
    for options in ({}, {"go_backwards": True}, {"use_bias": False}):
        ours, theirs = pair(5, (None, None, 4), return_sequences=True, return_state=True, **options)
        x = np.random.default_rng(1).normal(size=(3, 7, 4)).astype(np.float32)
        with large_batch_inference():
            function = tf.function(lambda x, layer=ours: layer(x), jit_compile=compiled, autograph=False)
            actual = function.get_concrete_function(tf.TensorSpec(shape))(tf.constant(x))
        assert_close([np.asarray(part) for part in actual], [np.asarray(part) for part in theirs(x)])


@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "XLA"])
@pytest.mark.parametrize("masked", [False, True])
def test_a_compiled_step_is_the_same(compiled: bool, masked: bool) -> None:
    rng = np.random.default_rng(0)
    ours, theirs = pair(5, (3, 7, 4), return_sequences=True, return_state=True)
    x = rng.normal(size=(3, 7, 4)).astype(np.float32)
    mask = rng.random((3, 7)) > 0.3 if masked else None

    @tf.function(jit_compile=compiled, autograph=False)  # type: ignore[untyped-decorator]
    def step(x: Any) -> Any:
        with tf.GradientTape() as tape:
            outputs = ours(x, mask=mask)
            total = sum(tf.reduce_sum(tf.sin(output * (place + 1))) for place, output in enumerate(outputs))
        return outputs, tape.gradient(total, [weight.value for weight in ours.trainable_weights])

    outputs, gradients = step(tf.constant(x))
    expected = results(theirs, x, None, mask)
    assert_close([np.asarray(part) for part in [*outputs, *gradients]], expected[: 3 + 3])


def test_unknown_batch_sizes_and_lengths_are_accepted() -> None:
    ours, theirs = pair(3, (None, None, 2), return_sequences=True)
    inputs = keras.Input((None, 2))
    model = keras.Model(inputs, ours(inputs))
    for batch, steps in ((2, 5), (4, 3)):
        x = np.random.default_rng(batch).normal(size=(batch, steps, 2)).astype(np.float32)
        np.testing.assert_allclose(model.predict(x, verbose=0), theirs(x), atol=1e-5)


def test_it_works_in_keras_s_bidirectional() -> None:
    x = np.random.default_rng(0).normal(size=(2, 6, 3)).astype(np.float32)
    ours = keras.layers.Bidirectional(LSTM(4, return_sequences=True))
    theirs = keras.layers.Bidirectional(keras.layers.LSTM(4, return_sequences=True))
    ours.build(x.shape)
    theirs.build(x.shape)
    theirs.set_weights(ours.get_weights())
    assert isinstance(ours.backward_layer, LSTM)
    np.testing.assert_allclose(ours(x), theirs(x), atol=1e-5)


def test_the_mask_of_an_embedding_is_used() -> None:
    symbols = np.array([[1, 2, 0, 0], [3, 0, 2, 1]], np.int32)
    embedding = keras.layers.Embedding(4, 3, mask_zero=True)
    ours, theirs = pair(2, (2, 4, 3))
    np.testing.assert_allclose(ours(embedding(symbols)), theirs(embedding(symbols)), atol=1e-6)


def test_dropout_drops_the_same_inputs_at_every_step_and_none_at_inference() -> None:
    layer = LSTM(4, dropout=0.5, return_sequences=True, seed=3)
    x = np.ones((200, 3, 10), np.float32)
    layer.build(x.shape)
    layer.cell.recurrent_kernel.assign(np.zeros((4, 16)))
    still = np.asarray(layer(x, training=False))
    np.testing.assert_allclose(still[0], still[1])
    moved = np.asarray(layer(x, training=True))
    kept = keras.layers.LSTM(4, dropout=0.5, return_sequences=True, seed=3)
    kept.build(x.shape)
    kept.set_weights(layer.get_weights())
    kept(x, training=False)  # Keras draws a mask here too
    np.testing.assert_allclose(moved, np.asarray(kept(x, training=True)), atol=1e-5)
    assert np.abs(moved - still).max() > 0.01


def test_half_precision_is_near_single_precision() -> None:
    x = np.random.default_rng(0).normal(size=(3, 20, 4)).astype(np.float32)
    full = LSTM(8, return_sequences=True)
    half = LSTM(8, return_sequences=True, dtype="mixed_bfloat16")
    full.build(x.shape)
    half.build(x.shape)
    half.set_weights(full.get_weights())
    out = half(x)
    assert keras.backend.standardize_dtype(out.dtype) == "bfloat16"
    np.testing.assert_allclose(np.asarray(ops.cast(out, "float32")), full(x), atol=0.02)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(tf.cast(half(x), tf.float32))
    for gradient in tape.gradient(total, [weight.value for weight in half.trainable_weights]):
        assert gradient.dtype == tf.float32
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    "options",
    [{"activation": "relu"}, {"recurrent_activation": "hard_sigmoid"}, {"recurrent_dropout": 0.2}, {"unroll": True}],
)
def test_keras_runs_what_the_layer_does_not_speed_up(options: dict[str, Any]) -> None:
    ours, theirs = pair(3, (2, 4, 2), **options)
    assert ours.kernels() is None
    x = np.random.default_rng(0).normal(size=(2, 4, 2)).astype(np.float32)
    np.testing.assert_allclose(ours(x), theirs(x), atol=1e-6)


# --- carried state ----------------------------------------------------------------------------------


def test_a_carried_state_continues_where_the_previous_batch_ended() -> None:
    ours, theirs = pair(3, (2, 8, 2), return_sequences=True)
    carrying = LSTM(3, return_sequences=True, stateful=True)
    carrying.build((None, None, 2))
    carrying.set_weights(ours.get_weights())
    x = np.random.default_rng(0).normal(size=(2, 8, 2)).astype(np.float32)
    parts = [np.asarray(carrying(x[:, start : start + 4])) for start in (0, 4)]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), theirs(x), atol=1e-5)
    carrying.reset_state()
    np.testing.assert_allclose(carrying(x[:, :4]), parts[0], atol=1e-6)


def test_the_carried_state_is_a_variable_of_the_model_but_not_of_its_file(tmp_path: Path) -> None:
    inputs = keras.Input((None, 2))
    model = keras.Sequential([inputs, LSTM(3, return_sequences=True, stateful=True)])
    x = np.random.default_rng(0).normal(size=(2, 4, 2)).astype(np.float32)
    model(x)
    carried = [variable for variable in model.non_trainable_variables if "carried" in variable.path]
    assert [tuple(variable.shape) for variable in carried] == [(2, 3), (2, 3)]
    assert np.abs(np.asarray(carried[0])).max() > 0
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(again.layers[-1], LSTM)
    fresh = LSTM(3, return_sequences=True)
    fresh.build(x.shape)
    fresh.set_weights([np.asarray(weight) for weight in model.trainable_variables])
    np.testing.assert_allclose(again(x), fresh(x), atol=1e-6)


def test_a_batch_of_another_size_starts_from_zeros_and_keeps_the_carried_state() -> None:
    layer = LSTM(3, stateful=True)
    layer.build((None, None, 2))
    x = np.random.default_rng(0).normal(size=(4, 5, 2)).astype(np.float32)
    layer(x)
    before = np.asarray(layer.states[0])
    alone = np.asarray(layer(x[:1]))
    np.testing.assert_array_equal(np.asarray(layer.states[0]), before)
    np.testing.assert_allclose(alone[0], before[0], atol=1e-6)  # the first batch started from zeros too
    assert layer.stateful


def test_the_configuration_restores_the_arguments(tmp_path: Path) -> None:
    layer = LSTM(5, return_sequences=True, go_backwards=True, dropout=0.1, use_bias=False, stateful=True)
    again = LSTM.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


# --- other backends ---------------------------------------------------------------------------------

AGAINST_KERAS = """
import numpy as np, keras, jax, jax.numpy as jnp
from lab.layers.kernels import recurrence_jax
from lab.layers.lstm import LSTM
rng = np.random.default_rng(0)
for masked in (False, True):
    for flags in ({}, {"go_backwards": True}, {"zero_output_for_mask": True, "use_bias": False}):
        layers = [kind(5, return_sequences=True, return_state=True, **flags) for kind in (LSTM, keras.layers.LSTM)]
        for layer in layers:
            layer.build((3, 6, 4))
        layers[0].set_weights([rng.normal(size=weight.shape) for weight in layers[0].get_weights()])
        layers[1].set_weights(layers[0].get_weights())
        assert layers[0].kernels() is recurrence_jax
        x = rng.normal(size=(3, 6, 4)).astype("float32")
        state = [rng.normal(size=(3, 5)).astype("float32") for _ in range(2)]
        mask = jnp.asarray(rng.random((3, 6)) > 0.4) if masked else None
        def total(weights, x, state, layer):
            fixed = [variable.value for variable in layer.non_trainable_variables]
            outputs, _ = layer.stateless_call(weights, fixed, x, initial_state=state, mask=mask)
            return sum(jnp.sum(jnp.sin(out * (place + 1))) for place, out in enumerate(outputs)), outputs
        actual = []
        for layer in layers:
            weights = [variable.value for variable in layer.trainable_variables]
            actual.append(jax.tree.leaves(jax.value_and_grad(total, (0, 1, 2), has_aux=True)(weights, x, state, layer)))
        for mine, other in zip(*actual, strict=True):
            np.testing.assert_allclose(mine, other, atol=2e-5 * max(1, float(np.abs(other).max())))
print("equal")
"""


def test_jax_gives_what_keras_gives_on_jax() -> None:
    done = subprocess.run(
        [sys.executable, "-c", AGAINST_KERAS],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": "jax"},
        check=False,
    )
    if "No module named 'jax'" in done.stderr:
        pytest.skip("JAX is not installed")
    assert done.stdout.strip().endswith("equal"), done.stderr
