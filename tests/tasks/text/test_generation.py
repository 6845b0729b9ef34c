"""Writing step by step: it reads what the model reads, and draws what the distribution says."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from scipy import stats

import lab
from lab.data.io.text import Vocabulary
from lab.errors import ModelError, UsageError
from lab.tasks.text.generation import CHUNK, Generator, Sampling, Steps, chain, join
from lab.tasks.text.scores import written

VOCABULARY = Vocabulary("\n abcdefghij")
SIZE = len(VOCABULARY)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    symbols = keras.Input((None,), dtype="int32")
    x = lab.layers.CharacterEmbedding(VOCABULARY.characters, 6)(symbols)
    x = keras.layers.SpatialDropout1D(0.5)(x)
    x = lab.layers.LSTM(8, return_sequences=True, stateful=True)(x)
    x = keras.layers.GRU(7, return_sequences=True)(x)
    x = keras.layers.Dropout(0.5)(x)
    made = keras.Model(symbols, keras.layers.Dense(SIZE, name="logits")(x))
    made.set_weights([3 * weight for weight in made.get_weights()])  # so that symbols differ in likelihood
    return made


def written_by(model: keras.Model, length: int, rows: int = 1, **sampling: Any) -> Steps:
    """What is written after an `a`."""
    generator = Generator(model, rows, never=[0])
    generator.read(np.full((rows, 1), 3))
    return join(list(generator.write(length, Sampling(**sampling))))


def log_softmax(model: keras.Model, symbols: np.ndarray) -> np.ndarray:
    model.get_layer(index=3).reset_state()  # whichever test came before
    logits = np.asarray(model.predict(symbols, verbose=0), np.float64)
    return np.asarray(logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True)))


def test_reading_step_by_step_is_reading_at_once(model: keras.Model) -> None:
    symbols = np.random.default_rng(0).integers(0, SIZE, (3, CHUNK + 9))
    expected = log_softmax(model, symbols)
    read = Generator(model, 3).read(symbols, cells=True, probabilities=True)
    of_each = np.take_along_axis(expected[:, :-1], symbols[:, 1:, None], axis=2)[..., 0]
    np.testing.assert_allclose(read.log_probability[:, 1:], of_each, atol=1e-4)
    np.testing.assert_allclose(read.entropy[:, 1:], -(np.exp(expected) * expected).sum(axis=2)[:, :-1], atol=1e-4)
    assert read.probabilities is not None
    np.testing.assert_allclose(read.probabilities[:, 1:], np.exp(expected[:, :-1]), atol=1e-4)
    np.testing.assert_array_equal(read.symbols, symbols)
    assert read.cells is not None
    assert read.cells.shape == (3, CHUNK + 9, 7)


@pytest.mark.parametrize("kind", ["LSTM without bias", "GRU", "layers before", "SimpleRNN"])
def test_any_chain_reads_as_the_model_does_and_sees_its_weights_change(kind: str) -> None:
    keras.utils.set_random_seed(1)
    layers = keras.layers
    recurrent = {
        "LSTM without bias": [layers.LSTM(5, use_bias=False, activation="softsign", return_sequences=True)],
        "GRU": [layers.GRU(5, return_sequences=True), layers.LSTM(4, return_sequences=True)],
        "layers before": [layers.Dense(9, "tanh"), layers.LayerNormalization(), layers.LSTM(5, return_sequences=True)],
        "SimpleRNN": [layers.SimpleRNN(5, return_sequences=True)],
    }[kind]
    made = keras.Sequential(
        [keras.Input((None,), dtype="int32"), layers.Embedding(SIZE, 6), *recurrent, layers.Dense(SIZE)]
    )
    symbols = np.random.default_rng(0).integers(0, SIZE, (2, 12))
    generator = Generator(made, 2)
    for _ in range(2):
        logits = np.asarray(made.predict(symbols, verbose=0), np.float64)
        expected = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        of_each = np.take_along_axis(expected[:, :-1], symbols[:, 1:, None], axis=2)[..., 0]
        generator.reset()
        np.testing.assert_allclose(generator.read(symbols).log_probability[:, 1:], of_each, atol=1e-4)
        made.set_weights([weight + 0.3 for weight in made.get_weights()])


def test_reading_in_two_parts_is_reading_in_one(model: keras.Model) -> None:
    symbols = np.random.default_rng(1).integers(0, SIZE, (2, 20))
    whole = Generator(model, 2).read(symbols)
    generator = Generator(model, 2)
    parts = join([generator.read(symbols[:, :7]), generator.read(symbols[:, 7:])])
    np.testing.assert_allclose(parts.log_probability, whole.log_probability, atol=1e-6)
    generator.reset()
    again = generator.read(symbols)
    np.testing.assert_array_equal(again.log_probability, whole.log_probability)


def test_what_is_drawn_follows_softmax(model: keras.Model) -> None:
    rows, start = 4000, np.array([3, 5, 4])
    generator = Generator(model, rows)
    generator.read(np.tile(start, (rows, 1)))
    (steps,) = generator.write(1, Sampling(0.7, seed=5))
    heated = log_softmax(model, start[None])[0, -1] / 0.7
    expected = np.exp(heated) / np.exp(heated).sum()
    counts = np.bincount(steps.symbols[:, 0], minlength=SIZE)
    likely = expected * rows >= 5
    folded = [*counts[likely], counts[~likely].sum()], [*expected[likely] * rows, expected[~likely].sum() * rows]
    if folded[1][-1] < 5:
        folded = [*folded[0][:-2], sum(folded[0][-2:])], [*folded[1][:-2], sum(folded[1][-2:])]
    assert likely.sum() >= 4
    assert stats.chisquare(*folded).pvalue > 1e-3


def test_top_k_and_top_p_keep_the_likeliest_and_their_odds(model: keras.Model) -> None:
    rows, start = 3000, np.array([3, 5, 4])
    expected = np.exp(log_softmax(model, start[None])[0, -1])
    order = np.argsort(-expected)
    for sampling, kept in (
        (Sampling(top_k=3), order[:3]),
        (Sampling(top_p=0.6), order[: int(np.searchsorted(np.cumsum(expected[order]), 0.6)) + 1]),
        (Sampling(top_k=2, top_p=0.99999), order[:2]),
        (Sampling(top_p=1e-9), order[:1]),
    ):
        generator = Generator(model, rows)
        generator.read(np.tile(start, (rows, 1)))
        (steps,) = generator.write(1, sampling)
        counts = np.bincount(steps.symbols[:, 0], minlength=SIZE)
        assert set(np.flatnonzero(counts)) == set(kept)
        odds = expected[kept] / expected[kept].sum()
        if len(kept) > 1:
            assert stats.chisquare(counts[kept], odds * rows).pvalue > 1e-3
        np.testing.assert_allclose(steps.entropy[:, 0], -(odds * np.log(odds)).sum(), atol=1e-4)


def test_temperature_0_takes_the_likeliest_and_is_the_limit_of_low_temperatures(model: keras.Model) -> None:
    greedy = written_by(model, 40, temperature=0, seed=1)
    symbols = greedy.symbols[0]
    likeliest = log_softmax(model, np.array([[3, *symbols]]))[0, :-1]
    likeliest[:, 0] = -np.inf  # the unknown symbol is never written
    np.testing.assert_array_equal(symbols, likeliest.argmax(axis=1))
    np.testing.assert_array_equal(greedy.symbols, written_by(model, 40, temperature=1e-4, seed=2).symbols)
    assert (greedy.entropy == 0).all()


def test_a_very_high_temperature_draws_all_alike(model: keras.Model) -> None:
    steps = written_by(model, 5, rows=1000, temperature=1e4)
    counts = np.bincount(steps.symbols.ravel(), minlength=SIZE)
    assert counts[0] == 0
    assert stats.chisquare(counts[1:]).pvalue > 1e-3
    np.testing.assert_allclose(steps.entropy, np.log(SIZE - 1), atol=1e-3)


def test_the_same_seed_writes_the_same_and_another_does_not(model: keras.Model) -> None:
    first = written_by(model, 100, seed=7).symbols
    np.testing.assert_array_equal(first, written_by(model, 100, seed=7).symbols)
    assert (first != written_by(model, 100, seed=8).symbols).any()


def test_each_row_may_have_a_temperature_of_its_own(model: keras.Model) -> None:
    steps = written_by(model, 30, rows=3, temperature=(0.0, 0.5, 50.0))
    np.testing.assert_array_equal(steps.symbols[0], written_by(model, 30, temperature=0).symbols[0])
    assert steps.entropy[1].mean() < steps.entropy[2].mean()


def test_text_comes_as_it_is_written(model: keras.Model) -> None:
    parts = list(Generator(model, 2).write(CHUNK + 3, Sampling()))
    assert [part.symbols.shape for part in parts] == [(2, CHUNK), (2, 3)]
    assert [len(text) for text in written(VOCABULARY, join(parts).symbols)] == [CHUNK + 3] * 2
    assert list(Generator(model).write(0, Sampling())) == []


def test_the_model_s_own_carried_state_is_left_alone(model: keras.Model) -> None:
    model(np.ones((2, 3), np.int32))
    layer = next(layer for layer in model.layers if isinstance(layer, lab.layers.LSTM))
    before = np.asarray(layer.states[0])
    written_by(model, 10, rows=2)
    np.testing.assert_array_equal(np.asarray(layer.states[0]), before)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"temperature": -1}, "temperature=-1: expected numbers of 0 or more"),
        ({"temperature": float("nan")}, "temperature=nan: expected numbers of 0 or more"),
        ({"top_k": 0}, "top_k=0: expected a whole number of 1 or more"),
        ({"top_p": 0.0}, "top_p=0.0: expected a number above 0, at most 1"),
        ({"top_p": 1.5}, "top_p=1.5: expected a number above 0, at most 1"),
        ({"seed": -1}, "seed=-1: expected a whole number from 0 to 2**64 - 1"),
    ],
)
def test_a_wrong_choice_is_one_line(values: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        Sampling(**values)
    assert str(caught.value) == said


def test_a_wrong_length_is_one_line(model: keras.Model) -> None:
    with pytest.raises(UsageError, match="length=-1: expected a whole number of 0 or more"):
        list(Generator(model).write(-1, Sampling()))


def test_a_model_that_is_no_chain_is_refused() -> None:
    inputs = keras.Input((4,))
    with pytest.raises(ModelError, match="one sequence of symbols in and logits for each step out"):
        chain(keras.Model(inputs, keras.layers.Dense(3)(inputs)))
    symbols = keras.Input((None,), dtype="int32")
    with pytest.raises(ModelError, match="recurrent layers and layers for each step, got Embedding, Dense"):
        chain(keras.Model(symbols, keras.layers.Dense(5)(keras.layers.Embedding(5, 3)(symbols))))
