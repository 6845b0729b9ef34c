"""Both directions in one loop equal Keras's two loops: results, gradients, masks, files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.data import Split
from lab.data.ragged import Buckets, Ragged
from lab.engine.loop import fit
from lab.layers import LSTM, Bidirectional, Segments
from lab.layers.kernels import recurrence_tensorflow, stacked_tensorflow
from lab.layers.lstm import large_batch_inference
from tests.layers.test_lstm import assert_close, results

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the gradients are taken by TensorFlow")

MERGES = ("concat", "sum", "ave", "mul", None)


def pair(units: int, features: int, merge: str | None = "concat", seed: int = 0, **options: Any) -> tuple[Any, Any]:
    """The layer of the lab and Keras's around Keras's LSTM, with the same weights."""
    rng = np.random.default_rng(seed)
    ours = Bidirectional(LSTM(units, **options), merge_mode=merge)
    theirs = keras.layers.Bidirectional(keras.layers.LSTM(units, **options), merge_mode=merge)
    for layer in (ours, theirs):
        layer.build((None, None, features))
    ours.set_weights([rng.normal(size=weight.shape) for weight in ours.get_weights()])
    theirs.set_weights(ours.get_weights())
    return ours, theirs


@pytest.fixture
def loops(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of LSTMs in each loop that runs."""
    counts: list[int] = []
    original = recurrence_tensorflow.side_by_side

    def recorded(several: Any, keep: Any = None) -> Any:
        counts.append(len(several))
        return original(several, keep)

    monkeypatch.setattr(recurrence_tensorflow, "side_by_side", recorded)
    return counts


@given(
    units=st.integers(1, 5),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 4)),
    merge=st.sampled_from(MERGES),
    sequences=st.booleans(),
    use_bias=st.booleans(),
    masked=st.booleans(),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=40, deadline=None)
