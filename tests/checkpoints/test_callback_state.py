"""The state of callbacks in a checkpoint: the lab's by `state_dict`, Keras's and a user's by their attributes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from lab.callbacks.base import Callback
from lab.checkpoints.callback_state import CallbackStates


class Counts(Callback):
    """Remembers a number."""

    def __init__(self, count: int = 0) -> None:
        super().__init__()
        self.count = count

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state["count"]


class Plain(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """A callback as a user writes it for Keras."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.epochs = 0
        self.seen: tuple[int, ...] = ()
        self.moves = np.zeros(2)
        self.losses: dict[str, list[float]] = {}
        self.file: Any = object()

    def train(self) -> None:
        self.epochs += 2
        self.seen = (1, 2)
        self.moves = self.moves + np.float32(0.5)
        self.losses["a"] = [1.0, np.float64(2.0)]
        self.file = object()


def test_two_callbacks_of_one_class_each_get_their_own_state() -> None:
    states = CallbackStates([Counts(1), keras.callbacks.TerminateOnNaN(), Counts(2)]).read()
    assert states == {"Counts": {"count": 1}, "Counts-2": {"count": 2}}
    fresh = [Counts(), Counts(), Counts(7)]
    CallbackStates(fresh).restore(json.loads(json.dumps(states)))
    assert [one.count for one in fresh] == [1, 2, 7]


def test_what_training_changes_in_a_users_callback_is_its_state_and_settings_are_not() -> None:
    first, second = Plain("first"), Plain("second")
    states = CallbackStates([first])
    assert states.read() == {}
    first.train()
    state = states.read()
    assert state["Plain"].keys() == {"epochs", "seen", "moves", "losses"}
    first.moves += 1
    assert state["Plain"]["moves"].tolist() == [0.5, 0.5], "an array is a copy"
    CallbackStates([second]).restore(state)
    assert (second.name, second.epochs, second.seen, second.losses) == ("second", 2, (1, 2), {"a": [1.0, 2.0]})
    assert np.array_equal(second.moves, [0.5, 0.5])


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.callbacks.EarlyStopping("loss", patience=2, mode="min", restore_best_weights=True),
        lambda: keras.callbacks.ReduceLROnPlateau("loss", patience=1, cooldown=2, mode="min"),
        lambda: keras.callbacks.ModelCheckpoint("never.keras", "loss", save_best_only=True, mode="min"),
    ],
    ids=["EarlyStopping", "ReduceLROnPlateau", "ModelCheckpoint"],
)
def test_keras_callbacks_continue_to_wait(make: Callable[[], Any]) -> None:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    first, second = make(), make()
    states, others = CallbackStates([first]), CallbackStates([second])
    for one in (first, second):
        one.set_model(model)
        one.on_train_begin()
    first.best = np.float32(0.5)
    first.wait = 1
    first.best_weights = [np.ones(2)]
    state = states.read()
    others.restore(state)
    assert second.best == 0.5
    assert second.wait == 1
    assert np.array_equal(second.best_weights, first.best_weights)
    assert "model" not in next(iter(state.values()))
