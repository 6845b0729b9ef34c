"""What the report of `text_generation` is about: how well the network predicts, and what it writes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import keras
import numpy as np

import lab
from lab.data import Array
from lab.data.datasets import corpus
from lab.data.io.text import Vocabulary
from lab.tasks.images.scores import mean_and_interval
from lab.tasks.text.generation import Generator, Sampling, join
from lab.tasks.text.likelihood import carried_log_probabilities, windowed_log_probabilities
from lab.tasks.text.ngrams import WittenBell
from lab.tasks.text.scores import distinct, longest_copies, longest_loop, share_known, words
from lab.tasks.text.writing import opening, vocabulary_of

LONGEST_NGRAM = 6
COUNTED = 20_000_000  # characters that the n-gram models count at most
INSPECTED = 4_000  # characters of held-out text in which cells are compared with features
ENTROPY, KNOWN, DISTINCT = "entropy, nats", "known words", "distinct word pairs"
LOOP, SURPRISE, COPY = "longest loop, characters", "surprise, nats", "longest copy, characters"
MEASURES = (ENTROPY, KNOWN, DISTINCT, LOOP, SURPRISE, COPY)


@dataclasses.dataclass(frozen=True)
class Texts:
    """Measures of several texts of one kind, by name: the mean and half the width of its 95 % interval."""

    count: int
    values: Mapping[str, tuple[float, float]]
    example: str = ""
    copy: str = ""  # the longest passage in any of them that occurs in the training text

    def mean(self, name: str) -> float:
        return self.values[name][0]

    def exceeds(self, other: Texts, name: str) -> bool:
        """Whether the mean is larger than the other's by more than both intervals together leave to chance."""
        (mean, half), (other_mean, other_half) = self.values[name], other.values[name]
        return min(self.count, other.count) > 1 and mean - other_mean > math.hypot(half, other_half)


@dataclasses.dataclass(frozen=True)
class Inside:
    """The network while it reads held-out text; arrays have the shapes (steps, cells) and (steps, symbols)."""

    text: str
    cells: Array
    probabilities: Array


@dataclasses.dataclass(frozen=True)
class Measures:
    """The numbers that the report is about; cross-entropies are in nats per held-out character."""

    carried: float
    windowed: float
    window: int
    ngrams: Array  # of n-gram models of up to 1, 2, ... characters
    length: int  # characters in each text below
    written: Mapping[float, Texts]  # by temperature, ascending
    held_out: Texts
    inside: Inside
    vocabulary: Vocabulary

    @property
    def balances(self) -> dict[float, float]:
        """The `balance` of each temperature."""
        return {temperature: balance(texts, self.held_out) for temperature, texts in self.written.items()}


def measure(run: lab.Run, *, window: int, temperatures: Sequence[float], samples: int, length: int) -> Measures:
    """Measures a trained model.

    Args:
        run: has the model and the windows of its corpus.
        window: characters in a window that is read separately.
        temperatures: those at which the model writes.
        samples: texts at each temperature.
        length: characters in each text; fewer if the held-out text is shorter, since measures depend on length.
    """
    model, vocabulary = run.model, vocabulary_of(run.model)
    train, held_out = corpus.texts_of(run.data)
    counted = WittenBell(train[:COUNTED], len(vocabulary), LONGEST_NGRAM).log_probabilities(held_out)
    scorer, length = Scorer(vocabulary, train), min(length, len(held_out))
    inspected = held_out[:INSPECTED]
    read = Generator(model).read(inspected, cells=True, probabilities=True)
    assert read.cells is not None
    assert read.probabilities is not None
    return Measures(
        carried=-float(carried_log_probabilities(model, held_out).mean()),
        windowed=-float(windowed_log_probabilities(model, held_out, window).mean()),
        window=window,
        ngrams=-counted[:, 1:].mean(axis=1),
        length=length,
        written=scorer.written(model, sorted(set(temperatures)), samples, length, int(run.trainer["seed"])),
        held_out=scorer.held_out(model, held_out, length),
        inside=Inside(vocabulary.decode(inspected), read.cells[0], read.probabilities[0]),
        vocabulary=vocabulary,
    )


class Scorer:
    """Measures texts against the training text, whose symbols are `train` of shape (n,)."""

    def __init__(self, vocabulary: Vocabulary, train: Array) -> None:
        self.vocabulary = vocabulary
        self.train = train
        self.known = frozenset(words(vocabulary.decode(train)))

    def of(self, rows: Array, entropy: Array, log_probability: Array) -> Texts:
        """Measures texts, one in each row: symbols, entropies and log-probabilities of shape (rows, steps)."""
        texts = [self.vocabulary.decode(row) for row in rows]
        copies = longest_copies(rows, self.train)
        each = {
            ENTROPY: entropy.mean(axis=1),
            KNOWN: [share_known(text, self.known) for text in texts],
            DISTINCT: [distinct(text) for text in texts],
            LOOP: [longest_loop(row) for row in rows],
            SURPRISE: -log_probability.mean(axis=1),
            COPY: [length for length, _ in copies],
        }
        row = int(np.argmax(each[COPY]))
        length, start = copies[row]
        values = {name: mean_and_interval(np.asarray(numbers, float)) for name, numbers in each.items()}
        return Texts(len(rows), values, texts[0], texts[row][start : start + length])

    def written(
        self, model: keras.Model, temperatures: Sequence[float], samples: int, length: int, seed: int
    ) -> dict[float, Texts]:
        """Measures `samples` texts that the model writes at each temperature, all in parallel."""
        generator = Generator(model, samples * len(temperatures), never=[0])
        generator.read(np.tile(self.vocabulary.encode(opening(self.vocabulary)), (generator.rows, 1)))
        steps = join(list(generator.write(length, Sampling(np.repeat(temperatures, samples).tolist(), seed=seed))))
        parts = [slice(place * samples, (place + 1) * samples) for place in range(len(temperatures))]
        return {
            temperature: self.of(steps.symbols[part], steps.entropy[part], steps.log_probability[part])
            for temperature, part in zip(temperatures, parts, strict=True)
        }

    def held_out(self, model: keras.Model, symbols: Array, length: int) -> Texts:
        """Measures real text, cut into pieces of `length` symbols."""
        rows = symbols[: len(symbols) // length * length].reshape(-1, length)
        read = Generator(model, len(rows)).read(rows)
        return self.of(rows, read.entropy[:, 1:], read.log_probability[:, 1:])


def balance(texts: Texts, real: Texts) -> float:
    """Returns from 0 to 1 how well texts keep to known words without repeating themselves.

    It is the harmonic mean of two shares, both relative to real text and at most 1: known words, and distinct pairs.
    """
    known, pairs = (min(1.0, texts.mean(name) / max(real.mean(name), 1e-9)) for name in (KNOWN, DISTINCT))
    return 2 * known * pairs / max(known + pairs, 1e-9)


def best_cells(cells: Array, features: Mapping[str, Array]) -> dict[str, tuple[int, float]]:
    """Returns for each feature the cell that correlates most with it: its index and the correlation.

    Args:
        cells: shape (steps, cells).
        features: numbers of shape (steps,), by name; constant ones are left out.
    """
    centred = cells - cells.mean(axis=0)
    spread = centred.std(axis=0) + 1e-9
    best = {}
    for name, feature in features.items():
        deviation = feature - feature.mean()
        if deviation.any():
            correlations = (centred * deviation[:, None]).mean(axis=0) / (spread * deviation.std())
            cell = int(np.abs(correlations).argmax())
            best[name] = (cell, float(correlations[cell]))
    return best


def features(text: str) -> dict[str, Array]:
    """Returns features of each character of a text, as numbers of shape (len(text),)."""
    places = np.arange(len(text))
    breaks = np.array(list(text)) == "\n"
    soon = np.zeros(len(text))
    for ahead in range(1, 6):
        soon[:-ahead] = np.maximum(soon[:-ahead], breaks[ahead:])
    return {
        "characters since the line began": (places - np.maximum.accumulate(np.where(breaks, places, 0))).astype(float),
        "the line ends within five characters": soon,
        "a capital letter": np.array([character.isupper() for character in text], float),
        "a letter": np.array([character.isalpha() for character in text], float),
    }
