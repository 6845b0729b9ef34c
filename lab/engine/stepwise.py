"""Steps by Keras's own `train_function` and `test_function`, on every backend: compiled one by one, or eager."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from lab.data.arrays import map_arrays
from lab.data.batches import Batches
from lab.data.device import gather, to_device
from lab.engine.call import Call, Logs, Mode
from lab.engine.jax_state import put_state, take_state

_PREFETCH = 8  # batches that wait ready; a batch of 256 digits is 0.8 MB


class Stepwise:
    """Runs the function that Keras makes of a model's step.

    Args:
        model: compiled; its `run_eagerly`, `jit_compile`, `steps_per_execution` and distribution apply.
        batches: the batches.
        mode: `train` or `test`.
    """

    def __init__(self, model: keras.Model, batches: Batches, mode: Mode) -> None:
        self.model = model
        self.batches = batches
        self.training = mode == "train"
        if self.training:
            model.make_train_function(force=True)
        else:
            model.make_test_function(force=True)
        self._dataset: Any = None
        self._start = (0, 0)  # the epoch, and the step in it, from which the data set reads

    def calls(self, epoch: int, start: int = 0) -> Iterator[Call]:
        """Yields the calls of an epoch, from the step `start` on."""
        model, steps = self.model, self.batches.steps(epoch)
        iterator = self._iterator(epoch, start)
        for first in range(start, steps, model.steps_per_execution):
            last = min(first + model.steps_per_execution, steps) - 1
            yield Call(first, last, lambda: self._run(iterator))

    def _run(self, iterator: Iterator[Any]) -> Logs:
        model = self.model
        function = model.train_function if self.training else model.test_function
        backend = keras.backend.backend()
        if backend == "jax":
            logs, state = function(take_state(model, training=self.training), iterator)
            put_state(model, state, training=self.training)
            return dict(logs)
        if backend == "torch":
            return dict(function([next(iterator)]))
        return dict(function(iterator))

    def _iterator(self, epoch: int, start: int) -> Iterator[Any]:
        backend = keras.backend.backend()
        if backend == "tensorflow":
            self._start = (epoch, start)
            if self._dataset is None:
                self._dataset = self._make_dataset()
            return iter(self._dataset)
        batches = self.batches.epoch(epoch, start)
        if backend == "torch":
            return (tuple(map_arrays(keras.ops.convert_to_tensor, part) for part in batch) for batch in batches)
        distribution = keras.distribution.distribution()
        if distribution is None:
            return batches

        def place(array: Any) -> Any:
            return keras.distribution.distribute_tensor(array, distribution.get_data_layout(array.shape))

        return (tuple(map_arrays(place, part) for part in batch) for batch in batches)

    def _make_dataset(self) -> Any:
        """A `tf.data` pipeline that gathers batches in C++; the epoch is looked up when it is iterated over."""
        import tensorflow as tf

        parts, batches = to_device(self.batches), self.batches

        def indices(_: Any) -> Any:
            read = lambda: batches.remaining(*self._start).astype(np.int32)  # noqa: E731
            order = tf.numpy_function(read, [], tf.int32, stateful=True)
            order.set_shape([None])
            return tf.data.Dataset.from_tensor_slices(order).batch(
                batches.batch_size, drop_remainder=batches.drop_remainder
            )

        options = tf.data.Options()
        options.autotune.enabled = False  # its threads would take a core from the step
        options.threading.private_threadpool_size = 1
        dataset = tf.data.Dataset.range(1).flat_map(indices)
        dataset = dataset.map(lambda chosen: gather(parts, chosen), num_parallel_calls=1).prefetch(_PREFETCH)
        strategy = self.model.distribute_strategy
        dataset = dataset.with_options(options)
        return strategy.experimental_distribute_dataset(dataset) if strategy.num_replicas_in_sync > 1 else dataset
