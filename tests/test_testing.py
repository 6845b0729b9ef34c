"""`check_experiment` passes what keeps the promises, and says which one is broken."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pytest

import lab
from lab.testing import check_experiment
from tests.toy import Toy


def test_the_toy_passes() -> None:
    check_experiment(Toy, width=3)


def test_settings_that_make_it_quick_are_checked_as_ever() -> None:
    with pytest.raises(lab.SettingsError, match="wdith: no such setting"):
        check_experiment(Toy, wdith=3)


class NoHelp(lab.Settings):
    """A setting that says nothing."""

    width: int = lab.field(4, "")


class Silent(lab.Experiment[NoHelp]):
    prepare, build, report = Toy.prepare, Toy.build, Toy.report


class BadPreset(Toy):
    presets = {"huge": {"width": 65}}


class Moody(Toy):
    """Other data at each call."""

    calls = itertools.count()

    def prepare(self) -> lab.Data:
        data, shift = super().prepare(), next(self.calls)
        return data.map(lambda split: lab.Split(split.name, split.x + shift, split.y))


class Shared(Toy):
    """One model for all."""

    model: Any = None

    def build(self, data: lab.Data) -> keras.Model:
        if Shared.model is None:
            Shared.model = super().build(data)
        return Shared.model


@keras.saving.register_keras_serializable("tests")
class Forgets(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """Multiplies by a number that is not saved."""

    drawn = itertools.count(1)

    def __init__(self, **rest: Any) -> None:
        super().__init__(**rest)
        self.factor = float(next(self.drawn))

    def call(self, x: Any) -> Any:
        return x * self.factor


class Unsaved(Toy):
    def build(self, data: lab.Data) -> keras.Model:
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1), Forgets()])
        model.compile("sgd", "mse")
        return model


class Stubborn(Toy):
    """Learns nothing."""

    def build(self, data: lab.Data) -> keras.Model:
        model = super().build(data)
        model.optimizer.learning_rate = 1e-9
        return model


class Wobbles(lab.Callback):
    """Moves a weight by a number that no checkpoint has."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = np.random.default_rng(0)

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        weight = self.model.trainable_variables[0]
        weight.assign(weight + 0.01 * self.generator.normal())


class Inexact(Toy):
    def callbacks(self) -> Sequence[keras.callbacks.Callback]:
        return [Wobbles()]


class NoKey(Toy):
    key_metric = "test_accuracy"


class Lost(Toy):
    def report(self, run: lab.Run, report: lab.Report) -> None:
        super().report(run, report)
        report.metric("ratio", float("nan"))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Silent, r"Silent\.Settings\.width: expected a line of help"),
        (BadPreset, "width=65"),
        (Moody, r"Moody\.prepare: expected the same data at each call"),
        (Shared, r"Shared\.build: expected a fresh model at each call"),
        (Unsaved, r"Unsaved\.build: expected a saved model to predict the same, it differs by \d"),
        (Stubborn, r"Stubborn\.build: expected training on one batch to lower its loss below 0\.9 of the first"),
        (Inexact, r"Inexact\.fit: expected a resumed run to end like an uninterrupted one; weights, history, metrics"),
        (NoKey, r"NoKey\.report: expected the key metric 'test_accuracy'"),
        (Lost, "ratio"),
    ],
)
def test_a_promise_that_is_broken_is_said(kind: type[lab.Experiment[Any]], said: str) -> None:
    with pytest.raises((AssertionError, lab.LabError), match=said):
        check_experiment(kind)
