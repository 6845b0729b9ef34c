"""Callbacks: Keras's, with stages, failure and state; and those that every run has."""

from __future__ import annotations

import logging
import math
import signal
import threading
import time
from types import FrameType
from typing import Any

import keras

from lab.data import Batches
from lab.runs.run import Run
from lab.runs.status import StopReason

log = logging.getLogger("lab")


class Callback(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """A Keras callback that also hears the stages of a run, hears of its failure, and can keep state.

    Every hook does nothing; override those you need. Keras's own callbacks can be used beside it.
    """

    def on_stage_begin(self, stage: str, run: Run) -> None:
        """Called before `prepare`, `build`, `fit` and `report`."""

    def on_stage_end(self, stage: str, run: Run) -> None:
        """Called after a stage that ended well."""

    def on_failure(self, error: BaseException, run: Run) -> None:
        """Called once when a stage raises, an interrupt included; `Model.fit` then skips `on_train_end`."""

    def state_dict(self) -> dict[str, Any]:
        """Returns what a checkpoint should keep of this callback: what JSON has, and NumPy's arrays."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` returned."""


class Position(Callback):
    """Tells the batches which epoch is next, and knows how far training is.

    Attributes:
        epoch: epochs done.
        step: steps done in the epoch under way.
    """

    def __init__(self, batches: Batches) -> None:
        super().__init__()
        self.batches = batches
        self.epoch = 0
        self.step = 0
        self._first = (0, 0)  # the epoch that training goes on in, and the step in it

    def start(self, epoch: int, step: int) -> None:
        """Says where training begins, or goes on."""
        self._first = self.epoch, self.step = epoch, step

    @property
    def first_step(self) -> int:
        """The step that the epoch under way began with, in this process."""
        return self._first[1] if self._first[0] == self.epoch else 0

    @property
    def at_the_end(self) -> bool:
        """Whether the epoch under way has no batch left: Keras counts those that were done before a run was resumed."""
        return self.step >= self.batches.steps(self.epoch)

    @property
    def steps_done(self) -> int:
        """Training steps done, over all epochs."""
        return sum(self.batches.steps(epoch) for epoch in range(self.epoch)) + self.step

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.epoch = epoch
        self.step = self.first_step
        self.batches.seek(epoch, self.step)

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        done = self.first_step + batch + 1  # an execution of many steps may overshoot
        self.step = min(done, self.batches.steps(self.epoch))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if self.step >= self.batches.steps(epoch):
            self.epoch, self.step = epoch + 1, 0


class History(Callback):
    """Writes `history.csv` after each epoch.

    Args:
        run: where to write.
        position: what counts the steps.
    """

    def __init__(self, run: Run, position: Position) -> None:
        super().__init__()
        self.run = run
        self.position = position
        self.rows: list[dict[str, float]] = []
        self._began = 0.0

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._began = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": time.monotonic() - self._began}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._began = time.monotonic() - state["seconds"]

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        seconds = round(time.monotonic() - self._began, 3)
        whole = self.position.epoch > epoch  # an epoch that was cut counts as the part that was done
        done = epoch + 1 if whole else epoch + self.position.step / self.position.batches.steps(epoch)
        row = {"epoch": round(done, 4), "step": self.position.steps_done, "seconds": seconds, "learning_rate": rate}
        self.rows.append(row | {name: float(value) for name, value in (logs or {}).items()})
        self.run.write_history(self.rows)


class Averages(Callback):
    """Validates with the moving averages of the weights, where the optimizer keeps them (`use_ema`).

    Keras puts them into the model when `fit` ends; `keras.callbacks.SwapEMAWeights` does so earlier,
    but leaves the raw weights behind when training stops before the last epoch.
    """

    def __init__(self) -> None:
        super().__init__()
        self._raw: list[Any] = []

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        self._raw = [keras.ops.convert_to_numpy(variable) for variable in self.model.trainable_variables]
        inner = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        inner.finalize_variable_values(self.model.trainable_variables)
        if keras.backend.backend() == "jax":  # average and weight would be one array, which a step uses up
            for variable in self.model.trainable_variables:
                variable.assign(keras.ops.copy(variable.value))

    def on_test_end(self, logs: dict[str, float] | None = None) -> None:
        for variable, value in zip(self.model.trainable_variables, self._raw, strict=True):
            variable.assign(value)
        self._raw = []


class InTouch(Callback):
    """Lets the callbacks behind it see and change the variables after each step on JAX, as they can on TensorFlow.

    On JAX Keras's `fit` keeps the state to itself, and gives it to the variables once an epoch.

    Args:
        position: how far training is; told before this callback.
    """

    def __init__(self, position: Position) -> None:
        super().__init__()
        self.position = position

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if self.position.at_the_end:
            raise StopIteration  # as the batches would, but before `fit` takes the weights of the step before again

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.model.jax_state_sync()


class Stopping(Callback):
    """Ends training in order, through `model.stop_training`, and remembers why.

    Args:
        max_seconds: how long `fit` may take, from its first batch on; checked after each execution.
        early_stopping: Keras's callback, asked whether it was the one that stopped.
        position: how far training is; told before this callback.
    """

    def __init__(
        self,
        *,
        max_seconds: float | None = None,
        early_stopping: keras.callbacks.EarlyStopping | None = None,
        position: Position,
    ) -> None:
        super().__init__()
        self.max_seconds = max_seconds
        self.early_stopping = early_stopping
        self.position = position
        self.reason: StopReason | None = None
        self.at_step = 0
        self._began: float | None = None
        self._before = 0.0
        self._signalled = False
        self._previous: dict[signal.Signals, Any] = {}

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._on_signal)

    def release(self) -> None:
        """Gives the signals back to whoever had them."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signalled = True
        self.release()  # a second signal stops at once
        log.warning("stopping in order, after this step; once more stops at once")

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if self._began is None:
            self._began = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if not math.isfinite(float((logs or {}).get("loss", 0.0))):
            self.at_step = self.position.steps_done
            self._stop(StopReason.NOT_FINITE)
        elif self._signalled:
            self._stop(StopReason.SIGNAL)
        elif self.max_seconds is not None and self.seconds() >= self.max_seconds:
            self._stop(StopReason.MAX_TIME)
        elif self.position.batches.stop is not None and self.position.steps_done >= self.position.batches.stop:
            self._stop(StopReason.MAX_STEPS)

    def seconds(self) -> float:
        """How long training has taken, from its first batch on, in this process and those before it."""
        return self._before + (0.0 if self._began is None else time.monotonic() - self._began)

    def state_dict(self) -> dict[str, Any]:
        reason = StopReason.PATIENCE if self._is_out_of_patience else self.reason  # also where a signal came just then
        state = {"stop": bool(self.model.stop_training), "reason": str(reason or "")}
        return state | {"seconds": self.seconds(), "epochs": self.params.get("epochs", 0)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._before = state["seconds"]

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        if self.reason is None:
            if self._is_out_of_patience:
                self.reason = StopReason.PATIENCE
            elif self._signalled:
                self.reason = StopReason.SIGNAL
            elif self.model.stop_training:
                self.reason = StopReason.CALLBACK
            else:
                self.reason = StopReason.EPOCHS

    @property
    def _is_out_of_patience(self) -> bool:
        return self.early_stopping is not None and self.early_stopping.stopped_epoch > 0

    def _stop(self, reason: StopReason) -> None:
        self.reason = self.reason or reason
        self.model.stop_training = True


class CarriedState(Callback):
    """Begins each epoch and each validation with a state of zeros, for layers that carry theirs (`stateful`)."""

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._reset()

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        self._reset()

    def _reset(self) -> None:
        for layer in self.model._flatten_layers():
            if getattr(layer, "stateful", False):
                layer.reset_state()
