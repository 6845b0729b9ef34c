"""Feeding a model from memory, without Python in the step.

Keras's `fit` takes a data adapter as it is, on every backend. In general that gives the batches: on
TensorFlow gathered in C++ by `tf.data`, elsewhere by NumPy. Inside `lab.engine.fused.fused` it gives the
indices of many batches at once, which a compiled program gathers itself. All see the same batches in
the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from lab.data.arrays import Array, map_arrays
from lab.data.batches import Batches, Indices
from lab.data.device import gather, hold
from lab.data.windows import Streams

_PREFETCH = 8  # batches that wait ready; a batch of 256 digits is 0.8 MB


def adapter(batches: Batches) -> Any:
    """Returns batches as a Keras data adapter, the extension point that `get_data_adapter` lets through."""
    import keras
    from keras.src.trainers.data_adapters.data_adapter import DataAdapter

    class BatchesAdapter(DataAdapter):  # type: ignore[misc]  # Keras has no types
        def get_numpy_iterator(self) -> Iterator[tuple[Any, ...]]:
            return batches.epoch(*batches.position)

        def get_jax_iterator(self) -> Iterator[Any]:
            return iter(_IndexBlocks(batches)) if batches.block else self.get_numpy_iterator()

        def get_tf_dataset(self) -> Any:
            return _IndexBlocks(batches) if batches.block else _gathered(batches)

        def get_torch_dataloader(self) -> Any:
            to_tensor: Callable[[Any], Any] = keras.ops.convert_to_tensor
            return (tuple(map_arrays(to_tensor, part) for part in batch) for batch in self.get_numpy_iterator())

        @property
        def num_batches(self) -> int:
            return batches.steps_per_epoch

        @property
        def batch_size(self) -> int:
            return batches.batch_size

        @property
        def has_partial_batch(self) -> bool:
            return self.partial_batch_size is not None

        @property
        def partial_batch_size(self) -> int | None:
            return batches.last_size or None

    return BatchesAdapter()


def _options(tf: Any) -> Any:
    options = tf.data.Options()
    options.autotune.enabled = False  # its threads would take a core from the step
    options.threading.private_threadpool_size = 1
    return options


def _indices(batches: Batches) -> Any:
    """A dataset of an epoch's indices, a batch's at a time; the epoch is looked up when it is iterated over."""
    import tensorflow as tf

    whole = isinstance(batches, Streams)  # a carried state has a fixed size

    def of_an_epoch(_: Any) -> Any:
        order = tf.numpy_function(lambda: batches.remaining().astype(np.int32), [], tf.int32, stateful=True)
        order.set_shape([None])
        return tf.data.Dataset.from_tensor_slices(order).batch(batches.batch_size, drop_remainder=whole)

    return tf.data.Dataset.range(1).flat_map(of_an_epoch)


def _gathered(batches: Batches) -> Any:
    import tensorflow as tf

    parts = hold(batches)
    dataset = _indices(batches).map(lambda chosen: gather(parts, chosen), num_parallel_calls=1)
    return dataset.prefetch(_PREFETCH).with_options(_options(tf))


class _IndexBlocks:
    """An epoch's indices, many batches' at a time; the epoch is looked up when it is iterated over.

    No `tf.data`: its threads and its hand-over take longer than there is to do. The order is not computed
    before the first block is asked for: Keras asks for an iterator more than it uses, at each epoch's end.
    """

    def __init__(self, batches: Batches) -> None:
        self.batches = batches
        self.size = batches.block * batches.batch_size

    def __iter__(self) -> Iterator[Any]:
        order = self.batches.remaining().astype(np.int32)
        for start in range(0, len(order), self.size):
            yield order[start : start + self.size]


def cut(chosen: Indices, size: int, most: int, *, loops: bool) -> tuple[Array | None, int, list[Indices]]:
    """Cuts the indices of a block into whole batches for a loop, and those to do one by one.

    Args:
        chosen: a block's indices.
        size: examples in a batch.
        most: batches in a block.
        loops: whether whole batches are done in a loop.

    Returns:
        A matrix of shape (most, size) whose first rows are the whole batches, or None; how many they
        are; and the other batches.
    """
    whole = len(chosen) // size if loops else 0
    block: Array | None = None
    if whole:
        block = np.zeros((most, size), np.int32)
        block[:whole] = chosen[: whole * size].reshape(whole, size)
    return block, whole, [chosen[place : place + size] for place in range(whole * size, len(chosen), size)]
