"""A run that was killed anywhere ends as the one that was never touched, to the last bit."""

from __future__ import annotations

import functools
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import lab
from lab.callbacks.history import History
from lab.checkpoints.checkpoint import Checkpoint
from lab.checkpoints.manager import CheckpointManager
from lab.data.ragged import Ragged
from lab.data.windows import Windows
from lab.errors import RunError, SettingsError, StopRequested
from lab.runs.run import Run
from lab.trainer.fit import Fit
from tests.resumed import Dies, Killed, Noisy, differences, dying_after, facts, go_on, killed, quiet, tick, train

Facts = dict[str, Any]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    """The run that was never touched, its report included."""
    path = tmp_path_factory.mktemp("whole") / "run"
    return facts(lab.Trainer(run_dir=path).run(Noisy(), console=quiet()))


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a run goes whose checkpoints inside an epoch are five calls of the step apart."""
    tick(monkeypatch)
    return tmp_path / "run"


def same(run: Run, other: Facts, *but: str) -> None:
    assert [name for name in differences(facts(run), other) if name not in but] == []


def entries(path: Path) -> list[tuple[str, int]]:
    return [(entry["kind"], entry["step"]) for entry in CheckpointManager(path / "checkpoints").index]


class Does(lab.Callback):
    """Does something at the end of the n-th step."""

    def __init__(self, step: int, what: Callable[[keras.Model], None]) -> None:
        super().__init__()
        self.left = step
        self.what = what

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.left -= 1
        if not self.left:
            self.what(self.model)


def interrupt(model: keras.Model) -> None:
    os.kill(os.getpid(), signal.SIGINT)


# --- killed anywhere --------------------------------------------------------------------------------


def die(model: keras.Model) -> None:
    raise Killed


@pytest.mark.parametrize(
    ("step", "kept", "at_once"),
    [(3, [], 1), (9, [5], None), (13, [5, 10], 1), (33, [23, 26, 31], None)],
)
def test_a_run_killed_in_an_epoch_goes_on(
    step: int, kept: list[int], at_once: int | None, whole: Facts, path: Path
) -> None:
    killed(path, None, Does(step, die), steps_per_execution=at_once)
    assert [step for _, step in entries(path)] == kept
    same(go_on(path), whole, "metrics")


@pytest.mark.parametrize(("hook", "times"), [("on_test_batch_end", 3), ("on_epoch_begin", 2)])
def test_a_run_killed_elsewhere_in_training_goes_on(hook: str, times: int, whole: Facts, path: Path) -> None:
    killed(path, None, Dies(hook, times), steps_per_execution=4)
    same(go_on(path), whole, "metrics")


@pytest.mark.parametrize(
    ("owner", "method", "times"),
    [
        (History, "on_epoch_end", 3),
        (Checkpoint, "save", 2),
        (Run, "save_model", 1),
    ],
    ids=["row and no checkpoint", "checkpoint without a name", "model and no end"],
)
def test_a_run_killed_between_two_files_goes_on(
    owner: Any, method: str, times: int, whole: Facts, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with dying_after(monkeypatch, owner, method, times):
        killed(path)
    same(go_on(path), whole, "metrics")


def test_a_run_killed_in_the_report_is_reported(whole: Facts, path: Path) -> None:
    with pytest.raises(ValueError, match="broken report"):
        lab.Trainer(run_dir=path).run(Noisy(fail_in="report"), console=quiet())
    record = json.loads((path / "settings.json").read_text())
    record["settings"]["fail_in"] = ""
    (path / "settings.json").write_text(json.dumps(record))
    done = lab.resume(path, console=quiet())
    assert len(done.environment["resumed"]) == 1
    same(done, whole)
    with pytest.raises(RunError, match="the run is completed; --epochs 6 trains it further"):
        lab.resume(path, console=quiet())


def test_a_run_killed_twice_goes_on(whole: Facts, path: Path) -> None:
    killed(path, None, Dies("on_test_begin", 1), steps_per_execution=1)
    with pytest.raises(Killed):
        go_on(path, Dies("on_test_begin", 2))
    same(go_on(path), whole, "metrics")


SCRIPT = """
import os, signal, sys, lab
from tests.resumed import Noisy, quiet, with_callbacks
class Kills(lab.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if self.model.optimizer.iterations == 30:
            os.kill(os.getpid(), signal.SIGKILL)
lab.Trainer(run_dir=sys.argv[1], checkpoint_every=1e-6).run(with_callbacks(Noisy(), [Kills()]), console=quiet())
"""


def test_a_process_that_was_killed_leaves_a_run_that_goes_on(whole: Facts, tmp_path: Path) -> None:
    path, root = tmp_path / "run", Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(path)], cwd=root, check=False, timeout=300)
    assert done.returncode == -signal.SIGKILL
    run = Run.load(path)
    assert run.status is lab.Status.INTERRUPTED
    assert [row["epoch"] for row in run.history] == [1, 2]
    same(go_on(path), whole, "metrics")


class Carries(Noisy):
    """Reads windows of one long sequence with a state that is carried from batch to batch."""

    def prepare(self) -> lab.Data:
        tokens = np.random.default_rng(0).integers(0, 5, 420).astype(np.int32)

        def split(name: str, part: slice) -> lab.Split:
            return lab.Split(name, Windows(tokens[part], 6), Windows(np.roll(tokens, -1)[part], 6))

        held_out = split("validation", slice(300, 360)), split("test", slice(360, None))
        return lab.Data(split("train", slice(300)), *held_out)

    def build(self, data: lab.Data) -> keras.Model:
        kind = lab.layers.LSTM if self.settings.width == 5 else keras.layers.LSTM  # Keras does not track the state
        layers = [keras.layers.Embedding(5, 4), kind(4, return_sequences=True, stateful=True)]
        layers += [keras.layers.Dropout(0.3), keras.layers.Dense(5)]
        model = keras.Sequential([keras.Input((6,), batch_size=4, dtype="int32"), *layers])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(self.settings.rate, momentum=0.9), loss, metrics=["accuracy"])
        return model


class Buckets(Noisy):
    """Reads sequences of different lengths."""

    def prepare(self) -> lab.Data:
        rng = np.random.default_rng(0)

        def split(name: str, count: int) -> lab.Split:
            texts = [rng.integers(1, 9, rng.integers(1, 9)).astype(np.int32) for _ in range(count)]
            return lab.Split(name, Ragged.of(texts, (4, 8)), np.array([[len(text)] for text in texts], np.float32))

        return lab.Data(split("train", 60), split("validation", 10), split("test", 10))

    def build(self, data: lab.Data) -> keras.Model:
        layers = [keras.layers.Embedding(9, 4), keras.layers.GlobalAveragePooling1D(), keras.layers.Dropout(0.3)]
        model = keras.Sequential([keras.Input((None,), dtype="int32"), *layers, keras.layers.Dense(1)])
        model.compile(keras.optimizers.Adam(self.settings.rate), "mse", metrics=["mae"])
        return model


@pytest.mark.parametrize(
    ("experiment", "step", "settings"),
    [
        (Noisy, 7, {"jit": True, "steps_per_execution": 4}),
        (Buckets, 11, {"steps_per_execution": 1}),
        (Carries, 17, {"batch_size": 4}),
        (functools.partial(Carries, width=5), 17, {"batch_size": 4}),
        (Noisy, 18, {"precision": "mixed_float16", "gradient_accumulation_steps": 3}),
        (Noisy, 9, {"overfit_batches": 8, "limit_batches": 0.7, "max_steps": 10}),
    ],
    ids=["fused", "ragged", "carried", "carried by ours", "accumulated", "limited"],
)
def test_whatever_the_data_and_the_settings(
    experiment: Callable[[], Noisy], step: int, settings: dict[str, Any], path: Path, tmp_path: Path
) -> None:
    settings |= {"epochs": 2, "checkpoint_every": 2}
    never = facts(train(tmp_path / "never", experiment(), **settings))
    killed(path, experiment(), Does(step, die), **settings)
    assert entries(path)[-1][0] == "inside"
    same(go_on(path), never)


# --- told to stop -----------------------------------------------------------------------------------


def test_an_interrupted_epoch_is_gone_on_with(whole: Facts, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StopRequested, match=f"lab resume {re.escape(str(path))}"):
        train(path, None, Does(18, interrupt))
    assert ("inside", 18) in entries(path)
    assert Run.load(path).history[-1]["epoch"] == round(1 + 5 / 13, 4)
    with dying_after(monkeypatch, Fit, "_first_epoch"), pytest.raises(Killed):
        go_on(path)
    with monkeypatch.context() as patch:  # the model of the interruption is there still
        patch.setattr(Run, "save_model", Dies("on_train_end").on_train_end)
        with pytest.raises(Killed):
            go_on(path)
    same(go_on(path), whole, "metrics")


def test_a_signal_or_a_kill_where_patience_ends_does_not_train_longer(path: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"patience": 1, "monitor": "val_mae", "monitor_mode": "max", "epochs": 9}
    never = facts(train(tmp_path / "never", **settings))
    steps = int(never["history"][-1]["step"])
    assert len(never["history"]) < 9
    with pytest.raises(StopRequested):
        train(path, None, Does(steps, interrupt), **settings)
    same(go_on(path), never)
    assert never["ended"][0] == "no better for `patience` epochs"
    killed(tmp_path / "killed", None, Dies("on_train_end"), **settings)
    same(go_on(tmp_path / "killed"), never)


def test_a_callback_that_stops_inside_an_epoch_has_the_last_word(path: Path, tmp_path: Path) -> None:
    def stop(model: keras.Model) -> None:
        model.stop_training = True

    never = facts(train(tmp_path / "never", None, Does(18, stop)))
    assert never["ended"][0] == "a callback asked to stop"
    killed(path, None, Does(18, stop), Dies("on_test_begin", 2))
    same(go_on(path, Does(18 - entries(path)[-1][1], stop)), never)


def test_why_training_ended_is_known_after_a_kill(path: Path) -> None:
    killed(path, None, Dies("on_train_end"), max_steps=30)
    done = go_on(path)
    assert done.stopped == "max_steps reached"
    assert [row["step"] for row in done.history] == [13, 26, 30]


# --- more epochs ------------------------------------------------------------------------------------


def test_more_epochs_are_those_of_a_longer_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {"learning_rate_schedule": "constant", "checkpoint_every": 1000}
    longer = facts(train(tmp_path / "longer", epochs=4, **settings))
    train(path, epochs=2, **settings)
    assert entries(path)[-1] == ("epoch", 26)
    with pytest.raises(SettingsError, match="epochs=1: expected 2 or more, the run's epochs"):
        lab.resume(path, epochs=1, console=quiet())
    with dying_after(monkeypatch, Fit, "_first_epoch"), pytest.raises(Killed):
        lab.resume(path, epochs=4, console=quiet())
    assert Run.load(path).trainer["epochs"] == 4
    done = lab.resume(path, console=quiet())
    assert [row["epoch"] for row in done.history] == [1, 2, 3, 4]
    same(done, longer, "metrics")


def test_more_epochs_after_patience_begin_to_wait_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {"patience": 1, "monitor": "val_mae", "monitor_mode": "max"}
    had = len(train(path, epochs=5, **settings).history)
    assert had < 5
    with dying_after(monkeypatch, Fit, "_first_epoch"), pytest.raises(Killed):
        lab.resume(path, epochs=7, console=quiet())
    assert len(go_on(path).history) >= had + 2  # the first is the best so far, of those that count
