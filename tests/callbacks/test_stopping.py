"""Why training ends: epochs, steps, time, a loss that is not finite, a signal, patience, another callback."""

from __future__ import annotations

import math
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from lab.callbacks.history import History
from lab.callbacks.stopping import Patience, Stopping, had_ended, is_finite
from lab.runs.run import Run
from lab.runs.status import StopReason
from tests.callbacks.fitting import AtStep, Clock, hooks, new_fit, small_model, stop


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Fails if a test leaves other signal handlers behind."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def terminate(model: Any) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_all_epochs_done_is_the_reason_when_nothing_stops() -> None:
    fit = new_fit()
    fit.run(small_model(), epochs=2)
    assert fit.stopping.reason is StopReason.EPOCHS
    assert fit.stopping.at_step == 0


def test_max_steps_is_the_reason_when_it_cuts_training(tmp_path: Path) -> None:
    fit, run = new_fit(stop=7), Run(tmp_path)
    fit.run(small_model(), epochs=2, validate=True, callbacks=[History(run, fit.progress)])
    assert fit.stopping.reason is StopReason.MAX_STEPS
    assert [row["step"] for row in run.history] == [5, 7]
    assert all("val_loss" in row for row in run.history)


def test_max_steps_is_not_the_reason_when_the_epochs_end_sooner() -> None:
    fit = new_fit(stop=1000)
    fit.run(small_model(), epochs=1)
    assert fit.stopping.reason is StopReason.EPOCHS


# --- time -------------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock for `Stopping` that a test moves."""
    clock = Clock()
    monkeypatch.setattr("lab.callbacks.stopping.time", clock)
    return clock


@pytest.mark.parametrize(("max_seconds", "steps"), [(0.0, 1), (2.0, 2), (2.5, 3), (6.5, 7)])
def test_max_time_stops_after_the_step_that_reaches_it(max_seconds: float, steps: int, clock: Clock) -> None:
    fit = new_fit(max_seconds=max_seconds)
    waits = hooks(
        on_train_begin=lambda logs=None: clock.wait(100), on_train_batch_end=lambda batch, logs=None: clock.wait(1)
    )
    fit.run(small_model(), epochs=3, callbacks=[waits])
    assert fit.stopping.reason is StopReason.MAX_TIME
    assert fit.progress.steps_done == steps


def test_max_time_that_is_not_reached_does_not_stop(clock: Clock) -> None:
    fit = new_fit(max_seconds=5.5)
    fit.run(small_model(), callbacks=[hooks(on_train_batch_end=lambda batch, logs=None: clock.wait(1))])
    assert fit.stopping.reason is StopReason.EPOCHS
    assert fit.progress.steps_done == 5


def test_the_time_of_an_earlier_process_counts(clock: Clock) -> None:
    first = new_fit(max_seconds=5.0)
    waits = hooks(on_train_batch_end=lambda batch, logs=None: clock.wait(1))
    first.run(small_model(), callbacks=[AtStep(3, stop), waits])
    second = new_fit(max_seconds=5.0)
    second.stopping.load_state_dict(first.stopping.state_dict())
    second.run(small_model(), callbacks=[waits])
    assert second.stopping.reason is StopReason.MAX_TIME
    assert second.progress.steps_done == 2


# --- a loss that is not finite ----------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_at_its_step(value: float) -> None:
    fit = new_fit()
    fit.run(
        small_model(), epochs=9, callbacks=[AtStep(6, lambda model: model.trainable_variables[0].assign([[value]] * 3))]
    )
    assert fit.stopping.reason is StopReason.NOT_FINITE
    assert fit.stopping.at_step == 7


@pytest.mark.parametrize(
    ("logs", "finite"),
    [
        (None, True),
        ({"accuracy": math.nan}, True),
        ({"loss": 1.0, "kl_loss": math.nan}, True),
        ({"loss": np.float32(math.inf)}, False),
        ({"d_loss": 1.0, "g_loss": math.nan}, False),
        ({"d_loss": 1.0, "g_loss": 2.0}, True),
    ],
)
def test_the_loss_is_what_must_be_finite_or_every_loss_where_a_step_returns_several(
    logs: dict[str, Any] | None, finite: bool
) -> None:
    assert is_finite(logs) is finite


