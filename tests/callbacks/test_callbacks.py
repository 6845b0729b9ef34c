"""The callbacks of every run, driven by `Model.fit` on the lab's batches."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import os
import signal
import threading
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from lab.callbacks.annealing import Annealing

from lab import layers
from lab.callbacks.base import Averages, Callback, CarriedState, History, Position, Stopping
from lab.callbacks.checkpointing import Checkpoints
from lab.checkpoints.manager import CheckpointManager
from lab.data import Batches, Split
from lab.runs.run import Run
from lab.runs.status import StopReason


def split(name: str, count: int) -> Split:
    x = np.random.default_rng(count).normal(size=(count, 3)).astype(np.float32)
    return Split(name, x, x.sum(axis=1, keepdims=True))


TRAIN, VALIDATION = split("train", 20), split("validation", 12)  # five and three batches of four


def compiled(optimizer: Any, *, steps_per_execution: int = 1) -> Any:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(optimizer, "mse", metrics=["mae"], jit_compile=False, steps_per_execution=steps_per_execution)
    return model


@functools.cache
def traced(steps_per_execution: int) -> tuple[Any, list[tuple[Any, np.ndarray]]]:
    """A model that many tests share, since tracing its step takes longer than their steps, and its first state."""
    model = compiled(keras.optimizers.SGD(0.01), steps_per_execution=steps_per_execution)
    model.optimizer.build(model.trainable_variables)
    return model, [(variable, variable.numpy()) for variable in (*model.variables, *model.optimizer.variables)]


def small_model(*, steps_per_execution: int = 1) -> Any:
    model, state = traced(steps_per_execution)
    for variable, value in state:
        variable.assign(value)
    return model


@dataclasses.dataclass
class Fit:
    """A fit under way: what it has, and what `Position` and `Stopping` say after it."""

    batches: Batches
    position: Position
    stopping: Stopping

    def run(
        self,
        model: Any,
        *,
        epochs: int = 1,
        initial_epoch: int = 0,
        before: Sequence[keras.callbacks.Callback] = (),
        callbacks: Sequence[keras.callbacks.Callback] = (),
        validate: bool = False,
    ) -> None:
        """Fits, with callbacks before and after `Stopping`, and gives the signals back as a trainer does."""
        validation = Batches(VALIDATION, 4, shuffle=False).feed() if validate else None
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Your input ran out of data")  # an epoch that `stop` cuts
                model.fit(
                    self.batches.feed(),
                    validation_data=validation,
                    epochs=epochs,
                    initial_epoch=initial_epoch,
                    verbose=0,
                    callbacks=[self.position, *before, self.stopping, *callbacks],
                )
        finally:
            self.stopping.release()


def fit(*, max_seconds: float | None = None, early: keras.callbacks.EarlyStopping | None = None, **options: Any) -> Fit:
    batches = Batches(TRAIN, 4, **options)
    position = Position(batches)
    return Fit(batches, position, Stopping(max_seconds=max_seconds, early_stopping=early, position=position))


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Says if a test leaves the signals with someone else."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


class AtBatch(keras.callbacks.Callback):  # type: ignore[misc]
    """Calls a function at the end of one batch, and counts batches."""

    def __init__(self, batch: int, action: Any) -> None:
        super().__init__()
        self.batch = batch
        self.action = action
        self.heard = 0

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.heard += 1
        if self.heard == self.batch:
            self.action(self.model)


# --- the base class -------------------------------------------------------------------------------


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


# --- Position -------------------------------------------------------------------------------------


def seen(made: Fit, model: Any, epochs: int) -> list[tuple[int, int, int]]:
    """Fits, and returns (epoch, step, steps done) after each batch and each epoch."""
    found: list[tuple[int, int, int]] = []

    class Notes(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            found.append((made.position.epoch, made.position.step, made.position.steps_done))

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            found.append((made.position.epoch, made.position.step, made.position.steps_done))

    made.run(model, epochs=epochs, callbacks=[Notes()])
    return found


def test_position_counts_every_step_and_whole_epochs() -> None:
    assert seen(fit(), small_model(), 2) == [
        *((0, step, step) for step in (1, 2, 3, 4, 5)),
        (1, 0, 5),
        *((1, step, 5 + step) for step in (1, 2, 3, 4, 5)),
        (2, 0, 10),
    ]


def test_position_counts_steps_that_one_execution_takes_together() -> None:
    assert seen(fit(), small_model(steps_per_execution=3), 1) == [(0, 3, 3), (0, 5, 5), (1, 0, 5)]


def test_position_knows_a_limit_of_batches() -> None:
    assert [done for _, _, done in seen(fit(limit=2), small_model(), 2)] == [1, 2, 2, 3, 4, 4]


def test_position_knows_where_the_last_epoch_is_cut() -> None:
    made = fit(stop=7)
    model = small_model()
    assert seen(made, model, 2)[-3:] == [(1, 1, 6), (1, 2, 7), (2, 0, 7)]
    assert int(model.optimizer.iterations.numpy()) == 7


def test_position_knows_where_the_last_epoch_is_cut_inside_an_execution() -> None:
    made = fit(stop=7)
    model = small_model(steps_per_execution=4)
    assert seen(made, model, 2)[-1] == (2, 0, 7)
    assert int(model.optimizer.iterations.numpy()) == 7


def test_position_stays_within_an_epoch_that_was_not_finished() -> None:
    made = fit()
    made.run(small_model(), epochs=3, before=[AtBatch(7, lambda model: setattr(model, "stop_training", True))])
    assert (made.position.epoch, made.position.step, made.position.steps_done) == (1, 2, 7)


def test_position_tells_the_batches_which_epoch_is_next() -> None:
    made = fit()
    asked: list[int] = []
    seek = made.batches.seek

    def noted(epoch: int, step: int = 0) -> None:
        asked.append(epoch)
        seek(epoch, step)

    made.batches.seek = noted  # type: ignore[method-assign]
    made.run(small_model(), initial_epoch=3, epochs=5)
    assert asked == [3, 4]
    assert made.position.steps_done == 25


# --- History --------------------------------------------------------------------------------------


def test_history_has_a_row_an_epoch_with_every_metric(tmp_path: Path) -> None:
    made, run = fit(), Run(tmp_path)
    history = History(run, made.position)
    made.run(compiled(keras.optimizers.SGD(0.25)), epochs=2, validate=True, callbacks=[history])
    assert [list(row) for row in run.history] == [
        ["epoch", "step", "seconds", "learning_rate", "loss", "mae", "val_loss", "val_mae"]
    ] * 2
    assert [(row["epoch"], row["step"], row["learning_rate"]) for row in run.history] == [(1, 5, 0.25), (2, 10, 0.25)]
    assert 0 < run.history[0]["seconds"] <= run.history[1]["seconds"]
    assert run.history == history.rows


def test_history_is_on_disk_after_each_epoch(tmp_path: Path) -> None:
    made, run = fit(), Run(tmp_path)
    lengths: list[int] = []
    peek = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: lengths.append(len(run.history)))
    made.run(small_model(), epochs=3, callbacks=[History(run, made.position), peek])
    assert lengths == [0, 1, 2]


def test_history_has_the_learning_rate_of_a_schedule(tmp_path: Path) -> None:
    made, run = fit(), Run(tmp_path)
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([5], [0.5, 0.25])
    made.run(compiled(keras.optimizers.SGD(schedule)), epochs=2, callbacks=[History(run, made.position)])
    assert [row["learning_rate"] for row in run.history] == [0.5, 0.25]


# --- Checkpoints ----------------------------------------------------------------------------------


def test_checkpoints_hold_position_history_and_the_state_of_callbacks(tmp_path: Path) -> None:
    class Counts(Callback):
        def state_dict(self) -> dict[str, Any]:
            return {"count": 3}

    made = fit()
    history = History(Run(tmp_path), made.position)
    folder = CheckpointManager(tmp_path / "checkpoints", keep_last=9)
    saves = Checkpoints(folder, "val_loss", history, [Counts(), made.position])
    model = small_model()
    made.run(model, epochs=2, validate=True, callbacks=[history, saves])
    assert [(entry["epoch"], entry["step"]) for entry in folder.index] == [(1, 5), (2, 10)]
    assert [entry["value"] for entry in folder.index] == [row["val_loss"] for row in history.rows]
    last = folder.load(folder.index[-1])
    assert last.callbacks == {"Counts": {"count": 3}}
    assert last.history == history.rows
    assert np.array_equal(next(iter(last.variables.values())), model.trainable_variables[0].numpy())


def test_an_epoch_without_the_monitored_metric_is_kept_as_a_last_one_only(tmp_path: Path) -> None:
    made = fit()
    folder = CheckpointManager(tmp_path / "checkpoints")
    history = History(Run(tmp_path), made.position)
    made.run(small_model(), epochs=2, callbacks=[history, Checkpoints(folder, "val_loss", history)])
    assert [entry["step"] for entry in folder.index] == [10]
    assert folder.best() is None


def test_an_epoch_whose_loss_is_not_finite_does_not_push_out_a_good_one(tmp_path: Path) -> None:
    def spoil(model: Any) -> None:
        model.trainable_variables[0].assign(model.trainable_variables[0] * math.nan)

    made = fit()
    folder = CheckpointManager(tmp_path / "checkpoints")
    history = History(Run(tmp_path), made.position)
    saves = Checkpoints(folder, "val_loss", history)
    made.run(small_model(), epochs=9, validate=True, before=[AtBatch(7, spoil)], callbacks=[history, saves])
    assert [entry["step"] for entry in folder.index] == [5]
    assert all(np.isfinite(value).all() for value in folder.load(folder.index[0]).variables.values())


# --- Averages -------------------------------------------------------------------------------------


def averages(model: Any) -> list[np.ndarray]:
    return [value.numpy() for value in model.optimizer._model_variables_moving_average]


def test_validation_uses_the_averages_and_training_goes_on_with_the_raw_weights(tmp_path: Path) -> None:
    raw: list[list[np.ndarray]] = []
    tested: list[list[np.ndarray]] = []
    after: list[list[np.ndarray]] = []

    def weights(model: Any) -> list[np.ndarray]:
        return [value.numpy() for value in model.trainable_variables]

    class Watches(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            if batch == 4:
                raw.append(weights(self.model))

        def on_test_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            if batch == 0:
                tested.append(weights(self.model))
                assert all(map(np.array_equal, tested[-1], averages(self.model)))

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            after.append(weights(self.model))

    model = compiled(keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9))
    made, run = fit(), Run(tmp_path)
    history = History(run, made.position)
    made.run(model, epochs=2, validate=True, before=[Averages(), Watches()], callbacks=[history])
    for epoch in range(2):
        assert all(map(np.array_equal, raw[epoch], after[epoch]))
        assert not np.array_equal(raw[epoch][0], tested[epoch][0])
    assert all(map(np.array_equal, weights(model), averages(model)))  # Keras puts them in when fit ends
    losses = model.evaluate(VALIDATION.x, VALIDATION.y, verbose=0, return_dict=True)
    assert run.history[-1]["val_loss"] == pytest.approx(losses["loss"], rel=1e-5)


def test_averages_work_below_a_loss_scale() -> None:
    inner = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5)
    model = compiled(keras.optimizers.LossScaleOptimizer(inner))
    tested: list[bool] = []

    class Watches(keras.callbacks.Callback):  # type: ignore[misc]
        def on_test_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            averaged = [value.numpy() for value in inner._model_variables_moving_average]
            tested.append(all(map(np.array_equal, [v.numpy() for v in self.model.trainable_variables], averaged)))

    fit().run(model, validate=True, before=[Averages(), Watches()])
    assert tested == [True] * 3


# --- Stopping -------------------------------------------------------------------------------------


def test_all_epochs_done_is_the_reason_when_nothing_stops() -> None:
    made = fit()
    made.run(small_model(), epochs=2)
    assert made.stopping.reason is StopReason.EPOCHS


def test_max_steps_is_the_reason_when_it_cuts_training(tmp_path: Path) -> None:
    made, run = fit(stop=7), Run(tmp_path)
    made.run(small_model(), epochs=2, validate=True, callbacks=[History(run, made.position)])
    assert made.stopping.reason is StopReason.MAX_STEPS
    assert [row["step"] for row in run.history] == [5, 7]
    assert all("val_loss" in row for row in run.history)


def test_max_steps_is_not_the_reason_when_the_epochs_end_sooner() -> None:
    made = fit(stop=1000)
    made.run(small_model(), epochs=1)
    assert made.stopping.reason is StopReason.EPOCHS


class Clock:
    """A clock on which compiling takes a hundred seconds and a batch takes one."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("lab.callbacks.base.time", made)
    return made


