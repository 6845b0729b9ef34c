"""Everything of Keras that is not public and that the lab uses, in one place.

Each function has a test in `tests/engine/test_keras_private.py` that fails by its name when a new
release of Keras changes what it relies on. This file imports nothing of the lab.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras


def flatten_layers(model: keras.Model) -> list[Any]:
    """Returns a model and all layers in it at any depth, each once, the model first."""
    return list(model._flatten_layers())


def symbolic_build(model: keras.Model, batch: Any, *, optimizer: bool = True) -> None:
    """Creates the variables of layers, metrics, losses and optimizer that do not exist yet, as `Model.fit` does.

    On TensorFlow, as there, a model whose `train_step` is its own need not have a `call`: what cannot be created
    by calling the model is created by its first step.

    Args:
        model: a compiled model.
        batch: `(x,)`, `(x, y)` or `(x, y, sample_weight)`, arrays or tensors; only shapes and dtypes are used.
        optimizer: False leaves the optimizer's variables for later, when it may be other layers that are trained.

    Raises:
        RuntimeError: the model cannot be called on the batch.
    """
    later = not optimizer and model.optimizer is not None and not model.optimizer.built
    if later:
        model.optimizer.built = True
    try:
        model._symbolic_build(data_batch=batch)
    except RuntimeError:
        if keras.backend.backend() == "jax" or type(model).train_step is keras.Model.train_step:
            raise
    finally:
        if later:
            model.optimizer.built = False


def initial_epoch(model: keras.Model) -> int | None:
    """Returns the epoch that a callback such as `BackupAndRestore` has set in `on_train_begin`; None without one."""
    epoch: int | None = model._initial_epoch
    return epoch


def global_seed_generator() -> keras.random.SeedGenerator:
    """Returns the generator that `keras.random` uses where no seed is given; Keras exports no name for it."""
    from keras.src.random.seed_generator import global_seed_generator

    return global_seed_generator()


def copy_optimizer(optimizer: keras.optimizers.Optimizer, **changes: Any) -> keras.optimizers.Optimizer:
    """Returns an optimizer of the same class and configuration, but for some changes, without variables.

    What is excluded from weight decay is no part of the configuration, and copied as well.
    """
    copied = type(optimizer).from_config({**optimizer.get_config(), **changes})
    for name in ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern"):
        if hasattr(optimizer, name):
            setattr(copied, name, getattr(optimizer, name))
    return copied


def uninitialized_variables(create: Callable[[], Any]) -> Iterator[Any]:
    """Yields the variables that a function would create, without allocating memory for their values."""
    from keras.src.backend.common import global_state

    name = "uninitialized_variables"
    before = global_state.get_global_attribute(name)
    global_state.set_global_attribute(name, [])
    try:
        with keras.StatelessScope(initialize_variables=False):
            create()
        yield from global_state.get_global_attribute(name)
    finally:
        global_state.set_global_attribute(name, before)
