"""The fused loop on TensorFlow."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from lab.data.batches import Batches
from lab.data.feed import cut
from lab.data.held import gather, hold
from lab.data.ragged import Buckets
from lab.data.streams import Streams

if TYPE_CHECKING:
    import keras


def program_of(
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
    at_once = loops and 1 < batches.steps_per_epoch <= steps  # an epoch is one block, and its last batch goes along

    def whole_batches(block: Any, count: Any, last: Any | None) -> Any:
        def body(place: Any) -> tuple[Any]:
            step(gather(parts, block[place]))
            return (place + 1,)

        tf.while_loop(lambda place: place < count, body, [tf.constant(0)])
        if last is not None:
            step(gather(parts, last))
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

    @functools.partial(tf.function, jit_compile=True, reduce_retracing=True)
    def given_batch(batch: Any) -> Any:
        step(batch)
        return model.get_metrics_result()

    def run(iterator: Any) -> Any:
        chosen = next(iterator)
        metrics = None
        if isinstance(chosen, tuple):  # of a callback that evaluates other examples
            for batch in itertools.chain([chosen], itertools.islice(iterator, steps - 1)):
                metrics = given_batch(batch)
            return metrics
        block, whole, rest = cut(chosen, size, steps, loops=loops)
        last = None
        if at_once and rest:
            last, rest = tf.constant(rest[0]), []
        if block is not None or last is not None:
            block = np.zeros((steps, size), np.int32) if block is None else block
            metrics = loop(tf.constant(block), tf.constant(whole), last)
        for batch in rest:
            metrics = one(batch)
        return metrics

    return run