@pytest.mark.parametrize(("max_seconds", "steps"), [(0.0, 1), (2.0, 2), (2.5, 3), (9.5, 10)])
def test_max_time_stops_after_the_batch_that_reaches_it(max_seconds: float, steps: int, clock: Clock) -> None:
    made = fit(max_seconds=max_seconds)
    waits = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: clock.wait(100), on_train_batch_end=lambda batch, logs: clock.wait(1)
    )
    made.run(small_model(), epochs=3, before=[waits])
    assert made.stopping.reason is StopReason.MAX_TIME
    assert made.position.steps_done == steps


def test_max_time_that_is_not_reached_does_not_stop(clock: Clock) -> None:
    made = fit(max_seconds=5.5)
    waits = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: clock.wait(1))
    made.run(small_model(), before=[waits])
    assert made.stopping.reason is StopReason.EPOCHS
    assert made.position.steps_done == 5


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_at_its_step(value: float) -> None:
    def spoil(model: Any) -> None:
        model.trainable_variables[0].assign(model.trainable_variables[0] * 0 + value)

    made = fit()
    made.run(small_model(), epochs=9, before=[AtBatch(6, spoil)])
    assert made.stopping.reason is StopReason.NOT_FINITE
    assert made.stopping.at_step == 7


def test_a_finite_loss_does_not_stop() -> None:
    made = fit()
    made.run(small_model(), epochs=1)
    assert made.stopping.at_step == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_in_order_and_the_handlers_come_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    during: list[Any] = []

    def send(model: Any) -> None:
        during.append(signal.getsignal(number))
        os.kill(os.getpid(), number)

    made, ended = fit(), []
    told = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: ended.append("epoch"), on_train_end=lambda logs: ended.append("train")
    )
    made.run(small_model(), epochs=9, before=[AtBatch(2, send)], callbacks=[told])
    assert made.stopping.reason is StopReason.SIGNAL
    assert made.position.steps_done == 2
    assert ended == ["epoch", "train"]
    assert during[0] != before
    assert signal.getsignal(number) is before


