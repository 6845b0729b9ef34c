"""Checks before training: whether the model takes the data, and whether the disk has room."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.filesize import decimal

from lab._utils.files import free_bytes
from lab.data import Batches, Data
from lab.data.arrays import leaves
from lab.errors import DataError, LabError, ModelError, RunError
from lab.runs.run import Run
from lab.trainer.failure import is_out_of_memory

if TYPE_CHECKING:
    import keras

_REPORT_BYTES = 50 << 20  # room for figures and records


def check_data(data: Any, hook: str) -> None:
    """Checks what `prepare` returned.

    Raises:
        DataError: it is no data, a split is empty, or the inputs of the splits differ in shape.
    """
    if not isinstance(data, Data):
        raise DataError(f"{hook}: expected a lab.Data, got {type(data).__name__}")
    for name, size in data.sizes().items():
        if size == 0:
            raise DataError(f"{hook}: expected examples in every split, {name} is empty")
    shapes = {
        tuple((array.shape[1:], array.dtype.kind) for array in leaves(data.split(name).x)) for name in data.sizes()
    }
    if len(shapes) > 1:
        raise DataError(f"{hook}: expected inputs of one shape and kind in every split, got {sorted(map(str, shapes))}")


def check_model(model: Any, hook: str) -> None:
    """Checks what `build` returned.

    Raises:
        ModelError: it is not a compiled Keras model with an optimizer.
    """
    import keras

    if not isinstance(model, keras.Model):
        raise ModelError(f"{hook}: expected a keras.Model, got {type(model).__name__}")
    if not getattr(model, "compiled", False) or model.optimizer is None:
        raise ModelError(f"{hook}: expected a compiled model with an optimizer; call model.compile(...) before return")


def check_fit(model: keras.Model, batches: Batches) -> None:
    """Compares the shapes of data and model, and computes the loss of one batch, as validation does.

    Of a model whose `train_step` and `test_step` are its own, only the shapes are compared.

    Raises:
        ModelError: they do not fit, or the first loss is not finite; the message has shapes and dtypes.
    """
    import keras

    batch = next(batches.epoch(0))
    x, y, weight = (*batch, None, None)[:3]
    given = ", ".join(f"{array.dtype} (batch, {', '.join(map(str, array.shape[1:]))})" for array in leaves(x))
    _check_shapes(model, x, given)
    own_step = type(model).train_step is not keras.Model.train_step
    if own_step and type(model).test_step is not keras.Model.test_step:
        return
    try:
        predicted = model(keras.tree.map_structure(keras.ops.convert_to_tensor, x), training=False)
        loss = model.compute_loss(x=x, y=y, y_pred=predicted, sample_weight=weight, training=False)
        value = float(keras.ops.convert_to_numpy(loss))
    except LabError:
        raise
    except Exception as error:  # Keras, a backend and a user's layer raise errors of any kind
        if is_out_of_memory(error):
            raise
        targets = "" if y is None else ", targets " + ", ".join(f"{a.dtype} {a.shape}" for a in leaves(y))
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        hint = "; its train_step is its own: define test_step as well, for validation" if own_step else ""
        raise ModelError(
            f"the model does not take a batch of the data (inputs {given}{targets}): {reason}{hint}"
        ) from error
    if not math.isfinite(value):
        raise ModelError(f"the loss of the first batch is {value} before any training; expected a finite number")


def _check_shapes(model: keras.Model, x: Any, given: str) -> None:
    try:
        wanted = model.input_shape
    except AttributeError:  # a subclassed model that has not been called has none
        return
    shapes = [wanted] if isinstance(wanted, tuple) and (not wanted or not isinstance(wanted[0], tuple)) else None
    if shapes is None or len(leaves(x)) != 1:
        return  # several inputs: the forward pass reports what is wrong
    shape, got = shapes[0][1:], np.shape(leaves(x)[0])[1:]
    fits = len(shape) == len(got) and all(want in (None, size) for want, size in zip(shape, got, strict=True))
    if not fits:
        wanted_text = f"(batch, {', '.join('any' if size is None else str(size) for size in shape)})"
        raise ModelError(f"the model takes inputs of shape {wanted_text}, the data has {given}")


def check_disk(run: Run, model: keras.Model, checkpoints: int) -> None:
    """Checks that there is room for the checkpoints and the report.

    Args:
        run: on whose disk it must fit.
        model: a checkpoint has about three numbers for each of its weights.
        checkpoints: how many are kept.

    Raises:
        RunError: there is no room.
    """
    weights = sum(math.prod(weight.shape) for weight in model.weights)
    need = 4 * 3 * weights * (checkpoints + 1) + _REPORT_BYTES
    free = free_bytes(run.path)
    if free < need:
        raise RunError(f"{run.path}: expected {decimal(need)} free for checkpoints and report, got {decimal(free)}")
