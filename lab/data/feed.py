"""Feeding a model from memory, without Python in the step.

Keras's `fit` takes a data adapter as it is, on every backend. On TensorFlow there are two ways. In
general the batches are gathered in C++ by `tf.data`. Where the model's own `train_step` is Keras's
and XLA compiles it, `fused` goes further: the arrays stay inside one compiled program, which takes
the indices of many batches, and gathers and trains in a loop. Both see the same batches in the same
order; this and `held.py` are the files outside `lab/layers/` that know TensorFlow.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lab.data.arrays import leaves, map_arrays
from lab.data.batches import Batches
from lab.data.held import gather, hold
from lab.data.losses import sooner
from lab.data.ragged import Buckets
from lab.data.streams import Streams

if TYPE_CHECKING:
    import keras

_PREFETCH = 8  # batches that wait ready; a batch of 256 digits is 0.8 MB


def adapter(batches: Batches) -> Any:
    """Returns batches as a Keras data adapter, the extension point that `get_data_adapter` lets through."""
    import keras
    from keras.src.trainers.data_adapters.data_adapter import DataAdapter

    class BatchesAdapter(DataAdapter):  # type: ignore[misc]  # Keras has no types
        def get_numpy_iterator(self) -> Iterator[tuple[Any, ...]]:
            return batches.epoch(*batches.position)

        get_jax_iterator = get_numpy_iterator

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
            if isinstance(batches, Streams):
                return None
            last = min(len(batches.split), batches.steps_per_epoch * batches.batch_size) % batches.batch_size
            return last or None

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

    No `tf.data`: its threads and its hand-over take longer than there is to do.
    """

    def __init__(self, batches: Batches) -> None:
        self.batches = batches
        self.size = batches.block * batches.batch_size

    def __iter__(self) -> Iterator[Any]:
        order = self.batches.remaining().astype(np.int32)
        return (order[start : start + self.size] for start in range(0, len(order), self.size))


@contextlib.contextmanager
def fused(
    model: keras.Model, train: Batches, validation: Batches, train_step: Callable[[Any], Any] | None = None
) -> Iterator[None]:
    """Trains and validates in fused loops for the length of a block, where the model allows it.

    Inside, `train.feed()` and `validation.feed()` give blocks of indices, and the model's train and
    test functions take those. A model that does something of its own at each step, an eager one, one
    without XLA and one on another backend is left as it is.

    Args:
        model: compiled; `steps_per_execution` says how many batches a call of the program takes.
        train: the training batches.
        validation: the validation batches.
        train_step: takes a batch, trains and updates the metrics, by TensorFlow alone; instead of the model's.
    """
    if not _can_fuse(model, train, validation):
        with _stepping(model, train_step):
            yield
        return
    steps = int(model.steps_per_execution)
    before = model.train_function, model.test_function
    model.train_function = _function(model, train_step or model.train_step, train, steps)
    model.test_function = _function(model, model.test_step, validation, steps)
    train.block = validation.block = steps
    try:
        with sooner(model):
            yield
    finally:
        model.train_function, model.test_function = before
        train.block = validation.block = 0


@contextlib.contextmanager
def _stepping(model: keras.Model, train_step: Callable[[Any], Any] | None) -> Iterator[None]:
    """Gives a model a training step of its own for the length of a block."""
    if train_step is None:
        yield
        return
    model.train_step = train_step
    try:
        yield
    finally:
        del model.train_step


def _can_fuse(model: keras.Model, train: Batches, validation: Batches) -> bool:
    import keras

    if keras.backend.backend() != "tensorflow" or model.run_eagerly or not model.jit_compile:
        return False
    if getattr(model, "distribute_strategy", None) is not None and model.distribute_strategy.num_replicas_in_sync > 1:
        return False
    own = ("train_step", "test_step", "compute_metrics", "get_metrics_result")
    if any(getattr(type(model), name) is not getattr(keras.Model, name) for name in own):
        return False
    arrays = [array for batches in (train, validation) for part in batches.split.parts() for array in leaves(part)]
    return all(array.dtype.kind in "fiub" for array in arrays)


def compiled(function: Callable[..., Any], variables: Sequence[Any] = ()) -> Callable[..., Any]:
    """Compiles a function of tensors with XLA, on TensorFlow and JAX; on torch it stays as it is.

    Args:
        function: takes and gives tensors.
        variables: those of Keras that it reads; each call sees the values that they have then.
    """
    import keras

    if keras.backend.backend() == "tensorflow":
        return _concrete(function)
    if keras.backend.backend() == "jax":
        import jax

        def pure(values: Sequence[Any], *arguments: Any) -> Any:  # JAX would keep the first call's values
            with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
                return function(*arguments)

        program = jax.jit(pure)
        return lambda *arguments: program([variable.value for variable in variables], *arguments)
    return function


def _concrete(function: Callable[..., Any]) -> Callable[..., Any]:
    """Traced once, for the shapes of its first call; TensorFlow would warn of as many traces as there are functions."""
    import tensorflow as tf

    traced: list[Callable[..., Any]] = []

    def call(*arguments: Any) -> Any:
        tensors = tf.nest.map_structure(tf.convert_to_tensor, arguments)
        if not traced:
            made = tf.function(function, jit_compile=True, autograph=False)
            traced.append(made.get_concrete_function(*tensors))
        return traced[0](*tensors)

    return call


def _has_convolutions(model: keras.Model) -> bool:
    import keras

    kinds = tuple(kind for name, kind in vars(keras.layers).items() if "Conv" in name and isinstance(kind, type))
    return any(isinstance(layer, kinds) for layer in model._flatten_layers())


def _function(model: keras.Model, step: Callable[[Any], Any], batches: Batches, steps: int) -> Callable[[Any], Any]:
    """Returns a function of an iterator over blocks of indices: trains on the next block, returns the metrics.

    Whole batches go through one program, whose loop takes as many of them as there are; the smaller
    last batch of an epoch has a program of its own. A network with convolutions takes its batches one
    by one: inside a loop XLA's convolutions are some twenty times as slow on a CPU. So do sequences in
    buckets, with a program for each width.
    """
    import tensorflow as tf

    parts, size = hold(batches), batches.batch_size
    loops = not isinstance(batches, Buckets) and not _has_convolutions(model)

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
        whole = len(chosen) // size
        metrics = None
        if loops and whole:
            block = np.zeros((steps, size), np.int32)
            block[:whole] = chosen[: whole * size].reshape(whole, size)
            metrics = loop(tf.constant(block), tf.constant(whole))
        for place in range(whole * size if loops else 0, len(chosen), size):
            metrics = one(chosen[place : place + size])
        return metrics

    return run
