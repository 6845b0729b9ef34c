"""The trainer's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from lab.errors import SettingsError
from lab.settings import Seconds, Settings, field, show


class TrainerSettings(Settings):
    """Every setting of a trainer; a setting that is not given takes the experiment's value, else the default here.

    Raises:
        SettingsError: a setting is unknown or its value is wrong.
    """

    epochs: int = field(10, "Passes over the training data.", ge=1, le=1_000_000)
    batch_size: int = field(128, "Examples in a batch.", ge=1, le=1_000_000)
    seed: int = field(0, "Seed of weights, order and noise.", ge=0, lt=2**32)
    precision: Literal["float32", "bfloat16", "mixed_bfloat16", "mixed_float16", "float64"] = field(
        "float32", "Keras's dtype policy."
    )
    backend: Literal["tensorflow", "jax", "torch"] | None = field(
        None, "Keras's backend; none: as the environment variable KERAS_BACKEND has it."
    )
    jit: bool | None = field(None, "Compile the step with XLA; none: if the model supports it.")
    steps_per_execution: int | None = field(
        None,
        "Steps in one call of the backend; none: 16 to 256, or 1 if a callback needs each step.",
        ge=1,
    )
    learning_rate: float | None = field(None, "The optimizer's learning rate, instead of the experiment's own.", gt=0)
    learning_rate_schedule: Literal["constant", "cosine"] | None = field(
        None, "The learning rate over the training; none: as the experiment has it."
    )
    warmup_steps: int = field(0, "Steps over which a scheduled learning rate rises from 0.", ge=0)
    final_learning_rate: float = field(0.0, "Where the cosine ends, as a fraction of the learning rate.", ge=0, le=1)
    clipnorm: float | None = field(None, "Clip each weight's gradient to this norm.", gt=0)
    global_clipnorm: float | None = field(None, "Clip all gradients together to this norm.", gt=0)
    clipvalue: float | None = field(None, "Clip each gradient's entries to this magnitude.", gt=0)
    gradient_accumulation_steps: int | None = field(None, "Steps whose gradients make one update.", ge=2)
    use_ema: bool | None = field(None, "Keep moving averages of the weights, for validation and the final model.")
    ema_momentum: float = field(0.999, "The share of the average that each step keeps.", ge=0, lt=1)
    monitor: str = field("val_loss", "The metric that decides which epoch is best.", min_length=1)
    monitor_mode: Literal["auto", "min", "max"] = field(
        "auto", "Whether the monitored metric should be low or high; auto: by Keras's rule and the metric's name."
    )
    patience: int | None = field(None, "Stop after this many epochs without improvement.", ge=1)
    restore_best: bool = field(True, "End with the weights of the best epoch, not of the last.")
    keep_best: int = field(1, "How many of the best checkpoints to keep.", ge=0)
    keep_last: int = field(1, "How many of the newest checkpoints to keep.", ge=1)
    max_time: Seconds | None = field(None, "Stop training after this time: 90s, 20m, 1h30m.", gt=0)
    max_steps: int | None = field(None, "Stop training after this many steps.", ge=1)
    limit_batches: int | float | None = field(None, "Batches of an epoch at most; below 1, a share of them.", gt=0)
    overfit_batches: int | None = field(None, "Train and validate on the first batches only, this many.", ge=1)
    fast_dev_run: bool = field(False, "One batch of everything, to check that every hook works.")
    deterministic: bool = field(False, "Deterministic kernels only, at some cost in speed.")
    checkpoint_every: Seconds = field(
        60.0, "Save inside an epoch, too, at this interval, or longer where saving would take over 2 %.", gt=0
    )
    tensorboard: bool = field(False, "Write TensorBoard logs into the run directory.")
    run_dir: Path | None = field(None, "The run's directory; none: runs/<experiment>/<time>-<id>.")

    @property
    def by_the_clock(self) -> bool:
        """Whether the learning rate falls with the time that is left, not with the steps alone."""
        return self.max_time is not None and self.learning_rate_schedule == "cosine"

    def with_defaults(self, values: dict[str, Any]) -> Self:
        """Returns these settings with values where none were given.

        Args:
            values: an experiment's own, by name.

        Raises:
            SettingsError: the values are wrong.
        """
        values = {**values, **self.given()}
        if values.get("fast_dev_run"):
            values |= {"epochs": 1, "limit_batches": 1, "patience": None, "warmup_steps": 0}
        resolved = type(self)(**values)
        if resolved.learning_rate_schedule is None and (resolved.warmup_steps or resolved.final_learning_rate):
            raise SettingsError(
                [
                    f"warmup_steps={resolved.warmup_steps}, final_learning_rate={show(resolved.final_learning_rate)}: "
                    "expected a learning_rate_schedule with them, such as cosine"
                ]
            )
        return resolved
