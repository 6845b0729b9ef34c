"""Many steps in one compiled program, which gathers its batches itself: the fast way to train and validate."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from lab.data.arrays import leaves
from lab.data.batches import Batches
from lab.data.ragged import Buckets
from lab.engine.fused_micro_batches import micro_batched
from lab.engine.losses import sooner

if TYPE_CHECKING:
    import keras


@contextlib.contextmanager
def fused(
    model: keras.Model, train: Batches, validation: Batches, train_step: Callable[[Any], Any] | None = None
) -> Iterator[None]:
    """Trains and validates in fused loops for the length of a block, where the model allows it.

    Inside, `train.feed()` and `validation.feed()` give blocks of indices, and the model's train and
    test functions take those: a program of TensorFlow or JAX in which the arrays stay, and which
    gathers and trains in a loop. Whole batches go through one program, whose loop takes as many of
    them as there are; the smaller last batch of an epoch has a program of its own, but on TensorFlow goes
    along with the others where the whole epoch does. A network with convolutions takes its batches one by
    one: inside a loop XLA's convolutions are some twenty times as slow on a CPU. So do sequences in buckets,
    with a program for each width and number of examples. A small dense network's step is one of micro-batches.

    A model that does something of its own at each step, an eager one, one without XLA and one on torch
    is left as it is.

    Args:
        model: compiled; `steps_per_execution` says how many batches a call of the program takes.
        train: the training batches.
        validation: the validation batches.
        train_step: takes a batch, trains and updates the metrics, by TensorFlow alone; instead of the model's.
    """
    if not can_fuse(model) or not all(_are_numbers(batches) for batches in (train, validation)):
        with _stepping(model, train_step):
            yield
        return
    import keras

    steps = int(model.steps_per_execution)
    before = model.train_function, model.test_function
    program_of: Callable[..., Any]  # JAX's take the state as well
    if keras.backend.backend() == "jax":
        from lab.engine.fused_jax import program_of

        model._symbolic_build(data_batch=next(train.epoch(0)))  # `fit` would look at a block of indices instead
    else:
        from lab.engine.fused_tensorflow import program_of
    train_step = train_step or micro_batched(model, train) or model.train_step
    sides = ((train, train_step), (validation, model.test_step))
    model.train_function, model.test_function = (
        program_of(model, step, batches, steps, loops=not isinstance(batches, Buckets) and not has_convolutions(model))
        for batches, step in sides
    )
    train.block = validation.block = steps
    ask_metrics = model._get_metrics_result_or_logs
    # Keras asks the metrics once more at an epoch's end, one by one; the program's last step has told them.
    model._get_metrics_result_or_logs = lambda logs: logs or ask_metrics(logs)
    try:
        with sooner(model):
            yield
    finally:
        del model._get_metrics_result_or_logs
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


def can_fuse(model: keras.Model) -> bool:
    """Whether a model's steps are Keras's own, and compiled by XLA for one device."""
    import keras

    if keras.backend.backend() not in ("tensorflow", "jax") or model.run_eagerly or not model.jit_compile:
        return False
    if keras.distribution.distribution() is not None:
        return False
    if getattr(model, "distribute_strategy", None) is not None and model.distribute_strategy.num_replicas_in_sync > 1:
        return False
    own = ("train_step", "test_step", "compute_metrics", "get_metrics_result")
    return all(getattr(type(model), name) is getattr(keras.Model, name) for name in own)


def _are_numbers(batches: Batches) -> bool:
    return all(array.dtype.kind in "fiub" for part in batches.split.parts() for array in leaves(part))


def has_convolutions(model: keras.Model) -> bool:
    """Whether one of a model's layers is a convolution."""
    import keras

    kinds = tuple(kind for name, kind in vars(keras.layers).items() if "Conv" in name and isinstance(kind, type))
    return any(isinstance(layer, kinds) for layer in model._flatten_layers())
