"""What a network has learnt of a text, and what temperature does to what it writes: the measures."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lab.data import Array
from lab.data.io.text import Vocabulary
from lab.tasks.images.scores import mean_and_interval
from lab.tasks.text.generation import Generator, Sampling, join
from lab.tasks.text.scores import distinct, longest_copies, longest_loop, share_known, words, written

if TYPE_CHECKING:
    import keras

STREAMS = 16  # texts read side by side where the state is carried
WARM_UP = 512  # symbols that each of them reads before those that count
ENTROPY, KNOWN, DISTINCT = "entropy of a choice, nats", "words that exist", "word pairs that differ"
LOOP, SURPRISE, COPY = "longest loop, characters", "surprise of the model, nats", "longest copy, characters"
MEASURES = (ENTROPY, KNOWN, DISTINCT, LOOP, SURPRISE, COPY)


def carried_log_probabilities(model: keras.Model, symbols: Array) -> Array:
    """Returns the log-probability of every symbol but the first, in nats, with the state carried all along.

    The text is read in streams side by side, and each first reads the `WARM_UP` symbols before its
    own, so that only a text's beginning is read without a past.

    Args:
        model: a chain, as `Generator` takes it.
        symbols: shape (n,); the result has the shape (n - 1,).
    """
    count = len(symbols)
    share = -(-(count - 1) // STREAMS)
    firsts = 1 + share * np.arange(STREAMS)  # of those that count
    starts = np.maximum(firsts - 1 - WARM_UP, 0)
    places = starts[:, None] + np.arange(WARM_UP + 1 + share)
    read = Generator(model, STREAMS).read(symbols[np.minimum(places, count - 1)])
    own = (places >= firsts[:, None]) & (places < np.minimum(firsts + share, count)[:, None])
    found = np.zeros(count)
    found[places[own]] = read.log_probability[own]
    return found[1:]


def windowed_log_probabilities(model: keras.Model, symbols: Array, window: int) -> Array:
    """Returns the same where each window of so many symbols is read on its own, from a state of zeros."""
    count = len(symbols) - 1
    starts = np.arange(0, count, window)
    places = starts[:, None] + np.arange(window + 1)
    found = []
    for few in np.array_split(places, -(-len(places) // 2048)):
        read = Generator(model, len(few)).read(symbols[np.minimum(few, count)])
        found.append(read.log_probability[:, 1:][few[:, 1:] <= count])
    return np.concatenate(found)


@dataclasses.dataclass(frozen=True)
class Measured:
    """Measures of texts of one kind: the mean and half the width of its 95 % interval, by name."""

    values: dict[str, tuple[float, float]]
    example: str = ""
    copied: str = ""


class Measures:
    """Measures what a model writes against the text that it learnt from.

    Args:
        vocabulary: of the model.
        train: the training text's symbols, shape (n,).
    """

    def __init__(self, vocabulary: Vocabulary, train: Array) -> None:
        self.vocabulary = vocabulary
        self.train = train
        self.known = frozenset(words(vocabulary.decode(train)))

    def of(self, rows: Array, entropy: Array, log_probability: Array) -> Measured:
        """Measures texts, one a row: symbols, entropies and log-probabilities of the shape (rows, n)."""
        texts = written(self.vocabulary, rows)
        copies = longest_copies(rows, self.train)
        found = {
            ENTROPY: entropy.mean(axis=1),
            KNOWN: [share_known(text, self.known) for text in texts],
            DISTINCT: [distinct(text) for text in texts],
            LOOP: [longest_loop(row) for row in rows],
            SURPRISE: -log_probability.mean(axis=1),
            COPY: [length for length, _ in copies],
        }
        row = int(np.argmax([length for length, _ in copies]))
        length, place = copies[row]
        copied = self.vocabulary.decode(rows[row][place : place + length])
        values = {name: mean_and_interval(np.asarray(each, float)) for name, each in found.items()}
        return Measured(values, texts[0], copied)

    def written(
        self, model: keras.Model, temperatures: Sequence[float], samples: int, length: int, opening: str, seed: int
    ) -> dict[float, Measured]:
        """Has the model write so many texts at each temperature, all at once, and measures them."""
        generator = Generator(model, samples * len(temperatures), never=[0])
        generator.read(np.tile(self.vocabulary.encode(opening), (generator.rows, 1)))
        steps = join(list(generator.write(length, Sampling(np.repeat(temperatures, samples).tolist(), seed=seed))))
        parts = [slice(place * samples, (place + 1) * samples) for place in range(len(temperatures))]
        return {
            temperature: self.of(steps.symbols[part], steps.entropy[part], steps.log_probability[part])
            for temperature, part in zip(temperatures, parts, strict=True)
        }

    def held_out(self, model: keras.Model, symbols: Array, length: int) -> Measured:
        """Measures real text in the same way, cut into pieces of `length`, as the model reads it."""
        count = max(1, len(symbols) // length)
        length = min(length, len(symbols))
        rows = symbols[: count * length].reshape(count, length)
        read = Generator(model, count).read(rows)
        return self.of(rows, read.entropy[:, 1:], read.log_probability[:, 1:])


def balance(measured: Measured, real: Measured) -> float:
    """Returns how well a text keeps to words that exist and still says new things, from 0 to 1.

    The harmonic mean of two shares, both relative to real text and at most 1: words that exist, which
    falls with temperature, and word pairs that differ, which rises.
    """
    shares = [min(1.0, measured.values[name][0] / max(real.values[name][0], 1e-9)) for name in (KNOWN, DISTINCT)]
    return 2 * shares[0] * shares[1] / max(sum(shares), 1e-9)


def telling_cells(cells: Array, features: dict[str, Array]) -> dict[str, tuple[int, float]]:
    """Returns for each feature of a text the cell that goes with it most: (its place, the correlation).

    Args:
        cells: states, shape (steps, cells).
        features: for each name, a number for every step, shape (steps,).
    """
    still = cells - cells.mean(axis=0)
    spread = still.std(axis=0) + 1e-9
    found = {}
    for name, feature in features.items():
        centred = feature - feature.mean()
        if not centred.any():
            continue
        together = (still * centred[:, None]).mean(axis=0) / (spread * centred.std())
        place = int(np.abs(together).argmax())
        found[name] = (place, float(together[place]))
    return found


def features(text: str) -> dict[str, Array]:
    """Returns what can be seen at each character of a text, as numbers."""
    characters = np.array(list(text))
    breaks = characters == "\n"
    since = np.arange(len(text)) - np.maximum.accumulate(np.where(breaks, np.arange(len(text)), 0))
    capital = np.array([character.isupper() for character in text], float)
    letter = np.array([character.isalpha() for character in text])
    soon = np.zeros(len(text))
    for ahead in range(1, 6):
        soon[:-ahead] = np.maximum(soon[:-ahead], breaks[ahead:])
    return {
        "how far into the line": since.astype(float),
        "the line ends within five characters": soon,
        "a capital": capital,
        "inside a word": letter.astype(float),
    }
