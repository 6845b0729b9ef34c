"""Callbacks that prepare the model for training and validation."""

from __future__ import annotations

import random
from typing import Any

import keras
import numpy as np

from lab.callbacks.base import Callback, Order
from lab.engine.keras_private import flatten_layers, global_seed_generator


class AveragedWeights(Callback):
    """Validates with the moving averages of the weights, where the optimizer keeps them (`use_ema`).

    Keras puts them into the model when `fit` ends. `keras.callbacks.SwapEMAWeights` does so earlier, but
    leaves the raw weights in the model when training stops before the last epoch.
    """

    order = Order.PREPARE

    def __init__(self) -> None:
        super().__init__()
        self._raw: list[Any] = []

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        self._raw = [keras.ops.convert_to_numpy(variable) for variable in self.model.trainable_variables]
        finalize(self.model)
        if keras.backend.backend() == "jax":  # average and weight would be one array, which a step donates
            for variable in self.model.trainable_variables:
                variable.assign(keras.ops.copy(variable.value))

    def on_test_end(self, logs: dict[str, float] | None = None) -> None:
        for variable, value in zip(self.model.trainable_variables, self._raw, strict=True):
            variable.assign(value)
        self._raw = []


def finalize(model: keras.Model) -> None:
    """Puts the optimizer's averages into the weights of a model."""
    inner = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    inner.finalize_variable_values(model.trainable_variables)


class ResetStates(Callback):
    """Begins each epoch and each validation with zeros in layers that carry a state (`stateful=True`)."""

    order = Order.PREPARE

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        reset_states(self.model)

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        reset_states(self.model)


def reset_states(model: keras.Model) -> None:
    """Sets the carried states of a model's layers to zeros."""
    for layer in flatten_layers(model):
        if getattr(layer, "stateful", False):
            layer.reset_state()


class RNGState(Callback):
    """Keeps the random generators that belong to no layer: Python's, NumPy's and Keras's global one.

    The lab draws from none of them; a callback or a loss of a user's own may. TensorFlow's `tf.random`
    has no state that can be read: use `keras.random` with a `SeedGenerator`.
    """

    order = Order.PREPARE

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        global_seed_generator()  # creating it draws from Python's generator: not at an instant that a clock chooses

    def state_dict(self) -> dict[str, Any]:
        keras_state = keras.ops.convert_to_numpy(global_seed_generator().state)
        version, words, gauss = random.getstate()
        numpy_state = np.random.get_state(legacy=False)
        return {"python": [version, list(words), gauss], "numpy": numpy_state, "keras": keras_state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        global_seed_generator().state.assign(state["keras"])
        version, words, gauss = state["python"]
        random.setstate((version, tuple(words), gauss))
        np.random.set_state(state["numpy"])
