"""Reference runs: earlier runs are found when they match, and trained when none does."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from rich.console import Console

import lab
from lab.checkpoints.manager import CheckpointManager
from lab.errors import BusyError, RunError, StopRequested
from lab.runs.run import Run, find_runs
from lab.runs.status import Status, StopReason
from lab.trainer.reference import reference_run
from tests.resumed import Dies, Killed, with_callbacks
from tests.toy import Toy


def trained(width: int = 4, experiment: type[Toy] = Toy, **settings: Any) -> Run:
    return lab.Trainer(**settings).run(experiment(width=width), console=Console(file=io.StringIO()))


def weights(run: Run) -> list[np.ndarray]:
    return [np.asarray(array) for array in run.model.get_weights()]


@pytest.fixture
def main() -> Run:
    """The run that compares: of another width than what it is compared with."""
    return trained(width=7)


def test_the_latest_run_that_matches_is_taken(main: Run) -> None:
    trained(seed=1)
    second = trained(seed=2)
    found = reference_run(main, "toy", Toy(width=4))
    assert found is not None
    assert found.path == second.path.resolve()
    assert not (main.path / "references").exists()


def test_where_none_matches_it_is_trained_below_the_run_with_its_settings(main: Run) -> None:
    latest = (main.path.parent / "latest").resolve()
    found = reference_run(main, "small_toy", Toy(width=2))
    assert found is not None
    assert found.path == (main.path / "references" / "small_toy").resolve()
    assert found.status is Status.COMPLETED
    assert found.settings["width"] == 2
    assert {**found.trainer, "run_dir": None} == {**main.trainer, "run_dir": None}
    assert not (found.path / "report.json").exists()
    assert (main.path.parent / "latest").resolve() == latest, "a reference is no latest run"
    assert [run.path for run in find_runs()] == [main.path]


def test_a_reference_run_of_another_run_is_found_too(main: Run) -> None:
    first = reference_run(main, "toy", Toy(width=2))
    other = trained(width=9)
    second = reference_run(other, "any", Toy(width=2))
    assert first is not None
    assert second is not None
    assert second.path == first.path
    assert not (other.path / "references").exists()


def test_the_choice_stands_for_the_next_report(main: Run) -> None:
    first = trained()
    assert reference_run(main, "toy", Toy(width=4)) is not None
    trained(seed=3)
    found = reference_run(main, "toy", Toy(width=4))
    assert found is not None
    assert found.path == first.path.resolve()
    assert json.loads((main.path / "references.json").read_text()) == {
        "toy": {"path": f"../{first.path.name}", "differences": []}
    }


def test_a_choice_that_has_gone_or_no_longer_fits_is_made_again(main: Run) -> None:
    (main.path / "references.json").write_text('{"toy": "../gone", "other": 3}')
    first = trained()
    found = reference_run(main, "toy", Toy(width=4))
    assert found is not None
    assert found.path == first.path.resolve()
    (main.path / "references.json").write_text("not json")
    assert reference_run(main, "toy", Toy(width=4)) is not None
    assert reference_run(main, "toy", Toy(width=5), train=False) is None


@pytest.mark.parametrize(
    "settings", [{"epochs": 1}, {"limit_batches": 1}, {"fast_dev_run": True}, {"overfit_batches": 1}, {"max_steps": 3}]
)
def test_what_was_trained_less_does_not_match(main: Run, settings: dict[str, Any]) -> None:
    trained(**settings)
    assert reference_run(main, "toy", Toy(width=4), train=False) is None


def test_what_was_trained_longer_matches(main: Run) -> None:
    longer = trained(epochs=5)
    found = reference_run(main, "toy", Toy(width=4), train=False)
    assert found is not None
    assert found.path == longer.path.resolve()


def test_what_was_cut_matches_what_is_cut_alike() -> None:
    main = trained(width=7, limit_batches=2)
    trained()
    assert reference_run(main, "toy", Toy(width=4), train=False) is None
    trained(limit_batches=2)
    assert reference_run(main, "toy", Toy(width=4), train=False) is not None


def test_settings_must_be_equal_but_for_those_ignored(main: Run) -> None:
    trained(width=5)
    assert reference_run(main, "toy", Toy(width=4), train=False) is None
    assert reference_run(main, "toy", Toy(width=4), train=False, ignore=("width",)) is not None


def test_another_class_does_not_match(main: Run) -> None:
    class Tower(Toy):
        pass

    trained(experiment=Tower)
    assert reference_run(main, "toy", Toy(width=4), train=False) is None


@pytest.mark.parametrize("what", ["failed", "no model", "no settings", "not finite", "old settings"])
def test_a_run_that_is_not_whole_does_not_match(main: Run, what: str) -> None:
    run = trained()
    if what == "failed":
        run.set_status(Status.FAILED, "report", "broken")
    elif what == "no model":
        (run.path / "model.keras").unlink()
    elif what == "no settings":
        (run.path / "settings.json").write_text("{}")
    elif what == "not finite":
        run.write_training(stopped=StopReason.NOT_FINITE)
    else:
        run.write_settings({**run.record, "settings": {"breadth": 4}})
    assert reference_run(main, "toy", Toy(width=4), train=False) is None


def test_without_training_there_is_none(main: Run) -> None:
    assert reference_run(main, "toy", Toy(width=2), train=False) is None
    assert not (main.path / "references.json").exists()


def test_what_an_interrupted_training_left_is_trained_again(main: Run) -> None:
    left = main.path / "references" / "toy"
    left.mkdir(parents=True)
    (left / "settings.json").write_text("{}")
    found = reference_run(main, "toy", Toy(width=2))
    assert found is not None
    assert found.status is Status.COMPLETED
    assert found.settings["width"] == 2


def test_an_interrupted_training_is_resumed(main: Run) -> None:
    left = main.path / "references" / "toy"
    settings = {name: value for name, value in main.trainer.items() if name != "run_dir"}
    dying = with_callbacks(Toy(width=2), [Dies("on_epoch_begin", 2)])
    with pytest.raises(Killed):
        lab.Trainer(**settings, run_dir=left).run(dying, report=False)
    (begun,) = [entry["step"] for entry in CheckpointManager(left / "checkpoints").index]
    found = reference_run(main, "toy", Toy(width=2))
    assert found is not None
    assert found.path == left.resolve()
    assert [row["step"] for row in found.history] == [begun, 2 * begun]
    assert len(found.environment["resumed"]) == 1
    alone = trained(width=2)
    assert all(np.array_equal(a, b) for a, b in zip(weights(found), weights(alone), strict=True))


def test_a_reference_run_that_was_trained_for_less_is_trained_further(main: Run) -> None:
    first = reference_run(main, "toy", Toy(width=2))
    assert first is not None
    longer = Run(main.path)
    longer.write_settings({**main.record, "trainer": {**main.trainer, "epochs": 4}})
    found = reference_run(longer, "toy", Toy(width=2))
    assert found is not None
    assert [row["epoch"] for row in found.history] == [1, 2, 3, 4]
    alone = trained(width=2, epochs=4)
    assert all(np.array_equal(a, b) for a, b in zip(weights(found), weights(alone), strict=True))


def test_a_reference_run_of_another_class_is_trained_again(main: Run) -> None:
    class Tower(Toy):
        pass

    first = reference_run(main, "toy", Toy(width=2))
    second = reference_run(main, "toy", Tower(width=2))
    assert first is not None
    assert second is not None
    assert second.record["class"].endswith("Tower")
    assert "resumed" not in second.environment


def test_what_cannot_be_resumed_now_is_kept(main: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    left = main.path / "references" / "toy"
    settings = {name: value for name, value in main.trainer.items() if name != "run_dir"}
    dying = with_callbacks(Toy(width=2), [Dies("on_epoch_begin", 2)])
    with pytest.raises(Killed):
        lab.Trainer(**settings, run_dir=left).run(dying, report=False)
    before = sorted(path.name for path in (left / "checkpoints").iterdir())
    monkeypatch.setattr("lab.trainer.checks.free_bytes", lambda path: 1000)
    with pytest.raises(RunError, match="free for checkpoints"):
        reference_run(main, "toy", Toy(width=2))
    assert sorted(path.name for path in (left / "checkpoints").iterdir()) == before


def test_a_reference_run_that_another_process_trains_is_left_alone(main: Run) -> None:
    left = Run(main.path / "references" / "toy")
    left.path.mkdir(parents=True)
    left.write_settings({"experiment": "toy"})
    left.lock()
    with pytest.raises(BusyError, match="another process is working on this run"):
        reference_run(main, "toy", Toy(width=2))
    left.unlock()
    assert (left.path / "settings.json").is_file()


def test_what_was_trained_outside_the_runs_folder_is_found_again(tmp_path: Path) -> None:
    main = lab.Trainer(run_dir=tmp_path / "elsewhere").run(Toy(width=7), console=Console(file=io.StringIO()))
    first = reference_run(main, "toy", Toy(width=2))
    assert first is not None
    written = (first.path / "model.keras").stat().st_mtime_ns
    (main.path / "references.json").unlink()
    second = reference_run(main, "toy", Toy(width=2))
    assert second is not None
    assert second.path == first.path
    assert (second.path / "model.keras").stat().st_mtime_ns == written


def test_an_interrupt_names_the_run_that_is_kept(main: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> Run:
        raise StopRequested("interrupted; lab report REFERENCE shows it")

    monkeypatch.setattr("lab.trainer.trainer.Trainer.run", interrupted)
    with pytest.raises(StopRequested, match=f"model is kept, lab report {main.path} continues"):
        reference_run(main, "toy", Toy(width=2))


def test_a_run_inside_a_report_shares_its_console_and_the_seed_of_both_counts(caplog: Any) -> None:
    class Outer(Toy):
        def report(self, run: Run, report: lab.Report) -> None:
            found = lab.reference_run(run, "inner", Toy(width=2))
            assert found is not None
            report.metric("test_loss", found.model.evaluate(run.data.test.x, run.data.test.y, verbose=0)[0])

    shown = io.StringIO()
    run = lab.Trainer(seed=4).run(Outer(), console=Console(file=shown, width=100))
    text, _, report = shown.getvalue().partition(" Outer ")
    assert text.count("no earlier run matches: training inner to compare with") == 1
    assert text.count("references/inner") == 2, "where it goes, and that it was taken; each once"
    assert "references/inner" in report, "the report lists what it compares with"
    assert (text + report).count("report.html") == 1, "a reference's report is not shown"
    assert logging.getLogger("lab").handlers == []
    alone = trained(width=2, seed=4)
    inner = Run(run.path / "references" / "inner")
    assert all(np.array_equal(a, b) for a, b in zip(weights(inner), weights(alone), strict=True))
    assert keras.config.dtype_policy().name == "float32"


def test_what_differs_in_training_is_recorded_logged_and_reported(main: Run, caplog: pytest.LogCaptureFixture) -> None:
    from lab.cli.runs import report_again

    trained(epochs=3, batch_size=4)
    with caplog.at_level(logging.INFO, "lab"):
        assert reference_run(main, "toy", Toy(width=5), train=False, ignore=("width",)) is not None
    differences = ("width=4 (here 5)", "epochs=3 (here 2)", "batch_size=4 (here 8)")
    assert main.references["toy"].differences == differences
    assert f"; it differs in {', '.join(differences)}" in caplog.messages[-1]
    report_again(str(main.path), Console(file=io.StringIO()))
    (table,) = [item for item in main.report["items"] if item.get("columns", [""])[0] == "reference run"]
    assert table["rows"][0][2] == "; ".join(differences)


def test_a_report_made_again_compares_with_the_same(tmp_path: Path) -> None:
    from lab.cli.runs import report_again

    class_run = trained(width=6)
    assert reference_run(class_run, "toy", Toy(width=2)) is not None
    before = (class_run.path / "references.json").read_bytes()
    report_again(str(class_run.path), Console(file=io.StringIO()))
    assert (class_run.path / "references.json").read_bytes() == before


def test_a_point_of_a_sweep_is_found_too(main: Run) -> None:
    from lab.tune.sweep import Sweep

    Sweep(Toy, "width", [2, 3], {}).run(Console(file=io.StringIO()))
    found = reference_run(main, "toy", Toy(width=3), train=False)
    assert found is not None
    assert found.path.parent.name == "width=3"
