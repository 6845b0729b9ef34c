"""Progress: two bars on a terminal, one plain line for each epoch elsewhere."""

from __future__ import annotations

import time
from typing import Any

from rich import progress as rich_progress
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column

from lab.callbacks.base import Callback, Order
from lab.callbacks.history import scalars
from lab.callbacks.progress import Progress
from lab.runs.run import Run

_SHOWN = 4  # metrics next to the bar


class ProgressBars(Callback):
    """Shows the progress of the epoch and of the training: speed, metrics, the best so far, time left.

    Args:
        console: where to write; a file or a pipe gets one plain line for each epoch.
        progress: counts the steps, of batches whose sizes give the speed.
        monitor: the metric whose best value is shown.
        mode: `min` or `max`, whichever is better.
    """

    order = Order.RECORD

    def __init__(self, console: Console, progress: Progress, monitor: str, mode: str) -> None:
        super().__init__()
        self.console = console
        self.progress = progress
        self.batches = progress.batches
        self.monitor = monitor
        self.mode = mode
        self.best: float | None = None
        self._bars: rich_progress.Progress | None = None
        self._tasks: tuple[TaskID, TaskID] | None = None
        self._began = 0.0
        self._epoch = 0

    @property
    def _live(self) -> bool:
        return bool(self.console.is_terminal) and not self.console.is_dumb_terminal

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        if not self._live:
            return
        self._bars = rich_progress.Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            TextColumn("{task.fields[text]}", table_column=Column(no_wrap=True, overflow="ellipsis")),
            console=self.console,
            refresh_per_second=4,
        )
        epochs, steps = int(self.params.get("epochs") or 1), self.batches.steps_per_epoch
        total = sum(self.batches.steps(epoch) for epoch in range(epochs))
        self._tasks = (
            self._bars.add_task("epoch", total=steps, text="compiling"),
            self._bars.add_task("training", total=total, text=""),
        )
        self._bars.start()

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._began, self._epoch = time.monotonic(), epoch
        if self._bars is not None and self._tasks is not None:
            name = f"epoch {epoch + 1}/{self.params.get('epochs')}"
            self._bars.reset(self._tasks[0], description=name, total=self.batches.steps(epoch))

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if self._bars is None or self._tasks is None:
            return
        done = self.progress.step
        before = sum(self.batches.steps(epoch) for epoch in range(self._epoch))
        here = done - self.progress.first_step(self._epoch)  # in this process
        speed = here * self.batches.batch_size / max(time.monotonic() - self._began, 1e-9)
        text = f"{speed:,.0f} examples/s  {_metrics(scalars(logs))}"
        self._bars.update(self._tasks[0], completed=done, text=text)
        self._bars.update(self._tasks[1], completed=before + done)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logs = scalars(logs)
        value = logs.get(self.monitor)
        if value is not None and (self.best is None or (value < self.best) == (self.mode == "min")):
            self.best = float(value)
        seconds = time.monotonic() - self._began
        best = "" if self.best is None else f"best {self.monitor} {self.best:.5g}"
        if self._bars is not None and self._tasks is not None:
            self._bars.update(self._tasks[1], text=best)
        else:
            line = f"epoch {epoch + 1}/{self.params.get('epochs')}  {seconds:.1f} s  {_metrics(logs)}  {best}"
            self.console.print(line.rstrip(), highlight=False, markup=False, soft_wrap=True)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best = state["best"]

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        self._close()

    def on_failure(self, error: BaseException, run: Run) -> None:
        self._close()

    def _close(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None


def _metrics(logs: dict[str, Any]) -> str:
    return "  ".join(f"{name} {float(value):.4g}" for name, value in list(logs.items())[:_SHOWN])
