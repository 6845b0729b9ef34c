"""Engines that train in PyTorch: the plain loop, and Lightning. Nothing here imports the lab."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from typing import Any

import torch

from tests.benchmarks.torch_models import Task
from tests.benchmarks.worker import Turns


def loss_of(task: Task, options: dict[str, Any]) -> Any:
    """Returns the loss as a function of a batch, compiled where the engine is told to."""
    return torch.compile(task.loss, dynamic=False) if options.get("compile") else task.loss


def plain(turns: Turns) -> None:
    """A loop over tensors in memory, with the fused optimizer."""
    task = Task(turns.folder, turns.options["task"])
    loss_of_batch = loss_of(task, turns.options)
    task.model.train()
    for turn in range(turns.count):
        turns.begin()
        total, seen = torch.zeros(()), 0
        for x, y in task.batches(turn):
            task.optimizer.zero_grad(set_to_none=True)
            loss = loss_of_batch(x, y)
            loss.backward()
            task.optimizer.step()
            if task.schedule is not None:
                task.schedule.step()
                task.average()
            total += loss.detach() * len(x)
            seen += len(x)
        turns.end(loss=float(total) / seen, steps=task.steps)


class _Order(torch.utils.data.Sampler):  # type: ignore[misc]  # PyTorch is not there for the type checker
    """Batches of indices, those of the next turn each time it is iterated over."""

    def __init__(self, task: Task) -> None:
        self.task, self.turn = task, -1

    def __iter__(self) -> Iterator[Any]:
        self.turn += 1
        if self.task.task == "sentiment":
            return iter(range(self.turn * self.task.steps, (self.turn + 1) * self.task.steps))
        return self.task.chosen(self.turn)

    def __len__(self) -> int:
        return self.task.steps


def lightning(turns: Turns) -> None:
    """Lightning's trainer on a `DataLoader` whose sampler names whole batches, so that none is collated."""
    import lightning

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    task = Task(turns.folder, turns.options["task"])
    loss_of_batch = loss_of(task, turns.options)

    class Module(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = task.model

        def on_train_epoch_start(self) -> None:
            turns.begin()
            self.total, self.seen = torch.zeros(()), 0

        def training_step(self, batch: Any, place: int) -> Any:
            loss = loss_of_batch(batch[0], batch[-1])
            self.total += loss.detach() * len(batch[0])
            self.seen += len(batch[0])
            return loss

        def on_train_batch_end(self, *_: Any) -> None:
            task.average()

        def on_train_epoch_end(self) -> None:
            turns.end(loss=float(self.total) / self.seen, steps=task.steps)

        def configure_optimizers(self) -> Any:
            if task.schedule is None:
                return task.optimizer
            return {"optimizer": task.optimizer, "lr_scheduler": {"scheduler": task.schedule, "interval": "step"}}

    data: Any = task.ready
    if task.task != "sentiment":  # an autoencoder's targets are its inputs, which are gathered once
        data = torch.utils.data.TensorDataset(*([task.x] if task.y is task.x else [task.x, task.y]))
    loader = torch.utils.data.DataLoader(data, batch_size=None, sampler=_Order(task), num_workers=0)
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    chosen = {"barebones": True} if turns.options.get("barebones") else quiet | {"enable_model_summary": False}
    trainer = lightning.Trainer(max_epochs=turns.count, accelerator="cpu", **chosen)
    trainer.fit(Module(), loader)
