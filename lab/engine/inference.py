"""Predictions for arrays in memory: the numbers of `Model.predict` without its data pipeline."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from lab.data.arrays import Array
from lab.data.ragged import Ragged
from lab.errors import UsageError

if TYPE_CHECKING:
    import keras

ROWS = 1000  # examples in one call
LARGE_BATCH = 128  # the batch size from which layers use their code for large batches


def predict(model: keras.Model, x: Array | Ragged, batch_size: int = ROWS) -> Array:
    """Returns the predictions of a model with one input and one output, in the order of the examples.

    `Model.predict` builds a data pipeline at each call, which takes tens of milliseconds: half as long as
    the network itself for ten thousand digits. Here the batches are slices.

    Args:
        model: built; it need not be compiled.
        x: the examples, shape (examples, ...), or variable-length sequences, which are batched by length to
            avoid padding, or by their few widths where each width is compiled. The result of the model
            must not depend on the padding, as long as it is a multiple of the widths' common divisor.
        batch_size: examples in one call of the model.

    Returns:
        An array of shape (examples, ...).

    Raises:
        UsageError: there are no examples.
    """
    if not len(x):
        raise UsageError("expected examples, got none")
    from lab.layers.lstm import large_batch_inference

    predictions: Array | None = None
    compiled = _compiles_each_shape(model)
    with (
        large_batch_inference() if not compiled and min(len(x), batch_size) >= LARGE_BATCH else contextlib.nullcontext()
    ):
        for chosen, part in _batches(x, batch_size, few_widths=compiled):
            predicted = np.asarray(model.predict_on_batch(part))
            if predictions is None:
                predictions = np.empty((len(x), *predicted.shape[1:]), predicted.dtype)
            predictions[chosen] = predicted
    assert predictions is not None
    return predictions


def _compiles_each_shape(model: keras.Model) -> bool:
    import keras

    return keras.backend.backend() != "tensorflow" or bool(model.jit_compile)


def _batches(x: Array | Ragged, size: int, *, few_widths: bool) -> Iterator[tuple[Array | slice, Array]]:
    """Yields the places of the examples of each batch, and the examples."""
    if not isinstance(x, Ragged):
        for start in range(0, len(x), size):
            yield slice(start, start + size), x[start : start + size]
        return
    if not few_widths:
        step = math.gcd(*x.widths)  # of which every width is a multiple
        x = Ragged(x.tokens, x.starts, x.lengths, range(step, x.widths[-1] + 1, step))
        groups = [np.argsort(x.lengths, kind="stable")]
    else:
        bucket = x.bucket(slice(None))
        groups = [np.flatnonzero(bucket == place) for place in np.unique(bucket)]
    for members in groups:
        for start in range(0, len(members), size):
            chosen = members[start : start + size]
            yield chosen, x[chosen]
