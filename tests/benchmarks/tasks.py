"""What the rows train: experiments, their data, and the files that all engines of a row begin from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import keras
import numpy as np

import lab
from experiments.autoencoder import Autoencoder
from experiments.denoising_autoencoder import DenoisingAutoencoder
from experiments.sentiment_analysis import SentimentAnalysis
from lab.data.arrays import leaves
from lab.data.datasets import corpus, mnist
from tests.benchmarks.worker import Turns

EPSILON = 1e-12  # Adam's: Keras adds it before the bias is corrected, PyTorch after, so that both need a tiny one
THEIRS = ("Bidirectional", "Dropout", "LSTM")  # that the lab has its own of
BATCH = {"small": 256, "deep": 256, "denoising": 256, "characters": 64, "sentiment": 64}


class CharactersSettings(lab.Settings):
    """Sizes of the character network."""

    units: int = lab.field(256, "Cells of each layer.", ge=1)
    window: int = lab.field(100, "Characters in a window.", ge=1)
    keras_layer: bool = lab.field(False, "Keras's LSTM instead of the lab's.")


class SummedEmbedding(keras.layers.Embedding):  # type: ignore[misc]  # Keras has no types
    """An embedding whose gradient is a whole array, as PyTorch's is.

    Keras's Adam on TensorFlow takes the gradient of each place that a symbol stands at by itself and squares
    it before they are added, so that its steps are several times as long: another training.
    """

    def call(self, symbols: Any) -> Any:
        """Returns the symbols' vectors."""
        return keras.ops.take(keras.ops.multiply(self.embeddings, 1.0), symbols, axis=0)


def sum_embeddings() -> None:
    """Makes every embedding of this process a summed one, so that all sides of a row train alike."""
    keras.layers.Embedding.call = SummedEmbedding.call


class Characters(lab.Experiment[CharactersSettings]):
    """A character LSTM of two layers on windows of Shakespeare's Sonnets, each on its own: no state is carried."""

    def prepare(self) -> lab.Data:
        found = corpus.load("sonnets")
        tokens = found.vocabulary.encode(found.train).astype(np.int32)
        length = self.settings.window
        count = (len(tokens) - 1) // length
        x, y = (tokens[start : start + count * length].reshape(count, length) for start in (0, 1))
        split = lab.Split("train", x, y)
        return lab.Data(split, split.head(64), split.head(64), found.provenance)

    def build(self, data: lab.Data) -> keras.Model:
        symbols = int(data.train.x.max()) + 1
        kind = keras.layers.LSTM if self.settings.keras_layer else lab.layers.LSTM
        model = keras.Sequential(
            [
                keras.Input((None,), dtype="int32"),
                SummedEmbedding(symbols, self.settings.units),
                kind(self.settings.units, return_sequences=True),
                kind(self.settings.units, return_sequences=True),
                keras.layers.Dense(symbols),
            ]
        )
        model.compile(keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    def report(self, run: lab.Run, report: lab.Report) -> None:
        """Nothing: it is there to be timed."""


class KerasDenoising(DenoisingAutoencoder):
    """The denoising autoencoder with Keras's own noise."""

    def network(self, image: keras.KerasTensor, data: lab.Data) -> keras.KerasTensor:
        noise = self.settings.noise.middle
        noisy = keras.ops.clip(keras.layers.GaussianNoise(noise)(image), 0, 1)
        return Autoencoder.network(self, noisy, data)


def experiment(task: str, *, rival: bool = False) -> lab.Experiment[Any]:
    """Returns a task's experiment; for a rival, with Keras's own noise and LSTM."""
    if task == "small":
        return Autoencoder(hidden_units=())
    if task == "deep":
        return Autoencoder()
    if task == "denoising":
        return (KerasDenoising if rival else DenoisingAutoencoder)(reference_runs="none")
    if task == "characters":
        return Characters(keras_layer=rival)
    if task == "sentiment":
        return SentimentAnalysis()
    raise ValueError(f"task {task}: expected one of {', '.join(BATCH)}")


def keras_layers() -> Any:
    """A block in which experiments build of Keras's own layers."""
    return mock.patch.multiple(lab.layers, **{name: getattr(keras.layers, name) for name in THEIRS})


def build(task: str, data: lab.Data) -> keras.Model:
    """Returns a rival's model: of Keras's own layers where the lab has others."""
    with keras_layers():
        return experiment(task, rival=True).build(data)


def load(task: str, folder: Path) -> lab.Data:
    """Returns the data that `prepare` has written, with one batch to validate on."""
    arrays = dict(np.load(folder / "data.npz"))
    x = arrays["x"]
    split = lab.Split("train", x, arrays.get("y", x))
    few = lab.Split("validation", *(part[: BATCH[task]] for part in split.parts()))
    return lab.Data(split, few, few)


def prepare(turns: Turns) -> None:
    """Writes a row's examples, the order of each turn, the first weights and a few numbers."""
    task, count = turns.options["task"], int(turns.options["examples"])
    lab.backend.select(None)
    made = experiment(task)
    data = made.prepare() if task == "characters" else mnist.load().as_inputs_and_targets()
    train = data.train.head(count)
    arrays = {"x": train.x} | ({} if train.y is train.x else {"y": train.y})
    np.savez(turns.folder / "data.npz", **arrays)
    batches = lab.Batches(train, BATCH[task])
    np.save(turns.folder / "order.npy", np.stack([batches.order(epoch) for epoch in range(turns.count)]))
    keras.utils.set_random_seed(0)
    model = build(task, load(task, turns.folder))
    save_weights(turns.folder, model.get_weights())
    told = {"batch": BATCH[task], "learning_rate": float(model.optimizer.learning_rate), "epsilon": EPSILON}
    (turns.folder / "told.json").write_text(json.dumps(told))
    turns.end()


def save_weights(folder: Path, weights: Sequence[Any]) -> None:
    """Writes weights in the order that Keras has them."""
    np.savez(folder / "weights.npz", **{f"w{place}": weight for place, weight in enumerate(weights)})


def load_weights(folder: Path) -> list[Any]:
    """Returns the weights that every side begins from."""
    found = np.load(folder / "weights.npz")
    return [found[f"w{place}"] for place in range(len(found.files))]


def give(model: keras.Model, folder: Path) -> None:
    """Sets a model's weights."""
    model.set_weights(load_weights(folder))


def begin(model: keras.Model, folder: Path) -> None:
    """Gives a model what every side begins from: the weights, and an epsilon that means the same to all."""
    give(model, folder)
    model.optimizer.epsilon = EPSILON


def examples(split: lab.Split) -> int:
    """Returns how many examples a split has."""
    return len(leaves(split.x)[0])
