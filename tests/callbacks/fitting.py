"""A fit of a few milliseconds with the callbacks that every run has, for tests of callbacks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from lab.callbacks.base import in_order
from lab.callbacks.progress import Progress
from lab.callbacks.stopping import Stopping
from lab.data import Batches, Split
from lab.engine.loop import fit


def split(name: str, count: int) -> Split:
    x = np.random.default_rng(count).normal(size=(count, 3)).astype(np.float32)
    return Split(name, x, x.sum(axis=1, keepdims=True))


TRAIN, VALIDATION = split("train", 20), split("validation", 12)  # five and three batches of four


def small_model(optimizer: Any = None, *, steps_per_execution: int = 1) -> Any:
    """Returns a model that runs eagerly, as tracing its step would take longer than the steps of a test."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    optimizer = optimizer or keras.optimizers.SGD(0.01)
    model.compile(optimizer, "mse", metrics=["mae"], run_eagerly=True, steps_per_execution=steps_per_execution)
    return model


@dataclasses.dataclass
class Fit:
    """A fit, and its `Progress` and `Stopping`."""

    batches: Batches
    progress: Progress
    stopping: Stopping

    def run(
        self,
        model: Any,
        *,
        epochs: int = 1,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        validate: bool = False,
        **options: Any,
    ) -> None:
        """Trains as a trainer does: callbacks in their order, and the signal handlers restored afterwards."""
        validation = Batches(VALIDATION, 4, shuffle=False)
        try:
            fit(
                model,
                self.batches,
                validation,
                epochs=epochs,
                callbacks=in_order([self.progress, self.stopping, *callbacks]),
                validation_freq=1 if validate else epochs + 1,
                **options,
            )
        finally:
            self.stopping.release()


def new_fit(
    *, max_seconds: float | None = None, early: keras.callbacks.EarlyStopping | None = None, **options: Any
) -> Fit:
    batches = Batches(TRAIN, 4, **options)
    progress = Progress(batches)
    return Fit(batches, progress, Stopping(max_seconds=max_seconds, early_stopping=early, progress=progress))


class AtStep(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Calls a function with the model at the end of the n-th step."""

    def __init__(self, step: int, action: Callable[[Any], None]) -> None:
        super().__init__()
        self.left = step
        self.action = action

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.left -= 1
        if self.left == 0:
            self.action(self.model)


def stop(model: Any) -> None:
    model.stop_training = True


def spoil(model: Any) -> None:
    """Makes the first weights NaN."""
    model.trainable_variables[0].assign(model.trainable_variables[0] * float("nan"))


def hooks(**functions: Callable[..., Any]) -> keras.callbacks.Callback:
    """Returns a callback with these functions as its hooks, any of Keras's."""
    callback = keras.callbacks.Callback()
    for name, function in functions.items():
        assert hasattr(keras.callbacks.Callback, name)
        setattr(callback, name, function)
    return callback


class Clock:
    """A clock that stands still unless a test moves it."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds
