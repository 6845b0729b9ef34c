"""Checkpoints while training, and resuming from one as if nothing had happened."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence

import keras

from lab.callbacks.base import Callback, Order
from lab.callbacks.history import History, scalars
from lab.callbacks.stopping import had_ended, is_finite
from lab.checkpoints.callback_state import CallbackStates
from lab.checkpoints.checkpoint import Checkpoint
from lab.checkpoints.manager import CUT, EPOCH, INSIDE, CheckpointManager

log = logging.getLogger("lab")

MOST_OF_THE_TIME = 0.02  # the share of the time that saving inside an epoch may take


class Checkpointing(Callback):
    """Saves the complete state after each epoch, at intervals inside one, and where one is cut.

    Args:
        manager: where, and how many to keep.
        monitor: the metric by which checkpoints are ranked; an epoch without it is not ranked.
        history: its rows go into the checkpoint; its progress gives the position of training.
        states: of the callbacks whose state goes into the checkpoint.
        every: seconds from one checkpoint inside an epoch to the next, at least; more where saving would
            take more than 2 % of the time.
        fingerprint: what the training is, by name.
    """

    order = Order.SAVE

    def __init__(
        self,
        manager: CheckpointManager,
        monitor: str,
        history: History,
        states: CallbackStates,
        *,
        every: float = math.inf,
        fingerprint: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.manager = manager
        self.monitor = monitor
        self.history = history
        self.states = states
        self.every = every
        self.fingerprint = dict(fingerprint or {})
        self.seconds = 0.0  # that saving has taken
        self._last = math.inf

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._last = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        progress = self.history.progress
        inside = progress.step < progress.batches.steps(progress.epoch)
        due = time.monotonic() - self._last >= self.every
        if not inside or not (due or self.model.stop_training) or not is_finite(logs):
            return
        if had_ended(self.states.read()) is None:  # an epoch that was ended here could not be ended again
            self._save(None, INSIDE)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if is_finite(logs):  # weights that are lost must not push out good ones
            complete = self.history.progress.epoch > epoch
            self._save(scalars(logs).get(self.monitor), EPOCH if complete else CUT)

    def _save(self, value: float | None, kind: str) -> None:
        start = time.monotonic()
        checkpoint = Checkpoint.of(
            self.model,
            self.history.progress.epoch,
            self.history.progress.steps_done,
            copy=False,
            callbacks=self.states.read(),
            history=list(self.history.rows),
            origin=self.fingerprint,
        )
        self.manager.add(checkpoint, value, kind)
        self._last = time.monotonic()
        self.seconds += self._last - start
        self.every = max(self.every, (self._last - start) / MOST_OF_THE_TIME)


class Resuming(Callback):
    """Resumes from a checkpoint.

    Args:
        checkpoint: where training resumes.
        history: takes its rows.
        states: of the callbacks that were saved with it.
        restart: callbacks that begin again, whatever their saved state.
        create: called before the state is restored: creates the variables that the first step would create.
    """

    order = Order.RESUME

    def __init__(
        self,
        checkpoint: Checkpoint,
        history: History,
        states: CallbackStates,
        restart: Sequence[keras.callbacks.Callback] = (),
        create: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self.checkpoint: Checkpoint | None = checkpoint
        self.history = history
        self.states = states
        self.restart = restart
        self.create = create
        progress = history.progress
        step = checkpoint.step - sum(progress.batches.steps(epoch) for epoch in range(checkpoint.epoch))
        fits = 0 <= step < progress.batches.steps(checkpoint.epoch)  # not where other data was forced
        progress.resume_at(checkpoint.epoch, step if fits else 0)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        assert self.checkpoint is not None
        self.create()
        self.history.rows = list(self.checkpoint.history)
        self._restore(self.checkpoint)

    def _restore(self, checkpoint: Checkpoint) -> None:
        checkpoint.restore(self.model)
        self.states.restore(checkpoint.callbacks)
        for callback in self.restart:
            callback.on_train_begin()

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if self.checkpoint is not None:
            if self.history.progress.step:  # inside an epoch: what its beginning has changed is restored
                self._restore(self.checkpoint)
            self.checkpoint = None