def test_a_second_signal_reaches_whoever_had_it_before() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))

    def twice(model: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        assert heard == []
        os.kill(os.getpid(), signal.SIGTERM)

    try:
        made = fit()
        made.run(small_model(), before=[AtBatch(1, twice)])
        assert heard == [signal.SIGTERM]
        assert made.stopping.reason is StopReason.SIGNAL
    finally:
        signal.signal(signal.SIGTERM, before)


def test_signals_are_left_alone_outside_the_main_thread() -> None:
    made, errors = fit(), []

    def work() -> None:
        try:
            made.run(small_model())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == []
    assert made.stopping.reason is StopReason.EPOCHS


def test_releasing_twice_is_harmless() -> None:
    made = fit()
    made.run(small_model())
    made.stopping.release()
    made.stopping.release()


def test_patience_is_the_reason_when_keras_stops_early() -> None:
    early = keras.callbacks.EarlyStopping("val_loss", patience=2, mode="max")  # a falling loss is no better
    made = fit(early=early)
    made.run(small_model(), epochs=50, validate=True, before=[early])
    assert made.stopping.reason is StopReason.PATIENCE
    assert made.position.epoch == 3


def test_early_stopping_that_did_not_stop_is_not_the_reason() -> None:
    early = keras.callbacks.EarlyStopping("val_loss", patience=2, mode="min")
    made = fit(early=early)
    made.run(small_model(), epochs=2, validate=True, before=[early])
    assert made.stopping.reason is StopReason.EPOCHS


def test_another_callback_that_stops_is_the_reason() -> None:
    made = fit()
    made.run(small_model(), epochs=9, before=[AtBatch(3, lambda model: setattr(model, "stop_training", True))])
    assert made.stopping.reason is StopReason.CALLBACK
    assert made.position.steps_done == 3


def test_a_signal_is_the_reason_where_time_is_up_as_well() -> None:
    made = fit(max_seconds=0.0)
    made.run(small_model(), epochs=9, before=[AtBatch(1, lambda model: os.kill(os.getpid(), signal.SIGTERM))])
    assert made.stopping.reason is StopReason.SIGNAL


def test_the_first_reason_is_kept_when_another_callback_lets_training_go_on() -> None:
    def spoil(model: Any) -> None:
        model.trainable_variables[0].assign(model.trainable_variables[0] * math.nan)

    made = fit()
    send = AtBatch(1, lambda model: os.kill(os.getpid(), signal.SIGTERM))
    go_on = [AtBatch(batch, lambda model: setattr(model, "stop_training", False)) for batch in (1, 2, 3)]
    made.run(small_model(), before=[send, AtBatch(3, spoil)], callbacks=go_on)
    assert made.stopping.at_step == 4
    assert made.stopping.reason is StopReason.SIGNAL


# --- a rate by the clock, and a state that is carried -------------------------------------------------


def annealed(made: Fit, clock: Clock, seconds: float, steps: int, epochs: int = 1) -> list[tuple[float, int, float]]:
    """What the rate was asked for and became at each batch: share, steps done, the optimizer's rate."""
    asked: list[tuple[float, int]] = []
    rates: list[float] = []

    def rate(share: float, done: int) -> float:
        asked.append((share, done))
        return 1.0 - share

    model = small_model()
    annealing = Annealing(rate, steps, made.stopping, made.position)
    waits = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: rates.append(float(model.optimizer.learning_rate)),
        on_train_batch_end=lambda batch, logs: clock.wait(seconds),
    )
    made.run(model, epochs=epochs, before=[waits, annealing])
    return [(share, done, rate) for (share, done), rate in zip(asked, rates, strict=False)]


