"""Checkpoints while training, and going on from one as if nothing had happened."""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras.src.random.seed_generator import global_seed_generator  # Keras exports no name for it

from lab.callbacks.base import Callback, History, Stopping
from lab.checkpoints.checkpoint import Checkpoint
from lab.checkpoints.fingerprint import changes
from lab.checkpoints.manager import CUT, EPOCH, INSIDE, CheckpointFolder
from lab.errors import OriginError
from lab.runs.status import StopReason

log = logging.getLogger("lab")

MOST_OF_THE_TIME = 0.02  # that saving inside an epoch may take
_KERAS = {  # what these callbacks of Keras's remember
    keras.callbacks.EarlyStopping: ("wait", "best", "best_epoch", "stopped_epoch", "best_weights"),
    keras.callbacks.ReduceLROnPlateau: ("wait", "best", "cooldown_counter"),
    keras.callbacks.ModelCheckpoint: ("best",),
}


def states_of(callbacks: Sequence[keras.callbacks.Callback]) -> dict[str, Any]:
    """Returns what callbacks remember, by class name, with a number where a class is there twice."""
    states = {}
    for name, callback in _named(callbacks).items():
        state = callback.state_dict() if isinstance(callback, Callback) else _state_of_keras(callback)
        if state:
            states[name] = state
    return states


def give_back(callbacks: Sequence[keras.callbacks.Callback], states: Mapping[str, Any]) -> None:
    """Gives callbacks what `states_of` returned; those of Keras's that have nothing to remember are left alone."""
    for name, callback in _named(callbacks).items():
        if name not in states:
            continue
        if isinstance(callback, Callback):
            callback.load_state_dict(states[name])
        else:
            for field, value in states[name].items():
                setattr(callback, field, value)


def _named(callbacks: Sequence[keras.callbacks.Callback]) -> dict[str, keras.callbacks.Callback]:
    named: dict[str, keras.callbacks.Callback] = {}
    for callback in callbacks:
        name = kind = type(callback).__name__
        count = 1
        while name in named:
            count += 1
            name = f"{kind}-{count}"
        named[name] = callback
    return named


def _state_of_keras(callback: keras.callbacks.Callback) -> dict[str, Any]:
    fields = next((fields for kind, fields in _KERAS.items() if isinstance(callback, kind)), ())
    values = {field: getattr(callback, field, None) for field in fields}
    return {field: one if one is None or isinstance(one, (int, list)) else float(one) for field, one in values.items()}


class Generators(Callback):
    """Remembers the random generators that belong to no layer: Python's, NumPy's and Keras's global ones.

    The lab draws from none of them; a callback or a loss of a user's own may. TensorFlow's `tf.random`
    cannot be asked for its state: `keras.random` with a `SeedGenerator` can.
    """

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        global_seed_generator()  # making it draws from Python's: not at an instant that a clock chooses

    def state_dict(self) -> dict[str, Any]:
        keras_own = keras.ops.convert_to_numpy(global_seed_generator().state)
        version, words, gauss = random.getstate()
        return {"python": [version, list(words), gauss], "numpy": np.random.get_state(legacy=False), "keras": keras_own}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        global_seed_generator().state.assign(state["keras"])
        version, words, gauss = state["python"]
        random.setstate((version, tuple(words), gauss))
        np.random.set_state(state["numpy"])


