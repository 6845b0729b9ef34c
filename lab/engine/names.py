"""The names that the logs of an epoch will have, before the first step."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from lab.callbacks.history import scalars
from lab.data.batches import Batches
from lab.engine.call import Mode
from lab.engine.jax_state import take_state
from lab.engine.steps import has_own_step


def log_names(model: keras.Model, batches: Batches, mode: Mode) -> set[str] | None:
    """Returns the names in the logs of a model's `train_step` or `test_step`, without the prefix of validation.

    A metric of several values has its own name and one for each value, such as `f1_score` and `f1_score_0`.

    Args:
        model: compiled and built.
        batches: of which the first is looked at where the step is a user's own; nothing is trained.
        mode: which of the two steps.

    Returns:
        The names; None where they cannot be found without running the step.
    """
    if not has_own_step(model, mode):
        return _with_values(model.get_metrics_result())
    batch = next(batches.epoch(0))
    try:
        logs = _traced(model, batch, mode)
    except Exception:  # a user's step may do anything; what is wrong with it shows when it runs
        return None
    return None if logs is None else _with_values(logs)


def _traced(model: keras.Model, batch: Any, mode: Mode) -> dict[str, Any] | None:
    step = model.train_step if mode == "train" else model.test_step
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        specs = tf.nest.map_structure(lambda array: tf.TensorSpec(array.shape, array.dtype), batch)
        shapes = tf.function(step, autograph=False).get_concrete_function(specs).structured_outputs
    elif keras.backend.backend() == "jax":
        import jax

        shapes, _ = jax.eval_shape(step, take_state(model, training=mode == "train"), batch)
    else:
        return None
    return {name: np.zeros(getattr(value, "shape", ())) for name, value in dict(shapes).items()}


def _with_values(logs: dict[str, Any]) -> set[str]:
    numbers = {name: keras.ops.convert_to_numpy(value) for name, value in logs.items()}
    return {*numbers, *scalars(numbers)}
