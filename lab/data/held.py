"""A split's arrays as tensors in memory, and batches gathered from them inside TensorFlow's graph."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lab.data.arrays import Array, map_arrays
from lab.data.batches import Batches
from lab.data.ragged import Ragged
from lab.data.streams import Windows


def hold(batches: Batches) -> tuple[Any, ...]:
    """Returns the split's parts as tensors; an array that stands in two places is held once."""
    held: dict[int, Any] = {}

    def hold(array: Any) -> Any:
        if id(array) not in held:
            kind = {Windows: _Held, Ragged: _HeldRagged}.get(type(array), _HeldArray)
            held[id(array)] = kind(array)
        return held[id(array)]

    return tuple(map_arrays(hold, part) for part in batches.split.parts())


def as_levels(array: Array) -> Array | None:
    """Returns the bytes that an array of float32 is, each divided by 255, or None where it is no such array.

    A picture's pixels mostly are: as bytes they take a quarter of the memory, and of the time to gather.
    """
    if array.dtype != np.float32 or array.ndim < 2:
        return None
    levels = np.empty(array.shape, np.uint8)
    for start in range(0, len(array), 1024):  # so that each part stays in the processor's memory
        part = array[start : start + 1024]
        with np.errstate(invalid="ignore", over="ignore"):
            rounded = np.rint(part * np.float32(255)).astype(np.uint8)
        if not np.array_equal(rounded / np.float32(255), part):
            return None
        levels[start : start + 1024] = rounded
    return levels


class _HeldArray:
    """An array whose first axis counts the examples; what is gathered is what it was, to the bit.

    Each example is one row, which XLA's loop copies as whole vectors; rows of 28 pixels it does not.
    """

    def __init__(self, array: Array) -> None:
        import tensorflow as tf

        self.shape, levels = array.shape[1:], as_levels(array)
        rows = array if levels is None else levels
        self.rows = tf.constant(rows.reshape(len(rows), math.prod(self.shape)))
        # No constant of the graph: XLA would multiply by its inverse, which rounds to other numbers.
        self.most = None if levels is None else tf.Variable(255.0, trainable=False)

    def at(self, which: Any, _: int | None) -> Any:
        """These examples; (which, ...)."""
        import tensorflow as tf

        found = tf.gather(self.rows, which)
        if self.most is not None:
            found = tf.cast(found, tf.float32) / self.most
        return tf.reshape(found, (-1, *self.shape))


class _Held:
    """Windows whose tokens are a tensor."""

    def __init__(self, windows: Windows) -> None:
        import tensorflow as tf

        self.tokens = tf.constant(windows.tokens)
        self.windows = windows

    def at(self, starts: Any, _: int | None) -> Any:
        """The windows that begin there; (starts, length)."""
        import tensorflow as tf

        last = len(self.windows) - 1
        places = tf.expand_dims(starts, 1) + tf.range(self.windows.length)
        found = tf.gather(self.tokens, tf.minimum(places, last))
        return tf.where(places <= last, found, tf.constant(self.windows.fill, found.dtype))


class _HeldRagged:
    """Sequences of different lengths whose tokens are a tensor."""

    def __init__(self, ragged: Ragged) -> None:
        import tensorflow as tf

        self.tokens = tf.constant(ragged.tokens if len(ragged.tokens) else np.zeros(1, ragged.dtype))
        self.starts = tf.constant(ragged.starts.astype(np.int32))
        self.lengths = tf.constant(ragged.lengths.astype(np.int32))
        self.widths = tf.constant(ragged.widths, tf.int32)

    def at(self, which: Any, width: int | None) -> Any:
        """These sequences, padded to a width, or to the one of theirs that holds the longest; (which, width)."""
        import tensorflow as tf

        lengths = tf.gather(self.lengths, which)[:, None]
        steps = width if width is not None else self.widths[tf.searchsorted(self.widths, [tf.reduce_max(lengths)])[0]]
        inside = tf.range(steps) < lengths
        places = tf.where(inside, tf.gather(self.starts, which)[:, None] + tf.range(steps), 0)
        return tf.where(inside, tf.gather(self.tokens, places), tf.constant(0, self.tokens.dtype))


def gather(parts: tuple[Any, ...], indices: Any, width: int | None = None) -> tuple[Any, ...]:
    """Returns one batch; a tensor that stands in two places, as an autoencoder's, is gathered once."""
    taken: dict[int, Any] = {}

    def take(part: Any) -> Any:
        if id(part) not in taken:
            taken[id(part)] = part.at(indices, width)
        return taken[id(part)]

    return tuple(map_arrays(take, part) for part in parts)
