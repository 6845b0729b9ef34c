"""A split's arrays as tensors in memory, and batches gathered from them inside a compiled program.

On TensorFlow and JAX alike, by `keras.ops` but for a few lines.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from lab.data.arrays import Array, map_arrays
from lab.data.batches import Batches
from lab.data.ragged import Ragged
from lab.data.windows import Windows

_INVERSE = 257 / 2**16  # of 255, in so few digits that its product with a byte is exact in float32
_REST = 1 / 255 - _INVERSE


class Held(Protocol):
    """What a split holds, as tensors."""

    tensors: tuple[Any, ...]

    def at(self, which: Any, width: int | None) -> Any:
        """Returns the examples of an index tensor, sequences padded to a width; (which, ...)."""


def hold(batches: Batches) -> tuple[Any, ...]:
    """Returns the split's parts as tensors; an array that stands in two places is held once."""
    held: dict[int, Any] = {}

    def hold(array: Any) -> Any:
        if id(array) not in held:
            kind = {Windows: _HeldWindows, Ragged: _HeldRagged}.get(type(array), _HeldArray)
            held[id(array)] = kind(array)
        return held[id(array)]

    return tuple(map_arrays(hold, part) for part in batches.split.parts())


def tensors_of(parts: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """Returns the tensors of all that is held: a program of JAX takes them as arguments, or it would copy them."""
    return [one.tensors for one in _distinct(parts)]


def with_tensors(parts: tuple[Any, ...], tensors: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Returns the parts with other tensors in their place, in the order of `tensors_of`."""
    others: dict[int, Held] = {}
    for one, theirs in zip(_distinct(parts), tensors, strict=True):
        others[id(one)] = copy.copy(one)
        others[id(one)].tensors = theirs
    return tuple(map_arrays(lambda one: others[id(one)], part) for part in parts)


def _distinct(parts: tuple[Any, ...]) -> list[Held]:
    found: dict[int, Held] = {}
    for part in parts:
        map_arrays(lambda one: found.setdefault(id(one), one), part)
    return list(found.values())


def gather(parts: tuple[Any, ...], indices: Any, width: int | None = None) -> tuple[Any, ...]:
    """Returns one batch; a tensor that stands in two places, as an autoencoder's, is gathered once."""
    taken: dict[int, Any] = {}

    def take(part: Any) -> Any:
        if id(part) not in taken:
            taken[id(part)] = part.at(indices, width)
        return taken[id(part)]

    return tuple(map_arrays(take, part) for part in parts)


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
        self.shape, levels = array.shape[1:], as_levels(array)
        rows = array if levels is None else levels
        self.tensors: tuple[Any, ...] = (_tensor(rows.reshape(len(rows), math.prod(self.shape))),)
        self.levels = levels is not None

    def at(self, which: Any, width: int | None) -> Any:
        from keras import ops

        found = _taken(self.tensors[0], which)
        if self.levels:
            found = _as_pixels(ops.cast(found, "float32"))
        return ops.reshape(found, (ops.shape(which)[0], *self.shape))


class _HeldWindows:
    """Windows whose tokens are a tensor."""

    def __init__(self, windows: Windows) -> None:
        self.tensors: tuple[Any, ...] = (_tensor(windows.tokens),)
        self.windows = windows

    def at(self, which: Any, width: int | None) -> Any:
        from keras import ops

        (tokens,), last = self.tensors, len(self.windows) - 1
        places = ops.expand_dims(which, 1) + ops.arange(self.windows.length, dtype="int32")
        found = _taken(tokens, ops.minimum(places, last))
        return ops.where(places <= last, found, ops.cast(self.windows.fill, found.dtype))


class _HeldRagged:
    """Sequences of different lengths whose tokens are a tensor."""

    def __init__(self, ragged: Ragged) -> None:
        tokens = ragged.tokens if len(ragged.tokens) else np.zeros(1, ragged.dtype)
        numbers = (ragged.starts, ragged.lengths, np.array(ragged.widths))
        self.tensors: tuple[Any, ...] = (_tensor(tokens), *(_tensor(one.astype(np.int32)) for one in numbers))

    def at(self, which: Any, width: int | None) -> Any:
        """Without a width, sequences are padded to the one of theirs that holds the longest."""
        from keras import ops

        tokens, starts, lengths, widths = self.tensors
        lengths = _taken(lengths, which)[:, None]
        steps = width if width is not None else widths[ops.searchsorted(widths, ops.max(lengths)[None])[0]]
        inside = ops.arange(steps, dtype="int32") < lengths
        places = ops.where(inside, _taken(starts, which)[:, None] + ops.arange(steps, dtype="int32"), 0)
        return ops.where(inside, _taken(tokens, places), ops.cast(0, tokens.dtype))


def _tensor(array: Array) -> Any:
    if _on_jax():
        import jax

        return jax.numpy.asarray(array)
    import tensorflow as tf

    return tf.constant(array)


def _as_pixels(levels: Any) -> Any:
    """Returns whole numbers from 0 to 255 divided by 255, to the bit, without a division.

    XLA turns a division by a constant into a product with its inverse, which rounds to other numbers, and
    computes a division that it cannot turn but once, and keeps what came out. The inverse in two parts is
    right: a level times the first is exact, and what rounding does to the small second is too little to
    show in the sum. And it costs so little that the loss computes it anew from the bytes, which are a
    quarter of the memory to pass over.
    """
    return levels * _INVERSE + levels * _REST


def _taken(rows: Any, which: Any) -> Any:
    if _on_jax():
        return rows.at[which].get(mode="promise_in_bounds")  # no check of each index
    import tensorflow as tf

    return tf.gather(rows, which)


def _on_jax() -> bool:
    import keras

    return bool(keras.backend.backend() == "jax")