def test_results_and_every_gradient_are_those_of_keras(
    units: int,
    shape: tuple[int, int, int],
    merge: str | None,
    sequences: bool,
    use_bias: bool,
    masked: bool,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    ours, theirs = pair(units, shape[2], merge, seed, return_sequences=sequences, use_bias=use_bias)
    x = rng.normal(size=shape).astype(np.float32)
    mask = rng.random(shape[:2]) > 0.4 if masked else None
    assert_close(results(ours, x, None, mask), results(theirs, x, None, mask))


@pytest.mark.parametrize("shape", [(3, 7, 4), (None, 7, 4), (None, None, 4)], ids=str)
@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "XLA"])
@pytest.mark.parametrize("masked", [False, True], ids=["unmasked", "masked"])
def test_a_compiled_step_is_the_same(
    shape: tuple[int | None, ...], compiled: bool, masked: bool, loops: list[int]
) -> None:
    ours, theirs = pair(5, 4, return_sequences=True)
    x = np.random.default_rng(1).normal(size=(3, 7, 4)).astype(np.float32)
    mask = x[:, :, 0] > -0.5 if masked else None

    def step(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            actual = ours(x, mask=x[:, :, 0] > -0.5 if masked else None)
            total = tf.reduce_sum(tf.sin(actual))
        return [actual, *tape.gradient(total, [weight.value for weight in ours.trainable_weights] + [x])]

    function = tf.function(step, jit_compile=compiled, autograph=False)
    actual = function.get_concrete_function(tf.TensorSpec(shape))(tf.constant(x))
    assert loops == [2]
    assert_close([np.asarray(part) for part in actual], results(theirs, x, None, mask))


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of stacked inputs; two rows are enough for stacking."""
    shapes: list[tuple[int, ...]] = []
    original = stacked_tensorflow.stacked

    def recorded(x: Any, weights: Any, bias: Any) -> Any:
        shapes.append(tuple(x.shape))
        return original(x, weights, bias)

    monkeypatch.setattr(stacked_tensorflow, "stacked", recorded)
    monkeypatch.setattr(stacked_tensorflow, "MIN_ROWS", 2)
    return shapes


@given(
    units=st.integers(1, 5),
    shape=st.tuples(st.integers(2, 4), st.integers(1, 6), st.integers(1, 4)),
    merge=st.sampled_from(MERGES),
    sequences=st.booleans(),
    use_bias=st.booleans(),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_many_rows_have_the_results_and_every_gradient_of_keras(
    units: int,
    shape: tuple[int, int, int],
    merge: str | None,
    sequences: bool,
    use_bias: bool,
    seed: int,
    many: list[tuple[int, ...]],
) -> None:
    ours, theirs = pair(units, shape[2], merge, seed, return_sequences=sequences, use_bias=use_bias)
    x = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    many.clear()
    assert_close(results(ours, x, None, None), results(theirs, x, None, None))
    assert set(many) == {(shape[1], 2, shape[0], shape[2])}


@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "XLA"])
def test_a_compiled_step_of_many_rows_is_the_same(compiled: bool, many: list[tuple[int, ...]]) -> None:
    ours, theirs = pair(5, 4, return_sequences=True)
    x = np.random.default_rng(1).normal(size=(3, 7, 4)).astype(np.float32)

    @tf.function(jit_compile=compiled)  # type: ignore[untyped-decorator]
    def step(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            actual = ours(x)
            total = tf.reduce_sum(tf.sin(actual))
        return [actual, *tape.gradient(total, [weight.value for weight in ours.trainable_weights] + [x])]

    actual = step(tf.constant(x))
    assert many == [(7, 2, 3, 4)]
    assert_close([np.asarray(part) for part in actual], results(theirs, x, None, None))


def test_rows_are_stacked_if_their_number_is_known_and_no_other_option_is_set(many: list[tuple[int, ...]]) -> None:
    x = np.zeros((2, 3, 4), np.float32)
    Bidirectional(LSTM(2))(x)
    assert many == [(3, 2, 2, 4)]
    many.clear()
    built = Bidirectional(LSTM(2))
    built(x[:1])
    Bidirectional(LSTM(2))(x, mask=np.ones((2, 3), bool))
    Bidirectional(LSTM(2), backward_layer=LSTM(3, go_backwards=True))(x)
    for layer, shape in (
        (Bidirectional(LSTM(2)), (None, 3, 4)),
        (Bidirectional(LSTM(2)), (2, None, 4)),
        (built, (2, 3, None)),
        (Bidirectional(LSTM(2), dtype="mixed_bfloat16"), (2, 3, 4)),
    ):
        tf.function(layer, autograph=False).get_concrete_function(tf.TensorSpec(shape))
    assert many == []


def test_many_rows_of_integers_are_stacked(many: list[tuple[int, ...]]) -> None:
    ours, theirs = pair(2, 4)
    x = np.eye(4, dtype=np.int32)[None].repeat(3, 0)
    assert_close([np.asarray(ours(x))], [np.asarray(theirs(x))])
    assert many == [(4, 2, 3, 4)]


def test_the_number_of_rows_is_known_in_training(many: list[tuple[int, ...]]) -> None:
    words = keras.Input((None,), dtype="int32")
    x = Segments(Bidirectional(LSTM(2, return_sequences=True)), 2)(keras.layers.Embedding(5, 3)(words))
    model = keras.Model(words, keras.layers.Dense(1)(keras.layers.GlobalAveragePooling1D()(x)))
    model.compile("sgd", "mse", jit_compile=True)
    texts = Ragged.of([np.ones(length, np.int32) for length in (1, 2, 2, 3, 4)], (2, 4))
    train = Buckets(Split("train", texts, np.zeros((5, 1), np.float32)), 2)
    fit(model, train, train)
    assert {shape for shape in many if None not in shape} >= {(2, 2, 2, 3), (2, 2, 4, 3)}


@keras.saving.register_keras_serializable("tests")
class Shouts(LSTM):
    """A user's subclass of the LSTM."""

    def inner_loop(self, sequences: Any, initial_state: Any, mask: Any, training: bool = False) -> Any:
        last, outputs, states = super().inner_loop(sequences, initial_state, mask, training)
        return last + 100, outputs + 100, states


def test_one_loop_runs_both_directions_if_no_other_option_is_set(loops: list[int]) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    Bidirectional(LSTM(2))(x)
    Bidirectional(LSTM(2), backward_layer=LSTM(3, go_backwards=True))(x)
    assert loops == [2, 2]
    loops.clear()
    for other in (
        Bidirectional(LSTM(2, go_backwards=True), backward_layer=LSTM(2)),
        Bidirectional(LSTM(2, return_state=True)),
        Bidirectional(LSTM(2, dropout=0.5)),
        Bidirectional(LSTM(2, stateful=True)),
        Bidirectional(LSTM(2, activity_regularizer="l2")),
        Bidirectional(LSTM(2, dtype="mixed_bfloat16")),
        Bidirectional(Shouts(2)),
    ):
        loops.clear()
        other(x)
        assert loops == [1, 1], other.get_config()
    loops.clear()
    for other in (keras.layers.LSTM(2), keras.layers.GRU(2), LSTM(2, activation="relu")):
        Bidirectional(other)(x)
    Bidirectional(LSTM(2))(x, initial_state=[np.zeros((2, 2), np.float32)] * 4)
    with large_batch_inference():
        Bidirectional(LSTM(2))(x)
    assert loops == [1, 1]  # for the initial state


@pytest.mark.parametrize(
    "options",
    [
        {"return_state": True},
        {"stateful": True, "return_sequences": True},
        {"activity_regularizer": "l2"},
        {"dropout": 0.5},
    ],
    ids=str,
)
def test_other_options_give_the_results_of_keras(options: dict[str, Any]) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    ours = Bidirectional(LSTM(3, **options))
    theirs = keras.layers.Bidirectional(keras.layers.LSTM(3, **options))
    if options.get("stateful"):
        ours.build(x.shape)
        theirs.build(x.shape)
    for layer in (ours, theirs):
        layer(x)
    for mine, other in zip(ours.trainable_weights, theirs.trainable_weights, strict=True):
        other.assign(mine)
    for layer in (ours, theirs):
        if layer.stateful:
            layer.reset_state()
    for _ in range(2):  # the second call shows a carried state
        actual, expected = (tf.nest.flatten(layer(x)) for layer in (ours, theirs))
        assert_close([np.asarray(part) for part in actual], [np.asarray(part) for part in expected])
    assert_close([np.asarray(one) for one in ours.losses], [np.asarray(one) for one in theirs.losses])
    assert len(ours.losses) == 2 * ("activity_regularizer" in options)


def test_a_subclass_of_the_lstm_is_used() -> None:
    assert np.min(Bidirectional(Shouts(2))(np.zeros((2, 3, 4), np.float32))) > 50


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "float64"])
def test_other_precisions_have_the_dtypes_and_nearly_the_results_of_keras(policy: str, loops: list[int]) -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        ours, theirs = pair(6, 4, return_sequences=True)
    finally:
        keras.config.set_dtype_policy(before)
    x = np.random.default_rng(0).normal(size=(2, 9, 4)).astype(np.float32)
    outputs = []
    for layer in (ours, theirs):
        with tf.GradientTape() as tape:
            out = layer(x)
            total = tf.reduce_sum(tf.cast(out, tf.float32))
        outputs.append([out, *tape.gradient(total, [weight.value for weight in layer.trainable_weights])])
    assert loops == [2]
    for mine, other in zip(*outputs, strict=True):
        assert mine.dtype == other.dtype
        scale = max(1.0, float(np.abs(np.asarray(tf.cast(other, tf.float32))).max()))
        np.testing.assert_allclose(tf.cast(mine, tf.float32), tf.cast(other, tf.float32), atol=0.05 * scale)