# --- signals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_in_order_and_the_handlers_are_restored(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    during: list[Any] = []

    def send(model: Any) -> None:
        during.append(signal.getsignal(number))
        os.kill(os.getpid(), number)

    fit, ended = new_fit(), list[str]()
    notes = hooks(
        on_epoch_end=lambda epoch, logs=None: ended.append("epoch"),
        on_train_end=lambda logs=None: ended.append("train"),
    )
    fit.run(small_model(), epochs=9, callbacks=[AtStep(2, send), notes])
    assert fit.stopping.reason is StopReason.SIGNAL
    assert fit.progress.steps_done == 2
    assert ended == ["epoch", "train"]
    assert during[0] != before
    assert signal.getsignal(number) is before


def test_a_second_signal_reaches_whoever_had_it_before() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))

    def twice(model: Any) -> None:
        terminate(model)
        assert heard == []
        terminate(model)

    try:
        fit = new_fit()
        fit.run(small_model(), callbacks=[AtStep(1, twice)])
        assert heard == [signal.SIGTERM]
        assert fit.stopping.reason is StopReason.SIGNAL
    finally:
        signal.signal(signal.SIGTERM, before)


def test_signals_are_left_alone_outside_the_main_thread() -> None:
    fit, errors = new_fit(), list[BaseException]()

    def work() -> None:
        try:
            fit.run(small_model())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == []
    assert fit.stopping.reason is StopReason.EPOCHS


def test_releasing_twice_is_harmless() -> None:
    fit = new_fit()
    fit.run(small_model())
    fit.stopping.release()
    fit.stopping.release()


# --- patience and other callbacks -------------------------------------------------------------------


@pytest.mark.parametrize("kind", [keras.callbacks.EarlyStopping, Patience])
def test_patience_is_the_reason_when_it_stops(kind: type[keras.callbacks.EarlyStopping]) -> None:
    early = kind("val_loss", patience=2, mode="max")  # a falling loss is no better
    fit = new_fit(early=early)
    fit.run(small_model(), epochs=50, validate=True, callbacks=[early])
    assert fit.stopping.reason is StopReason.PATIENCE
    assert fit.progress.epoch == 3


def test_early_stopping_that_did_not_stop_is_not_the_reason() -> None:
    early = keras.callbacks.EarlyStopping("val_loss", patience=2, mode="min")
    fit = new_fit(early=early)
    fit.run(small_model(), epochs=2, validate=True, callbacks=[early])
    assert fit.stopping.reason is StopReason.EPOCHS


def test_patience_may_wait_for_one_value_of_a_metric_with_several() -> None:
    waits = Patience("f1_1", patience=1, mode="max")
    waits.set_model(small_model())
    waits.on_train_begin()
    for epoch, value in enumerate((0.5, 0.6, 0.55)):
        waits.on_epoch_end(epoch, {"f1": np.array([0.0, value])})
        assert waits.model.stop_training == (epoch == 2)


def test_another_callback_that_stops_is_the_reason() -> None:
    fit = new_fit()
    fit.run(small_model(), epochs=9, callbacks=[AtStep(3, stop)])
    assert fit.stopping.reason is StopReason.CALLBACK
    assert fit.progress.steps_done == 3


def test_a_signal_is_the_reason_where_time_is_up_as_well() -> None:
    fit = new_fit(max_seconds=0.0)
    fit.run(small_model(), epochs=9, callbacks=[AtStep(1, terminate)])
    assert fit.stopping.reason is StopReason.SIGNAL


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({}, None),
        ({"stop": False, "reason": ""}, None),
        ({"stop": True, "reason": str(StopReason.SIGNAL)}, None),
        ({"stop": True, "reason": ""}, StopReason.CALLBACK),
        ({"stop": True, "reason": str(StopReason.MAX_STEPS)}, StopReason.MAX_STEPS),
    ],
)
def test_a_signal_alone_does_not_end_a_training(state: dict[str, Any], reason: StopReason | None) -> None:
    assert had_ended({Stopping.__name__: state}) is reason
