"""Generation: a text is read as the model reads it, and symbols are drawn from the right distribution."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from scipy import stats

import lab
from lab.data.io.text import Vocabulary
from lab.errors import UsageError
from lab.tasks.text.generation import CHUNK, Generator, Sampling, Steps, join

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
    model = keras.Model(symbols, keras.layers.Dense(SIZE, name="logits")(x))
    model.set_weights([3 * weight for weight in model.get_weights()])  # so that symbols differ in probability
    return model


class Writer:
    """Writes after an `a`; generators are kept, since each compiles its loop."""

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self.generators: dict[int, Generator] = {}

    def __call__(self, length: int, rows: int = 1, **sampling: Any) -> Steps:
        if rows not in self.generators:
            self.generators[rows] = Generator(self.model, rows, never=[0])
        generator = self.generators[rows]
        generator.reset()
        generator.read(np.full((rows, 1), 3))
        return join(list(generator.write(length, Sampling(**sampling))))


@pytest.fixture(scope="module")
def write(model: keras.Model) -> Writer:
    return Writer(model)


def log_softmax(model: keras.Model, symbols: np.ndarray) -> np.ndarray:
    model.get_layer(index=3).reset_state()  # an earlier test may have left one
    logits = np.asarray(model.predict(symbols, verbose=0), np.float64)
    return np.asarray(logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True)))


def test_reading_step_by_step_equals_one_call_of_the_model(model: keras.Model) -> None:
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


def test_reading_in_two_parts_equals_reading_at_once(model: keras.Model) -> None:
    symbols = np.random.default_rng(1).integers(0, SIZE, (2, 20))
    at_once = Generator(model, 2).read(symbols)
    generator = Generator(model, 2)
    parts = join([generator.read(symbols[:, :7]), generator.read(symbols[:, 7:])])
    np.testing.assert_allclose(parts.log_probability, at_once.log_probability, atol=1e-6)
    generator.reset()
    again = generator.read(symbols)
    np.testing.assert_array_equal(again.log_probability, at_once.log_probability)


def test_symbols_are_drawn_from_the_softmax(model: keras.Model) -> None:
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


def test_top_k_and_top_p_keep_the_most_likely_symbols_and_their_odds(model: keras.Model) -> None:
    rows, start = 3000, np.array([3, 5, 4])
    expected = np.exp(log_softmax(model, start[None])[0, -1])
    order = np.argsort(-expected)
    generator = Generator(model, rows)
    for sampling, kept in (
        (Sampling(top_k=3), order[:3]),
        (Sampling(top_p=0.6), order[: int(np.searchsorted(np.cumsum(expected[order]), 0.6)) + 1]),
        (Sampling(top_k=2, top_p=0.99999), order[:2]),
        (Sampling(top_p=1e-9), order[:1]),
    ):
        generator.reset()
        generator.read(np.tile(start, (rows, 1)))
        (steps,) = generator.write(1, sampling)
        counts = np.bincount(steps.symbols[:, 0], minlength=SIZE)
        assert set(np.flatnonzero(counts)) == set(kept)
        odds = expected[kept] / expected[kept].sum()
        if len(kept) > 1:
            assert stats.chisquare(counts[kept], odds * rows).pvalue > 1e-3
        np.testing.assert_allclose(steps.entropy[:, 0], -(odds * np.log(odds)).sum(), atol=1e-4)


def test_temperature_0_takes_the_most_likely_symbol_like_a_very_low_one(model: keras.Model, write: Writer) -> None:
    greedy = write(40, temperature=0, seed=1)
    symbols = greedy.symbols[0]
    likeliest = log_softmax(model, np.array([[3, *symbols]]))[0, :-1]
    likeliest[:, 0] = -np.inf  # the unknown symbol is never written
    np.testing.assert_array_equal(symbols, likeliest.argmax(axis=1))
    np.testing.assert_array_equal(greedy.symbols, write(40, temperature=1e-4, seed=2).symbols)
    assert (greedy.entropy == 0).all()


def test_a_very_high_temperature_draws_uniformly(write: Writer) -> None:
    steps = write(5, rows=1000, temperature=1e4)
    counts = np.bincount(steps.symbols.ravel(), minlength=SIZE)
    assert counts[0] == 0
    assert stats.chisquare(counts[1:]).pvalue > 1e-3
    np.testing.assert_allclose(steps.entropy, np.log(SIZE - 1), atol=1e-3)


def test_the_seed_decides_what_is_drawn(write: Writer) -> None:
    first = write(100, seed=7).symbols
    np.testing.assert_array_equal(first, write(100, seed=7).symbols)
    assert (first != write(100, seed=8).symbols).any()


def test_each_row_may_have_its_own_temperature(write: Writer) -> None:
    steps = write(30, rows=3, temperature=(0.0, 0.5, 50.0))
    np.testing.assert_array_equal(steps.symbols[0], write(30, temperature=0).symbols[0])
    assert steps.entropy[1].mean() < steps.entropy[2].mean()


def test_steps_are_yielded_in_chunks(model: keras.Model) -> None:
    parts = list(Generator(model, 2).write(CHUNK + 3, Sampling()))
    assert [part.symbols.shape for part in parts] == [(2, CHUNK), (2, 3)]
    assert join(parts).symbols.shape == (2, CHUNK + 3)
    assert list(Generator(model).write(0, Sampling())) == []


def test_the_state_that_the_model_carries_is_unchanged(model: keras.Model, write: Writer) -> None:
    model(np.ones((2, 3), np.int32))
    layer = next(layer for layer in model.layers if isinstance(layer, lab.layers.LSTM))
    before = np.asarray(layer.states[0])
    write(10, rows=2)
    np.testing.assert_array_equal(np.asarray(layer.states[0]), before)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": -1}, "temperature=-1: expected numbers of 0 or more"),
        ({"temperature": float("nan")}, "temperature=nan: expected numbers of 0 or more"),
        ({"top_k": 0}, "top_k=0: expected a whole number of 1 or more"),
        ({"top_p": 0.0}, "top_p=0.0: expected a number above 0, at most 1"),
        ({"top_p": 1.5}, "top_p=1.5: expected a number above 0, at most 1"),
        ({"seed": -1}, "seed=-1: expected a whole number from 0 to 2**64 - 1"),
    ],
)
def test_a_wrong_value_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Sampling(**values)
    assert str(caught.value) == message


def test_a_negative_length_is_refused(model: keras.Model) -> None:
    with pytest.raises(UsageError, match="length=-1: expected a whole number of 0 or more"):
        list(Generator(model).write(-1, Sampling()))


@pytest.mark.parametrize("symbols", [[], [-1], [SIZE]])
def test_symbols_that_the_model_does_not_have_are_refused(model: keras.Model, symbols: list[int]) -> None:
    with pytest.raises(UsageError, match=f"symbols: expected at least one for each row, from 0 to {SIZE - 1}"):
        Generator(model).read(np.array(symbols))
