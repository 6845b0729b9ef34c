"""A split's arrays as tensors on the device, and batches gathered from them inside a compiled program.

For TensorFlow and JAX, with `keras.ops` except for a few lines.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from lab.data.arrays import Array, map_arrays
from lab.data.batches import Batches

_INVERSE = 257 / 2**16  # of 255, in so few digits that its product with a byte is exact in float32
_REST = 1 / 255 - _INVERSE


class OnDevice(Protocol):
    """A container of examples, as tensors."""

    tensors: tuple[Any, ...]

    def at(self, which: Any, width: int | None) -> Any:
        """Returns the examples of an index tensor, sequences padded to a width; (which, ...)."""


def to_device(batches: Batches) -> tuple[Any, ...]:
    """Returns the split's parts as tensors; an array that is used in two places is moved once.

    A container of the lab's (`Windows`, `Ragged`) moves itself by its method `to_device()`.
    """
    moved: dict[int, OnDevice] = {}

    def move(array: Any) -> OnDevice:
        if id(array) not in moved:
            moved[id(array)] = array.to_device() if hasattr(array, "tokens") else DeviceArray(array)
        return moved[id(array)]

    return tuple(map_arrays(move, part) for part in batches.split.parts())


def tensors_of(parts: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """Returns all tensors of the parts: a JAX program takes them as arguments, as it would copy constants."""
    return [container.tensors for container in _distinct(parts)]


def with_tensors(parts: tuple[Any, ...], tensors: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Returns the parts with other tensors in their place, in the order of `tensors_of`."""
    replaced: dict[int, OnDevice] = {}
    for container, given in zip(_distinct(parts), tensors, strict=True):
        replaced[id(container)] = copy.copy(container)
        replaced[id(container)].tensors = given
    return tuple(map_arrays(lambda container: replaced[id(container)], part) for part in parts)


def _distinct(parts: tuple[Any, ...]) -> list[OnDevice]:
    distinct: dict[int, OnDevice] = {}
    for part in parts:
        map_arrays(lambda container: distinct.setdefault(id(container), container), part)
    return list(distinct.values())


def gather(parts: tuple[Any, ...], indices: Any, width: int | None = None) -> tuple[Any, ...]:
    """Returns one batch; a tensor that is used twice, as input and target of an autoencoder, is gathered once."""
    gathered: dict[int, Any] = {}

    def take(container: Any) -> Any:
        if id(container) not in gathered:
            gathered[id(container)] = container.at(indices, width)
        return gathered[id(container)]

    return tuple(map_arrays(take, part) for part in parts)


def as_levels(array: Array) -> Array | None:
    """Returns the bytes whose values divided by 255 are exactly the given float32 array; None if there are none.

    Pixels usually are of this kind: as bytes they take a quarter of the memory, and of the time to gather.
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


class DeviceArray:
    """An array whose first axis counts the examples; the gathered values are equal to the last bit.

    Each example is one row, because XLA copies long rows as vectors but not rows of 28 pixels.
    """

    def __init__(self, array: Array) -> None:
        self.shape, levels = array.shape[1:], as_levels(array)
        rows = array if levels is None else levels
        self.tensors: tuple[Any, ...] = (_tensor(rows.reshape(len(rows), math.prod(self.shape))),)
        self.levels = levels is not None

    def at(self, which: Any, width: int | None) -> Any:
        from keras import ops

        rows = _take(self.tensors[0], which)
        if self.levels:
            rows = _as_pixels(ops.cast(rows, "float32"))
        return ops.reshape(rows, (ops.shape(which)[0], *self.shape))


class DeviceWindows:
    """The windows of a `Windows`, with its tokens as a tensor."""

    def __init__(self, windows: Any) -> None:
        self.tensors: tuple[Any, ...] = (_tensor(windows.tokens),)
        self.windows = windows

    def at(self, which: Any, width: int | None) -> Any:
        from keras import ops

        (tokens,), last = self.tensors, len(self.windows) - 1
        places = ops.expand_dims(which, 1) + ops.arange(self.windows.length, dtype="int32")
        found = _take(tokens, ops.minimum(places, last))
        return ops.where(places <= last, found, ops.cast(self.windows.fill, found.dtype))


class DeviceRagged:
    """The variable-length sequences of a `Ragged`, with its tokens as a tensor."""

    def __init__(self, ragged: Any) -> None:
        tokens = ragged.tokens if len(ragged.tokens) else np.zeros(1, ragged.dtype)
        numbers = (ragged.starts, ragged.lengths, np.array(ragged.widths))
        self.tensors: tuple[Any, ...] = (_tensor(tokens), *(_tensor(one.astype(np.int32)) for one in numbers))

    def at(self, which: Any, width: int | None) -> Any:
        """Pads to the given width, else to the least of the widths that holds the longest sequence."""
        from keras import ops

        tokens, starts, lengths, widths = self.tensors
        lengths = _take(lengths, which)[:, None]
        steps = width if width is not None else widths[ops.searchsorted(widths, ops.max(lengths)[None])[0]]
        inside = ops.arange(steps, dtype="int32") < lengths
        places = ops.where(inside, _take(starts, which)[:, None] + ops.arange(steps, dtype="int32"), 0)
        return ops.where(inside, _take(tokens, places), ops.cast(0, tokens.dtype))


def _tensor(array: Array) -> Any:
    if _on_jax():
        import jax

        return jax.numpy.asarray(array)
    import tensorflow as tf

    return tf.constant(array)


def _as_pixels(levels: Any) -> Any:
    """Returns whole numbers from 0 to 255 divided by 255, exact to the last bit, without a division.

    XLA replaces a division by a constant with a product with the inverse, which rounds differently. With
    the inverse in two parts the result is exact: the product with the first part is exact, and the
    rounding error of the second is too small to change the sum.
    """
    return levels * _INVERSE + levels * _REST


def _take(rows: Any, which: Any) -> Any:
    if _on_jax():
        return rows.at[which].get(mode="promise_in_bounds")  # no check of each index
    import tensorflow as tf

    return tf.gather(rows, which)


def _on_jax() -> bool:
    import keras

    return bool(keras.backend.backend() == "jax")
