"""Can a network that reads one character at a time learn to write like Shakespeare?

    make text_generation
    make generate prompt="Shall I compare" temperature=0.7 seed=1

An LSTM (Hochreiter and Schmidhuber, 1997) learns to predict the next character of Shakespeare's 154
Sonnets and then writes, one character at a time. The text is read in eight streams whose state is
carried from batch to batch (truncated back-propagation through time). The default trains for under a
minute on two cores and reaches 1.57 nats per held-out character; the best n-gram model has 1.75.

A network learns so short a text by heart within a minute. Dropout prevents that: of units, with one
mask for a complete window (Gal and Ghahramani, 2016), and of complete characters. Longer texts need
little of it: `max_time=100s` on a million characters of the plays reaches 1.56.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import lab  # first: the setting `backend` can then choose Keras's backend
import keras

from experiments.reports import text_generation as reports
from experiments.reports.text_generation_measures import measure
from lab.data.datasets import corpus
from lab.settings import show
from lab.tasks.text.generation import Sampling
from lab.tasks.text.writing import Writer

SHORT = 300_000  # characters; a shorter text needs more dropout
SHORT_DROPOUT = {"character_dropout": 0.1, "embedding_dropout": 0.1, "dropout": 0.5}
LONG_DROPOUT = {"character_dropout": 0.0, "embedding_dropout": 0.0, "dropout": 0.1}


class Settings(lab.Settings):
    """The text generator's settings."""

    corpus: str = lab.field(
        "sonnets", "Text to learn: sonnets, plays, shakespeare (both), tiny_shakespeare, or the path of your own file."
    )
    data: Path | None = lab.field(None, "UTF-8 file to read instead of the corpus.")
    window: int = lab.field(64, "Characters that gradients reach back; the state reaches further.", ge=1, le=4096)
    embedding_dim: int = lab.field(64, "Size of a character's vector.", ge=1, le=4096)
    units: tuple[lab.PositiveInt, ...] = lab.field((384,), "Units of each LSTM layer.", min_length=1)
    character_dropout: float | None = lab.field(
        None, "Share of characters hidden in training; none: 0.1 below 300,000 characters of text, else 0.", ge=0, lt=1
    )
    embedding_dropout: float | None = lab.field(
        None, "Dropout of the characters' vectors; none: 0.1 below 300,000 characters of text, else 0.", ge=0, lt=1
    )
    dropout: float | None = lab.field(
        None, "Dropout after each LSTM layer; none: 0.5 below 300,000 characters of text, else 0.1.", ge=0, lt=1
    )
    temperatures: tuple[lab.NonNegativeFloat, ...] = lab.field(
        tuple(tenth / 10 for tenth in range(2, 16)), "Temperatures that the report compares.", min_length=1
    )
    samples: int = lab.field(32, "Texts that the model writes for the report at each temperature.", ge=2, le=1000)
    sample_length: int = lab.field(1000, "Characters in each of these texts.", ge=20, le=100_000)


class Options(lab.Settings):
    """The options of `lab predict`."""

    prompt: str = lab.field("", "Text to continue; an empty prompt starts a new text.")
    temperature: float = lab.field(
        0.8, "Below 1, likely characters become likelier; 0 takes the most likely.", ge=0, le=100
    )
    length: int = lab.field(500, "Characters to write.", ge=0, le=100_000_000)
    top_k: int | None = lab.field(None, "Draw from this many of the most likely characters.", ge=1)
    top_p: float | None = lab.field(
        None, "Draw from the most likely characters that together have this probability.", gt=0, le=1
    )
    seed: int = lab.field(0, "The same seed writes the same text.", ge=0, lt=2**64)


class TextGeneration(lab.Experiment[Settings]):
    """Trains a character LSTM, lets it write, and measures the effect of temperature."""

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
        text = corpus.load(self.settings.corpus, self.settings.data)
        self.vocabulary = text.vocabulary
        return text.windows(self.settings.window)

    def build(self, data: lab.Data) -> keras.Model:
        dropout = dict(SHORT_DROPOUT if len(data.train) < SHORT else LONG_DROPOUT)
        dropout |= {name: rate for name in dropout if (rate := getattr(self.settings, name)) is not None}
        symbols = keras.Input((None,), dtype="int32", name="symbols")
        x = lab.layers.CharacterEmbedding(self.vocabulary.characters, self.settings.embedding_dim)(symbols)
        x = lab.layers.Dropout(dropout["character_dropout"], noise_shape=(None, None, 1))(x)
        # From here on one mask for all steps of a window.
        x = lab.layers.Dropout(dropout["embedding_dropout"], noise_shape=(None, 1, None))(x)
        for units in self.settings.units:
            x = lab.layers.LSTM(units, return_sequences=True, stateful=True)(x)
            x = lab.layers.Dropout(dropout["dropout"], noise_shape=(None, 1, None))(x)
        logits = keras.layers.Dense(len(self.vocabulary), dtype="float32", name="logits")(x)
        model = keras.Model(symbols, logits, name=self.name())
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=corpus.IGNORED)
        model.compile(keras.optimizers.Adam(4e-3), loss)
        return model

    def report(self, run: lab.Run, report: lab.Report) -> None:
        settings = self.settings
        measures = measure(
            run,
            window=settings.window,
            temperatures=settings.temperatures,
            samples=settings.samples,
            length=settings.sample_length,
        )
        reports.write(measures, run.history, report)

    def report_sweep(self, setting: str, runs: Mapping[Any, lab.Run], report: lab.Report) -> None:
        report.section("Samples")
        for value, run in runs.items():
            text = "".join(Writer(run.model).write("", 300, Sampling(0.7)))
            report.sample(f"{setting}={show(value)}, temperature 0.7", text)

    def predict(self, run: lab.Run, inputs: Sequence[str], options: Options) -> Iterable[str | lab.LabError]:
        """Continues each prompt, and yields the text while it is written."""
        sampling = Sampling(options.temperature, options.top_k, options.top_p, options.seed)
        writer = Writer(run.model)
        for prompt in inputs or [options.prompt]:
            yield from writer.write(prompt.replace("\r\n", "\n"), options.length, sampling)
            yield "\n"


if __name__ == "__main__":
    lab.main()
