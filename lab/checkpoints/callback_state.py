"""The state of callbacks in a checkpoint: the lab's by `state_dict`, all others by their attributes."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

_NOT_STATE = ("model", "_model", "params", "_params", "validation_data")
_SETTINGS = ("min_delta",)  # of Keras's monitoring callbacks, which turn its sign when they see their first metric


class CallbackStates:
    """Reads and restores the states of callbacks.

    A callback with `state_dict` and `load_state_dict` answers for itself. Of any other, Keras's or a user's,
    those attributes are its state that differ from what they were before training and that a checkpoint
    can hold: numbers, text, arrays, and lists and mappings of these.

    Args:
        callbacks: before training begins.
    """

    def __init__(self, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        self._callbacks = _named(callbacks)
        self._initial = {
            name: {attribute: copy.deepcopy(value) for attribute, value in vars(callback).items() if _is_plain(value)}
            for name, callback in self._callbacks.items()
        }

    def read(self) -> dict[str, Any]:
        """Returns the states by class name, with a number where a class is there twice."""
        states = {}
        for name, callback in self._callbacks.items():
            if hasattr(callback, "state_dict"):
                state = callback.state_dict()
            else:
                state = {
                    attribute: _plain(value)
                    for attribute, value in vars(callback).items()
                    if attribute not in (*_NOT_STATE, *_SETTINGS)
                    and _is_plain(value)
                    and self._changed(name, attribute, value)
                }
            if state:
                states[name] = state
        return states

    def _changed(self, name: str, attribute: str, value: Any) -> bool:
        initial = self._initial[name]
        return attribute not in initial or not _equal(initial[attribute], value)

    def restore(self, states: Mapping[str, Any]) -> None:
        """Gives each callback its state; one without a state is not changed."""
        for name, callback in self._callbacks.items():
            if name not in states:
                continue
            if hasattr(callback, "load_state_dict"):
                callback.load_state_dict(states[name])
                continue
            for attribute, value in states[name].items():
                is_tuple = isinstance(getattr(callback, attribute, None), tuple)
                setattr(callback, attribute, tuple(value) if is_tuple else value)


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


def _equal(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(np.array_equal(one, other))


def _is_plain(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return not value.dtype.hasobject
    if isinstance(value, Mapping):
        return all(isinstance(key, str) for key in value) and all(map(_is_plain, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str, np.number, np.bool_))


def _plain(value: Any) -> Any:
    """A value as JSON and NumPy have it; arrays are copied, for training changes them."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, (np.number, np.bool_)):
        return value.item()
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, (list, tuple)) else value
