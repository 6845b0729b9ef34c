"""The monitored metric: low or high, refused where the logs will not have it, and the epoch that it chooses."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from rich.console import Console

import lab
from lab._utils.files import read_json
from lab.errors import SettingsError
from lab.runs.run import Run
from lab.trainer.monitor import mode_of
from tests.toy import Toy


def quiet() -> Console:
    return Console(file=io.StringIO(), width=200)


def run(path: Path, experiment: Toy | None = None, *callbacks: keras.callbacks.Callback, **settings: Any) -> Run:
    trainer = lab.Trainer(run_dir=path, **settings)
    return trainer.run(experiment or Toy(rate=0.01), callbacks=callbacks, console=quiet(), report=False)


class Counts(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    def __init__(self) -> None:
        super().__init__()
        self.steps = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.steps += 1


# --- low or high --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model() -> keras.Model:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, "sigmoid")])
    metrics = ["accuracy", keras.metrics.AUC(name="area"), keras.metrics.Recall(name="found"), "mae"]
    model.compile("sgd", "binary_crossentropy", metrics=[*metrics, keras.metrics.MeanSquaredError(name="score")])
    model.fit(np.zeros((2, 3)), np.zeros((2, 1)), verbose=0)  # Keras names its metrics in the first step
    return model


@pytest.mark.parametrize(
    ("monitor", "mode"),
    [
        ("loss", "min"),
        ("val_loss", "min"),
        ("accuracy", "max"),
        ("val_accuracy", "max"),
        ("val_auc", "max"),
        ("val_area", "max"),
        ("val_found", "max"),
        ("val_mae", "min"),
        ("val_f1_score", "max"),
        ("val_f1_score_2", "max"),
        ("val_score", "min"),
        ("val_psnr", "max"),
        ("val_kl_loss", "min"),
        ("val_bits_per_character", "min"),
    ],
)
def test_auto_knows_whether_a_metric_should_be_low_or_high(model: keras.Model, monitor: str, mode: str) -> None:
    assert mode_of(model, monitor, "auto") == mode
    assert [mode_of(model, monitor, given) for given in ("min", "max")] == ["min", "max"]


@pytest.mark.parametrize("monitor", ["val_wobble", "val_accuracy_loss_score"])
def test_a_name_that_says_nothing_or_both_has_to_be_decided(model: keras.Model, monitor: str) -> None:
    with pytest.raises(SettingsError, match=rf"monitor={monitor}: .*Set monitor_mode=min or max"):
        mode_of(model, monitor, "auto")


# --- refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("monitor", "message"),
    [
        ("val_los", r"'val_los' is not in the logs; did you mean 'val_loss'\?; expected one of .*loss, mae, val_loss"),
        ("accuracy", r"'accuracy' is not in the logs; expected one of loss, mae, val_loss, val_mae"),
    ],
)
def test_a_monitor_that_the_logs_will_not_have_is_refused_before_the_first_step(
    monitor: str, message: str, tmp_path: Path
) -> None:
    counts = Counts()
    with pytest.raises(SettingsError, match=f"monitor: {message}"):
        run(tmp_path / "run", None, counts, monitor=monitor)
    assert counts.steps == 0


def test_so_is_that_of_a_callback(tmp_path: Path) -> None:
    counts = Counts()
    early = keras.callbacks.EarlyStopping("val_mea", mode="min")
    with pytest.raises(SettingsError, match=r"EarlyStopping\(monitor=\.\.\.\): 'val_mea'.*did you mean 'val_mae'"):
        run(tmp_path / "run", None, counts, early)
    assert counts.steps == 0


class Adds(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Adds a metric to the logs of an epoch, which is least in the second."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs[self.name] = (3.0, 1.0, 2.0)[epoch]


def test_what_a_callback_adds_to_the_logs_can_be_monitored(tmp_path: Path) -> None:
    done = run(tmp_path / "run", None, Adds("val_distance"), monitor="val_distance", epochs=3)
    assert [row["val_distance"] for row in done.history] == [3.0, 1.0, 2.0]
    assert read_json(done.path / "training.json")["best_epoch"] == 2


def test_a_callback_that_adds_something_else_does_not_hide_a_misspelt_monitor(tmp_path: Path) -> None:
    with pytest.raises(lab.LabError, match="monitor=val_distance: it is not in the logs"):
        run(tmp_path / "run", None, Adds("val_other"), monitor="val_distance", epochs=3)


# --- several values -----------------------------------------------------------------------------------


class Classes(Toy):
    """Three classes, and a metric with a value for each."""

    def prepare(self) -> lab.Data:
        def of(split: lab.Split) -> lab.Split:
            return lab.Split(split.name, split.x, np.eye(3, dtype=np.float32)[split.x.argmax(axis=1)])

        return super().prepare().map(of)

    def build(self, data: lab.Data) -> keras.Model:
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, "softmax")])
        model.compile(keras.optimizers.SGD(0.5), "categorical_crossentropy", metrics=[keras.metrics.F1Score()])
        return model


@pytest.mark.parametrize("jit", [False, True], ids=["step by step", "fused"])
def test_a_metric_of_several_values_has_a_column_for_each(jit: bool, tmp_path: Path) -> None:
    done = run(tmp_path / "run", Classes(), monitor="val_f1_score_1", patience=3, jit=jit, epochs=2)
    assert done.status is lab.Status.COMPLETED
    columns = [f"{prefix}f1_score_{place}" for prefix in ("", "val_") for place in range(3)]
    assert all(0 <= row[name] <= 1 for row in done.history for name in columns)
    values = [row["val_f1_score_1"] for row in done.history]
    training = read_json(done.path / "training.json")
    assert training["monitor_mode"] == "max"
    assert training["best_epoch"] == values.index(max(values)) + 1


# --- the epoch ----------------------------------------------------------------------------------------


class Spoils(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Makes the third epoch a bad one, with the weights after each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[list[np.ndarray]] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 2:
            self.model.trainable_variables[-1].assign([9.0])
            self.model.optimizer.learning_rate = 0.0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.weights.append(self.model.get_weights())


@pytest.mark.parametrize(
    ("settings", "epoch"),
    [({}, 2), ({"monitor_mode": "max"}, 3), ({"restore_best": False}, 3)],
    ids=["best", "highest", "last"],
)
def test_best_epoch_is_the_epoch_whose_weights_were_kept(settings: dict[str, Any], epoch: int, tmp_path: Path) -> None:
    spoils = Spoils()
    done = run(tmp_path / "run", None, spoils, epochs=3, **settings)
    assert read_json(done.path / "training.json")["best_epoch"] == epoch
    for kept, weight in zip(Run.load(done.path).model.get_weights(), spoils.weights[epoch - 1], strict=True):
        assert np.array_equal(kept, weight)


def test_early_stopping_that_restores_its_own_best_weights_names_their_epoch(tmp_path: Path) -> None:
    early = keras.callbacks.EarlyStopping("val_loss", patience=1, mode="max", restore_best_weights=True)
    spoils = Spoils()
    done = run(tmp_path / "run", None, spoils, early, epochs=3)
    assert read_json(done.path / "training.json")["best_epoch"] == early.best_epoch + 1 == 1
    assert np.array_equal(Run.load(done.path).model.get_weights()[0], spoils.weights[0][0])
