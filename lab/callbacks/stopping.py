"""Callbacks that end training, and why it ended."""

from __future__ import annotations

import logging
import math
import signal
import threading
import time
from types import FrameType
from typing import Any

import keras

from lab.callbacks.base import Callback, Order
from lab.callbacks.history import scalars
from lab.callbacks.progress import Progress
from lab.runs.status import StopReason

log = logging.getLogger("lab")


class Patience(keras.callbacks.EarlyStopping):  # type: ignore[misc]  # Keras has no types
    """The early stopping of the trainer's settings; it may monitor one value of a metric with several."""

    order = Order.DECIDE

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_epoch_end(epoch, scalars(logs))


def is_finite(logs: dict[str, Any] | None) -> bool:
    """Whether the loss in the logs of a step is finite; where a step returns several losses, all of them."""
    values = scalars(logs)
    losses = [values["loss"]] if "loss" in values else [v for name, v in values.items() if name.endswith("loss")]
    return all(map(math.isfinite, losses))


class Stopping(Callback):
    """Ends training after a step, through `model.stop_training`, and records why.

    Args:
        max_seconds: how long `fit` may take, from its first batch on; checked after each call of the backend.
        early_stopping: Keras's callback, asked whether it was the one that stopped.
        progress: counts the steps.

    Attributes:
        reason: why training ended.
        at_step: the step after which the loss was not finite.
    """

    order = Order.DECIDE

    def __init__(
        self,
        *,
        max_seconds: float | None = None,
        early_stopping: keras.callbacks.EarlyStopping | None = None,
        progress: Progress,
    ) -> None:
        super().__init__()
        self.max_seconds = max_seconds
        self.early_stopping = early_stopping
        self.progress = progress
        self.reason: StopReason | None = None
        self.at_step = 0
        self._start: float | None = None
        self._earlier_seconds = 0.0
        self._signalled = False
        self._handlers: dict[signal.Signals, Any] = {}

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._handlers[number] = signal.signal(number, self._on_signal)

    def release(self) -> None:
        """Restores the previous signal handlers."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signalled = True
        self.release()  # a second signal stops at once
        log.warning("stopping after this step; press again to stop at once")

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if self._start is None:
            self._start = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        last_step = self.progress.batches.stop
        if not is_finite(logs):
            self.at_step = self.progress.steps_done
            self._stop(StopReason.NOT_FINITE)
        elif self._signalled:
            self._stop(StopReason.SIGNAL)
        elif self.max_seconds is not None and self.seconds() >= self.max_seconds:
            self._stop(StopReason.MAX_TIME)
        elif last_step is not None and self.progress.steps_done >= last_step:
            self._stop(StopReason.MAX_STEPS)

    def seconds(self) -> float:
        """Returns how long training has taken, from its first batch on, in this process and earlier ones."""
        return self._earlier_seconds + (0.0 if self._start is None else time.monotonic() - self._start)

    def state_dict(self) -> dict[str, Any]:
        reason = StopReason.PATIENCE if self._is_out_of_patience else self.reason  # also where a signal came just then
        state = {"stop": bool(self.model.stop_training), "reason": str(reason or "")}
        return state | {"seconds": self.seconds(), "epochs": self.params.get("epochs", 0)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._earlier_seconds = state["seconds"]

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


def had_ended(states: dict[str, Any]) -> StopReason | None:
    """Returns why training had ended, other than by a signal, by the states of its callbacks; None if it had not."""
    state = states.get(Stopping.__name__, {})
    reason = StopReason(state.get("reason") or StopReason.CALLBACK) if state.get("stop") else None
    return None if reason is StopReason.SIGNAL else reason
