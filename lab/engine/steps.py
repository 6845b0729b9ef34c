"""How the steps of an epoch run: many in one compiled program where the model allows it, else one by one."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import keras

from lab.data.arrays import leaves
from lab.data.batches import Batches
from lab.engine.call import Call, Mode, Steps
from lab.engine.keras_private import flatten_layers
from lab.engine.stepwise import Stepwise

log = logging.getLogger("lab")


def steps_of(model: keras.Model, batches: Batches, mode: Mode) -> Steps:
    """Returns what runs a model's `train_step` or `test_step` on batches, the fastest way that the model allows.

    The steps are fused into compiled loops, `model.steps_per_execution` to a call, where `can_fuse` and the
    data are numbers in memory. A `train_step` or `test_step` of a user's own that the compiler refuses runs step
    by step, which is logged. All ways see the same batches in the same order.

    Args:
        model: compiled and built.
        batches: the batches.
        mode: whether they train the model or evaluate it.
    """
    if not can_fuse(model) or not _are_numbers(batches):
        return Stepwise(model, batches, mode)
    if keras.backend.backend() == "jax":
        from lab.engine.fused_jax import FusedJax as Fused
    else:
        from lab.engine.fused_tensorflow import FusedTensorFlow as Fused  # type: ignore[assignment]

    loops = batches.one_shape and not has_convolutions(model)
    fused: Steps = Fused(model, batches, mode, loops=loops, own_logs=has_own_step(model, mode))
    return _OrStepwise(fused, model, batches, mode) if has_own_step(model, mode) else fused


class _OrStepwise:
    """Fused steps of a user's own `train_step` or `test_step`; one by one where the compiler refuses the first call."""

    def __init__(self, fused: Steps, model: keras.Model, batches: Batches, mode: Mode) -> None:
        self._steps = fused
        self._arguments = (model, batches, mode)
        self._works = False

    def calls(self, epoch: int, start: int = 0) -> Iterator[Call]:
        if not self._works:
            first = next(self._steps.calls(epoch, start), None)
            if first is None:
                return
            try:
                logs = first.run()  # a program that cannot be compiled has changed no variable
            except Exception as error:
                model, _, mode = self._arguments
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
                log.info("%s.%s_step cannot be compiled (%s): it runs step by step", type(model).__name__, mode, reason)
                model.jit_compile = False
                self._steps = Stepwise(*self._arguments)
            else:
                yield first._replace(run=lambda: logs)
                start = first.last + 1
            self._works = True
        yield from self._steps.calls(epoch, start)


def can_fuse(model: keras.Model) -> bool:
    """Whether a model's steps are compiled by XLA, for one device, on TensorFlow or JAX."""
    if keras.backend.backend() not in ("tensorflow", "jax") or model.run_eagerly or not model.jit_compile:
        return False
    if keras.distribution.distribution() is not None:
        return False
    strategy = getattr(model, "distribute_strategy", None)
    return strategy is None or strategy.num_replicas_in_sync == 1


def has_own_step(model: keras.Model, mode: Mode) -> bool:
    """Whether a model's class overrides the step, or what the step returns."""
    names = (f"{mode}_step", "compute_metrics", "get_metrics_result")
    return any(getattr(type(model), name) is not getattr(keras.Model, name) for name in names)


def has_convolutions(model: keras.Model) -> bool:
    """Whether one of a model's layers is a convolution: in a loop, XLA's are some twenty times slower on a CPU."""
    kinds = tuple(kind for name, kind in vars(keras.layers).items() if "Conv" in name and isinstance(kind, type))
    return any(isinstance(layer, kinds) for layer in flatten_layers(model))


def _are_numbers(batches: Batches) -> bool:
    return all(array.dtype.kind in "fiub" for part in batches.split.parts() for array in leaves(part))
