"""Keras's own callbacks behave through `Trainer.run` as under `Model.fit`: fused, step by step, and over a resume.

The behaviours are those of Keras's tests, https://github.com/keras-team/keras/tree/master/keras/src/callbacks.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from rich.console import Console

import lab
from lab._utils.files import read_json
from lab.runs.run import Run
from tests.toy import Toy

Callbacks = Sequence[keras.callbacks.Callback]
STEPS = 5  # of an epoch: 100 examples in batches of 20
WAYS = pytest.mark.parametrize("jit", [False, True], ids=["step by step", "fused"])


class Killed(BaseException):
    """The process ends here."""


class Dies(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Ends the process after a step, or at the end of an epoch; never at 0."""

    def __init__(self, *, step: int = 0, epoch: int = 0) -> None:
        super().__init__()
        self.at_step, self.at_epoch, self.seen = step, epoch, 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self.at_epoch and epoch == self.at_epoch:  # of the next epoch: the checkpoint has been written
            raise Killed

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.seen += 1
        if self.seen == self.at_step:
            raise Killed


def trainer(folder: Path, **settings: Any) -> lab.Trainer:
    quick = {"epochs": 4, "batch_size": 20, "jit": False, "checkpoint_every": 1e-6, "run_dir": folder}
    return lab.Trainer(**{**quick, **settings})


def quiet() -> Console:
    return Console(file=io.StringIO())


def train(folder: Path, callbacks: Callbacks, **settings: Any) -> Run:
    return trainer(folder, **settings).run(Toy(rate=0.05), callbacks=callbacks, console=quiet(), report=False)


def resumed(folder: Path, callbacks: Callable[[], Callbacks], *, step: int = 0, epoch: int = 0, **settings: Any) -> Run:
    """Trains until the process dies, then resumes with fresh callbacks."""
    with pytest.raises(Killed):
        train(folder, [*callbacks(), Dies(step=step, epoch=epoch)], **settings)
    fresh = [*callbacks(), Dies()]
    run = trainer(folder, **settings).resume(
        Toy(rate=0.05), Run.load(folder), callbacks=fresh, console=quiet(), report=False
    )
    return Run.load(run.path)


def outcome(run: Run) -> tuple[list[dict[str, float]], str]:
    run = Run.load(run.path)
    return [
        {name: value for name, value in row.items() if name != "seconds"} for row in run.history
    ], run.weights_hash()


PLACES = pytest.mark.parametrize("place", [{"step": 8}, {"epoch": 2}], ids=["inside an epoch", "between epochs"])


def assert_resume_is_exact(
    tmp_path: Path, callbacks: Callable[[], Callbacks], place: dict[str, int], **more: Any
) -> None:
    complete = train(tmp_path / "complete", [*callbacks(), Dies()], **more)
    assert outcome(resumed(tmp_path / "killed", callbacks, **place, **more)) == outcome(complete)


# --- LambdaCallback: the hooks ------------------------------------------------------------------------


