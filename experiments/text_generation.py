"""Can a network that reads one character at a time learn to write like Shakespeare?

    make text_generation
    make generate prompt="Shall I compare" temperature=0.7 seed=1

An LSTM (Hochreiter and Schmidhuber, 1997) predicts each next character of Shakespeare's 154 Sonnets
and then writes, a character at a time. The text is read in eight streams whose state is carried on
(truncated back-propagation through time). The default takes under a minute of training on two
cores and reaches 1.57 nats per held-out character, where the best n-gram model has 1.75. So little
text is learnt by heart in a minute: what keeps the network from it are units left out, the same ones
over a whole window (Gal and Ghahramani, 2016), and whole characters left out. Longer texts are left
nearly whole; `max_time=100s` on a million characters of the plays reaches 1.56.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import lab  # first: the setting `backend` can then choose Keras's backend
import keras
import numpy as np

from lab.data import Array
from lab.data.datasets import corpus
from lab.data.io.text import UNKNOWN, Vocabulary
from lab.report import plots
from lab.settings import show
from lab.tasks.text import plots as text_plots
from lab.tasks.text import writing
from lab.tasks.text.generation import Generator, Sampling
from lab.tasks.text.ngrams import WittenBell

log = logging.getLogger("lab")

LONGEST_NGRAM = 6
COUNTED = 20_000_000  # characters that the n-gram models count at most
SHOWN = (0.2, 0.5, 0.8, 1.0, 1.3)  # temperatures whose text is shown, where they are among those measured
LOOKED_AT = 4_000  # characters of held-out text in which cells are looked for
LITTLE = 300_000  # characters; a shorter text is learnt by heart in minutes unless much is left out
OPENING = "\n\n"


class Settings(lab.Settings):
    """The text generator's knobs."""

    corpus: str = lab.field(
        "sonnets", "Text to learn: sonnets, plays, shakespeare (both), tiny_shakespeare, or your own file's path."
    )
    data: Path | None = lab.field(None, "Your own copy of the text, a UTF-8 file, instead of the corpus.")
    window: int = lab.field(64, "Characters that a gradient reaches back; the state reaches further.", ge=1, le=4096)
    embedding_dim: int = lab.field(64, "Numbers in a character's vector.", ge=1, le=4096)
    units: tuple[lab.PositiveInt, ...] = lab.field((384,), "Cells of each LSTM layer.", min_length=1)
    character_dropout: float | None = lab.field(
        None,
        "Share of characters not shown in training; none: 0.1 for a text below 300,000 characters.",
        ge=0,
        lt=1,
    )
    embedding_dropout: float | None = lab.field(
        None, "Share of the characters' numbers left out in training; none: 0.1 for such a text.", ge=0, lt=1
    )
    dropout: float | None = lab.field(
        None,
        "Share of each LSTM layer's outputs left out in training; none: 0.5, or 0.1 for more text.",
        ge=0,
        lt=1,
    )
    temperatures: tuple[lab.NonNegativeFloat, ...] = lab.field(
        tuple(round(0.1 * tenth, 1) for tenth in range(2, 16)), "Temperatures that the report compares.", min_length=1
    )
    samples: int = lab.field(32, "Texts that the report has written at each temperature.", ge=2, le=1000)
    sample_length: int = lab.field(1000, "Characters in each of them.", ge=20, le=100_000)


class Options(lab.Settings):
    """What `lab predict` can be told."""

    prompt: str = lab.field("", "The text to go on from; none begins a new one.")
    temperature: float = lab.field(0.8, "Below 1 the likely becomes likelier; 0 takes the likeliest.", ge=0, le=100)
    length: int = lab.field(500, "Characters to write.", ge=0, le=100_000_000)
    top_k: int | None = lab.field(None, "Choose among the so many likeliest characters only.", ge=1)
    top_p: float | None = lab.field(None, "Choose among the likeliest that together are so probable.", gt=0, le=1)
    seed: int = lab.field(0, "The same seed writes the same text.", ge=0, lt=2**64)


