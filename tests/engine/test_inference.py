"""Looking without a pipeline: what `Model.predict` says, in the order of the examples."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from lab.data.ragged import Ragged
from lab.engine import inference
from lab.engine.inference import predict
from lab.errors import UsageError
from lab.layers.lstm import is_large_batch_inference

X = np.random.default_rng(0).normal(size=(23, 4)).astype(np.float32)


def network(**compiled: Any) -> keras.Model:
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(5, "tanh"), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)]
    model = keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(3)])
    if compiled:
        model.compile("sgd", "mse", **compiled)
    return model


@pytest.mark.parametrize("size", [1, 7, 23, 1000])
@pytest.mark.parametrize(
    "compiled",
    [{}, {"jit_compile": True, "steps_per_execution": 16}, {"run_eagerly": True}],
    ids=["not compiled", "XLA, many steps", "eager"],
)
def test_it_says_what_predict_says(compiled: dict[str, Any], size: int) -> None:
    model = network(**compiled)
    assert predict(model, X, size) == pytest.approx(model.predict(X, verbose=0), abs=1e-6)


class Sums(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """Adds up words, and notes the shapes of what it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, int]] = []

    def call(self, words: Any) -> Any:
        if None not in words.shape:  # they are, while Keras looks at shapes alone
            self.seen.append(tuple(words.shape))
        return keras.ops.sum(words, axis=1, keepdims=True)


@pytest.mark.parametrize("each_shape", [False, True], ids=["any width", "each is compiled"])
def test_sequences_of_different_lengths_keep_their_order(monkeypatch: pytest.MonkeyPatch, each_shape: bool) -> None:
    rng = np.random.default_rng(1)
    texts = Ragged.of([rng.integers(1, 9, length) for length in rng.integers(1, 13, 40)], [6, 9, 12])
    sums = Sums()
    model = keras.Sequential([keras.Input((None,), dtype="int32"), sums])
    model.compile(run_eagerly=True)
    monkeypatch.setattr("lab.engine.inference._compiles_each_shape", lambda model: each_shape)
    sums.seen.clear()
    expected = [texts.tokens[start:][:length].sum() for start, length in zip(texts.starts, texts.lengths, strict=True)]
    assert predict(model, texts, 5)[:, 0].tolist() == expected
    by_length = np.sort(texts.lengths).reshape(-1, 5)
    narrowest = [(5, -(-int(batch.max()) // 3) * 3) for batch in by_length]
    assert {width for _, width in sums.seen} == ({6, 9, 12} if each_shape else {3, 6, 9, 12})
    assert sum(rows for rows, _ in sums.seen) == 40
    assert each_shape or sums.seen == narrowest


def test_where_each_shape_is_compiled_there_are_few() -> None:
    model = network()
    assert inference._compiles_each_shape(model) == (keras.backend.backend() != "tensorflow")
    model.compile("sgd", jit_compile=True)
    assert inference._compiles_each_shape(model)


def test_only_large_batches_use_the_layers_code_for_large_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.engine.inference._compiles_each_shape", lambda model: False)
    flags: list[bool] = []

    class Notes(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
        def call(self, x: Any) -> Any:
            flags.append(is_large_batch_inference())
            return x

    model = keras.Sequential([keras.Input((4,)), Notes()])
    model.compile(run_eagerly=True)
    flags.clear()
    predict(model, X)
    assert not any(flags)
    examples = np.repeat(X, 10, axis=0)
    predict(model, examples, 100)
    assert not any(flags), "the batches are small"
    flags.clear()
    assert np.array_equal(predict(model, examples, 200), examples)
    assert flags == [True, True], "the last batch uses the same code as the others"
    assert not is_large_batch_inference()
    monkeypatch.setattr("lab.engine.inference._compiles_each_shape", lambda model: True)
    flags.clear()
    predict(model, examples)
    assert flags == [False]


def test_no_examples_are_said() -> None:
    with pytest.raises(UsageError, match="got none"):
        predict(network(), X[:0])


def test_images_keep_shape_and_dtype() -> None:
    model = keras.Sequential([keras.Input((4, 4)), keras.layers.Reshape((2, 8))])
    found = predict(model, np.arange(48, dtype=np.float32).reshape(3, 4, 4), 2)
    assert found.shape == (3, 2, 8)
    assert found.dtype == np.float32
    assert found.ravel().tolist() == list(range(48))
