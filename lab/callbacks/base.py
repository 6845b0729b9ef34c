"""The base class of callbacks: Keras's, with the stages of a run, failure, state and an order."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Any, ClassVar

import keras

from lab.runs.run import Run


class Order(enum.IntEnum):
    """When a callback is called, by what it needs; among those with the same order, as they were given."""

    COUNT = 0  # counts epochs and steps, which all others may ask for
    PREPARE = 1  # sets what training and the callbacks of users see: states, averaged weights, a learning rate
    ACT = 2  # a user's own and Keras's: they act on training and may add to the logs
    RECORD = 3  # shows or writes the complete logs
    DECIDE = 4  # decides from the logs whether training ends
    SAVE = 5  # saves the state of training and of all callbacks before it
    RESUME = 6  # sets the state that all callbacks before it have initialised


class Callback(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """A Keras callback that is also called at the stages of a run and at its failure, and can keep state.

    Every hook does nothing; override those you need. Keras's own callbacks can be used as well.

    Class attributes:
        order: when it is called, among all callbacks of a run.
    """

    order: ClassVar[Order] = Order.ACT

    def on_stage_begin(self, stage: str, run: Run) -> None:
        """Called before `prepare`, `build`, `fit` and `report`."""

    def on_stage_end(self, stage: str, run: Run) -> None:
        """Called after a stage that ended without an error."""

    def on_failure(self, error: BaseException, run: Run) -> None:
        """Called once when a stage raises, an interrupt included; `on_train_end` is not called then."""

    def state_dict(self) -> dict[str, Any]:
        """Returns the state that a checkpoint should hold: JSON values and NumPy arrays."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` returned."""


def in_order(callbacks: Iterable[keras.callbacks.Callback]) -> list[keras.callbacks.Callback]:
    """Returns callbacks in the order in which they are called; Keras's own count as `Order.ACT`."""

    def order_of(callback: keras.callbacks.Callback) -> Order:
        order = getattr(callback, "order", None)
        return order if isinstance(order, Order) else Order.ACT

    return sorted(callbacks, key=order_of)


def hears_batches(callback: keras.callbacks.Callback) -> bool:
    """Whether a callback overrides a hook that is called for every training batch."""
    hooks = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")
    base = keras.callbacks.Callback
    return any(hook in vars(callback) or getattr(type(callback), hook) is not getattr(base, hook) for hook in hooks)
