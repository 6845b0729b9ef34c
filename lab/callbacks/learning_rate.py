"""A learning rate that falls with the steps or with the clock, whichever ends training sooner."""

from __future__ import annotations

import math
from collections.abc import Callable

from lab.callbacks.base import Callback, Order
from lab.callbacks.progress import Progress
from lab.callbacks.stopping import Stopping


class Annealing(Callback):
    """Lowers the learning rate along a cosine that ends when training does, by steps or by the clock.

    A schedule in the optimizer knows steps only: where `max_time` comes first, its rate would still be high.

    Args:
        rate: the learning rate for the share of training that is done, 0 to 1, and the steps done.
        steps: of the complete training.
        stopping: knows the time that training has taken and may take.
        progress: counts the steps.
    """

    order = Order.PREPARE

    def __init__(self, rate: Callable[[float, int], float], steps: int, stopping: Stopping, progress: Progress) -> None:
        super().__init__()
        self.rate = rate
        self.steps = steps
        self.stopping = stopping
        self.progress = progress

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._set()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self._set()

    def _set(self) -> None:
        done = self.progress.steps_done
        share = max(done / max(self.steps, 1), self.stopping.seconds() / (self.stopping.max_seconds or math.inf))
        inner = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        inner.learning_rate = self.rate(min(share, 1.0), done)
