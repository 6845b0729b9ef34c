"""A model over arrays in memory: `Model.predict`'s numbers without its pipeline."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from lab.data.arrays import Array
from lab.data.ragged import Ragged
from lab.errors import UsageError

if TYPE_CHECKING:
    import keras

ROWS = 1000  # examples in one call
MANY = 128  # from so many on, recurrent layers take the way for many rows


def predict(model: keras.Model, x: Array | Ragged, batch_size: int = ROWS) -> Array:
    """Returns what a model of one input and one output says of every example, in their order.

    `Model.predict` makes a data pipeline at each call, which takes tens of milliseconds: for ten
    thousand digits as long as half of the network. Here the batches are slices.

    Args:
        model: built; it need not be compiled.
        x: the examples, shape (examples, ...), or sequences of different lengths, of which each batch
            has those that are padded to the same width.
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
    for chosen in _batches(x, batch_size):
        part = x[chosen]
        with many_rows() if len(part) >= MANY else contextlib.nullcontext():
            said = np.asarray(model.predict_on_batch(part))
        if found is None:
            found = np.empty((len(x), *said.shape[1:]), said.dtype)
        found[chosen] = said
    assert found is not None
    return found


def _batches(x: Array | Ragged, size: int) -> Iterator[Array | slice]:
    if not isinstance(x, Ragged):
        yield from (slice(start, start + size) for start in range(0, len(x), size))
        return
    bucket = x.bucket(slice(None))
    for place in np.unique(bucket):
        members = np.flatnonzero(bucket == place)
        yield from (members[start : start + size] for start in range(0, len(members), size))
