"""A run directory: made, found, locked, read and evaluated."""

from __future__ import annotations

import contextlib
import html.parser
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import lab
from lab.errors import DataError, LabError, RunError
from lab.runs import model_file
from lab.runs.folders import runs_folder
from lab.runs.run import Run, find_runs
from lab.runs.status import Status

ROOT = Path(__file__).parents[2]


def made(experiment: str = "toy", **record: Any) -> Run:
    """Makes a run that has its settings."""
    run = Run.create(experiment)
    run.write_settings({"experiment": experiment, "settings": {}, "trainer": {"batch_size": 8}, **record})
    return run


def small_model() -> Any:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, activation="relu"), keras.layers.Dense(1)])
    model.compile("adam", "mse", metrics=["mae"], jit_compile=False)
    return model


def plane() -> lab.Data:
    x = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    y = x.sum(axis=1, keepdims=True)
    train, validation, test = (
        lab.Split(name, x[rows], y[rows])
        for name, rows in (("train", slice(0, 32)), ("validation", slice(32, 49)), ("test", slice(49, 60)))
    )
    return lab.Data(train, validation, test)


@pytest.fixture(scope="module")
def trained() -> Any:
    """Returns a model that has trained, optimizer and all."""
    model, train = small_model(), plane().train
    model.fit(train.x, train.y, epochs=1, verbose=0)
    return model


