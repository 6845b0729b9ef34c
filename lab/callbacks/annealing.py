"""A learning rate that falls with the steps or with the clock, whichever ends training sooner."""

from __future__ import annotations

import math
from collections.abc import Callable

from lab.callbacks.base import Callback, Position, Stopping


class Annealing(Callback):
    """Takes the learning rate down a cosine that ends when training does, by steps or by the clock.

    A schedule in the optimizer knows steps only: where `max_time` comes first, its rate would still be high.

    Args:
        rate: the learning rate for a share of training that is done, 0 to 1, and the steps done.
        steps: of the whole training.
        stopping: knows the time, and how much there is.
        position: how far training is; told before this callback.
    """

    def __init__(self, rate: Callable[[float, int], float], steps: int, stopping: Stopping, position: Position) -> None:
        super().__init__()
        self.rate = rate
        self.steps = steps
        self.stopping = stopping
        self.position = position

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._set()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self._set()

    def _set(self) -> None:
        done = self.position.steps_done
        share = max(done / max(self.steps, 1), self.stopping.seconds() / (self.stopping.max_seconds or math.inf))
        inner = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        inner.learning_rate = self.rate(min(share, 1.0), done)
