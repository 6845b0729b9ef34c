"""Stages, failure, limits and records of `Trainer.run`."""

from __future__ import annotations

import io
import json
import os
import signal
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from rich.console import Console

import lab
from lab.cli.runs import report_again
from lab.errors import ModelError, RunError, SettingsError, StopRequested, UsageError
from lab.runs.run import find_runs
from tests.toy import Toy


def quiet() -> Console:
    return Console(file=io.StringIO(), width=200)


def run(experiment: lab.Experiment[Any] | None = None, **settings: Any) -> lab.Run:
    return lab.Trainer(**settings).run(experiment or Toy(), console=quiet())


def last_checkpoint(done: lab.Run) -> lab.Checkpoint:
    return lab.Checkpoint.load(max((done.path / "checkpoints").glob("*.npz")))


def checkpoint_values(done: lab.Run, word: str) -> list[np.ndarray]:
    """The optimizer's variables whose name has a word in it."""
    values = last_checkpoint(done).variables
    return [value for name, value in values.items() if name.startswith("optimizer/") and word in name]


class Recorder(lab.Callback):
    """Notes everything that it hears."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def on_stage_begin(self, stage: str, run: lab.Run) -> None:
        self.heard.append(f"begin {stage}")

    def on_stage_end(self, stage: str, run: lab.Run) -> None:
        self.heard.append(f"end {stage}")

    def on_failure(self, error: BaseException, run: lab.Run) -> None:
        self.heard.append(f"failure {type(error).__name__}")

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.heard.append(f"epoch {epoch}")


def test_stages_come_in_order_and_callbacks_hear_them() -> None:
    recorder, toy = Recorder(), Toy()
    lab.Trainer(epochs=1).run(toy, callbacks=[recorder], console=quiet())
    assert toy.seen == ["prepare", "build", "report"]
    stages = ["prepare", "build"]
    expected = [f"{when} {stage}" for stage in stages for when in ("begin", "end")]
    assert recorder.heard == [*expected, "begin fit", "epoch 0", "end fit", "begin report", "end report"]


def test_a_finished_run_holds_all_that_it_should() -> None:
    done = run()
    assert done.status is lab.Status.COMPLETED
    names = {path.name for path in done.path.iterdir()}
    assert {"settings.json", "environment.json", "history.csv", "checkpoints", "model.keras"} <= names
    assert {"report.json", "report.md", "report.html", "figures", "status.json"} <= names
    assert not [name for name in names if "part" in name]
    assert [row["epoch"] for row in done.history] == [1, 2]
    assert [row["step"] for row in done.history] == [13, 26]
    assert done.metrics["test_loss"] == pytest.approx(done.evaluate("test"))
    assert done.settings["width"] == 4
    assert done.environment["packages"]["keras"] == keras.__version__


def test_loading_a_run_gives_its_model_history_and_report_back() -> None:
    done = run()
    loaded = lab.Run.load(done.path)
    x = np.ones((3, 3), np.float32)
    assert np.array_equal(loaded.model.predict(x, verbose=0), done.model.predict(x, verbose=0))
    assert loaded.history == done.history
    assert loaded.metrics == done.metrics
    assert loaded.trainer["epochs"] == 2


def test_settings_are_taken_from_the_call_then_the_preset_then_the_class() -> None:
    assert lab.Trainer().resolve(Toy()).epochs == 2
    assert lab.Trainer().resolve(Toy(preset="wide")).epochs == 3
    assert lab.Trainer(epochs=7).resolve(Toy(preset="wide")).epochs == 7
    assert Toy(preset="wide").settings.width == 32
    assert Toy(preset="wide", width=5).settings.width == 5


def test_callbacks_that_cannot_be_made_leave_a_failed_run() -> None:
    class Broken(Toy):
        def callbacks(self) -> list[keras.callbacks.Callback]:
            raise ValueError("no callbacks")

    with pytest.raises(ValueError, match="no callbacks"):
        run(Broken())
    assert lab.Run.load("broken").status is lab.Status.FAILED


def test_a_warm_up_needs_a_schedule() -> None:
    with pytest.raises(SettingsError, match="expected a learning_rate_schedule"):
        run(warmup_steps=5)
    assert run(warmup_steps=5, learning_rate_schedule="cosine").history[-1]["learning_rate"] < 0.01


@pytest.mark.parametrize("hook", ["prepare", "build", "report"])
def test_a_hook_that_raises_leaves_a_failed_run_that_says_why(hook: str) -> None:
    recorder = Recorder()
    with pytest.raises(ValueError, match=f"broken {hook}"):
        lab.Trainer().run(Toy(fail_in=hook), callbacks=[recorder], console=quiet())
    failed = lab.Run.load("toy")
    assert failed.status is lab.Status.FAILED
    record = failed.status_record()
    assert record["stage"] == hook
    assert record["reason"] == f"ValueError: broken {hook}"
    assert recorder.heard[-1] == "failure ValueError"


def test_a_report_that_raises_keeps_the_trained_model() -> None:
    with pytest.raises(ValueError, match="broken report"):
        run(Toy(fail_in="report"))
    assert lab.Run.load("toy").model.count_params() == 4 * 4 + 5


def test_a_callback_that_raises_in_fit_is_told_of_the_failure() -> None:
    class Breaks(Recorder):
        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            raise RuntimeError("in the step")

    breaks = Breaks()
    with pytest.raises(RuntimeError, match="in the step"):
        lab.Trainer().run(Toy(), callbacks=[breaks], console=quiet())
    assert breaks.heard[-1] == "failure RuntimeError"
    assert lab.Run.load("toy").status is lab.Status.FAILED


def test_a_failure_hook_that_raises_does_not_hide_the_first_error() -> None:
    class Worse(lab.Callback):
        def on_failure(self, error: BaseException, run: lab.Run) -> None:
            raise KeyError("second")

    with pytest.raises(ValueError, match="broken build") as caught:
        lab.Trainer().run(Toy(fail_in="build"), callbacks=[Worse()], console=quiet())
    assert "second" in caught.value.__notes__[0]


def test_keras_callbacks_work_unchanged() -> None:
    heard: list[int] = []
    plain = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: heard.append(epoch))
    lab.Trainer(epochs=3).run(Toy(), callbacks=[plain], console=quiet())
    assert heard == [0, 1, 2]


def test_a_callback_for_batches_hears_every_one() -> None:
    class Counts(keras.callbacks.Callback):  # type: ignore[misc]
        heard: list[int] = []

        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            self.heard.append(batch)

    lab.Trainer(epochs=1).run(Toy(), callbacks=[Counts()], console=quiet())
    assert Counts.heard == list(range(13))


def test_max_steps_ends_training_at_that_step() -> None:
    done = run(max_steps=17, epochs=10)
    assert [row["step"] for row in done.history] == [13, 17]
    assert done.stopped == "max_steps reached"
    assert last_checkpoint(done).step == 17
    assert checkpoint_values(done, "iteration")[0] == 17


def test_max_time_ends_training_in_order() -> None:
    done = run(max_time=0.001, epochs=1000, steps_per_execution=1)
    assert done.stopped == "max_time reached"
    assert len(done.history) == 1
    assert done.status is lab.Status.COMPLETED


def test_a_cosine_by_the_clock_falls_from_epoch_to_epoch() -> None:
    done = run(epochs=3, max_time=1000.0, learning_rate_schedule="cosine", learning_rate=0.01)
    rates = [row["learning_rate"] for row in done.history]
    assert rates == pytest.approx([0.0075, 0.0025, 0.0], abs=1e-3)


def test_patience_stops_when_nothing_gets_better() -> None:
    done = run(Toy(rate=1e-12), epochs=50, patience=2, monitor_mode="max", monitor="val_mae")
    assert done.stopped == "no better for `patience` epochs"
    assert len(done.history) < 50


def test_limit_and_overfit_batches_bound_an_epoch() -> None:
    assert [row["step"] for row in run(limit_batches=3).history] == [3, 6]
    assert [row["step"] for row in run(limit_batches=0.5).history] == [7, 14]
    few = run(overfit_batches=2)
    assert [row["step"] for row in few.history] == [2, 4]
    assert len(few.data.train) == len(few.data.validation) == 16


def test_overfitting_a_batch_reaches_it() -> None:
    done = run(overfit_batches=1, epochs=30)
    assert done.history[-1]["loss"] < 0.02 * done.history[0]["loss"]


def test_fast_dev_run_takes_one_batch_and_is_nobodys_latest() -> None:
    first = run()
    toy = Toy()
    quick = run(toy, fast_dev_run=True, epochs=30, patience=3)
    assert toy.seen == ["prepare", "build", "report"]
    assert [row["step"] for row in quick.history] == [1]
    assert lab.Run.load("toy").path == first.path.resolve()


def test_the_best_epochs_weights_are_kept() -> None:
    class Spoils(lab.Callback):
        def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            if epoch == 2:
                for weight in self.model.trainable_variables:
                    weight.assign(weight * 0 + 9.0)

    settings: dict[str, Any] = {"epochs": 3, "learning_rate": 1e-6}
    best = lab.Trainer(**settings).run(Toy(), callbacks=[Spoils()], console=quiet())
    last = lab.Trainer(**settings, restore_best=False).run(Toy(), callbacks=[Spoils()], console=quiet())
    losses = [row["val_loss"] for row in best.history]
    assert best.evaluate("validation") == pytest.approx(min(losses), rel=1e-5)
    assert last.evaluate("validation") == pytest.approx(losses[-1], rel=1e-5)
    assert losses[-1] > 10 * min(losses)


def test_the_same_seed_gives_the_same_weights_and_another_does_not() -> None:
    def weights(seed: int) -> np.ndarray:
        return np.concatenate([value.ravel() for value in run(seed=seed).model.get_weights()])

    assert np.array_equal(weights(1), weights(1))
    assert not np.array_equal(weights(1), weights(2))


def test_moving_averages_are_the_result() -> None:
    done = run(use_ema=True, ema_momentum=0.9, epochs=3, restore_best=False)
    averages = checkpoint_values(done, "average")
    assert len(averages) == 4
    for weight, average in zip(done.model.trainable_variables, averages, strict=True):
        assert np.array_equal(weight.numpy(), average)
    assert done.history[-1]["val_loss"] == pytest.approx(done.evaluate("validation"), rel=1e-4)


def test_a_loss_that_is_not_finite_fails_with_the_step() -> None:
    with pytest.raises(ModelError, match=r"step \d+: the loss is not finite"):
        run(Toy(rate=1e18), epochs=50)
    failed = lab.Run.load("toy")
    assert failed.status is lab.Status.FAILED
    assert "not finite" in failed.status_record()["reason"]


def test_weights_that_are_lost_do_not_push_out_the_last_good_checkpoint() -> None:
    class Explodes(lab.Callback):
        def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            if epoch == 2:
                self.model.trainable_variables[0].assign(self.model.trainable_variables[0] * np.nan)

    with pytest.raises(ModelError, match="not finite"):
        lab.Trainer(epochs=5).run(Toy(), callbacks=[Explodes()], console=quiet())
    kept = last_checkpoint(lab.Run.load("toy"))
    assert kept.epoch == 2
    assert all(np.isfinite(value).all() for name, value in kept.variables.items() if name.startswith("trainable"))


def test_a_signal_stops_in_order() -> None:
    class Sends(lab.Callback):
        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            if epoch == 1:
                os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(StopRequested):
        lab.Trainer(epochs=100).run(Toy(), callbacks=[Sends()], console=quiet())
    assert signal.getsignal(signal.SIGTERM) is before
    stopped = lab.Run.load("toy")
    assert stopped.status is lab.Status.INTERRUPTED
    assert stopped.history[-1]["epoch"] > 2
    assert stopped.model.count_params() == 21
    report_again(str(stopped.path), quiet())
    assert stopped.metrics["test_loss"] >= 0
    assert stopped.status is lab.Status.INTERRUPTED
    assert list((stopped.path / "checkpoints").glob("*.npz"))


def test_an_epoch_that_was_cut_counts_as_its_part() -> None:
    class Cuts(lab.Callback):
        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            if batch == 3:
                self.model.stop_training = True

    done = lab.Trainer(epochs=5).run(Toy(), callbacks=[Cuts()], console=quiet())
    assert [row["epoch"] for row in done.history] == [round(4 / 13, 4)]
    assert done.stopped == "a callback asked to stop"


def test_a_reader_that_goes_away_leaves_a_completed_run() -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            if "Training" in text:
                raise SystemExit(1)
            return len(text)

    with pytest.raises(SystemExit):
        lab.Trainer().run(Toy(), console=Console(file=Closed(), width=100))
    assert lab.Run.load("toy").status is lab.Status.COMPLETED


def test_a_run_that_was_killed_before_its_data_came_becomes_the_latest() -> None:
    first = run()
    with pytest.raises(ValueError, match="broken prepare"):
        run(Toy(fail_in="prepare"))
    assert lab.Run.load("toy").path == first.path.resolve()
    (second,) = {found.path.resolve() for found in find_runs()} - {first.path.resolve()}
    record = json.loads((second / "settings.json").read_text())
    record["settings"]["fail_in"] = ""
    (second / "settings.json").write_text(json.dumps(record))
    lab.resume(second, console=quiet())
    assert lab.Run.load("toy").path == second
    lab.resume(first.path, epochs=3, console=quiet())
    assert lab.Run.load("toy").path == second, "an older one that is trained further is not the latest"


def test_an_experiment_may_change_what_is_trained(tmp_path: Path) -> None:
    class Thaws(Toy):
        def build(self, data: lab.Data) -> keras.Model:
            model = super().build(data)
            model.layers[0].trainable = False
            return model

        def fit(self, model: keras.Model, train: lab.Batches, validation: lab.Batches, **options: Any) -> None:
            model.layers[0].trainable = True
            super().fit(model, train, validation, **options)

    assert run(Thaws()).status is lab.Status.COMPLETED


def test_run_dir_is_used_and_a_full_one_refused(tmp_path: Path) -> None:
    done = run(run_dir=tmp_path / "mine")
    assert done.path == tmp_path / "mine"
    with pytest.raises(RunError, match="expected a new or empty folder"):
        run(run_dir=tmp_path / "mine")


def test_an_unwritable_folder_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="expected a folder to write the run in"):
        run(run_dir=tmp_path / "file" / "run")


def test_too_little_disk_is_said_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.trainer.checks.free_bytes", lambda path: 1000)
    with pytest.raises(RunError, match=r"expected .* free for checkpoints and report, got 1.0 kB"):
        run()
    assert not lab.Run.load("toy").history


def test_a_model_of_another_shape_is_said_with_both_shapes() -> None:
    class Narrow(Toy):
        def build(self, data: lab.Data) -> keras.Model:
            model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)])
            model.compile("sgd", "mse")
            return model

    with pytest.raises(ModelError, match=r"inputs of shape \(batch, 5\), the data has float32 \(batch, 3\)"):
        run(Narrow())


def test_a_model_that_is_not_compiled_or_not_a_model_is_said() -> None:
    class Bare(Toy):
        def build(self, data: lab.Data) -> keras.Model:
            return keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])

    class Nothing(Toy):
        def build(self, data: lab.Data) -> keras.Model:
            return None

    with pytest.raises(ModelError, match="expected a compiled model"):
        run(Bare())
    with pytest.raises(ModelError, match=r"Nothing.build: expected a keras.Model, got NoneType"):
        run(Nothing())


def test_a_prepare_that_returns_something_else_is_said() -> None:
    class Wrong(Toy):
        def prepare(self) -> lab.Data:
            return [1, 2]  # type: ignore[return-value]

    with pytest.raises(lab.DataError, match=r"Wrong.prepare: expected a lab.Data, got list"):
        run(Wrong())


def test_a_backend_that_cannot_be_had_any_more_is_said() -> None:
    other = "jax" if keras.backend.backend() == "tensorflow" else "tensorflow"
    with pytest.raises(UsageError, match=f"set KERAS_BACKEND={other}"):
        run(backend=other)


def test_precision_holds_for_the_run_and_is_put_back() -> None:
    policies: list[str] = []

    class Asks(Toy):
        def build(self, data: lab.Data) -> keras.Model:
            policies.append(keras.config.dtype_policy().name)
            return super().build(data)

    run(Asks(), precision="mixed_bfloat16", epochs=1)
    assert policies == ["mixed_bfloat16"]
    assert keras.config.dtype_policy().name == "float32"


def test_the_trainer_refuses_unknown_settings_and_classes() -> None:
    with pytest.raises(SettingsError, match="did you mean 'epochs'"):
        lab.Trainer(epoch=3)  # type: ignore[call-arg]
    with pytest.raises(SettingsError, match="expected an instance of an Experiment"):
        lab.Trainer().run(Toy)  # type: ignore[arg-type]


def test_a_pipe_gets_one_plain_line_an_epoch() -> None:
    console = Console(file=io.StringIO(), width=200)
    lab.Trainer(epochs=2).run(Toy(), console=console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    lines = [line for line in text.splitlines() if line.startswith("epoch")]
    assert [line.split()[1] for line in lines] == ["1/2", "2/2"]
    assert "best val_loss" in lines[1]
    assert "\x1b" not in text


def test_a_terminal_gets_bars() -> None:
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    lab.Trainer(epochs=2).run(Toy(), console=console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "epoch 2/2" in text
    assert "training" in text
    assert "examples/s" in text


def test_without_a_report_the_run_is_complete_and_can_be_reported_later() -> None:
    toy = Toy()
    shown = io.StringIO()
    run = lab.Trainer().run(toy, console=Console(file=shown), report=False)
    assert toy.seen == ["prepare", "build"]
    assert run.status is lab.Status.COMPLETED
    assert not (run.path / "report.json").exists()
    assert "report.html" not in shown.getvalue()
    report_again(str(run.path), Console(file=shown))
    assert run.metrics["test_loss"] > 0
