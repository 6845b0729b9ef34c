"""The history: a row for each epoch, on disk after each, and logs as numbers."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from lab.callbacks.history import History, scalars
from lab.runs.run import Run
from tests.callbacks.fitting import AtStep, hooks, new_fit, small_model, stop


def test_there_is_a_row_for_each_epoch_with_every_metric(tmp_path: Path) -> None:
    fit, run = new_fit(), Run(tmp_path)
    history = History(run, fit.progress)
    fit.run(small_model(keras.optimizers.SGD(0.25)), epochs=2, validate=True, callbacks=[history])
    assert [list(row) for row in run.history] == [
        ["epoch", "step", "seconds", "learning_rate", "loss", "mae", "val_loss", "val_mae"]
    ] * 2
    assert [(row["epoch"], row["step"], row["learning_rate"]) for row in run.history] == [(1, 5, 0.25), (2, 10, 0.25)]
    assert 0 < run.history[0]["seconds"] <= run.history[1]["seconds"]
    assert run.history == history.rows


def test_it_is_on_disk_after_each_epoch(tmp_path: Path) -> None:
    fit, run = new_fit(), Run(tmp_path)
    lengths: list[int] = []
    peek = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: lengths.append(len(run.history)))
    fit.run(small_model(), epochs=3, callbacks=[History(run, fit.progress), peek])
    assert lengths == [0, 1, 2]


def test_it_has_the_learning_rate_of_a_schedule(tmp_path: Path) -> None:
    fit, run = new_fit(), Run(tmp_path)
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([5], [0.5, 0.25])
    fit.run(small_model(keras.optimizers.SGD(schedule)), epochs=2, callbacks=[History(run, fit.progress)])
    assert [row["learning_rate"] for row in run.history] == [0.5, 0.25]


def test_an_epoch_that_was_cut_counts_as_its_part(tmp_path: Path) -> None:
    fit, run = new_fit(), Run(tmp_path)
    fit.run(small_model(), epochs=2, callbacks=[AtStep(7, stop), History(run, fit.progress)])
    assert [row["epoch"] for row in run.history] == [1, 1.4]


def test_what_a_users_callback_adds_to_the_logs_is_in_the_row(tmp_path: Path) -> None:
    def add(epoch: int, logs: dict[str, float] | None = None) -> None:
        assert logs is not None
        logs["distance"] = 0.5 * epoch

    fit, run = new_fit(), Run(tmp_path)
    fit.run(small_model(), epochs=2, callbacks=[History(run, fit.progress), hooks(on_epoch_end=add)])
    assert [row["distance"] for row in run.history] == [0, 0.5]


def test_logs_of_several_values_become_a_number_each() -> None:
    logs = {"loss": np.float32(0.5), "f1": keras.ops.convert_to_tensor([0.25, 0.75]), "count": 3}
    assert scalars(logs) == {"loss": 0.5, "f1_0": 0.25, "f1_1": 0.75, "count": 3.0}
    assert all(type(value) is float for value in scalars(logs).values())
    assert scalars(None) == {}
    with pytest.raises((TypeError, ValueError)):
        scalars({"name": "text"})
