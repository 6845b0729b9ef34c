"""The order of examples, and the feeding of a model without Python in the step.

With DESIGN's layers, this is the one file outside `lab/layers/` that knows TensorFlow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from lab.data.arrays import Split, map_arrays
from lab.errors import UsageError

Indices = npt.NDArray[np.int64]
_TF_PREFETCH = 8  # batches that wait ready; a batch of 256 digits is 0.8 MB


class Batches:
    """The batches of one split: which examples, in which order, from which step on.

    The order is a pure function of `(seed, epoch)`: the stable argsort of the raw 64-bit words of a
    Philox generator keyed with both. NumPy guarantees that stream (NEP 19), which it does not for
    `Generator.permutation`, and no backend has a part in it.

    Args:
        split: the examples.
        batch_size: examples in a batch; the last one of an epoch may be smaller.
        seed: the order's seed, from 0 to 2**64 - 1.
        shuffle: whether each epoch has its own order; otherwise it is that of the arrays.
        limit: how many batches an epoch has at most.
        stop: how many steps there are in all, over all epochs; the last epoch is cut there.

    Raises:
        UsageError: the split is empty or a number is not positive.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        limit: int | None = None,
        stop: int | None = None,
    ) -> None:
        if batch_size < 1 or (limit is not None and limit < 1):
            raise UsageError(f"batch_size={batch_size}, limit={limit}: expected numbers of 1 or more")
        if not 0 <= seed < 2**64 or (stop is not None and stop < 0):
            raise UsageError(f"seed={seed}, stop={stop}: expected a seed from 0 to 2**64 - 1 and no fewer than 0 steps")
        if len(split) < 1:
            raise UsageError(f"expected at least one example to make batches of, the {split.name} split is empty")
        self.split = split
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.steps_per_epoch = math.ceil(len(split) / batch_size)
        if limit is not None:
            self.steps_per_epoch = min(limit, self.steps_per_epoch)
        self.stop = stop
        self._epoch, self._step = 0, 0

    def order(self, epoch: int) -> Indices:
        """Returns the indices of one epoch's examples, in order; int64, shape (examples,)."""
        size = len(self.split)
        if not self.shuffle:
            return np.arange(size, dtype=np.int64)
        words = np.random.Philox(key=np.array([self.seed, epoch], np.uint64)).random_raw(size)
        return np.argsort(words, kind="stable").astype(np.int64, copy=False)

    def steps(self, epoch: int) -> int:
        """Returns how many steps an epoch has: all of them, unless `stop` cuts it."""
        if self.stop is None:
            return self.steps_per_epoch
        return max(0, min(self.steps_per_epoch, self.stop - epoch * self.steps_per_epoch))

    def indices(self, epoch: int, step: int) -> Indices:
        """Returns which examples are in one batch; int64, shape (batch,)."""
        start = step * self.batch_size
        return self.order(epoch)[start : start + self.batch_size]

    def epoch(self, epoch: int, step: int = 0) -> Iterator[tuple[Any, ...]]:
        """Yields the `(x, y)` or `(x, y, sample_weight)` batches of an epoch from `step` on, as NumPy has them."""
        order = self.order(epoch)
        for start in range(step * self.batch_size, self.steps(epoch) * self.batch_size, self.batch_size):
            yield self.split.take(order[start : start + self.batch_size]).parts()

    def seek(self, epoch: int, step: int = 0) -> None:
        """Says which epoch, and which step in it, `feed()` goes on with."""
        self._epoch, self._step = epoch, step

    def feed(self) -> Any:
        """Returns what to give to `Model.fit`, `evaluate` or `predict` as `x`, on whichever backend.

        It gives one epoch each time it is iterated over: the one that `seek` named last. It is a
        Keras data adapter, which `keras.Model.fit` takes as it is; on TensorFlow the examples are
        gathered in C++ from arrays that the graph holds.
        """
        return _adapter(self)

    def _tf_dataset(self) -> Any:
        import tensorflow as tf

        held: dict[int, Any] = {}  # an autoencoder's inputs are its targets: held, and gathered, once

        def hold(array: Any) -> Any:
            if id(array) not in held:
                held[id(array)] = tf.constant(array)
            return held[id(array)]

        parts = tuple(map_arrays(hold, part) for part in self.split.parts())

        def remaining() -> Indices:
            return self.order(self._epoch)[self._step * self.batch_size : self.steps(self._epoch) * self.batch_size]

        def epoch_of_indices(_: Any) -> Any:
            order = tf.numpy_function(remaining, [], tf.int64, stateful=True)
            order.set_shape([None])
            return tf.data.Dataset.from_tensor_slices(order).batch(self.batch_size)

        def gather(indices: Any) -> Any:
            taken: dict[int, Any] = {}

            def take(tensor: Any) -> Any:
                if id(tensor) not in taken:
                    taken[id(tensor)] = tf.gather(tensor, indices)
                return taken[id(tensor)]

            return tuple(map_arrays(take, part) for part in parts)

        options = tf.data.Options()
        options.autotune.enabled = False  # its threads would take a core from the step
        options.threading.private_threadpool_size = 1
        dataset = tf.data.Dataset.range(1).flat_map(epoch_of_indices)
        return dataset.map(gather, num_parallel_calls=1).prefetch(_TF_PREFETCH).with_options(options)


def _adapter(batches: Batches) -> Any:
    """Wraps batches as a Keras data adapter, the extension point that `get_data_adapter` lets through."""
    import keras
    from keras.src.trainers.data_adapters.data_adapter import DataAdapter

    class BatchesAdapter(DataAdapter):  # type: ignore[misc]  # Keras has no types
        def get_numpy_iterator(self) -> Iterator[tuple[Any, ...]]:
            return batches.epoch(batches._epoch, batches._step)

        get_jax_iterator = get_numpy_iterator

        def get_tf_dataset(self) -> Any:
            return batches._tf_dataset()

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
            last = min(len(batches.split), batches.steps_per_epoch * batches.batch_size) % batches.batch_size
            return last or None

    return BatchesAdapter()
