"""Both directions in one loop give what Keras's two give: results, gradients, masks, files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.layers import LSTM, Bidirectional, recurrence_tensorflow
from lab.layers.lstm import many_rows
from tests.layers.test_lstm import assert_alike, results

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the gradients are taken by TensorFlow")

MERGES = ("concat", "sum", "ave", "mul", None)


def pair(units: int, features: int, merge: str | None = "concat", seed: int = 0, **options: Any) -> tuple[Any, Any]:
    """The layer and Keras's around Keras's LSTM, with the same weights."""
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
    """How many LSTMs each loop runs."""
    found: list[int] = []
    usual = recurrence_tensorflow.recurrences

    def noted(runs: Any, keep: Any = None) -> Any:
        found.append(len(runs))
        return usual(runs, keep)

    monkeypatch.setattr(recurrence_tensorflow, "recurrences", noted)
    return found


@given(
    units=st.integers(1, 5),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 4)),
    merge=st.sampled_from(MERGES),
    sequences=st.booleans(),
    use_bias=st.booleans(),
    masked=st.booleans(),
    begun=st.booleans(),
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
    begun: bool,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    ours, theirs = pair(units, shape[2], merge, seed, return_sequences=sequences, use_bias=use_bias)
    x = rng.normal(size=shape).astype(np.float32)
    state = [rng.normal(size=(shape[0], units)).astype(np.float32) for _ in range(4)] if begun else None
    mask = rng.random(shape[:2]) > 0.4 if masked else None
    assert_alike(results(ours, x, state, mask), results(theirs, x, state, mask))


@pytest.mark.parametrize("shape", [(3, 7, 4), (None, 7, 4), (None, None, 4)], ids=str)
@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "XLA"])
def test_a_compiled_step_is_the_same(shape: tuple[int | None, ...], compiled: bool, loops: list[int]) -> None:
    ours, theirs = pair(5, 4, return_sequences=True)
    x = np.random.default_rng(1).normal(size=(3, 7, 4)).astype(np.float32)

    def step(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            found = ours(x)
            total = tf.reduce_sum(tf.sin(found))
        return [found, *tape.gradient(total, [weight.value for weight in ours.trainable_weights] + [x])]

    made = tf.function(step, jit_compile=compiled, autograph=False)
    found = made.get_concrete_function(tf.TensorSpec(shape))(tf.constant(x))
    assert loops == [2]
    assert_alike([np.asarray(part) for part in found], results(theirs, x, None, None))


def test_one_loop_runs_both_directions_where_nothing_else_is_asked_for(loops: list[int]) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    Bidirectional(LSTM(2))(x)
    Bidirectional(LSTM(2), backward_layer=LSTM(3, go_backwards=True))(x)
    assert loops == [2, 2]
    for other in (
        Bidirectional(keras.layers.LSTM(2)),
        Bidirectional(keras.layers.GRU(2)),
        Bidirectional(LSTM(2, go_backwards=True), backward_layer=LSTM(2)),
        Bidirectional(LSTM(2, return_state=True)),
        Bidirectional(LSTM(2, dropout=0.5)),
        Bidirectional(LSTM(2, activation="relu")),
        Bidirectional(LSTM(2, stateful=True)),
    ):
        other(x)
    with many_rows():
        Bidirectional(LSTM(2))(x)
    assert set(loops[2:]) <= {1}


def test_a_carried_state_and_one_that_is_returned_are_those_of_keras() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    for options in ({"return_state": True}, {"stateful": True, "return_sequences": True}):
        ours = Bidirectional(LSTM(3, **options))
        theirs = keras.layers.Bidirectional(LSTM(3, **options))
        for layer in (ours, theirs):
            layer(x)
        theirs.set_weights(ours.get_weights())
        found, wanted = (tf.nest.flatten(layer(x)) for layer in (ours, theirs))
        assert_alike([np.asarray(part) for part in found], [np.asarray(part) for part in wanted])


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_half_precision_has_the_dtype_and_nearly_the_results_of_keras(policy: str) -> None:
    ours, theirs = pair(6, 4, return_sequences=True, dtype=policy)
    x = np.random.default_rng(0).normal(size=(2, 9, 4)).astype(np.float32)
    found, wanted = ours(x), theirs(x)
    assert found.dtype == wanted.dtype
    np.testing.assert_allclose(tf.cast(found, tf.float32), tf.cast(wanted, tf.float32), atol=0.05)


def test_it_comes_back_from_its_file_and_reads_that_of_two_loops(tmp_path: Path) -> None:
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
