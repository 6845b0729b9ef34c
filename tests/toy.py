"""A small experiment that learns in a second, for tests of what surrounds an experiment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np

import lab


class Settings(lab.Settings):
    """The toy's settings."""

    width: int = lab.field(4, "Units in the hidden layer.", ge=1, le=64)
    rate: float = lab.field(0.1, "Learning rate.", gt=0)
    fail_in: str = lab.field("", "The hook that raises.")


class Toy(lab.Experiment[Settings]):
    """Fits a plane."""

    trainer = {"epochs": 2, "batch_size": 8, "jit": False}  # XLA would compile for longer than it trains
    presets = {"wide": {"width": 32, "epochs": 3}}
    key_metric = "test_loss"
    sweep = ("width", (1, 2))

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.seen: list[str] = []

    def _at(self, hook: str) -> None:
        self.seen.append(hook)
        if self.settings.fail_in == hook:
            raise ValueError(f"broken {hook}")

    def prepare(self) -> lab.Data:
        self._at("prepare")
        rng = np.random.default_rng(0)

        def split(name: str, count: int) -> lab.Split:
            x = rng.normal(size=(count, 3)).astype(np.float32)
            return lab.Split(name, x, (x @ np.array([[1.0], [-2.0], [0.5]], np.float32)))

        return lab.Data(split("train", 100), split("validation", 20), split("test", 20))

    def build(self, data: lab.Data) -> keras.Model:
        self._at("build")
        layers = [keras.Input((3,)), keras.layers.Dense(self.settings.width), keras.layers.Dense(1)]
        model = keras.Sequential(layers)
        model.compile(keras.optimizers.SGD(self.settings.rate), "mse", metrics=["mae"])
        return model

    def report(self, run: lab.Run, report: lab.Report) -> None:
        self._at("report")
        report.metric("test_loss", run.evaluate("test"), "Mean squared error.")

    def predict(self, run: lab.Run, inputs: Sequence[str], options: Any) -> Iterable[str | lab.LabError]:
        for text in inputs:
            try:
                x = np.array([[float(part) for part in text.split(",")]], np.float32)
            except ValueError:
                yield lab.DataError(f"{text}: expected three numbers such as 1,2,3")
                continue
            yield f"{text} -> {run.model.predict(x, verbose=0)[0, 0]:.2f}\n"