class TextGeneration(lab.Experiment[Settings]):
    """Trains a character LSTM, has it write, and measures what temperature does."""

    Predict = Options
    key_metric = "validation_nats_per_char"
    sweep = ("units", ((64,), (128,), (256,), (512,)))
    trainer = {
        "epochs": 24,
        "batch_size": 8,
        "learning_rate_schedule": "cosine",
        "warmup_steps": 100,
        "global_clipnorm": 1.0,
        "use_ema": True,
        "ema_momentum": 0.99,
    }
    presets = {
        "quick": {"epochs": 8, "units": (128,), "samples": 8},
        "full": {"units": (512,), "dropout": 0.3, "batch_size": 32, "epochs": 20, "max_time": "28m"},
    }

    def prepare(self) -> lab.Data:
        found = corpus.load(self.settings.corpus, self.settings.data)
        self.vocabulary = found.vocabulary
        return found.windows(self.settings.window)

    def build(self, data: lab.Data) -> keras.Model:
        known, little = self.settings, len(data.train) < LITTLE
        character, embedding, output = (
            chosen if chosen is not None else (for_little if little else otherwise)
            for chosen, for_little, otherwise in (
                (known.character_dropout, 0.1, 0.0),
                (known.embedding_dropout, 0.1, 0.0),
                (known.dropout, 0.5, 0.1),
            )
        )
        symbols = keras.Input((None,), dtype="int32", name="symbols")
        x = lab.layers.CharacterEmbedding(self.vocabulary.characters, known.embedding_dim)(symbols)
        x = lab.layers.Dropout(character, noise_shape=(None, None, 1))(x)
        x = lab.layers.Dropout(embedding, noise_shape=(None, 1, None))(x)  # the same numbers at every step of a window
        for units in known.units:
            x = lab.layers.LSTM(units, return_sequences=True, stateful=True)(x)
            x = lab.layers.Dropout(output, noise_shape=(None, 1, None))(x)
        logits = keras.layers.Dense(len(self.vocabulary), dtype="float32", name="logits")(x)
        model = keras.Model(symbols, logits, name=self.name())
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=corpus.IGNORED)
        model.compile(keras.optimizers.Adam(4e-3), loss)
        return model

    # --- report -------------------------------------------------------------------------------

    def report(self, run: lab.Run, report: lab.Report) -> None:
        train, held_out = corpus.texts_of(run.data)
        carried = -float(writing.carried_log_probabilities(run.model, held_out).mean())
        alone = -float(writing.windowed_log_probabilities(run.model, held_out, self.settings.window).mean())
        counted = WittenBell(train[:COUNTED], len(self.vocabulary), LONGEST_NGRAM).log_probabilities(held_out)
        ngrams = -counted[:, 1:].mean(axis=1)
        best = int(ngrams.argmin())

        nats = "nats per held-out character, "
        report.metric("validation_nats_per_char", carried, f"Cross-entropy in {nats}the state carried all along.")
        report.metric("validation_bits_per_char", carried / math.log(2), "The same in bits.")
        report.metric("windowed_nats_per_char", alone, f"In {nats}windows of {self.settings.window} each on its own.")
        report.metric("ngram_nats_per_char", ngrams[best], f"In {nats}the best n-gram model (order {best + 1}).")
        self._learning(run, ngrams, report)
        measures = writing.Measures(self.vocabulary, train)
        real = measures.held_out(run.model, held_out, self.settings.sample_length)
        found = measures.written(
            run.model,
            sorted(set(self.settings.temperatures)),
            self.settings.samples,
            self.settings.sample_length,
            self._opening(),
            seed=int(run.trainer["seed"]),
        )
        self._samples(found, report)
        self._temperature(found, real, report)
        self._memory(found, real, report)
        self._inside(run, held_out, report)

    def _opening(self) -> str:
        """What a new text begins after: the end of one, where the corpus has such a thing."""
        return OPENING if not self.vocabulary.unknown(OPENING) else self.vocabulary.characters[0]

    def _learning(self, run: lab.Run, ngrams: Array, report: lab.Report) -> None:
        bits = 1 / math.log(2)
        rows = [row for row in run.history if "val_loss" in row]
        lines = {
            label: ([row["epoch"] for row in rows], [bits * row[name] for row in rows])
            for name, label in (("loss", "training, with dropout"), ("val_loss", "held-out text"))
        }
        shown = sorted({1, 2, int(ngrams.argmin())})  # those above would squeeze the curve
        levels = {f"{order + 1}-grams": bits * float(ngrams[order]) for order in shown}
        report.section("Learning, against counting")
        report.figure(
            "learning",
            plots.curves(lines, x="epoch", y="bits per character", levels=levels),
            "Cross-entropy after each epoch, and what n-gram models reach that count the same text (interpolated, "
            "Witten and Bell). While training, held-out text is read in as many streams as there are in a batch, each "
            "without a past, so that the last number is a little higher than the one above.",
        )
        report.table(
            ("n-grams up to", "nats per character", "bits per character"),
            [(str(order + 1), f"{value:.3f}", f"{bits * value:.3f}") for order, value in enumerate(ngrams)],
        )

    def _samples(self, found: dict[float, writing.Measured], report: lab.Report) -> None:
        report.section("What it writes")
        for temperature in [one for one in found if one in SHOWN] or list(found)[:3]:
            lines = found[temperature].example.strip("\n")[:420].split("\n")
            report.sample(f"Temperature {temperature:g}", "\n".join(lines[:-1] if len(lines) > 1 else lines))

    def _temperature(self, found: dict[float, writing.Measured], real: writing.Measured, report: lab.Report) -> None:
        scores = {temperature: writing.balance(one, real) for temperature, one in found.items()}
        best = max(scores, key=lambda temperature: scores[temperature])
        cold, hot = found[min(found)], found[max(found)]
        panels = {
            name: (list(found), *zip(*(one.values[name] for one in found.values()), strict=True))
            for name in writing.MEASURES
        }
        text = f"{self.settings.samples} texts of {self.settings.sample_length:,} characters at each temperature"
        report.section("What temperature does")
        report.figure(
            "temperature",
            plots.panels(
                panels,  # type: ignore[arg-type]
                x="temperature",
                levels={name: value for name, (value, _) in real.values.items()},
                mark=best,
            ),
            f"{text}, with 95 % intervals. Dashed: held-out text, measured in the same way; "
            f"dotted: the temperature with the best balance, {best:g}.",
        )
        rows = [self._row(f"{temperature:g}", one, scores[temperature]) for temperature, one in found.items()]
        report.table(
            ("temperature", *writing.MEASURES, "balance"),
            [*rows, self._row("held-out text", real, 1.0)],
            "Means with 95 % intervals. Balance: the harmonic mean of words that exist and word pairs that differ, "
            "each relative to held-out text.",
        )
        report.metric("best_temperature", best, "The temperature with the best balance; the rule stands below.")
        value = {name: found[best].values[name][0] for name in writing.MEASURES}
        report.answer(
            "What does temperature do, and which is best?",
            f"""The logits are divided by it before one character is drawn: below 1 the likely becomes likelier, above
            it the unlikely gets its turn. From {min(found):g} to {max(found):g} the entropy of a choice goes from
            {cold.values[writing.ENTROPY][0]:.2f} to {hot.values[writing.ENTROPY][0]:.2f} nats, words that exist from
            {cold.values[writing.KNOWN][0]:.0%} to {hot.values[writing.KNOWN][0]:.0%}, different word pairs from
            {cold.values[writing.DISTINCT][0]:.0%} to {hot.values[writing.DISTINCT][0]:.0%}, the longest loop from
            {cold.values[writing.LOOP][0]:.0f} to {hot.values[writing.LOOP][0]:.0f} characters: cold text repeats
            itself, hot text makes up words. The best balance is at {best:g}: {value[writing.KNOWN]:.0%} of its words
            exist ({real.values[writing.KNOWN][0]:.0%} in held-out text, whose new words count as unknown, too) and
            {value[writing.DISTINCT]:.0%} of its word pairs differ ({real.values[writing.DISTINCT][0]:.0%}). The rule is
            the highest harmonic mean of these two shares, each relative to held-out text and at most 1.""",
        )

    def _row(self, name: str, measured: writing.Measured, score: float) -> tuple[str, ...]:
        digits = {writing.LOOP: 0, writing.COPY: 1, writing.KNOWN: 3, writing.DISTINCT: 3}
        cells = [
            f"{mean:.{digits.get(key, 2)}f} ± {half:.{digits.get(key, 2)}f}"
            for key, (mean, half) in measured.values.items()
        ]
        return (name, *cells, f"{score:.3f}")

    def _memory(self, found: dict[float, writing.Measured], real: writing.Measured, report: lab.Report) -> None:
        natural = real.values[writing.COPY][0]
        longest = max(found.values(), key=lambda one: len(one.copied))
        cold = found[min(found)].values[writing.COPY][0]
        report.section("Does it copy?")
        report.text(
            f"Held-out text of {self.settings.sample_length:,} characters has passages of {natural:.0f} characters in "
            f"common with the training text, on average of the longest in each; what the network writes at temperature "
            f"{min(found):g} has {cold:.0f}, and at {max(found):g} {found[max(found)].values[writing.COPY][0]:.0f}. "
            f"The longest passage copied at all has {len(longest.copied)} characters:"
        )
        report.sample("The longest copy", longest.copied.strip("\n"))

    def _inside(self, run: lab.Run, held_out: Array, report: lab.Report) -> None:
        few = held_out[:LOOKED_AT]
        read = Generator(run.model).read(few[None], cells=True, probabilities=True)
        assert read.cells is not None
        assert read.probabilities is not None
        text = self.vocabulary.decode(few)
        report.section("A look inside")
        first, last = _lines(text, 1)
        self._next_characters(text[first:last], read.probabilities[0, first:last], report)
        told = writing.telling_cells(read.cells[0], writing.features(text))
        first, last = _lines(text, 4)
        lines = text[first:last].split("\n")
        shown = {}
        for name, (place, correlation) in told.items():
            cell = read.cells[0, :, place]
            values = (cell[first:last] - cell.mean()) / (2 * cell.std() + 1e-9)
            cuts = np.cumsum([len(line) + 1 for line in lines])[:-1]
            rows = [part[: len(line)] for part, line in zip(np.split(values, cuts), lines, strict=True)]
            shown[f"cell {place}: {name} (correlation {correlation:+.2f})"] = (lines, rows)
        report.figure(
            "cells",
            text_plots.coloured_texts(shown),
            f"Cells of the last layer while it reads held-out text: red above its mean, blue below. "
            f"Of all cells, each is the one whose value goes most with what is named, over {len(few):,} characters.",
        )

    def _next_characters(self, line: str, probabilities: Array, report: lab.Report) -> None:
        likely = np.argsort(-probabilities.max(axis=0), kind="stable")[:16]
        truth = self.vocabulary.encode(line)
        chosen = sorted(likely, key=lambda symbol: -probabilities[:, symbol].sum())
        surprise = -np.log(np.maximum(probabilities[np.arange(len(line)), truth], 1e-9))
        hardest = int(surprise.argmax())
        report.figure(
            "next_character",
            text_plots.heat(
                probabilities[:, chosen].T,
                [_visible(self.vocabulary.decode(np.array([symbol]))) for symbol in chosen],
                [_visible(character) for character in line],
                x="the line as it stands; each column is what the network expected there",
                y="next character",
                what="probability",
                marks=[chosen.index(symbol) if symbol in chosen else None for symbol in truth],
            ),
            f"The next character's distribution along a line of held-out text; dots mark what came. "
            f"Inside words it is sure, where one begins it is not; the greatest surprise is the "
            f"{_visible(line[hardest])} at place {hardest + 1}, {surprise[hardest]:.1f} nats.",
        )

    def report_sweep(self, knob: str, runs: Any, report: lab.Report) -> None:
        report.section("What each one writes")
        for value, run in runs.items():
            vocabulary = _vocabulary(run.model)
            generator = Generator(run.model, never=[0])
            steps = list(generator.write(300, Sampling(0.7)))
            report.sample(
                f"{knob}={show(value)}, temperature 0.7", "".join(vocabulary.decode(one.symbols[0]) for one in steps)
            )

    # --- predict ------------------------------------------------------------------------------

    def predict(self, run: lab.Run, inputs: Sequence[str], options: Any) -> Iterable[str | lab.LabError]:
        """Writes on from each prompt, and yields the text as it is written."""
        assert isinstance(options, Options)
        vocabulary = _vocabulary(run.model)
        sampling = Sampling(options.temperature, options.top_k, options.top_p, options.seed)
        generator = Generator(run.model, never=[0])
        for prompt in inputs or [options.prompt]:
            prompt = prompt.replace("\r\n", "\n")
            unknown = vocabulary.unknown(prompt)
            if unknown:
                log.warning("%r: not in the text that was learnt; %r stands for each", unknown, UNKNOWN)
            generator.reset()
            generator.read(vocabulary.encode(prompt or vocabulary.characters[0])[None])
            yield prompt
            for steps in generator.write(options.length, sampling):
                yield vocabulary.decode(steps.symbols[0])
            yield "\n"


def _vocabulary(model: keras.Model) -> Vocabulary:
    for layer in model.layers:
        if isinstance(layer, lab.layers.CharacterEmbedding):
            found: Vocabulary = layer.vocabulary
            return found
    raise lab.ModelError("expected a model with a CharacterEmbedding, which knows the characters")


def _lines(text: str, count: int) -> tuple[int, int]:
    """Where `count` whole lines begin and end, past the first half of the text; all of it where it has too few."""
    breaks = [place for place, character in enumerate(text) if character == "\n"]
    full = [
        (first + 1, last)
        for first, last in zip(breaks, breaks[count:], strict=False)
        if last - first > count * 8 and "\n\n" not in text[first:last] and last - first < count * 100
    ]
    if not full:
        return 0, min(len(text), 60)
    return full[len(full) // 2]


def _visible(character: str) -> str:
    return {"\n": "↵", " ": "␣", "\t": "⇥"}.get(character, character if character.isprintable() else UNKNOWN)


if __name__ == "__main__":
    lab.main()
