"""Layers for words: segments and pooling against plain NumPy, and saved models that contain words and classes."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab import layers
from lab.errors import DataError
from lab.layers.lstm import large_batch_inference

WORDS = ("good", "bad", "film", "!")


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# --- segments ---------------------------------------------------------------------------------------


def test_segments_are_the_layer_on_each_by_itself() -> None:
    inner = layers.Bidirectional(layers.LSTM(3, return_sequences=True))
    layer = layers.Segments(inner, 4)
    x = random(2, 12, 5)
    actual = np.asarray(layer(x))
    by_hand = np.concatenate([np.asarray(inner(x[:, start : start + 4])) for start in (0, 4, 8)], axis=1)
    assert actual.shape == (2, 12, 6) == layer.compute_output_shape(x.shape)
    np.testing.assert_allclose(actual, by_hand, atol=1e-6)
    assert not np.allclose(actual, np.asarray(inner(x)), atol=1e-3), "the state is reset after each segment"


def test_a_number_of_steps_that_is_no_multiple_is_refused() -> None:
    layer = layers.Segments(keras.layers.Dropout(0.5), 4)
    with pytest.raises(ValueError, match="expected steps in multiples of 4, got 6"):
        layer(random(2, 6, 5))  # 12 steps in all: three segments, of which one would be of both rows


def test_segments_pass_on_training() -> None:
    layer = layers.Segments(keras.layers.Dropout(0.5, seed=1), 2)
    x = np.ones((3, 8, 4), np.float32)
    assert np.array_equal(np.asarray(layer(x)), x)
    assert set(np.unique(np.asarray(layer(x, training=True)))) == {0.0, 2.0}


# --- pooling ----------------------------------------------------------------------------------------


@given(
    st.lists(st.lists(st.integers(0, 3), min_size=5, max_size=5), min_size=1, max_size=4),
    st.booleans(),
    st.integers(0, 99),
)
@settings(deadline=None, max_examples=60)
def test_pooling_sees_the_steps_that_have_a_word(rows: list[list[int]], many: bool, seed: int) -> None:
    x, words = random(len(rows), 5, 3, seed=seed) - 2, np.array(rows, np.int32)
    with large_batch_inference() if many else contextlib.nullcontext():
        actual = np.asarray(layers.MaxAndMean()([x, words]))
    assert actual.shape == (len(rows), 6)
    for mine, features, numbers in zip(actual, x, words, strict=True):
        kept = features[numbers != 0]
        expected = np.concatenate([kept.max(axis=0), kept.mean(axis=0)]) if len(kept) else np.zeros(6)
        np.testing.assert_allclose(mine, expected, atol=1e-6)


def test_only_large_batch_inference_takes_the_fast_path(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[bool] = []
    original, inputs = layers.MaxAndMean._at_once, [random(2, 5, 3), np.array([[1, 2, 0, 0, 0]] * 2, np.int32)]

    def recorded(*given: Any) -> Any:
        taken.append(True)
        return original(*given)

    monkeypatch.setattr(layers.MaxAndMean, "_at_once", recorded)
    layers.MaxAndMean()(inputs)
    with large_batch_inference():
        layers.MaxAndMean(dtype="mixed_bfloat16")(inputs)
        assert not taken
        layers.MaxAndMean()(inputs)
    assert len(taken) == 1


def test_pooling_reports_its_shape_and_works_in_half_precision() -> None:
    layer = layers.MaxAndMean(dtype="float16")
    assert layer.compute_output_shape(((None, 7, 3), (None, 7))) == (None, 6)
    for context in (contextlib.nullcontext(), large_batch_inference()):
        with context:
            actual = np.asarray(layer([np.full((1, 2, 3), -2, np.float16), np.array([[1, 0]], np.int32)]))
        assert actual.dtype == np.float16
        assert actual.tolist() == [[-2.0] * 6]


# --- models and files -------------------------------------------------------------------------------


def build() -> keras.Model:
    """A model of every layer for words."""
    keras.utils.set_random_seed(1)
    words = keras.Input((None,), dtype="int32")
    single = layers.WordEmbedding(WORDS, 4, max_words=8, cut="end", multiple=4)(words)
    x = keras.layers.Dropout(0.4, noise_shape=(None, None, 1))(single)
    x = layers.Segments(layers.Bidirectional(layers.LSTM(3, return_sequences=True)), 4)(x)
    x = layers.MaxAndMean()([x, words])
    return keras.Model(words, layers.Logit(("poor", "fine"), name="logit")(x))


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return build()


NUMBERS = np.array([[2, 3, 4, 5], [4, 0, 0, 0], [1, 1, 2, 0], [0, 0, 0, 0]], np.int32)


def test_wider_padding_does_not_change_the_output(model: keras.Model) -> None:
    logits = np.asarray(model(NUMBERS))
    assert np.ptp(logits) > 1e-3
    for width in (8, 20):
        wider = np.pad(NUMBERS, [(0, 0), (0, width - 4)])
        np.testing.assert_allclose(np.asarray(model(wider)), logits, atol=1e-6)


def test_a_saved_model_knows_its_words_and_classes(model: keras.Model, tmp_path: Path) -> None:
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for one, other in zip(model.layers, again.layers, strict=True):
        assert type(one) is type(other)
        assert json.dumps(one.get_config()) == json.dumps(other.get_config())
    np.testing.assert_allclose(np.asarray(again(NUMBERS)), np.asarray(model(NUMBERS)), atol=1e-6)
    (embedding,) = [layer for layer in again.layers if isinstance(layer, layers.WordEmbedding)]
    assert embedding.reader.vocabulary.words == WORDS
    assert (embedding.reader.max_words, embedding.reader.cut, embedding.reader.multiple) == (8, "end", 4)
    read = embedding.reader.read(["Good film!", "x"])
    assert read[np.arange(2)].tolist() == [[2, 4, 5, 0], [1, 0, 0, 0]]
    logit = again.get_layer("logit")
    assert logit.classes == ("poor", "fine")
    assert logit.compute_dtype == "float32"


def test_a_word_embedding_is_a_keras_embedding_with_a_row_for_each_number() -> None:
    layer = layers.WordEmbedding(WORDS, 3, max_words=8, cut="end", multiple=1, name="words")
    actual = np.asarray(layer(NUMBERS))
    table = np.asarray(layer.embeddings)
    assert table.shape == (len(WORDS) + 2, 3)
    assert np.array_equal(actual, table[NUMBERS])
    assert layer.name == "words"


def test_a_logit_stays_in_float32_whatever_the_policy() -> None:
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        layer = layers.Logit(("a", "b"))
        assert np.asarray(layer(random(2, 3))).dtype == np.float32
        assert layer.units == 1
    finally:
        keras.mixed_precision.set_dtype_policy(before)


def test_wrong_classes_and_cuts_are_refused() -> None:
    wrong: Any
    for wrong in (("a",), ("a", "b", "c")):
        with pytest.raises(ValueError, match="values to unpack"):
            layers.Logit(wrong)
    with pytest.raises(DataError, match="got 'front'"):
        layers.WordEmbedding(WORDS, 3, max_words=8, cut="front", multiple=1)
