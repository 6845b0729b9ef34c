"""The report stage: what every report contains, and what a terminal shows while it is written."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

import lab
from lab.cli.runs import report_again
from lab.errors import LabError
from lab.runs.run import Run
from tests.toy import Toy


class Sectioned(Toy):
    """A toy whose report has a section, and compares with another model."""

    def report(self, run: lab.Run, report: lab.Report) -> None:
        report.section("What it learnt")
        assert lab.reference_run(run, "small_toy", Toy(width=2)) is not None
        report.metric("test_loss", run.evaluate("test"))


def trained(folder: Path, *, terminal: bool) -> tuple[Run, str]:
    """A run, and what the console showed."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=100, legacy_windows=False, _environ={})
    return lab.Trainer(run_dir=folder / "run", epochs=1).run(Sectioned(), console=console), file.getvalue()


def test_a_terminal_shows_the_part_of_the_report_that_is_written(tmp_path: Path) -> None:
    run, shown = trained(tmp_path, terminal=True)
    assert "writing the report: What it learnt" in shown
    assert "writing the report: Training" in shown
    assert "no earlier run matches" in shown, "a run inside the report shows its progress"
    assert shown.rindex("writing the report") < shown.index("Sectioned"), "the status ends before the report"
    assert run.is_complete


def test_a_pipe_gets_no_status(tmp_path: Path) -> None:
    _, shown = trained(tmp_path, terminal=False)
    assert "writing the report" not in shown
    assert "\x1b" not in shown


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("finished") / "run"
    return lab.Trainer(run_dir=path).run(Toy(), console=Console(file=io.StringIO()))


@pytest.mark.parametrize(("mode", "which"), [("min", "lowest"), ("max", "highest")])
def test_the_best_epoch_is_the_one_whose_weights_were_kept(finished: Run, mode: str, which: str) -> None:
    finished.write_training(stopped="all epochs done", best_epoch=1, monitor="val_mae", monitor_mode=mode)
    report_again(str(finished.path), Console(file=io.StringIO()))
    assert finished.metrics["best_epoch"] == 1
    (metric,) = [item for item in finished.report["items"] if item.get("name") == "best_epoch"]
    assert metric["help"] == f"The epoch whose weights were kept: {which} val_mae."


def test_without_a_best_epoch_none_is_reported(finished: Run) -> None:
    finished.write_training(stopped="all epochs done", best_epoch=None, monitor="val_loss", monitor_mode="min")
    report_again(str(finished.path), Console(file=io.StringIO()))
    assert "best_epoch" not in finished.metrics
    assert finished.metrics["epochs"] == 2


def test_a_damaged_record_of_training_ends_the_report_at_once(finished: Run) -> None:
    finished.write_training(stopped="all epochs done", best_epoch="first")
    with pytest.raises(LabError, match=r"training\.json: expected best_epoch as int \| None, got 'first'"):
        report_again(str(finished.path), Console(file=io.StringIO()))