class Notes(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Writes down each hook, its position and the names of its logs."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[str, Any, tuple[str, ...]]] = []
        hooks = ("train_begin", "train_end", "test_begin", "test_end")
        numbered = ("epoch_begin", "epoch_end", "train_batch_begin", "train_batch_end")
        for hook in hooks:
            setattr(self, f"on_{hook}", self._noting(hook))
        for hook in (*numbered, "test_batch_begin", "test_batch_end"):
            setattr(self, f"on_{hook}", self._noting_numbers(hook))

    def _noting(self, hook: str) -> Callable[..., None]:
        return lambda logs=None: self.heard.append((hook, None, tuple(sorted(logs or ()))))

    def _noting_numbers(self, hook: str) -> Callable[..., None]:
        return lambda number, logs=None: self.heard.append((hook, number, tuple(sorted(logs or ()))))


@WAYS
def test_a_callback_hears_what_it_hears_under_fit(jit: bool, tmp_path: Path) -> None:
    notes, expected = Notes(), Notes()
    train(tmp_path / "run", [notes], epochs=2, jit=jit)
    experiment = Toy()
    data = experiment.prepare()
    model = experiment.build(data)
    model.fit(
        data.train.x,
        data.train.y,
        validation_data=(data.validation.x, data.validation.y),
        batch_size=20,
        epochs=2,
        verbose=0,
        callbacks=[expected],
    )
    assert notes.heard == expected.heard


def test_a_callback_is_called_after_each_step_at_which_it_could_be_under_fit(tmp_path: Path) -> None:
    heard: list[tuple[int, float]] = []

    def note(batch: int, logs: dict[str, float]) -> None:
        heard.append((batch, logs["loss"]))

    train(tmp_path / "run", [keras.callbacks.LambdaCallback(on_train_batch_end=note)], epochs=1, jit=True)
    assert [batch for batch, _ in heard] == [0, 1, 2, 3, 4]
    assert all(math.isfinite(loss) for _, loss in heard)


# --- EarlyStopping ------------------------------------------------------------------------------------


class Worsens(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Sets the weights to zero at the end of an epoch, so that what follows is worse."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch >= self.epoch:
            for variable in self.model.trainable_variables:
                variable.assign(keras.ops.zeros_like(variable.value))


@WAYS
def test_early_stopping_stops_and_restores_the_best_weights(jit: bool, tmp_path: Path) -> None:
    early = keras.callbacks.EarlyStopping("val_loss", patience=1, restore_best_weights=True)
    run = train(tmp_path / "run", [Worsens(2), early], epochs=9, jit=jit)
    assert early.stopped_epoch == 2
    assert len(run.history) == 3
    assert all(map(np.array_equal, run.model.get_weights(), early.best_weights))


def test_a_users_early_stopping_chooses_the_weights_not_restore_best(tmp_path: Path) -> None:
    early = keras.callbacks.EarlyStopping("loss", mode="max", patience=9, restore_best_weights=True)
    run = train(tmp_path / "run", [early], epochs=3, restore_best=True)  # the worst epoch, as was asked for
    assert early.best_epoch == 0
    assert all(map(np.array_equal, run.model.get_weights(), early.best_weights))
    assert read_json(run.path / "training.json")["best_epoch"] == 1


@PLACES
def test_early_stopping_resumes(place: dict[str, int], tmp_path: Path) -> None:
    def callbacks() -> Callbacks:
        return [Worsens(1), keras.callbacks.EarlyStopping("val_loss", patience=2, restore_best_weights=True)]

    assert_resume_is_exact(tmp_path, callbacks, place, epochs=9)


# --- ReduceLROnPlateau, LearningRateScheduler -------------------------------------------------------------


@WAYS
def test_the_rate_falls_on_a_plateau(jit: bool, tmp_path: Path) -> None:
    plateau = keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.5, patience=1, min_delta=1e6)
    run = train(tmp_path / "run", [plateau], jit=jit)
    assert [row["learning_rate"] for row in run.history] == pytest.approx([0.05, 0.05, 0.025, 0.0125])


@PLACES
def test_the_rate_on_a_plateau_resumes(place: dict[str, int], tmp_path: Path) -> None:
    def callbacks() -> Callbacks:
        return [keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.5, patience=2, min_delta=1e6, cooldown=1)]

    assert_resume_is_exact(tmp_path, callbacks, place, epochs=6)


@pytest.mark.parametrize(
    "callback",
    [
        lambda: keras.callbacks.ReduceLROnPlateau("val_loss"),
        lambda: keras.callbacks.LearningRateScheduler(lambda epoch: 0.1),
    ],
    ids=["ReduceLROnPlateau", "LearningRateScheduler"],
)
def test_a_callback_that_sets_a_rate_is_refused_beside_a_schedule(
    callback: Callable[[], keras.callbacks.Callback], tmp_path: Path
) -> None:
    with pytest.raises(lab.UsageError, match="a number, its rate is a schedule; leave out the callback"):
        train(tmp_path / "run", [callback()], learning_rate_schedule="cosine")