def test_the_weights_of_a_float32_lstm_are_not_rounded_in_a_bfloat16_wrapper() -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        ours, theirs = (
            kind(inner(6, dtype="float32"))
            for kind, inner in ((Bidirectional, LSTM), (keras.layers.Bidirectional, keras.layers.LSTM))
        )
    finally:
        keras.config.set_dtype_policy(before)
    x = np.random.default_rng(0).normal(size=(2, 9, 4)).astype(np.float32)
    for layer in (ours, theirs):
        layer.build(x.shape)
    theirs.set_weights(ours.get_weights())
    np.testing.assert_allclose(tf.cast(ours(x), tf.float32), tf.cast(theirs(x), tf.float32), atol=1e-6)


def test_it_is_restored_from_its_file_and_reads_the_weights_of_keras_s_layer(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    inputs = keras.Input((None, 4))
    models = [
        keras.Model(inputs, kind(LSTM(3, return_sequences=True))(inputs))
        for kind in (Bidirectional, keras.layers.Bidirectional)
    ]
    for model in models:
        model.save(tmp_path / "model.keras")
        back = keras.models.load_model(tmp_path / "model.keras")
        assert type(back.layers[-1]) is type(model.layers[-1])
        np.testing.assert_array_equal(back(x), model(x))
    models[1].save_weights(tmp_path / "all.weights.h5")
    models[0].load_weights(tmp_path / "all.weights.h5")
    np.testing.assert_allclose(models[0](x), models[1](x), atol=1e-6)
