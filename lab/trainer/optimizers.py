"""The trainer's knobs on a compiled model: what Keras's optimizer can do, passed through to it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from lab.errors import ModelError
from lab.settings import Settings, field

if TYPE_CHECKING:
    import keras


class OptimizationSettings(Settings):
    """Knobs that every Keras optimizer has; none given leaves the experiment's optimizer as it is."""

    learning_rate: float | None = field(None, "The optimizer's learning rate, instead of the experiment's own.", gt=0)
    learning_rate_schedule: Literal["constant", "cosine"] | None = field(
        None, "How the learning rate goes over the whole training; none leaves the experiment's own."
    )
    warmup_steps: int = field(0, "Steps over which a scheduled learning rate rises from 0.", ge=0)
    final_learning_rate: float = field(0.0, "Where the cosine ends, as a fraction of the learning rate.", ge=0, le=1)
    clipnorm: float | None = field(None, "Clip each weight's gradient to this norm.", gt=0)
    global_clipnorm: float | None = field(None, "Clip all gradients together to this norm.", gt=0)
    clipvalue: float | None = field(None, "Clip each gradient's entries to this magnitude.", gt=0)
    gradient_accumulation_steps: int | None = field(None, "Steps whose gradients make one update.", ge=2)
    use_ema: bool | None = field(None, "Keep moving averages of the weights; they validate and are the result.")
    ema_momentum: float = field(0.999, "How much of the average each step keeps.", ge=0, lt=1)


def configure(model: keras.Model, settings: OptimizationSettings, total_steps: int, *, timed: bool = False) -> None:
    """Gives a compiled model's optimizer the trainer's knobs.

    Args:
        model: compiled; its optimizer is replaced by one of the same class and configuration, less
            what the settings change, before any of its variables exist.
        settings: the knobs.
        total_steps: steps of the whole training, over which a schedule runs.
        timed: whether a callback sets the rate of a cosine, by the clock (`cosine`).

    Raises:
        ModelError: the optimizer is already in use, or refuses a value.
    """
    import keras

    outer = model.optimizer
    inner = getattr(outer, "inner_optimizer", outer)
    changes = _changes(inner, settings, total_steps, timed)
    if not changes:
        return
    if inner.built:
        raise ModelError("expected an optimizer that has not trained yet; build() must return a fresh model")
    try:
        fresh = type(inner).from_config({**inner.get_config(), **changes})
    except (ValueError, TypeError) as error:
        raise ModelError(f"optimizer {type(inner).__name__}: {str(error).splitlines()[0]}") from None
    scaled = isinstance(outer, keras.optimizers.LossScaleOptimizer)
    for name in ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern"):
        if hasattr(inner, name):
            setattr(fresh, name, getattr(inner, name))
    if scaled:
        config = outer.get_config()
        config["inner_optimizer"] = fresh
        fresh = keras.optimizers.LossScaleOptimizer(**config)
    model.optimizer = fresh


def cosine(share: float, steps: int, peak: float, settings: OptimizationSettings) -> float:
    """Returns the learning rate when a share of training is done, and so many steps: the schedule as a formula."""
    warm = min(1.0, (steps + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
    floor = settings.final_learning_rate
    return peak * warm * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * share)))


def _changes(optimizer: Any, settings: OptimizationSettings, total_steps: int, timed: bool) -> dict[str, Any]:
    """The entries of the optimizer's configuration that the settings change."""
    names = ("learning_rate", "clipnorm", "global_clipnorm", "clipvalue", "gradient_accumulation_steps", "use_ema")
    changes = {name: getattr(settings, name) for name in names if getattr(settings, name) is not None}
    if settings.use_ema or "ema_momentum" in settings.given():
        changes["ema_momentum"] = settings.ema_momentum
    if settings.learning_rate_schedule is not None:
        scheduled = _schedule(optimizer, settings, total_steps)
        changes["learning_rate"] = peak_of(optimizer, settings) if timed else scheduled
    return changes


def peak_of(optimizer: Any, settings: OptimizationSettings) -> float:
    """Returns the learning rate that a schedule begins from: the settings', else the optimizer's own.

    Raises:
        ModelError: the optimizer has a schedule of its own.
    """
    if settings.learning_rate is not None:
        return settings.learning_rate
    configured = optimizer.get_config()["learning_rate"]
    if not isinstance(configured, (int, float)):
        raise ModelError("expected one learning-rate schedule; the experiment's optimizer has its own already")
    return float(configured)


def _schedule(optimizer: Any, settings: OptimizationSettings, total_steps: int) -> Any:
    """A cosine with warm-up (Loshchilov and Hutter, 2017); a constant is one that does not fall."""
    import keras

    peak = peak_of(optimizer, settings)
    warmup = min(settings.warmup_steps, max(total_steps - 1, 0))  # in steps, also when steps are accumulated
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else peak,
        decay_steps=max(1, total_steps - warmup),
        alpha=1.0 if settings.learning_rate_schedule == "constant" else settings.final_learning_rate,
        warmup_target=peak if warmup else None,
        warmup_steps=warmup,
    )
