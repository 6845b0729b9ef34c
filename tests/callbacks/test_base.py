"""The base class of callbacks, and the order in which callbacks are called."""

from __future__ import annotations

import inspect
from pathlib import Path

import keras
import pytest

from lab.callbacks.base import Callback, Order, hears_batches, in_order
from lab.runs.run import Run


def test_every_hook_of_a_callback_does_nothing(tmp_path: Path) -> None:
    callback = Callback()
    run = Run(tmp_path)
    callback.on_stage_begin("fit", run)
    callback.on_stage_end("fit", run)
    callback.on_failure(ValueError("x"), run)
    callback.load_state_dict({"a": 1})
    assert callback.state_dict() == {}


def test_hooks_of_stages_do_not_hide_hooks_of_keras() -> None:
    own = {name for name, _ in inspect.getmembers(Callback, inspect.isfunction) if name in vars(Callback)}
    assert own == {"on_stage_begin", "on_stage_end", "on_failure", "state_dict", "load_state_dict"}
    assert not [name for name in own if hasattr(keras.callbacks.Callback, name)]


def test_callbacks_are_called_by_what_they_need_and_then_as_they_were_given() -> None:
    class Counts(Callback):
        order = Order.COUNT

    class Saves(Callback):
        order = Order.SAVE

    saves, first, keras_own, second, counts = Saves(), Callback(), keras.callbacks.History(), Callback(), Counts()
    assert in_order([saves, first, keras_own, second, counts]) == [counts, first, keras_own, second, saves]


@pytest.mark.parametrize("hook", ["on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end"])
def test_a_callback_with_a_hook_for_batches_is_recognized(hook: str) -> None:
    kind = type("Hears", (keras.callbacks.Callback,), {hook: lambda self, batch, logs=None: None})
    assert hears_batches(kind())
    assert hears_batches(type("Inherits", (kind,), {})())
    given = keras.callbacks.LambdaCallback()
    assert not hears_batches(given)
    setattr(given, hook, lambda batch, logs: None)
    assert hears_batches(given)


def test_a_callback_without_a_hook_for_training_batches_is_recognized() -> None:
    class Epochs(Callback):
        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            """Hears epochs."""

        def on_test_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            """Hears batches, but none of training."""

    assert not hears_batches(Epochs())
    assert not hears_batches(keras.callbacks.EarlyStopping())
