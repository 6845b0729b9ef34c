"""Sweeps: one run a value, one report, and going on where a sweep was cut off."""

from __future__ import annotations

import io
import shutil

import pytest
from rich.console import Console

import lab
from lab.checkpoints.checkpoint import Checkpoint
from lab.errors import SettingsError, UsageError
from lab.runs.run import Run
from lab.tune.sweep import Sweep, choose_axis
from tests.resumed import Killed, dying_after
from tests.toy import Toy


def quiet() -> Console:
    return Console(file=io.StringIO(), width=120)


def test_the_axis_is_the_one_setting_with_several_values() -> None:
    assert choose_axis(Toy, {"width": "2,4", "rate": "0.1"}) == ("width", ["2", "4"])
    assert choose_axis(Toy, {}) == ("width", [1, 2])
    with pytest.raises(UsageError, match="expected one setting with several values, got width, rate"):
        choose_axis(Toy, {"width": "2,4", "rate": "1,2"})


def test_a_sweep_of_lists_separates_its_values_by_semicolons() -> None:
    from experiments.autoencoder import Autoencoder

    assert choose_axis(Autoencoder, {"hidden_units": "512,256;64"}) == ("hidden_units", ["512,256", "64"])
    points = Sweep(Autoencoder, "hidden_units", ["512,256", "64"], {}).points
    assert list(points) == [(512, 256), (64,)]


def test_every_value_is_checked_before_the_first_run() -> None:
    with pytest.raises(SettingsError, match="width=0"):
        Sweep(Toy, "width", ["2", "0"], {})
    with pytest.raises(SettingsError, match="run_dir"):
        Sweep(Toy, "width", ["2"], {"run_dir": "x"})


def test_a_sweep_makes_one_run_a_value_and_one_report() -> None:
    sweep = Sweep(Toy, "width", ["1", "2"], {"epochs": "1"})
    report = sweep.run(quiet())
    runs = [Run(sweep.folder / f"width={value}" / "1") for value in (1, 2)]
    assert [run.settings["width"] for run in runs] == [1, 2]
    assert report.metrics["best_test_loss"] == min(run.metrics["test_loss"] for run in runs)
    for name in ("report.json", "report.md", "report.html", "figures/sweep.png"):
        assert (sweep.folder / name).is_file()


def test_a_sweep_that_was_cut_off_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[int] = []
    original = lab.Trainer.run

    def counted(self: lab.Trainer, experiment: Toy, **rest: object) -> lab.Run:
        trained.append(experiment.settings.width)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return original(self, experiment, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(lab.Trainer, "run", counted)
    with pytest.raises(KeyboardInterrupt):
        Sweep(Toy, "width", [1, 2, 3], {"epochs": 1}).run(quiet())
    Sweep(Toy, "width", [1, 2, 3], {"epochs": 1}).run(quiet())
    assert trained == [1, 2, 2, 3]


def test_a_point_that_was_cut_off_is_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Sweep(Toy, "width", [1, 2], {"epochs": 3, "seed": 1}).run(quiet())
    sweep = Sweep(Toy, "width", [1, 2], {"epochs": 3, "seed": 1})
    shutil.rmtree(sweep.folder)
    with dying_after(monkeypatch, Checkpoint, "save", 5), pytest.raises(Killed):
        sweep.run(quiet())
    report = sweep.run(quiet())
    runs = [Run(path) for path in sorted(sweep.folder.glob("*/*/"))]
    assert [run.path.name for run in runs] == ["1", "1"]
    assert [len(run.environment.get("resumed", [])) for run in runs] == [0, 1]
    assert report.metrics == whole.metrics


def test_other_settings_are_another_sweep() -> None:
    one, two = (Sweep(Toy, "width", [1], {"epochs": epochs}) for epochs in (1, 2))
    assert one.folder != two.folder
    assert one.folder == Sweep(Toy, "width", [1, 2], {"epochs": 1}).folder


def test_one_value_for_the_experiments_own_axis_is_no_sweep() -> None:
    with pytest.raises(UsageError, match="expected a setting with several values"):
        choose_axis(Toy, {"width": "2"})


def test_a_sweep_with_other_values_reports_the_earlier_ones_too() -> None:
    Sweep(Toy, "width", [3, 1], {"epochs": 1}).run(quiet())
    report = Sweep(Toy, "width", [2], {"epochs": 1}).run(quiet())
    tables = [item for item in report.items if hasattr(item, "rows")]
    assert [row[0] for row in tables[0].rows] == ["1", "2", "3"]
