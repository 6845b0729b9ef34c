"""Where a loss that is not finite began: the step, and the layer."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from lab.callbacks.stopping import is_finite
from lab.callbacks.weights import reset_states
from lab.checkpoints.checkpoint import Checkpoint
from lab.data import Batches
from lab.engine.keras_private import flatten_layers

_MOST_BYTES = 256 << 20  # of a first state that is kept in memory


def first_state(model: keras.Model) -> Checkpoint | None:
    """Returns the state before the first step; None for a large model, as it stays in memory."""
    weights = sum(math.prod(weight.shape) for weight in model.weights)
    if 3 * 4 * weights > _MOST_BYTES:  # with Adam's two moments
        return None
    return Checkpoint.of(model, 0, 0)


def where_it_began(model: keras.Model, batches: Batches, good: Checkpoint, until: int) -> str:
    """Trains again from a good state, one step at a time, and looks into the step that fails.

    This is done twice: once to find the step, once to stop before it. Callbacks are not called, so what
    one of them did to the weights is not repeated.

    Args:
        model: as it was trained; it ends in the state before the step that fails.
        batches: the training batches.
        good: a state with finite weights.
        until: the step, counted from 1 over all epochs, after which the loss was not finite.

    Returns:
        A message that begins with `step 7: the loss is not finite`.
    """
    model.steps_per_execution = 1
    model.make_train_function(force=True)
    failing = None
    for step, batch in _repeat(model, batches, good, until):
        if not is_finite(model.train_on_batch(*batch, return_dict=True)):
            failing = step
            break
    if failing is None:
        return f"step {until}: the loss is not finite; a repetition without callbacks stayed finite"
    for step, batch in _repeat(model, batches, good, failing):
        if step == failing:
            return f"step {failing}: the loss is not finite; it began {_origin(model, batch, failing)}"
        model.train_on_batch(*batch)
    raise AssertionError("the step is among the batches")


def _repeat(
    model: keras.Model, batches: Batches, good: Checkpoint, until: int
) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Restores the good state, and yields the batches from there on, each with its step."""
    now = Checkpoint.of(model, 0, 0).variables  # a first state has no metrics yet
    dataclasses.replace(good, variables={**now, **good.variables}).restore(model)
    step, epoch = good.step, good.epoch
    inside = step - sum(batches.steps(before) for before in range(epoch))
    while step < until:
        if not inside:
            reset_states(model)
        for batch in batches.epoch(epoch, inside):
            step += 1
            if step > until:
                return
            yield step, batch
        epoch, inside = epoch + 1, 0


def _origin(model: keras.Model, batch: tuple[Any, ...], step: int) -> str:
    """Looks at the weights, each layer's output and the loss, in this order; the data is known to be finite."""
    lost = [layer.name for layer in flatten_layers(model)[1:] if _has_lost(layer.weights)]
    if lost:
        return f"in layer {lost[-1]!r}: the update of step {step - 1} made its weights not finite, with a finite loss"
    x = keras.tree.map_structure(keras.ops.convert_to_tensor, batch[0])
    layer = _first_lost_layer(model, x)
    if layer is not None:
        return f"in layer {layer!r}: its inputs and weights are finite, its output is not"
    outputs = keras.tree.flatten(model(x, training=True))
    if _has_lost(outputs):
        return "in the model's forward pass: inputs and weights are finite, the output is not"
    values = np.concatenate([keras.ops.convert_to_numpy(output).ravel() for output in outputs])
    return f"in the loss function: the model's output is finite, from {values.min():.4g} to {values.max():.4g}"


def _first_lost_layer(model: keras.Model, x: Any) -> str | None:
    """The first layer of a functional model, or of one inside it, whose output is not finite; None without one."""
    if not getattr(model, "inputs", None):
        return None  # a subclassed model: its layers can only be called by its own code
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    outputs = keras.Model(model.inputs, [layer.output for layer in layers])(x, training=True)
    for place, (layer, output) in enumerate(zip(layers, keras.tree.flatten(outputs), strict=False)):
        if not _has_lost(keras.tree.flatten(output)):
            continue
        if isinstance(layer, keras.Model) and len(keras.tree.flatten(layer.input)) == 1:
            feeding = keras.Model(model.inputs, layers[place].input)(x, training=True)
            return _first_lost_layer(layer, feeding) or layer.name
        return str(layer.name)
    return None


def _has_lost(values: Any) -> bool:
    """Whether a number among tensors or variables is not finite."""
    floats = [
        value
        for value in values
        if value is not None and keras.backend.is_float_dtype(keras.backend.standardize_dtype(value.dtype))
    ]
    return not all(bool(keras.ops.all(keras.ops.isfinite(value))) for value in floats)
