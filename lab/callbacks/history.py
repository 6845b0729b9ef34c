"""The history of a run, as a table with a row for each epoch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from lab.callbacks.base import Callback, Order
from lab.callbacks.progress import Progress
from lab.runs.run import Run


def scalars(logs: Mapping[str, Any] | None) -> dict[str, float]:
    """Returns logs as numbers: a metric of several values becomes `name_0`, `name_1` and so on.

    Raises:
        TypeError, ValueError: a value is not a number or an array of numbers.
    """
    flat: dict[str, float] = {}
    for name, value in (logs or {}).items():
        numbers = np.asarray(value, dtype=float)
        if numbers.ndim:
            flat |= {f"{name}_{place}": float(number) for place, number in enumerate(numbers.ravel())}
        else:
            flat[name] = float(numbers)
    return flat


class History(Callback):
    """Writes `history.csv` after each epoch.

    Args:
        run: where to write.
        progress: counts the steps.
    """

    order = Order.RECORD

    def __init__(self, run: Run, progress: Progress) -> None:
        super().__init__()
        self.run = run
        self.progress = progress
        self.rows: list[dict[str, float]] = []
        self._start = 0.0

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._start = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": time.monotonic() - self._start}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._start = time.monotonic() - state["seconds"]

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        seconds = round(time.monotonic() - self._start, 3)
        complete = self.progress.epoch > epoch  # an epoch that was cut counts as the part that was done
        done = epoch + 1 if complete else epoch + self.progress.step / self.progress.batches.steps(epoch)
        row = {"epoch": round(done, 4), "step": self.progress.steps_done, "seconds": seconds}
        optimizer = self.model.optimizer
        if optimizer is not None:
            row["learning_rate"] = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
        self.rows.append(row | scalars(logs))
        self.run.write_history(self.rows)
