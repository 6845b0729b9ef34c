"""How a model is executed: compiled or not, and how many steps in a call of the backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import keras

from lab.callbacks.base import hears_batches
from lab.checkpoints.checkpoint import Checkpoint, lacks_variables
from lab.data.batches import Batches
from lab.engine.keras_private import flatten_layers
from lab.engine.steps import can_fuse

STEPS_PER_EXECUTION = 16  # steps in one call of a compiled program
MOST_STEPS = 256  # of a small network, whose 16 steps would take a few milliseconds
SHORT = 2e10  # floating point operations of a call that takes about a tenth of a second


class Execution(Protocol):
    """The trainer's settings that are asked here."""

    jit: bool | None
    deterministic: bool
    steps_per_execution: int | None
    batch_size: int

    @property
    def by_the_clock(self) -> bool:
        """Whether the learning rate is set between calls."""


def prepare_model(model: keras.Model, settings: Execution, callbacks: Sequence[keras.callbacks.Callback]) -> None:
    """Sets whether a model's steps are compiled, and how many of them one call of the backend takes.

    Args:
        model: compiled.
        settings: the trainer's.
        callbacks: a user's; one that overrides a hook for batches is called after every step.
    """
    backend = keras.backend.backend()
    if settings.deterministic and backend == "tensorflow":
        model.jit_compile = False  # TensorFlow's guarantee does not cover XLA's kernels
    elif settings.jit is not None:
        model.jit_compile = settings.jit
    elif backend == "tensorflow" and all(getattr(layer, "supports_jit", True) for layer in flatten_layers(model)):
        model.jit_compile = True  # Keras's "auto" leaves XLA off on a CPU
    steps = settings.steps_per_execution
    if steps is None:
        many = (backend == "tensorflow" or can_fuse(model)) and not any(map(hears_batches, callbacks))
        steps = steps_at_once(model, settings.batch_size) if many else 1
        if settings.by_the_clock:
            steps = min(steps, STEPS_PER_EXECUTION)
    model.steps_per_execution = steps


def steps_at_once(model: keras.Model, batch_size: int) -> int:
    """Returns how many steps a call takes: 16, and more of a dense network whose steps cost less than the call."""
    dense = (keras.layers.Dense, keras.layers.BatchNormalization)
    layers = {id(layer): layer for layer in flatten_layers(model) if isinstance(layer, dense)}
    weights = sum(layer.count_params() for layer in layers.values()) if model.built else 0
    if not weights or weights != model.count_params():
        return STEPS_PER_EXECUTION  # other layers may use a weight many times for each example
    operations = 6 * weights * batch_size  # two forward and four backward for each weight and example
    return int(min(max(SHORT / operations, STEPS_PER_EXECUTION), MOST_STEPS))


def create_variables(model: keras.Model, batches: Batches, checkpoint: Checkpoint) -> None:
    """Creates the variables that a checkpoint has and that a model only creates in its first step.

    The optimizers of a user's own `train_step` are an example. One step is taken, eagerly; what it changes is
    restored from the checkpoint afterwards.
    """
    if not lacks_variables(model, checkpoint):
        return
    eager, model.run_eagerly = model.run_eagerly, True
    try:
        model.train_on_batch(*next(batches.epoch(0)))
    finally:
        model.run_eagerly = eager