@WAYS
def test_a_scheduler_sets_the_rate_of_each_epoch(jit: bool, tmp_path: Path) -> None:
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2 if epoch else rate)
    run = train(tmp_path / "run", [scheduler], jit=jit)
    assert [row["learning_rate"] for row in run.history] == pytest.approx([0.05, 0.025, 0.0125, 0.00625])


@PLACES
def test_a_scheduler_resumes(place: dict[str, int], tmp_path: Path) -> None:
    def callbacks() -> Callbacks:
        return [keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5)]

    assert_resume_is_exact(tmp_path, callbacks, place)


# --- CSVLogger ----------------------------------------------------------------------------------------


def logged(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@WAYS
def test_the_csv_logger_has_a_row_for_each_epoch(jit: bool, tmp_path: Path) -> None:
    run = train(tmp_path / "run", [keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))], jit=jit)
    rows = logged(tmp_path / "log.csv")
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
    assert [float(row["val_loss"]) for row in rows] == [row["val_loss"] for row in run.history]


@PLACES
def test_the_csv_logger_resumes_with_the_rows_of_before(place: dict[str, int], tmp_path: Path) -> None:
    def logger(name: str) -> Callbacks:
        return [keras.callbacks.CSVLogger(str(tmp_path / f"{name}.csv"))]

    train(tmp_path / "complete", [*logger("complete"), Dies()])
    resumed(tmp_path / "killed", lambda: logger("killed"), **place)
    assert logged(tmp_path / "killed.csv") == logged(tmp_path / "complete.csv")
    assert len(logged(tmp_path / "killed.csv")) == 4


# --- ModelCheckpoint ------------------------------------------------------------------------------------


@WAYS
def test_a_model_checkpoint_saves_every_few_steps(jit: bool, tmp_path: Path) -> None:
    path = str(tmp_path / "saved-{epoch}-{batch}.keras")
    train(tmp_path / "run", [keras.callbacks.ModelCheckpoint(path, save_freq=3)], epochs=2, jit=jit)
    assert sorted(file.name for file in tmp_path.glob("saved-*")) == [
        "saved-1-3.keras",
        "saved-2-1.keras",
        "saved-2-4.keras",
    ]


@WAYS
def test_a_model_checkpoint_keeps_the_best(jit: bool, tmp_path: Path) -> None:
    path = tmp_path / "best.keras"
    best = keras.callbacks.ModelCheckpoint(str(path), monitor="val_loss", save_best_only=True)
    run = train(tmp_path / "run", [Worsens(2), best], jit=jit)
    assert best.best == pytest.approx(min(row["val_loss"] for row in run.history))
    assert all(map(np.array_equal, keras.saving.load_model(path).get_weights(), run.model.get_weights()))


@PLACES
def test_a_model_checkpoint_resumes_with_what_was_best(place: dict[str, int], tmp_path: Path) -> None:
    saved: dict[str, Any] = {}
    for name in ("complete", "killed"):
        path = str(tmp_path / f"{name}.keras")

        def callbacks(path: str = path) -> Callbacks:
            return [Worsens(1), keras.callbacks.ModelCheckpoint(path, monitor="val_loss", save_best_only=True)]

        if name == "complete":
            train(tmp_path / name, [*callbacks(), Dies()])
        else:
            resumed(tmp_path / name, callbacks, **place)
        saved[name] = keras.saving.load_model(path).get_weights()
    assert all(map(np.array_equal, saved["complete"], saved["killed"]))


# --- TerminateOnNaN ---------------------------------------------------------------------------------------


