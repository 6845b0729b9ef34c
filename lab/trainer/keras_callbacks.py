"""What Keras's own callbacks need from a run: those that contradict a setting, and those that resume."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import keras

from lab._utils.files import write_text
from lab.errors import UsageError
from lab.trainer.optimizers import has_schedule, inner_optimizer


def check_callbacks(model: keras.Model, callbacks: Collection[keras.callbacks.Callback]) -> None:
    """Refuses callbacks that would fail or be overridden in the middle of training.

    Raises:
        UsageError: a callback sets a learning rate that is a schedule, or swaps averages that nobody keeps.
    """
    optimizer = inner_optimizer(model)
    for callback in callbacks:
        name = type(callback).__name__
        sets_rate = isinstance(callback, (keras.callbacks.ReduceLROnPlateau, keras.callbacks.LearningRateScheduler))
        if sets_rate and has_schedule(optimizer):
            raise UsageError(
                f"{name}: expected an optimizer whose learning rate is a number, its rate is a schedule; "
                "leave out the callback, or the trainer's learning_rate_schedule"
            )
        swaps = isinstance(callback, keras.callbacks.SwapEMAWeights)
        optimizers = getattr(optimizer, "optimizers", [optimizer])
        if swaps and not any(one.use_ema for one in optimizers):
            raise UsageError(f"{name}: expected an optimizer that keeps averages; set use_ema=true")


def restores_best(callbacks: Collection[keras.callbacks.Callback]) -> keras.callbacks.EarlyStopping | None:
    """Returns a user's early stopping that chooses the final weights itself, if it has chosen."""
    for callback in callbacks:
        chooses = isinstance(callback, keras.callbacks.EarlyStopping) and callback.restore_best_weights
        if chooses and callback.best_weights is not None:
            return callback
    return None


def swaps_averages(callbacks: Collection[keras.callbacks.Callback], states: Mapping[str, Any] | None = None) -> bool:
    """Whether a user's `SwapEMAWeights` is among callbacks.

    Args:
        callbacks: the user's.
        states: of callbacks, from a checkpoint: then, whether it had the averages in the model.
    """
    swapping = [type(one).__name__ for one in callbacks if isinstance(one, keras.callbacks.SwapEMAWeights)]
    if states is None:
        return bool(swapping)
    return any(any(states.get(name, {}).values()) for name in swapping)


def prepare_resume(callbacks: Collection[keras.callbacks.Callback], epoch: int) -> None:
    """Lets callbacks that write a file continue it where the checkpoint was made.

    Args:
        callbacks: the user's.
        epoch: complete epochs of the checkpoint; the rows of later ones are written again.
    """
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.CSVLogger):
            callback.append = True
            _cut_rows(Path(callback.filename), epoch, callback.sep)


def _cut_rows(path: Path, epoch: int, separator: str) -> None:
    if not path.is_file():
        return
    rows = list(csv.DictReader(io.StringIO(path.read_text("utf-8"), newline=""), delimiter=separator))
    kept = [row for row in rows if row.get("epoch", "").isdigit() and int(row["epoch"]) < epoch]
    if len(kept) < len(rows):
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, list(rows[0]), delimiter=separator, lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)
        write_text(path, buffer.getvalue())