class Checkpoints(Callback):
    """Saves the whole state after each epoch, now and then inside one, and where one is cut.

    Args:
        folder: where, and how many to keep.
        monitor: the metric that says which is better; an epoch without it counts as a last one only.
        history: whose rows go into the checkpoint, and whose position says where training is.
        others: the callbacks whose state goes into the checkpoint.
        every: seconds from one checkpoint inside an epoch to the next, at least; more where saving would
            take more than 2 % of the time.
        origin: what the training comes from, by name.
    """

    def __init__(
        self,
        folder: CheckpointFolder,
        monitor: str,
        history: History,
        others: Sequence[keras.callbacks.Callback] = (),
        *,
        every: float = math.inf,
        origin: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.folder = folder
        self.monitor = monitor
        self.history = history
        self.others = others
        self.every = every
        self.origin = dict(origin or {})
        self.seconds = 0.0  # that saving has taken
        self._last = math.inf

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._last = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        position = self.history.position
        inside = position.step < position.batches.steps(position.epoch)
        due = time.monotonic() - self._last >= self.every
        if not inside or not (due or self.model.stop_training) or not _is_finite(logs):
            return
        if had_ended(states_of(self.others)) is None:  # an epoch that was ended here could not be ended again
            self._save(None, INSIDE)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if _is_finite(logs):  # weights that are lost already must not push out good ones
            value = (logs or {}).get(self.monitor)
            whole = self.history.position.epoch > epoch
            self._save(None if value is None else float(value), EPOCH if whole else CUT)

    def _save(self, value: float | None, kind: str) -> None:
        began = time.monotonic()
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()  # the variables are behind the step, otherwise
        checkpoint = Checkpoint.of(
            self.model,
            self.history.position.epoch,
            self.history.position.steps_done,
            copy=False,
            callbacks=states_of(self.others),
            history=list(self.history.rows),
            origin=self.origin,
        )
        self.folder.add(checkpoint, value, kind)
        self._last = time.monotonic()
        took = self._last - began
        self.seconds += took
        self.every = max(self.every, took / MOST_OF_THE_TIME)


def _is_finite(logs: Mapping[str, float] | None) -> bool:
    return math.isfinite(float((logs or {}).get("loss", 0.0)))


class Resuming(Callback):
    """Goes on from a checkpoint; the last of the callbacks, as it sets what those before it have begun anew.

    Args:
        checkpoint: where to go on.
        history: takes its rows.
        others: the callbacks that were saved with it.
        anew: those among them that begin anew.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        history: History,
        others: Sequence[keras.callbacks.Callback],
        anew: Sequence[keras.callbacks.Callback] = (),
    ) -> None:
        super().__init__()
        self.checkpoint: Checkpoint | None = checkpoint
        self.history = history
        self.others = others
        self.anew = anew
        self._function: Any = None
        done = sum(history.position.batches.steps(epoch) for epoch in range(checkpoint.epoch))
        step = checkpoint.step - done
        fits = 0 <= step < history.position.batches.steps(checkpoint.epoch)  # not so where other data was forced
        history.position.start(checkpoint.epoch, step if fits else 0)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        assert self.checkpoint is not None
        self.checkpoint.restore(self.model)
        self.history.rows = list(self.checkpoint.history)
        self._remember(self.checkpoint)

    def _remember(self, checkpoint: Checkpoint) -> None:
        give_back(self.others, checkpoint.callbacks)
        for callback in self.anew:
            callback.on_train_begin()

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if self.checkpoint is not None:
            if self.history.position.step:  # in the middle of an epoch: what its begin has changed is put back
                self.checkpoint.restore(self.model)
                self._remember(self.checkpoint)
                self._function, self.model.train_function = self.model.train_function, self._step
            self.checkpoint = None

    def _step(self, *arguments: Any) -> Any:
        if self.history.position.at_the_end:
            raise StopIteration  # TensorFlow would draw random numbers before it finds that there is no batch
        return self._function(*arguments)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if self._function is not None:
            self.model.train_function, self._function = self._function, None


def had_ended(states: Mapping[str, Any]) -> StopReason | None:
    """Returns why training had been told to end, other than by a signal, when callbacks had these states."""
    state = states.get(Stopping.__name__, {})
    reason = StopReason(state.get("reason") or StopReason.CALLBACK) if state.get("stop") else None
    return None if reason is StopReason.SIGNAL else reason


def last_checkpoint(folder: CheckpointFolder, origin: Mapping[str, str], *, force: bool) -> Checkpoint | None:
    """Returns the checkpoint to go on from; None where there is none, and training begins anew.

    Raises:
        OriginError: it comes from something else, unless that is forced; every difference of that kind is named, and
            nothing is changed. Another machine is no reason: a warning says that numbers are rounded otherwise.
    """
    found = folder.newest()
    different, elsewhere = ([], []) if found is None else changes(found.origin, origin)
    if different and not force:
        raise OriginError(
            f"{folder.path}: the checkpoint comes from another training:\n  "
            + "\n  ".join(different)
            + "\n  --force goes on all the same, and ignores this"
        )
    if different:
        log.warning("going on in spite of differences: %s", "; ".join(different))
    if elsewhere:
        log.warning("going on, but the last bits may differ: %s", "; ".join(elsewhere))
    folder.clean()  # not before: what is refused is left as it is
    folder.forget_after(found)
    log.info("there is no checkpoint: training begins anew" if found is None else f"going on from step {found.step}")
    return found
