"""The fused loop on TensorFlow."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from lab.data.batches import Batches
from lab.data.device import gather, hold
from lab.data.ragged import Buckets
from lab.engine.feed import cut

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
    # Where an epoch is one block, its smaller last batch goes along, so that there is one program.
    last_size = batches.last_size if loops and 1 < batches.steps_per_epoch <= steps else 0

    def train_on(rows: Any, count: Any) -> None:
        def body(place: Any) -> tuple[Any]:
            step(gather(parts, rows[place]))
            return (place + 1,)

        tf.while_loop(lambda place: place < count, body, [tf.constant(0)])

    def whole_batches(block: Any, count: Any, last: Any, is_last: Any) -> Any:
        train_on(block, count)
        if last_size:
            train_on(last, is_last)
        return model.get_metrics_result()

    def last_batch(chosen: Any, width: int | None = None) -> Any:
        step(gather(parts, chosen, width))
        return model.get_metrics_result()

    loop = tf.function(whole_batches, jit_compile=True)
    programs: dict[tuple[int | None, int], Any] = {}

    def one(chosen: Any) -> Any:
        width, rows = batches.split.x.width(chosen) if isinstance(batches, Buckets) else None, len(chosen)
        if (width, rows) not in programs:  # XLA compiles each anyway; a layer that knows its rows may choose a way
            fixed = functools.partial(last_batch, width=width)
            signature = [tf.TensorSpec([rows], tf.int32)]
            programs[width, rows] = tf.function(fixed, jit_compile=True, input_signature=signature)
        return programs[width, rows](tf.constant(chosen))

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
        goes_along = bool(last_size and rest)
        if block is not None or goes_along:
            last = np.zeros((1, last_size), np.int32)
            if goes_along:
                last[0] = rest.pop()
            block = np.zeros((steps, size), np.int32) if block is None else block
            metrics = loop(*map(tf.constant, (block, whole, last, int(goes_along))))
        for batch in rest:
            metrics = one(batch)
        return metrics

    return run
