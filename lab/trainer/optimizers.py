"""The trainer's settings on a compiled model's optimizer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lab.engine.keras_private import copy_optimizer
from lab.errors import ModelError
from lab.trainer.config import TrainerSettings

if TYPE_CHECKING:
    import keras

_CLIPPING = ("clipnorm", "global_clipnorm", "clipvalue")
_BEFORE_BUILD = ("gradient_accumulation_steps", "use_ema")  # for which an optimizer creates variables


def configure(model: keras.Model, settings: TrainerSettings, total_steps: int) -> None:
    """Sets the trainer's settings on the optimizer that a model was compiled with; it stays the same object.

    Args:
        model: compiled.
        settings: those that are none change nothing.
        total_steps: steps of the complete training, over which a schedule runs.

    Raises:
        ModelError: the optimizer cannot take a setting.
    """
    optimizer = inner_optimizer(model)
    changes = {name: getattr(settings, name) for name in (*_CLIPPING, *_BEFORE_BUILD)}
    changes = {name: value for name, value in changes.items() if value is not None}
    if settings.use_ema or "ema_momentum" in settings.given():
        changes["ema_momentum"] = settings.ema_momentum
    needs_build = [name for name in _BEFORE_BUILD if name in changes and changes[name] != getattr(optimizer, name)]
    if optimizer.built and needs_build:
        raise ModelError(
            f"{needs_build[0]}: expected an optimizer without variables, as compile(...) makes it; "
            "do not call its build() in build()"
        )
    clips = {name for name in _CLIPPING if changes.get(name, getattr(optimizer, name)) is not None}
    if len(clips) > 1:
        raise ModelError(f"optimizer {type(optimizer).__name__}: expected one kind of clipping, got {sorted(clips)}")
    for name, value in changes.items():
        setattr(optimizer, name, value)
    if settings.learning_rate_schedule is not None:
        peak = peak_of(optimizer, settings)
        _set_rate(model, peak if settings.by_the_clock else _schedule(peak, settings, total_steps))
    elif settings.learning_rate is not None:
        _set_rate(model, settings.learning_rate)


def inner_optimizer(model: keras.Model) -> Any:
    """Returns a model's optimizer, without the loss scaling that half precision puts around it."""
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)


def has_schedule(optimizer: Any) -> bool:
    """Whether an optimizer's learning rate is a schedule, which no callback can set."""
    return not isinstance(optimizer.get_config()["learning_rate"], (int, float))


def cosine(share: float, steps: int, peak: float, settings: TrainerSettings) -> float:
    """Returns the learning rate when a share of training is done, and so many steps: the schedule as a formula."""
    warm = min(1.0, (steps + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
    floor = settings.final_learning_rate
    return peak * warm * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * share)))


def peak_of(optimizer: Any, settings: TrainerSettings) -> float:
    """Returns the learning rate from which a schedule falls: the settings', else the optimizer's own.

    Raises:
        ModelError: the optimizer has a schedule already.
    """
    if settings.learning_rate is not None:
        return settings.learning_rate
    if has_schedule(optimizer):
        raise ModelError("expected one learning-rate schedule; the experiment's optimizer has its own already")
    return float(optimizer.get_config()["learning_rate"])


def _set_rate(model: keras.Model, rate: Any) -> None:
    """Sets a number or a schedule; Keras does not let a number replace a schedule, so that this takes a copy."""
    optimizer = inner_optimizer(model)
    if not (isinstance(rate, float) and has_schedule(optimizer)):
        optimizer.learning_rate = rate
        return
    if optimizer.built:
        raise ModelError("learning_rate: expected an optimizer without variables, or with a number as its rate")
    copied = copy_optimizer(optimizer, learning_rate=rate)
    if model.optimizer is optimizer:
        model.optimizer = copied
    else:
        model.optimizer.inner_optimizer = copied


def _schedule(peak: float, settings: TrainerSettings, total_steps: int) -> Any:
    """A cosine with warm-up (Loshchilov and Hutter, 2017, https://arxiv.org/abs/1608.03983), or a constant rate."""
    import keras

    warmup = min(settings.warmup_steps, max(total_steps - 1, 0))  # in steps, also when steps are accumulated
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else peak,
        decay_steps=max(1, total_steps - warmup),
        alpha=1.0 if settings.learning_rate_schedule == "constant" else settings.final_learning_rate,
        warmup_target=peak if warmup else None,
        warmup_steps=warmup,
    )
