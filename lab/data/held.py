"""A split's arrays as tensors in memory, and batches gathered from them inside TensorFlow's graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from lab.data.arrays import map_arrays
from lab.data.batches import Batches
from lab.data.ragged import Ragged
from lab.data.streams import Windows


def hold(batches: Batches) -> tuple[Any, ...]:
    """Returns the split's parts as tensors; an array that stands in two places is held once."""
    import tensorflow as tf

    held: dict[int, Any] = {}

    def hold(array: Any) -> Any:
        if id(array) not in held:
            kind = {Windows: _Held, Ragged: _HeldRagged}.get(type(array), tf.constant)
            held[id(array)] = kind(array)
        return held[id(array)]

    return tuple(map_arrays(hold, part) for part in batches.split.parts())


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
    import tensorflow as tf

    taken: dict[int, Any] = {}

    def take(tensor: Any) -> Any:
        if id(tensor) not in taken:
            held = isinstance(tensor, (_Held, _HeldRagged))
            taken[id(tensor)] = tensor.at(indices, width) if held else tf.gather(tensor, indices)
        return taken[id(tensor)]

    return tuple(map_arrays(take, part) for part in parts)
