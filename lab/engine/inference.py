"""A model over arrays in memory: `Model.predict`'s numbers without its pipeline."""

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
MANY = 128  # from so many on, layers take the way for many rows


def predict(model: keras.Model, x: Array | Ragged, batch_size: int = ROWS) -> Array:
    """Returns what a model of one input and one output says of every example, in their order.

    `Model.predict` makes a data pipeline at each call, which takes tens of milliseconds: for ten
    thousand digits as long as half of the network. Here the batches are slices.

    Args:
        model: built; it need not be compiled.
        x: the examples, shape (examples, ...), or sequences of different lengths, which go by length, so
            that hardly any padding is looked at; where each width would be compiled, by their few widths.
            How far a sequence is padded must not matter to the model, but for multiples of the widths'
            common divisor.
        batch_size: examples in one call of the model.

    Returns:
        An array of shape (examples, ...).

    Raises:
        UsageError: there are no examples.
    """
    if not len(x):
        raise UsageError("expected examples to look at, got none")
    from lab.layers.lstm import many_rows

    found: Array | None = None
    compiled = _compiles_each_shape(model)
    with many_rows() if not compiled and min(len(x), batch_size) >= MANY else contextlib.nullcontext():
        for chosen, part in _batches(x, batch_size, few_widths=compiled):
            said = np.asarray(model.predict_on_batch(part))
            if found is None:
                found = np.empty((len(x), *said.shape[1:]), said.dtype)
            found[chosen] = said
    assert found is not None
    return found


def _compiles_each_shape(model: keras.Model) -> bool:
    import keras

    return keras.backend.backend() != "tensorflow" or bool(model.jit_compile)


def _batches(x: Array | Ragged, size: int, *, few_widths: bool) -> Iterator[tuple[Array | slice, Array]]:
    """Where the examples of each batch stand, and they themselves."""
    if not isinstance(x, Ragged):
        for start in range(0, len(x), size):
            yield slice(start, start + size), x[start : start + size]
        return
    if not few_widths:
        step = math.gcd(*x.widths)  # whatever each width is a multiple of
        x = Ragged(x.tokens, x.starts, x.lengths, range(step, x.widths[-1] + 1, step))
        groups = [np.argsort(x.lengths, kind="stable")]
    else:
        bucket = x.bucket(slice(None))
        groups = [np.flatnonzero(bucket == place) for place in np.unique(bucket)]
    for members in groups:
        for start in range(0, len(members), size):
            chosen = members[start : start + size]
            yield chosen, x[chosen]
