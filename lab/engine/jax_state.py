"""A model's variables as the state that JAX's steps take and return.

The state goes back into the variables after every call, so that callbacks and checkpoints always see
the current model, on JAX as on every other backend.
"""

from __future__ import annotations

from typing import Any

import keras


def _variables(model: keras.Model, *, training: bool) -> tuple[list[Any], ...]:
    optimizer = (list(model.optimizer.variables),) if training else ()
    first = (list(model.trainable_variables), list(model.non_trainable_variables))
    return (*first, *optimizer, list(model.metrics_variables))


def take_state(model: keras.Model, *, training: bool) -> tuple[list[Any], ...]:
    """Returns the values of trainable, other, optimizer (when training) and metric variables, a list of each."""
    return tuple([variable.value for variable in variables] for variables in _variables(model, training=training))


def put_state(model: keras.Model, state: tuple[Any, ...], *, training: bool) -> None:
    """Assigns a state to the variables that `take_state` read."""
    for variables, values in zip(_variables(model, training=training), state, strict=True):
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
