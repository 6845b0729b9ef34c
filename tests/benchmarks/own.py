"""What the lab costs by itself: engines for its overhead, and functions that measure checkpoints, growth and peaks."""

from __future__ import annotations

import io
import math
import statistics
import time
from pathlib import Path
from typing import Any
from unittest import mock

import keras
import numpy as np
from rich.console import Console

import lab
from experiments.autoencoder import Autoencoder
from lab.callbacks.checkpointing import Checkpointing
from lab.callbacks.progress import Progress
from lab.engine.execution import prepare_model
from lab.engine.keras_private import flatten_layers
from lab.trainer.fit import batches_for
from lab.trainer.registry import load
from tests.benchmarks import tasks
from tests.benchmarks.worker import Turns


class WholeEpoch(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """A turn lasts from one epoch's beginning to the next one's: validation and callbacks are in it."""

    def __init__(self, turns: Turns, steps: int) -> None:
        super().__init__()
        self.turns, self.steps = turns, steps
        self.loss: float | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._end()
        self.turns.begin()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.loss = (logs or {})["loss"]

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        self._end()

    def _end(self) -> None:
        if self.loss is not None:
            self.turns.end(loss=self.loss, steps=self.steps)
            self.loss = None


class Given(Autoencoder):
    """The autoencoder on given data, from given weights."""

    folder: Path
    task: str

    def prepare(self) -> lab.Data:
        data = tasks.load(self.task, self.folder)
        return lab.Data(data.train, data.train.head(5000), data.test)

    def build(self, data: lab.Data) -> keras.Model:
        model = super().build(data)
        tasks.give(model, self.folder)
        return model


def _given(turns: Turns) -> Given:
    lab.backend.select(None)
    Given.folder, Given.task = turns.folder, turns.options["task"]
    return Given(hidden_units=()) if Given.task == "small" else Given()


def bare(turns: Turns) -> None:
    """`fit` on the same compiled model and batches, with nothing beside it."""
    experiment = _given(turns)
    data, trainer = experiment.prepare(), lab.Trainer(batch_size=256)
    model = experiment.build(data)
    train, validation = batches_for(trainer, data)
    prepare_model(model, trainer, [])
    callbacks = [Progress(train), WholeEpoch(turns, train.steps_per_epoch)]
    experiment.fit(model, train, validation, epochs=turns.count, callbacks=callbacks, verbose=0)


def with_trainer(turns: Turns) -> None:
    """`Trainer.run` with progress, history and checkpoints; at a constant rate, as the other side."""
    experiment = _given(turns)
    plain: dict[str, Any] = {"learning_rate_schedule": None, "warmup_steps": 0}
    trainer = lab.Trainer(epochs=turns.count, batch_size=256, run_dir=turns.folder / f"run{time.time_ns()}", **plain)
    console = Console(file=io.StringIO(), force_terminal=True)  # with bars, as on a terminal
    steps = -(-len(tasks.load(Given.task, turns.folder).train) // 256)
    trainer.run(experiment, callbacks=[WholeEpoch(turns, steps)], console=console, report=False)


def checkpoints(turns: Turns) -> None:
    """Seconds that saving takes in an epoch, and that a whole epoch takes, by the experiment's defaults."""
    name, share = turns.options["experiment"], float(turns.options["share"])
    lab.backend.select(None)
    saved: list[float] = []
    save = Checkpointing._save

    def timed(self: Checkpointing, *rest: Any) -> None:
        began = time.perf_counter()
        save(self, *rest)
        saved.append(time.perf_counter() - began)

    rest = {"reference_runs": "none"} if name == "denoising_autoencoder" else {}
    trainer = lab.Trainer(epochs=5, limit_batches=share if share < 1 else None, run_dir=turns.folder / "run")
    with mock.patch.object(Checkpointing, "_save", timed):
        run = trainer.run(load(name)(**rest), console=Console(file=io.StringIO()), report=False)
    ended = [row["seconds"] for row in run.history]
    saving = statistics.median(saved)  # history's row of an epoch is written before that epoch is saved
    epoch = (min(np.diff(ended)) - saving) / share  # others may have compiled a program for another width
    turns.end(saving=saving, epoch=float(epoch))


def grown(turns: Turns) -> None:
    """Seconds of an epoch of the autoencoder at a share of the data and a batch size."""
    lab.backend.select(None)
    data = tasks.load("deep", turns.folder)
    examples, batch = int(turns.options["grown_examples"]), int(turns.options["batch"])
    few = lab.Data(data.train.head(examples), data.validation, data.test)
    turns.end(epoch=statistics.median(_epochs(Autoencoder(), few, batch, 4)))


def _epochs(experiment: Any, data: lab.Data, batch: int | None, epochs: int, limit: float | None = None) -> list[float]:
    """Seconds of each epoch's training after the first."""
    told: dict[str, Any] = {"limit_batches": limit} | ({} if batch is None else {"batch_size": batch})
    trainer = lab.Trainer(**told).resolve(experiment)
    took: list[float] = []

    class Timer(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.began = time.perf_counter()

        def on_test_begin(self, logs: Any = None) -> None:
            took.append(time.perf_counter() - self.began)

    model = experiment.build(data)
    train, validation = batches_for(trainer, data)
    validation.steps_per_epoch = 1
    prepare_model(model, trainer, [])
    experiment.fit(model, train, validation, epochs=epochs, callbacks=[Progress(train), Timer()], verbose=0)
    return took[1:]


def peak(turns: Turns) -> None:
    """Products a second in float32 that large matrices reach, and those that an experiment's step reaches."""
    import tensorflow as tf

    lab.backend.select(None)
    size = 2048
    a = tf.random.normal((size, size))
    product = tf.function(tf.matmul)
    rates = []
    for _ in range(8):
        began = time.perf_counter()
        product(a, a).numpy()
        rates.append(2 * size**3 / (time.perf_counter() - began))
    name, limit = turns.options["experiment"], int(turns.options["limit"])
    rest = {"reference_runs": "none"} if name == "denoising_autoencoder" else {}
    experiment = load(name)(**rest)
    data = experiment.prepare()
    trainer = lab.Trainer(limit_batches=limit).resolve(experiment)
    train, _ = batches_for(trainer, data)
    model = experiment.build(data)
    reached = []
    for epoch, seconds in enumerate(_epochs(experiment, data, None, 6, limit), 1):
        shapes = [np.shape(batch[0]) for batch in train.epoch(epoch)]
        rows, tokens = sum(shape[0] for shape in shapes), sum(math.prod(shape) for shape in shapes)
        reached.append(sum(flops(layer, rows, tokens) for layer in flatten_layers(model)) / seconds)
    turns.end(peak=max(rates), step=max(reached))  # in some epochs a program for another width is compiled


def flops(layer: Any, rows: int, tokens: int) -> float:
    """Multiplications and additions of a layer's matrix products, forwards and backwards; others count nothing.

    A product has two gradients, each as large as itself. A layer of a sequence does it for each token, and
    one behind a pooling over time for each row.
    """
    if isinstance(layer, keras.layers.LSTM):
        return 6.0 * tokens * sum(int(np.prod(weight.shape)) for weight in layer.cell.weights if len(weight.shape) == 2)
    if isinstance(layer, keras.layers.Dense):
        times = tokens if len(layer.output.shape) == 3 else rows
        first = int(layer.kernel.shape[0]) == 784  # no gradient of the image is asked for
        return (4.0 if first else 6.0) * times * float(np.prod(layer.kernel.shape))
    return 0.0
