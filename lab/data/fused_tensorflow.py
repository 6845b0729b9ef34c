"""The fused loop on TensorFlow."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from lab.data.batches import Batches
from lab.data.held import gather, hold
from lab.data.ragged import Buckets
from lab.data.streams import Streams

if TYPE_CHECKING:
    import keras


def function(
    model: keras.Model, step: Callable[[Any], Any], batches: Batches, steps: int, *, loops: bool
) -> Callable[[Any], Any]:
    """Returns a function of an iterator over blocks of indices: does the next block, returns the metrics.

    Args:
        model: whose metrics they are.
        step: takes a batch, and changes the model's variables.
        batches: what it gathers from.
        steps: the most batches in a block.
        loops: whether whole batches go through one program.
    """
    import tensorflow as tf

    parts, size = hold(batches), batches.batch_size

    def whole_batches(block: Any, count: Any) -> Any:
        def body(place: Any) -> tuple[Any]:
            step(gather(parts, block[place]))
            return (place + 1,)

        tf.while_loop(lambda place: place < count, body, [tf.constant(0)])
        return model.get_metrics_result()

    def last_batch(chosen: Any, width: int | None = None) -> Any:
        step(gather(parts, chosen, width))
        return model.get_metrics_result()

    loop = tf.function(whole_batches, jit_compile=True)
    rows = size if isinstance(batches, Streams) else None  # a carried state has a fixed size
    signature = [tf.TensorSpec([rows], tf.int32)]
    programs: dict[int | None, Any] = {}

    def one(chosen: Any) -> Any:
        width = batches.split.x.width(chosen) if isinstance(batches, Buckets) else None
        if width not in programs:
            fixed = functools.partial(last_batch, width=width)
            programs[width] = tf.function(fixed, jit_compile=True, input_signature=signature)
        return programs[width](tf.constant(chosen))

    def run(iterator: Any) -> Any:
        chosen = next(iterator)
        whole = len(chosen) // size if loops else 0
        metrics = None
        if whole:
            block = np.zeros((steps, size), np.int32)
            block[:whole] = chosen[: whole * size].reshape(whole, size)
            metrics = loop(tf.constant(block), tf.constant(whole))
        for place in range(whole * size, len(chosen), size):
            metrics = one(chosen[place : place + size])
        return metrics

    return run
