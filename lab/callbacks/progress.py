"""How far training is."""

from __future__ import annotations

from lab.callbacks.base import Callback, Order
from lab.data.batches import Batches


class Progress(Callback):
    """Counts epochs and steps, and gives the epoch loop the position from which a run resumes.

    Args:
        batches: the training batches.

    Attributes:
        epoch: complete epochs.
        step: steps done in the current epoch.
        resumed: whether this process resumes a training.
    """

    order = Order.COUNT

    def __init__(self, batches: Batches) -> None:
        super().__init__()
        self.batches = batches
        self.epoch = 0
        self.step = 0
        self.resumed = False
        self._first = (0, 0)  # the epoch in which this process begins, and the step in it

    def resume_at(self, epoch: int, step: int) -> None:
        """Sets where training resumes."""
        self.resumed = True
        self._first = self.epoch, self.step = epoch, step

    def first_step(self, epoch: int) -> int:
        """Returns the step with which this process begins an epoch."""
        return self._first[1] if self._first[0] == epoch else 0

    @property
    def steps_done(self) -> int:
        """Training steps done, over all epochs."""
        return sum(self.batches.steps(epoch) for epoch in range(self.epoch)) + self.step

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.epoch, self.step = epoch, self.first_step(epoch)

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.step = min(batch + 1, self.batches.steps(self.epoch))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if self.step >= self.batches.steps(epoch):
            self.epoch, self.step = epoch + 1, 0