@contextlib.contextmanager
def elsewhere(run: Run, *, status: str = "running") -> Iterator[subprocess.Popen[str]]:
    """A process that works on the run, until it is killed."""
    code = (
        "import sys, pathlib\n"
        "from lab.runs.run import Run, Status\n"
        "run = Run(pathlib.Path(sys.argv[1])); run.lock(); run.set_status(Status(sys.argv[2]), 'fit')\n"
        "print('ready', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(run.path), status]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, cwd=ROOT, **pipes) as process:  # type: ignore[call-overload]
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


# --- making ---------------------------------------------------------------------------------------


def test_a_run_is_named_by_experiment_time_and_chance() -> None:
    run = Run.create("toy")
    assert run.path.parent == runs_folder() / "toy"
    assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{4}", run.path.name)
    assert run.path.is_dir()


def test_a_run_may_be_made_below_another_root(tmp_path: Path) -> None:
    assert Run.create("toy", root=tmp_path / "other").path.parent == tmp_path / "other" / "toy"


def test_runs_at_the_same_time_have_different_folders() -> None:
    assert len({Run.create("toy").path for _ in range(20)}) == 20


def test_a_name_that_is_taken_by_chance_is_refused_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    class Noon:
        class datetime:  # noqa: N801
            @staticmethod
            def now() -> Any:
                import datetime

                return datetime.datetime(2024, 1, 1, 12)

    monkeypatch.setattr("lab.runs.folders.datetime", Noon)
    monkeypatch.setattr("secrets.token_hex", lambda count: "ab" * count)
    first = Run.create("toy")
    with pytest.raises(RunError, match="File exists"):
        Run.create("toy")
    assert first.path.name == "20240101-120000-abab"


def test_run_dir_is_used_when_it_is_new_or_empty(tmp_path: Path) -> None:
    assert Run.create("toy", tmp_path / "new" / "deep").path == tmp_path / "new" / "deep"
    (tmp_path / "empty").mkdir()
    assert Run.create("toy", tmp_path / "empty").path == tmp_path / "empty"


def test_a_run_dir_that_holds_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine")
    with pytest.raises(RunError, match="expected a new or empty folder, got one that holds files"):
        Run.create("toy", tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.tex"]


def test_a_run_dir_that_another_run_was_just_given_is_refused(tmp_path: Path) -> None:
    first = Run.create("toy", tmp_path / "mine")
    with pytest.raises(RunError, match="another process is working on this run"):
        Run.create("toy", tmp_path / "mine")
    first.unlock()
    assert Run.create("toy", tmp_path / "mine").path == tmp_path / "mine"


def test_a_folder_that_cannot_be_made_is_one_line_with_the_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for run_dir in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(RunError) as caught:
            Run.create("toy", run_dir)
        assert str(caught.value).startswith(f"{run_dir}: expected a folder to write the run in, ")
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the super-user may write anywhere")
def test_a_folder_without_the_right_to_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(RunError, match="expected a folder to write the run in, Permission denied"):
        Run.create("toy", tmp_path / "locked" / "run")


# --- finding --------------------------------------------------------------------------------------


def test_latest_is_a_relative_link_that_moves() -> None:
    first, second = made(), made()
    link = first.path.parent / "latest"
    first.point_latest()
    assert os.readlink(link) == first.path.name
    second.point_latest()
    assert os.readlink(link) == second.path.name
    assert {path.name for path in first.path.parent.iterdir()} == {"latest", first.path.name, second.path.name}


def test_a_run_is_loaded_by_path_by_name_and_by_latest() -> None:
    older, newer = made(), made()
    newer.point_latest()
    assert Run.load(older.path).path == older.path.resolve()
    assert Run.load(str(older.path)).path == older.path.resolve()
    assert Run.load("toy").path == newer.path.resolve()
    assert Run.load(runs_folder() / "toy" / "latest").path == newer.path.resolve()


def test_a_run_is_loaded_from_a_folder_that_was_moved(tmp_path: Path) -> None:
    run = made()
    run.point_latest()
    (runs_folder() / "toy").rename(tmp_path / "kept")
    assert Run.load(tmp_path / "kept" / "latest").path.name == run.path.name


def test_a_run_that_does_not_exist_gets_the_nearest_experiment_suggested() -> None:
    made("autoencoder")
    with pytest.raises(RunError, match=r"autoencodr: expected a run directory .*; did you mean 'autoencoder'\?"):
        Run.load("autoencodr")


def test_a_run_that_does_not_exist_gets_the_list_of_experiments_that_ran() -> None:
    with pytest.raises(RunError, match=r"zzz: expected a run directory or an experiment that has run$"):
        Run.load("zzz")
    made("autoencoder")
    made("shakespeare")
    with pytest.raises(RunError, match=r"; there are runs of autoencoder, shakespeare$"):
        Run.load("zzz")


def test_runs_are_found_oldest_first_whatever_their_experiment() -> None:
    for experiment, name in (("b", "20240102-000000-aaaa"), ("a", "20240103-000000-aaaa"), ("b", "20240101-000000-ff")):
        run = Run.create(experiment, runs_folder() / experiment / name)
        run.write_settings({"experiment": experiment})
        run.point_latest()
    Run.create("a")  # one that has not got to writing its settings
    assert [run.path.name[:8] for run in find_runs()] == ["20240101", "20240102", "20240103"]
    assert [run.experiment for run in find_runs()] == ["b", "b", "a"]
    assert [run.path.name[:8] for run in find_runs("b")] == ["20240101", "20240102"]
    assert find_runs("c") == []


def test_no_folder_of_runs_means_no_runs() -> None:
    assert not runs_folder().exists()
    assert find_runs() == []


def test_the_folder_of_runs_is_here_unless_the_environment_says_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_RUNS", "")
    assert runs_folder() == Path("runs")
    monkeypatch.setenv("LAB_RUNS", "/else/where")
    assert runs_folder() == Path("/else/where")


# --- status and lock ------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED, Status.INTERRUPTED])
def test_a_status_that_is_an_end_is_what_was_written(status: Status) -> None:
    run = made()
    run.set_status(status, "fit", "because")
    run.unlock()
    assert run.status is status
    record = run.status_record()
    assert (record["status"], record["stage"], record["reason"], record["process"]) == (
        str(status),
        "fit",
        "because",
        os.getpid(),
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", record["time"])


def test_a_run_is_running_while_it_is_locked_and_interrupted_after() -> None:
    run = made()
    run.set_status(Status.RUNNING, "fit")
    assert [run.status, Run(run.path).status] == [Status.RUNNING, Status.RUNNING]
    run.unlock()
    assert [run.status, Run(run.path).status] == [Status.INTERRUPTED, Status.INTERRUPTED]


def test_a_run_without_a_status_was_interrupted() -> None:
    run = made()
    assert run.status is Status.INTERRUPTED
    (run.path / "status.json").write_text("half a fi")
    assert run.status is Status.INTERRUPTED


def test_a_run_whose_process_was_killed_was_interrupted() -> None:
    run = made()
    run.unlock()
    with elsewhere(run) as process:
        assert str(run.status) == "running"
        with pytest.raises(RunError, match="another process is working on this run"):
            run.lock()
        process.kill()
        process.wait()
        assert str(run.status) == "interrupted"
        run.lock()
    assert str(run.status) == "running"


def test_a_lock_that_was_refused_leaves_the_run_unlocked() -> None:
    run = made()
    other = Run(run.path)
    with pytest.raises(RunError):
        other.lock()
    other.unlock()
    run.set_status(Status.RUNNING)
    assert other.status is Status.RUNNING


def test_unlocking_twice_is_harmless() -> None:
    run = made()
    run.unlock()
    run.unlock()
    Run(run.path).lock()


# --- records --------------------------------------------------------------------------------------


def test_settings_come_back() -> None:
    run = made(settings={"units": 3, "widths": [1, 2]}, trainer={"epochs": 2})
    loaded = Run.load(run.path)
    assert loaded.experiment == "toy"
    assert loaded.settings == {"units": 3, "widths": [1, 2]}
    assert loaded.trainer == {"epochs": 2}


@pytest.mark.parametrize("content", ["[]", "{}", "{", "3"])
def test_damaged_settings_are_one_line_with_the_path(content: str) -> None:
    run = made()
    (run.path / "settings.json").write_text(content)
    with pytest.raises(LabError) as caught:
        run.experiment  # noqa: B018
    assert str(caught.value).startswith(str(run.path / "settings.json"))
    assert "\n" not in str(caught.value)


def test_history_comes_back_with_columns_that_appear_later() -> None:
    rows = [
        {"epoch": 1, "step": 10, "loss": 0.1 + 0.2, "seconds": 1e-3},
        {"epoch": 2, "step": 20, "loss": float("inf"), "val_loss": 1 / 3},
        {"epoch": 3, "step": 30, "val_loss": -0.0, "odd, name": 1e300},
    ]
    run = made()
    run.write_history(rows)
    assert Run.load(run.path).history == rows
    assert (run.path / "history.csv").read_text().splitlines()[0] == 'epoch,step,loss,seconds,val_loss,"odd, name"'


def test_a_run_without_history_has_no_rows() -> None:
    run = made()
    assert run.history == []
    run.write_history([])
    assert run.history == []


def test_a_run_without_a_report_has_no_metrics() -> None:
    run = made()
    assert run.metrics == {}
    with pytest.raises(LabError, match=r"report\.json: no such file"):
        run.report  # noqa: B018


def test_a_report_gives_its_metrics() -> None:
    run = made()
    report = lab.Report(run.path, "title")
    report.metric("test_loss", 0.5)
    report.write({})
    assert run.metrics == {"test_loss": 0.5}
    assert run.report["title"] == "title"


def test_how_training_ended_is_kept() -> None:
    run = made()
    assert (run.stopped, run.training) == ("", {})
    run.write_training(stopped="all epochs done", best_epoch=3, monitor="val_loss", monitor_mode="min")
    loaded = Run.load(run.path)
    assert loaded.stopped == "all epochs done"
    assert loaded.training == {
        "stopped": "all epochs done",
        "best_epoch": 3,
        "monitor": "val_loss",
        "monitor_mode": "min",
    }


@pytest.mark.parametrize(
    "content", ["[]", "{", '{"stopped": 3}', '{"best_epoch": "3"}', '{"best_epoch": true}', '{"monitor": null}']
)
def test_a_damaged_record_of_training_is_one_line_with_the_path(content: str) -> None:
    run = made()
    (run.path / "training.json").write_text(content)
    with pytest.raises(LabError) as caught:
        run.training  # noqa: B018
    assert str(caught.value).startswith(str(run.path / "training.json"))
    assert "\n" not in str(caught.value)
    assert run.stopped == ""
    with pytest.raises(LabError):
        run.check()


def test_repr_says_path_and_status() -> None:
    run = made()
    run.set_status(Status.FAILED)
    assert repr(run) == f"Run({str(run.path)!r}, failed)"


class Tags(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def tags(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(page)
    return parser.found


def test_a_notebook_shows_the_report_inside_a_frame_that_it_cannot_leave() -> None:
    run = made()
    page = '<p title="a">"&lt;" </iframe><script>alert(1)</script>'
    (run.path / "report.html").write_text(page)
    ((tag, attributes),) = tags(run._repr_html_())
    assert tag == "iframe"
    assert attributes["srcdoc"] == page


def test_a_notebook_shows_a_run_without_report_escaped(tmp_path: Path) -> None:
    run = Run(tmp_path / "<script>alert(1)<")
    assert [tag for tag, _ in tags(run._repr_html_())] == ["p"]
    assert "no report" in run._repr_html_()


# --- data and model -------------------------------------------------------------------------------


def test_a_run_without_data_says_what_to_expect() -> None:
    run = made()
    with pytest.raises(RunError, match="expected data; the prepare stage has not run in this process"):
        run.data  # noqa: B018


def test_a_run_without_a_model_says_so_and_its_status() -> None:
    run = made()
    run.set_status(Status.FAILED)
    with pytest.raises(RunError, match=r"expected a trained model, got none \(the run is failed\)"):
        run.model  # noqa: B018


def test_a_saved_model_predicts_the_same_and_can_be_trained_on(trained: Any) -> None:
    run = made()
    run.model = trained
    run.save_model()
    loaded = Run.load(run.path).model
    x = plane().test.x
    assert np.array_equal(loaded.predict(x, verbose=0), trained.predict(x, verbose=0))
    assert loaded.loss == "mse"
    assert loaded.optimizer is not None


def test_saving_leaves_no_part_and_the_optimizer_on_the_model(trained: Any) -> None:
    run = made()
    run.model = trained
    optimizer = trained.optimizer
    run.save_model()
    assert [path.name for path in run.path.iterdir() if "part" in path.name] == []
    assert trained.optimizer is optimizer
    assert int(optimizer.iterations.numpy()) == 1


def test_the_saved_model_is_smaller_than_with_the_optimizers_state(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((100,)), keras.layers.Dense(200)])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    run = made()
    run.model = model
    run.save_model()
    model.save(tmp_path / "whole.keras")
    assert (run.path / "model.keras").stat().st_size < 0.5 * (tmp_path / "whole.keras").stat().st_size


def test_a_model_that_cannot_be_saved_leaves_the_old_one_no_part_and_the_optimizer(
    trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = made()
    run.model = trained
    optimizer = trained.optimizer
    run.save_model()
    before = (run.path / "model.keras").read_bytes()

    def full(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(trained, "save", full)
    with pytest.raises(OSError, match="No space left"):
        run.save_model()
    assert (run.path / "model.keras").read_bytes() == before
    assert not list(run.path.glob(".part*"))
    assert trained.optimizer is optimizer


def damaged(run: Run, content: bytes) -> str:
    """What loading says of a model file with such content."""
    (run.path / "model.keras").write_bytes(content)
    with pytest.raises(RunError) as caught:
        Run(run.path).model  # noqa: B018
    return str(caught.value)


@pytest.fixture(scope="module")
def model_bytes(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("model") / "model.keras"
    trained.save(path)
    return path.read_bytes()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_truncated_model_is_one_line(model_bytes: bytes, share: float) -> None:
    run = made()
    message = damaged(run, model_bytes[: int(len(model_bytes) * share)])
    assert message.startswith(f"{run.path / 'model.keras'}: expected a model that Keras can read, ")
    assert "\n" not in message


def test_a_model_file_of_something_else_is_one_line() -> None:
    assert "\n" not in damaged(made(), b"PK\x03\x04 not a zip file\n\n" * 10)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_model_with_a_damaged_byte_is_one_line(model_bytes: bytes, share: float) -> None:
    content = bytearray(model_bytes)
    content[int(len(content) * share)] ^= 0xFF
    message = damaged(made(), bytes(content))
    assert "expected a model that Keras can read, " in message
    assert "\n" not in message


@pytest.mark.parametrize("module", ["antigravity", "planted", "experimentsplanted", "lab.planted", "../planted"])
def test_a_run_directory_cannot_name_a_module_to_import(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    for name in ("planted", "experimentsplanted", "antigravity"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    run = made(**{"class": f"{module}:Idea"})
    run.model = trained
    run.save_model()
    assert Run(run.path).model.count_params() == trained.count_params()
    assert module not in sys.modules


def test_a_released_model_is_read_again(trained: Any) -> None:
    run = made()
    run.model = trained
    run.save_model()
    run.release_model()
    assert run.model is not trained
    assert np.array_equal(run.model.get_weights()[0], trained.get_weights()[0])


# --- evaluate -------------------------------------------------------------------------------------


@pytest.fixture
def finished(trained: Any) -> Run:
    run = made()
    run.model = trained
    run.data = plane()
    return run


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_evaluate_gives_what_keras_gives(finished: Run, split: str) -> None:
    chosen = finished.data.split(split)
    expected = finished.model.evaluate(chosen.x, chosen.y, batch_size=8, verbose=0, return_dict=True)
    assert finished.evaluate(split) == pytest.approx(expected["loss"], rel=1e-6)
    assert finished.evaluate(split, "mae") == pytest.approx(expected["mae"], rel=1e-6)


def test_evaluate_is_over_every_example_of_a_last_short_batch(finished: Run) -> None:
    chosen = finished.data.test
    error = np.square(finished.model.predict(chosen.x, verbose=0) - chosen.y).mean()
    assert len(chosen) % 8
    assert finished.evaluate("test") == pytest.approx(float(error), rel=1e-5)


def test_evaluating_again_does_not_compute_again(finished: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def counted(*args: Any, **options: Any) -> dict[str, float]:
        calls.append(1)
        return {"loss": float(len(calls))}

    monkeypatch.setattr(finished.model, "evaluate", counted)
    assert [finished.evaluate("test"), finished.evaluate("test")] == [1.0, 1.0]
    finished.data = plane()
    assert finished.evaluate("test") == 2.0
    finished.model = finished.model
    assert finished.evaluate("test") == 3.0


def test_an_unknown_metric_gets_the_nearest_suggested(finished: Run) -> None:
    with pytest.raises(RunError, match=r"metric 'maee': the model has loss, mae; did you mean 'mae'\?"):
        finished.evaluate("test", "maee")


def test_an_unknown_split_gets_the_list(finished: Run) -> None:
    with pytest.raises(DataError, match="split 'tests': expected one of train, validation, test"):
        finished.evaluate("tests")


def test_evaluate_without_data_says_so(trained: Any) -> None:
    run = made()
    run.model = trained
    with pytest.raises(RunError, match="expected data"):
        run.evaluate("test")


def test_a_model_whose_configuration_has_no_end_is_read_back(tmp_path: Path) -> None:
    layers = [keras.layers.Dense(2, kernel_constraint=keras.constraints.MinMaxNorm(0.0, float("inf")))]
    path, model = tmp_path / "model.keras", keras.Sequential([keras.Input((3,)), *layers])
    model.compile("sgd", "mse")
    model_file.save(model, path)
    assert model_file.load(path).count_params() == 8


def test_a_lock_that_cannot_be_taken_is_one_line(tmp_path: Path) -> None:
    (tmp_path / ".lock").mkdir()
    with pytest.raises(RunError, match="cannot be locked, Is a directory"):
        Run(tmp_path).lock()
