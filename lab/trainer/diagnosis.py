"""Where a loss that is not finite began: the step, and the layer."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from lab.checkpoints.checkpoint import Checkpoint
from lab.data import Batches

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_BYTES = 256 << 20  # of a first state that is kept in memory for it


def first_state(model: keras.Model) -> Checkpoint | None:
    """Returns the state before the first step; None for a large model, as it stays in memory."""
    if 3 * 4 * model.count_params() > _MOST_BYTES:  # weights and Adam's two moments
        return None
    return Checkpoint.of(model, 0, 0)


def where_it_began(model: keras.Model, batches: Batches, good: Checkpoint, until: int) -> str:
    """Trains again from a good state, a step at a time, and looks into the step that goes wrong.

    It is done twice: once to find the step, once to stand before it. Callbacks are not heard, so that
    what one of them did to the weights does not come again.

    Args:
        model: as it was trained; it ends in the state before the step that goes wrong.
        batches: the training batches.
        good: a state with finite weights.
        until: the step, counted from 1 over all epochs, that the loss was seen not to be finite after.

    Returns:
        What to add to "step 7: the loss is not finite"; `step 7: ...` where the step is known.
    """
    model.steps_per_execution = 1
    model.train_function = None
    step = None
    for at, batch in _again(model, batches, good, until):
        if not math.isfinite(model.train_on_batch(*batch, return_dict=True)["loss"]):
            step = at
            break
    if step is None:
        return f"step {until}: the loss is not finite; a repetition without callbacks stayed finite"
    for at, batch in _again(model, batches, good, step):
        if at == step:
            return f"step {step}: the loss is not finite; it began {_began(model, batch, step)}"
        model.train_on_batch(*batch)
    raise AssertionError("the step is among the batches")


def _again(model: keras.Model, batches: Batches, good: Checkpoint, until: int) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Sets the good state, and gives the batches from there on, each with its step."""
    now = Checkpoint.of(model, 0, 0).variables  # a first state has no metrics yet
    dataclasses.replace(good, variables={**now, **good.variables}).restore(model)
    step, epoch = good.step, good.epoch
    inside = step - sum(batches.steps(before) for before in range(epoch))
    while step < until:
        if not inside:
            for layer in model._flatten_layers():
                if getattr(layer, "stateful", False):
                    layer.reset_state()
        for batch in batches.epoch(epoch, inside):
            step += 1
            if step > until:
                return
            yield step, batch
        epoch, inside = epoch + 1, 0


def _began(model: keras.Model, batch: tuple[Any, ...], step: int) -> str:
    """Looks at the weights, each layer's output and the loss, in this order; that the data is finite is sure."""
    lost = [layer.name for layer in model._flatten_layers(include_self=False) if _is_lost(layer.weights)]
    if lost:
        return f"in layer {lost[-1]!r}: the update of step {step - 1} made its weights not finite, with a finite loss"
    with _watched(model) as seen:
        predicted = model(keras.tree.map_structure(keras.ops.convert_to_tensor, batch[0]), training=True)
    if seen:
        return f"in layer {seen[0]!r}: its inputs and weights are finite, its output is not"
    values = np.concatenate([keras.ops.convert_to_numpy(one).ravel() for one in keras.tree.flatten(predicted)])
    return f"in the loss function: the model's output is finite, from {values.min():.4g} to {values.max():.4g}"


@contextlib.contextmanager
def _watched(model: keras.Model) -> Iterator[list[str]]:
    """Collects the names of layers whose output is not finite, in the order in which they give it."""
    seen: list[str] = []
    layers = list(model._flatten_layers(include_self=False))

    def watch(layer: Any, call: Callable[..., Any]) -> Callable[..., Any]:
        def watching(*args: Any, **rest: Any) -> Any:
            result = call(*args, **rest)
            if _is_lost(keras.tree.flatten(result)):
                seen.append(layer.name)
            return result

        return watching

    for layer in layers:
        layer.call = watch(layer, layer.call)
    try:
        yield seen
    finally:
        for layer in layers:
            del layer.call


def _is_lost(values: Any) -> bool:
    """Whether a number among tensors or variables is not finite."""
    floats = [
        value
        for value in values
        if value is not None and keras.backend.is_float_dtype(keras.backend.standardize_dtype(value.dtype))
    ]
    return not all(bool(keras.ops.all(keras.ops.isfinite(value))) for value in floats)
