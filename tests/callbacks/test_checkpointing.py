"""Checkpoints while training: what they hold, when they are written, and where training resumes."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from lab.callbacks.base import Callback
from lab.callbacks.checkpointing import Checkpointing, Resuming
from lab.callbacks.history import History
from lab.callbacks.progress import Progress
from lab.checkpoints.callback_state import CallbackStates
from lab.checkpoints.checkpoint import Checkpoint
from lab.checkpoints.manager import INSIDE, CheckpointManager
from lab.data import Batches, Split
from lab.runs.run import Run
from tests.callbacks.fitting import AtStep, Clock, Fit, hooks, new_fit, small_model, spoil, stop


def checkpointing(
    fit: Fit, path: Path, *callbacks: keras.callbacks.Callback, **options: Any
) -> tuple[Checkpointing, History, CheckpointManager]:
    history = History(Run(path), fit.progress)
    manager = CheckpointManager(path / "checkpoints", keep_last=9)
    return Checkpointing(manager, "val_loss", history, CallbackStates(callbacks), **options), history, manager


class Counts(Callback):
    def state_dict(self) -> dict[str, Any]:
        return {"count": 3}


def test_a_checkpoint_holds_place_history_and_the_state_of_callbacks(tmp_path: Path) -> None:
    fit, model = new_fit(), small_model()
    saves, history, manager = checkpointing(fit, tmp_path, Counts(), fingerprint={"rate": "0.1"})
    fit.run(model, epochs=2, validate=True, callbacks=[history, saves])
    assert [(entry["epoch"], entry["step"]) for entry in manager.index] == [(1, 5), (2, 10)]
    assert [entry["value"] for entry in manager.index] == [row["val_loss"] for row in history.rows]
    last = manager.load(manager.index[-1])
    assert last.callbacks == {"Counts": {"count": 3}}
    assert last.history == history.rows
    assert last.origin == {"rate": "0.1"}
    weight = keras.ops.convert_to_numpy(model.trainable_variables[0])
    assert np.array_equal(next(iter(last.variables.values())), weight)


def test_an_epoch_without_the_monitored_metric_is_not_ranked(tmp_path: Path) -> None:
    fit = new_fit()
    saves, history, manager = checkpointing(fit, tmp_path)
    fit.run(small_model(), epochs=2, callbacks=[history, saves])
    assert [entry["step"] for entry in manager.index] == [5, 10]
    assert manager.best() is None


def test_an_epoch_is_ranked_by_what_a_users_callback_adds_to_the_logs(tmp_path: Path) -> None:
    def add(epoch: int, logs: dict[str, float] | None = None) -> None:
        assert logs is not None
        logs["val_loss"] = (4.0, 2.0, 3.0)[epoch]

    fit = new_fit()
    saves, history, manager = checkpointing(fit, tmp_path)
    fit.run(small_model(), epochs=3, callbacks=[saves, history, hooks(on_epoch_end=add)])
    assert [entry["value"] for entry in manager.index] == [4.0, 2.0, 3.0]


def test_an_epoch_whose_loss_is_not_finite_does_not_push_out_a_good_one(tmp_path: Path) -> None:
    fit = new_fit()
    saves, history, manager = checkpointing(fit, tmp_path)
    manager.keep_last = 1
    fit.run(small_model(), epochs=9, validate=True, callbacks=[AtStep(7, spoil), history, saves])
    assert [entry["step"] for entry in manager.index] == [5]
    assert all(np.isfinite(value).all() for value in manager.load(manager.index[0]).variables.values())


def test_an_epoch_that_is_cut_is_saved_where_it_was_cut_and_after_its_validation(tmp_path: Path) -> None:
    fit = new_fit()
    saves, history, manager = checkpointing(fit, tmp_path, fit.stopping)
    fit.run(small_model(), epochs=9, validate=True, callbacks=[AtStep(7, stop), history, saves])
    assert [(entry["kind"], entry["step"]) for entry in manager.index][-1] == ("cut", 7)
    assert not [entry for entry in manager.index if entry["kind"] == "inside"], "a callback ended it: it stays ended"


# --- when -------------------------------------------------------------------------------------------


class SlowDisk(CheckpointManager):
    """Notes the steps of checkpoints inside an epoch, each of which costs seconds on a clock."""

    def __init__(self, path: Path, clock: Clock, cost: float) -> None:
        super().__init__(path)
        self.clock, self.cost, self.steps = clock, cost, list[int]()

    def add(self, checkpoint: Checkpoint, value: float | None, kind: str = "") -> None:
        assert (value, kind) == (None, INSIDE)
        self.steps.append(checkpoint.step)
        self.clock.wait(self.cost)


@pytest.mark.parametrize(
    ("cost", "every", "steps"),
    [
        (0, 10, [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]),
        (0.1, 10, [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]),
        (1, 10, [10, 60]),
        (2, 1, [1, 101]),
    ],
)
def test_saving_takes_a_fiftieth_of_the_time_at_most(
    cost: float, every: float, steps: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clock = Clock()
    monkeypatch.setattr("lab.callbacks.checkpointing.time", clock)
    progress = Progress(Batches(Split("train", np.zeros((1000, 1), np.float32)), 1))
    disk, history = SlowDisk(tmp_path, clock, cost), History(Run(tmp_path), progress)
    saves = Checkpointing(disk, "val_loss", history, CallbackStates([]), every=every)
    model = small_model()
    model.stop_training = False
    saves.set_model(model)
    saves.on_train_begin()
    for step in range(105):  # a second each
        clock.wait(1)
        progress.on_train_batch_end(step)
        saves.on_train_batch_end(step, {"loss": 1.0})
    assert disk.steps == steps


# --- where training resumes -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("epoch", "step", "expected"), [(1, 5, (1, 2)), (1, 3, (1, 0)), (1, 9, (1, 0)), (4, 7, (4, 0))]
)
def test_a_place_that_other_data_does_not_have_is_the_beginning_of_the_epoch(
    epoch: int, step: int, expected: tuple[int, int]
) -> None:
    progress = Progress(Batches(Split("train", np.zeros((30, 1), np.float32)), 10))
    history: Any = types.SimpleNamespace(progress=progress)
    Resuming(Checkpoint(epoch, step, {}), history, CallbackStates([]))
    assert (progress.epoch, progress.step) == expected
    assert progress.resumed


@pytest.mark.parametrize("steps", [5, 8], ids=["after an epoch", "inside an epoch"])
def test_training_resumes_as_if_it_had_not_stopped(steps: int, tmp_path: Path) -> None:
    def weights(model: Any) -> list[np.ndarray]:
        return [keras.ops.convert_to_numpy(one) for one in (*model.variables, *model.optimizer.variables)]

    def saved(model: Any) -> None:
        kept.append(Checkpoint.of(model, fit.progress.epoch, fit.progress.steps_done, history=list(history.rows)))

    kept: list[Checkpoint] = []
    keras.utils.set_random_seed(0)
    whole, fit = small_model(keras.optimizers.Adam(0.1)), new_fit()
    _, history, _ = checkpointing(fit, tmp_path)
    if steps == 5:
        at = hooks(on_epoch_begin=lambda epoch, logs=None: saved(whole) if epoch == 1 else None)
    else:
        at = AtStep(steps, saved)
    fit.run(whole, epochs=3, validate=True, callbacks=[history, at])

    keras.utils.set_random_seed(1)
    again, later = small_model(keras.optimizers.Adam(0.1)), new_fit()
    _, rows, _ = checkpointing(later, tmp_path)
    resumes = Resuming(kept[0], rows, CallbackStates([]))
    later.run(again, epochs=3, initial_epoch=1, validate=True, callbacks=[rows, resumes])
    assert int(again.optimizer.iterations) == 15
    for one, other in zip(weights(whole), weights(again), strict=True):
        assert np.array_equal(one, other)
    assert [row["val_loss"] for row in rows.rows] == [row["val_loss"] for row in history.rows]
    assert [row["loss"] for row in rows.rows] == [row["loss"] for row in history.rows]
