"""A user's callbacks, and random generators that belong to no layer, resume as if nothing had happened."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import lab
from lab.checkpoints.checkpoint import Checkpoint
from lab.cli.runs import report_again
from lab.errors import RunError
from lab.runs.run import Run
from tests.resumed import Dies, Killed, Noisy, differences, dying_after, facts, go_on, killed, quiet, tick, train


class Shakes(lab.Callback):
    """Moves a weight by what every global generator draws, and remembers all its moves, in an array."""

    def __init__(self) -> None:
        super().__init__()
        self.moves = np.zeros(0)
        self.epochs = 0

    def state_dict(self) -> dict[str, Any]:
        return {"moves": self.moves, "inner": {"epochs": [self.epochs]}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.moves = state["moves"]
        (self.epochs,) = state["inner"]["epochs"]

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.epochs += 1
        self._move()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self._move()

    def _move(self) -> None:
        drawn = random.gauss(0, 1) + np.random.normal() + float(keras.random.normal(()))
        self.moves = np.append(self.moves, drawn)
        weight = self.model.trainable_variables[0]
        weight.assign(weight + 0.001 * (self.epochs + self.moves.mean()))


class Shaken(Noisy):
    """Has a callback on which training depends."""

    def callbacks(self) -> Sequence[keras.callbacks.Callback]:
        return [Shakes()]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The facts of a run that was never killed."""
    with pytest.MonkeyPatch.context() as patch:
        tick(patch)
        return facts(train(tmp_path_factory.mktemp("uninterrupted") / "run", Shaken()))


@pytest.mark.parametrize("step", [3, 13, 22, 31])
def test_what_callbacks_draw_and_remember_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, uninterrupted: dict[str, Any]
) -> None:
    tick(monkeypatch)
    random.seed(1)
    np.random.seed(1)
    killed(tmp_path / "run", Shaken(), Dies("on_train_batch_end", step))
    random.seed(2)  # another process has other states
    np.random.seed(2)
    assert differences(facts(go_on(tmp_path / "run")), uninterrupted) == []


class Plain(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """A user's callback for Keras alone: it moves a weight by what it has seen, and has no `state_dict`."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: list[float] = []
        self.seen = {"batches": 0}

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.losses.append(logs["loss"])
        self.seen["batches"] += 1
        weight = self.model.trainable_variables[0]
        weight.assign(weight + 0.001 * self.seen["batches"] * float(np.mean(self.losses)))


class WithPlain(Noisy):
    def callbacks(self) -> Sequence[keras.callbacks.Callback]:
        return [Plain()]


def test_what_a_callback_for_keras_remembers_in_its_attributes_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tick(monkeypatch)
    uninterrupted = facts(train(tmp_path / "uninterrupted", WithPlain(), epochs=2))
    killed(tmp_path / "run", WithPlain(), Dies("on_train_batch_end", 18), epochs=2)
    assert differences(facts(go_on(tmp_path / "run")), uninterrupted) == []


@pytest.mark.parametrize("every", [1e-9, 3600.0])
def test_no_checkpoint_changes_what_is_drawn(tmp_path: Path, every: float) -> None:
    drawn: list[float] = []

    class Draws(lab.Callback):
        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            drawn.append(random.random())

    train(tmp_path / "run", None, Draws(), checkpoint_every=every)
    first = drawn[:]
    drawn.clear()
    train(tmp_path / "never", None, Draws(), checkpoint_every=1800.0)
    assert first == drawn
    assert len(drawn) == 39


class Draws(Noisy):
    """Draws in its report."""

    def report(self, run: Run, report: lab.Report) -> None:
        super().report(run, report)
        report.metric("drawn", random.random() + np.random.normal() + float(keras.random.normal(())))


def test_a_report_draws_the_same_in_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = lab.Trainer(run_dir=tmp_path / "whole").run(Draws(), console=quiet())
    with dying_after(monkeypatch, Run, "save_model"), pytest.raises(Killed):
        lab.Trainer(run_dir=tmp_path / "run").run(Draws(), console=quiet())
    random.random()
    assert go_on(tmp_path / "run", report=True).metrics["drawn"] == whole.metrics["drawn"]
    report_again(str(tmp_path / "whole"), quiet())
    assert Run(tmp_path / "whole").metrics["drawn"] == whole.metrics["drawn"]


def waits() -> keras.callbacks.Callback:
    return keras.callbacks.EarlyStopping("val_mae", mode="max", patience=5, restore_best_weights=True)


def test_the_weights_that_early_stopping_would_restore_are_kept(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"restore_best": False, "use_ema": False, "patience": None}
    trainer = lab.Trainer(run_dir=tmp_path / "never", **settings)
    never = facts(trainer.run(Noisy(), callbacks=[waits()], console=quiet(), report=False))
    trainer = lab.Trainer(run_dir=tmp_path / "run", **settings)
    with pytest.raises(Killed):
        trainer.run(Noisy(), callbacks=[waits(), Dies("on_epoch_begin", 3)], console=quiet(), report=False)
    best = max(Run(tmp_path / "never").history, key=lambda row: row["val_mae"])
    assert best["epoch"] < 3, "else there is nothing to restore"
    with pytest.raises(RunError, match="the checkpoint belongs to another training") as caught:
        lab.resume(tmp_path / "run", console=quiet())
    assert "callbacks=[...]: Dies, EarlyStopping then, none now" in str(caught.value)
    with pytest.raises(RunError, match=r"callbacks=\[...\]: Dies, EarlyStopping then, EarlyStopping now"):
        lab.resume(tmp_path / "run", callbacks=[waits()], console=quiet())
    done = lab.resume(tmp_path / "run", callbacks=[waits(), Dies("never")], console=quiet())
    assert differences(facts(done), never) in ([], ["metrics"])


def test_arrays_in_a_state_are_parts_of_the_checkpoint(tmp_path: Path) -> None:
    state = {
        "a": {
            "moves": np.arange(3),
            "names": np.array(["é", "bc"]),
            "big": np.array([1.5], ">f8"),
            "list": [np.ones((2, 1), np.float32), 1, None],
        },
        "plain": {"callbacks": "x"},
    }
    Checkpoint(1, 2, {"trainable/0": np.zeros(1)}, callbacks=state).save(tmp_path / "a.npz")
    back = Checkpoint.load(tmp_path / "a.npz")
    assert list(back.variables) == ["trainable/0"]
    assert back.callbacks["plain"] == state["plain"]
    assert np.array_equal(back.callbacks["a"]["moves"], np.arange(3))
    assert back.callbacks["a"]["names"].tolist() == ["é", "bc"]
    assert back.callbacks["a"]["big"].tolist() == [1.5]
    first, *others = back.callbacks["a"]["list"]
    assert np.array_equal(first, np.ones((2, 1)))
    assert first.dtype == np.float32
    assert others == [1, None]
    odd = Checkpoint(1, 2, {}, callbacks={"a": np.array([object()])})
    with pytest.raises(lab.UsageError, match="expected arrays of numbers or texts, got one of objects"):
        odd.save(tmp_path / "b.npz")
