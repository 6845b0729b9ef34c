"""Engines that train: the lab as a user has it by default, and Keras's own `fit`."""

from __future__ import annotations

from typing import Any

import keras

import lab
from lab.callbacks.progress import Progress
from lab.callbacks.weights import ResetStates
from lab.engine.execution import prepare_model
from lab.trainer.fit import batches_for
from tests.benchmarks import tasks
from tests.benchmarks.worker import Turns


class Clock(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """A turn is an epoch's training: the clock stops before what is done once an epoch."""

    def __init__(self, turns: Turns, steps: int) -> None:
        super().__init__()
        self.turns = turns
        self.steps = steps
        self.epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.epoch = epoch
        self.turns.begin()

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        self.turns.stop()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.turns.end(loss=(logs or {})["loss"], steps=self.steps)


def with_lab(turns: Turns) -> None:
    """`Experiment.fit`, with what the trainer sets by default."""
    lab.backend.select(None)
    task = turns.options["task"]
    experiment, data = tasks.experiment(task), tasks.load(task, turns.folder)
    trainer = lab.Trainer(batch_size=tasks.BATCH[task])
    model = experiment.build(data)
    tasks.begin(model, turns.folder)
    train, validation = batches_for(trainer, data)
    prepare_model(model, trainer, [])
    callbacks = [Progress(train), ResetStates(), Clock(turns, train.steps_per_epoch)]
    experiment.fit(model, train, validation, epochs=turns.count, callbacks=callbacks, verbose=0)


def with_keras(turns: Turns) -> None:
    """`Model.fit` on arrays: the plain way, or with the options that its documentation names for speed."""
    lab.backend.select(None)
    task = turns.options["task"]
    data = tasks.load(task, turns.folder)
    model = tasks.build(task, data)
    tasks.begin(model, turns.folder)
    faster(model, turns.options)
    x, y = data.train.parts()
    size = tasks.BATCH[task]
    clock = Clock(turns, -(-len(x) // size))
    model.fit(x, y, batch_size=size, epochs=turns.count, callbacks=[clock], verbose=0)


def faster(model: Any, options: dict[str, Any]) -> None:
    """Sets `jit_compile` and `steps_per_execution` where an engine is told to."""
    if options.get("jit"):
        model.jit_compile = True
        model.steps_per_execution = int(options.get("steps_per_execution", 16))