def test_the_rate_follows_the_steps_where_they_end_sooner(clock: Clock) -> None:
    found = annealed(fit(max_seconds=1000.0), clock, 1.0, steps=5)
    assert [done for _, done, _ in found] == [0, 1, 2, 3, 4]
    assert [share for share, _, _ in found] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
    assert [rate for _, _, rate in found] == pytest.approx([1, 0.8, 0.6, 0.4, 0.2])


def test_the_rate_follows_the_clock_where_that_ends_sooner(clock: Clock) -> None:
    made = fit(max_seconds=4.0)
    found = annealed(made, clock, 1.0, steps=100, epochs=3)
    assert made.stopping.reason is StopReason.MAX_TIME
    assert [rate for _, _, rate in found] == pytest.approx([1, 0.75, 0.5, 0.25])


def test_every_epoch_and_every_validation_begins_with_a_state_of_zeros() -> None:
    seen_states: list[tuple[str, float]] = []
    model = keras.Sequential([keras.Input((3, 2)), layers.LSTM(2, stateful=True), keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=False)
    x = np.ones((4, 3, 2), np.float32)
    model(x)

    def look(when: str) -> None:
        seen_states.append((when, float(np.abs(np.asarray(model.layers[0].states[0])).max())))

    looks = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: look("epoch"), on_epoch_end=lambda epoch, logs: look("end")
    )
    tests = keras.callbacks.LambdaCallback()
    tests.on_test_begin = lambda logs=None: look("test")
    model.fit(
        x,
        np.ones((4, 1)),
        batch_size=4,
        epochs=2,
        validation_data=(x, np.ones((4, 1))),
        validation_batch_size=4,
        verbose=0,
        callbacks=[CarriedState(), looks, tests],
    )
    assert [when for when, _ in seen_states] == ["epoch", "test", "end"] * 2
    assert all((largest == 0) == (when != "end") for when, largest in seen_states)