class Spoils(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Makes the weights not finite after a step."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == 2:
            self.model.trainable_variables[0].assign(self.model.trainable_variables[0] * math.nan)


@WAYS
def test_training_terminates_on_nan(jit: bool, tmp_path: Path) -> None:
    heard: list[int] = []
    counts = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: heard.append(batch))
    with pytest.raises(lab.ModelError, match="step 4: the loss is not finite"):
        train(tmp_path / "run", [Spoils(), counts, keras.callbacks.TerminateOnNaN()], jit=jit)
    assert heard == [0, 1, 2, 3]


# --- BackupAndRestore ---------------------------------------------------------------------------------------


@PLACES
def test_a_backup_does_not_train_an_epoch_twice_when_a_run_resumes(place: dict[str, int], tmp_path: Path) -> None:
    folders = iter(("complete", "killed", "killed"))

    def callbacks() -> Callbacks:
        return [keras.callbacks.BackupAndRestore(str(tmp_path / f"backup-{next(folders)}"))]

    assert_resume_is_exact(tmp_path, callbacks, place)


def test_a_backup_of_an_earlier_process_is_used_by_a_new_run(tmp_path: Path) -> None:
    def backup() -> keras.callbacks.Callback:
        return keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))

    with pytest.raises(Killed):
        train(tmp_path / "first", [backup(), Dies(epoch=3)])
    run = train(tmp_path / "second", [backup(), Dies()])
    assert [row["epoch"] for row in run.history] == [4.0]


# --- SwapEMAWeights -----------------------------------------------------------------------------------------


class Averaging(Toy):
    """The toy with an optimizer that keeps averages."""

    def build(self, data: lab.Data) -> keras.Model:
        model = super().build(data)
        model.compile(keras.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.9), "mse")
        return model


def averaged(folder: Path, callbacks: Callbacks, **settings: Any) -> Run:
    return trainer(folder, **settings).run(Averaging(), callbacks=callbacks, console=quiet(), report=False)


@WAYS
@pytest.mark.parametrize("swap_on_epoch", [False, True])
def test_swapped_averages_validate_and_are_the_result(swap_on_epoch: bool, jit: bool, tmp_path: Path) -> None:
    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=swap_on_epoch)
    run = averaged(tmp_path / "run", [swap], jit=jit)
    reference = averaged(tmp_path / "reference", [], use_ema=True, ema_momentum=0.9, jit=jit)
    assert [row["val_loss"] for row in run.history] == pytest.approx([row["val_loss"] for row in reference.history])
    for one, other in zip(run.model.get_weights(), reference.model.get_weights(), strict=True):
        assert one == pytest.approx(other, rel=1e-5, abs=1e-6)


@PLACES
@pytest.mark.parametrize("swap_on_epoch", [False, True])
@pytest.mark.parametrize("use_ema", [False, True], ids=["experiment's", "use_ema"])
def test_swapped_averages_resume(place: dict[str, int], swap_on_epoch: bool, use_ema: bool, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"use_ema": True, "ema_momentum": 0.9} if use_ema else {}
    make = Toy if use_ema else Averaging

    def callbacks(**at: int) -> Callbacks:
        return [keras.callbacks.SwapEMAWeights(swap_on_epoch=swap_on_epoch), Dies(**at)]

    complete = trainer(tmp_path / "complete", **settings).run(
        make(), callbacks=callbacks(), console=quiet(), report=False
    )
    killed = trainer(tmp_path / "killed", **settings)
    with pytest.raises(Killed):
        killed.run(make(), callbacks=callbacks(**place), console=quiet(), report=False)
    done = killed.resume(make(), Run.load(killed.run_dir or ""), callbacks=callbacks(), console=quiet(), report=False)
    assert outcome(done) == outcome(complete)


def test_averages_that_nobody_keeps_are_refused(tmp_path: Path) -> None:
    with pytest.raises(lab.UsageError, match="expected an optimizer that keeps averages; set use_ema=true"):
        train(tmp_path / "run", [keras.callbacks.SwapEMAWeights()])
