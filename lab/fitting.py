"""What stands between the trainer's knobs and `Model.fit`: the callbacks of a run, and the model's switches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras
from rich.console import Console

from lab.callbacks import Averages, Callback, Checkpoints, History, Position, Stopping
from lab.checkpoint import CheckpointFolder
from lab.data import Batches
from lab.errors import UsageError
from lab.progress import ProgressBars
from lab.run import Run

if TYPE_CHECKING:
    from lab.trainer import Trainer

STEPS_PER_EXECUTION = 16  # steps in one call of TensorFlow's graph


def prepare_model(model: keras.Model, trainer: Trainer, callbacks: Sequence[keras.callbacks.Callback]) -> None:
    """Sets what is compiled, and how many steps one call of the backend takes."""
    if trainer.deterministic and keras.backend.backend() == "tensorflow":
        model.jit_compile = False  # XLA's kernels are not covered by TensorFlow's promise
    elif trainer.jit is not None:
        model.jit_compile = trainer.jit
    elif keras.backend.backend() == "tensorflow" and _supports_jit(model):
        model.jit_compile = True  # Keras's own "auto" leaves XLA off on a CPU
    steps = trainer.steps_per_execution
    if steps is None:
        hears_batches = any(_hears_batches(callback) for callback in callbacks)
        steps = STEPS_PER_EXECUTION if keras.backend.backend() == "tensorflow" and not hears_batches else 1
    model.steps_per_execution = steps


def _supports_jit(model: keras.Model) -> bool:
    return all(getattr(layer, "supports_jit", True) for layer in model._flatten_layers())


def _hears_batches(callback: keras.callbacks.Callback) -> bool:
    """Whether a callback overrides a hook that is called for every training batch."""
    hooks = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")
    return any(getattr(type(callback), hook) is not getattr(keras.callbacks.Callback, hook) for hook in hooks)


def callbacks_for(
    trainer: Trainer,
    run: Run,
    train: Batches,
    console: Console,
    callbacks: Sequence[keras.callbacks.Callback],
) -> tuple[list[keras.callbacks.Callback], Stopping, CheckpointFolder]:
    """Returns every callback of a run in order, the one that stops it, and where its checkpoints go.

    Raises:
        UsageError: TensorBoard is asked for and not installed.
    """
    position = Position(train)
    history = History(run, position)
    folder = CheckpointFolder(
        run.path / "checkpoints", keep_last=trainer.keep_last, keep_best=trainer.keep_best, mode=trainer.monitor_mode
    )
    every: list[keras.callbacks.Callback] = [position]
    if trainer.use_ema:
        every.append(Averages())
    every += [ProgressBars(console, train, trainer.monitor, trainer.monitor_mode), *callbacks, history]
    early = None
    if trainer.patience is not None:
        early = keras.callbacks.EarlyStopping(trainer.monitor, patience=trainer.patience, mode=trainer.monitor_mode)
        every.append(early)
    if trainer.tensorboard:
        every.append(_tensorboard(run))
    stopping = Stopping(max_seconds=trainer.max_time, early_stopping=early, position=position)
    own = [callback for callback in every if isinstance(callback, Callback)]
    every += [stopping, Checkpoints(folder, trainer.monitor, history, lambda: own)]
    return every, stopping, folder


def _tensorboard(run: Run) -> keras.callbacks.Callback:
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        raise UsageError("tensorboard=true: TensorBoard is not installed; pip install tensorboard") from None
    return keras.callbacks.TensorBoard(str(run.path / "tensorboard"))
