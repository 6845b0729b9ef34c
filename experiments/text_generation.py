"""Can a network that reads one character at a time learn to write like Shakespeare?

    make text_generation
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

import lab
from lab.data import corpus


class Settings(lab.Settings):
    """The text generator's knobs."""

    corpus: str = lab.field(
        "sonnets", "Text to learn: sonnets, plays, shakespeare (both), tiny_shakespeare, or your own file's path."
    )
    data: Path | None = lab.field(None, "Your own copy of the text, a UTF-8 file, instead of the corpus.")
    window: int = lab.field(64, "Characters that a gradient reaches back; the state reaches further.", ge=1, le=4096)
    embedding_dim: int = lab.field(64, "Numbers in a character's vector.", ge=1, le=4096)
    units: tuple[lab.PositiveInt, ...] = lab.field((256,), "Cells of each LSTM layer.", min_length=1)
    embedding_dropout: float = lab.field(0.1, "Share of a character's numbers left out in training.", ge=0, lt=1)
    dropout: float = lab.field(0.5, "Share of each LSTM layer's outputs left out in training.", ge=0, lt=1)


class TextGeneration(lab.Experiment[Settings]):
    key_metric = "validation_nats_per_char"
    trainer = {
        "epochs": 60,
        "batch_size": 32,
        "learning_rate_schedule": "cosine",
        "warmup_steps": 100,
        "global_clipnorm": 1.0,
        "use_ema": True,
        "ema_momentum": 0.99,
    }

    def prepare(self) -> lab.Data:
        found = corpus.load(self.settings.corpus, self.settings.data)
        self.vocabulary = found.vocabulary
        return found.windows(self.settings.window)

    def build(self, data: lab.Data) -> keras.Model:
        known = self.settings
        symbols = keras.Input((None,), dtype="int32", name="symbols")
        x = lab.layers.CharacterEmbedding(self.vocabulary.characters, known.embedding_dim)(symbols)
        x = keras.layers.SpatialDropout1D(known.embedding_dropout)(x)
        for units in known.units:
            x = lab.layers.LSTM(units, return_sequences=True, stateful=True)(x)
            x = keras.layers.SpatialDropout1D(known.dropout)(x)
        logits = keras.layers.Dense(len(self.vocabulary), dtype="float32", name="logits")(x)
        model = keras.Model(symbols, logits, name=self.name())
        model.compile(
            keras.optimizers.Adam(4e-3),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=corpus.IGNORED),
        )
        return model

    def report(self, run: lab.Run, report: lab.Report) -> None:
        report.metric("validation_nats_per_char", run.evaluate("validation"), "x.")
