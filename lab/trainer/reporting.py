"""The report stage: the experiment's own report, then what every run should say of itself."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
from rich.console import Console

from lab._utils.files import human_bytes
from lab.errors import RunError
from lab.experiment import Experiment
from lab.report import Report, plots
from lab.report.terminal import plain, show_report
from lab.runs.run import Run
from lab.settings import Settings, list_settings, show

CHANGED = "The trainer's settings that are not its own defaults; the experiment's values are among them."


def check_records(run: Run) -> None:
    """Says whether the records that a report shows are whole, before time is spent on it.

    Raises:
        LabError: one is damaged.
    """
    _environment_rows(run)
    rows = run.history
    if rows and not {"epoch", "seconds"} <= rows[-1].keys():
        raise RunError(f"{run.path / 'history.csv'}: expected columns epoch and seconds, got {', '.join(rows[-1])}")


def make_report(experiment: Experiment[Any], trainer: Settings, run: Run) -> Report:
    """Writes a run's report; the run's model and data must be there.

    What it draws at random is the same whether the run was trained in this process or in an earlier one.
    """
    keras.utils.set_random_seed(run.trainer.get("seed", 0))
    provenance = run.data.provenance
    subtitle = f"{provenance.name} ({provenance.origin}) · {run.path.name}"
    name = experiment.name().replace("_", " ")
    title = name[:1].upper() + name[1:]  # keeps the class's name in `file:Class`
    report = Report(run.path, title, subtitle)
    with plots.style():
        experiment.report(run, report)
        _training(run, report)
    _settings(experiment, trainer, run, report)
    _data(run, report)
    _environment(run, report)
    report.write(
        {
            "experiment": run.experiment,
            "run": run.path.name,
            "settings": run.settings,
            "trainer": run.trainer,
            "data": dataclasses.asdict(provenance) | {"examples": run.data.sizes()},
            "environment": run.environment,
        }
    )
    return report


def show_made(report: Report, console: Console) -> None:
    """Prints a report, and where its page is."""
    show_report(report, console)
    console.print(f"\n{plain(str(report.folder / 'report.html'))}", highlight=False, markup=False, soft_wrap=True)


def _training(run: Run, report: Report) -> None:
    rows = run.history
    report.section("Training")
    if run.stopped:
        report.text(f"Training ended after {len(rows)} epoch{'s' * (len(rows) != 1)}: {run.stopped}.")
    if rows:
        best = min(rows, key=lambda row: row.get("val_loss", row.get("loss", 0.0)))
        report.metric("training_seconds", rows[-1]["seconds"], "From the first step to the last, validation included.")
        report.metric("epochs", len(rows), "Passes over the training data.")
        report.metric("best_epoch", best["epoch"], "The epoch with the lowest validation loss.")
        report.metric("parameters", run.model.count_params(), "Numbers in the model.")
        report.figure("training", plots.history(rows), "The loss on training and validation data, epoch by epoch.")


def _settings(experiment: Experiment[Any], trainer: Settings, run: Run, report: Report) -> None:
    report.section("Settings")
    given = [("experiment", experiment.name(), "")]
    if experiment.preset:
        given.append(("preset", experiment.preset, ""))
    given += _rows(type(experiment.settings), run.settings)
    report.table(("setting", "value", "what it is"), given)
    pairs = zip(_rows(type(trainer), run.trainer), list_settings(type(trainer)), strict=True)
    changed = [row for row, knob in pairs if row[1] != show(knob.default)]
    report.table(
        ("trainer", "value", "what it is"),
        changed,
        CHANGED,
    )


def _rows(settings: type[Settings], values: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(knob.name, show(values.get(knob.name)), knob.help) for knob in list_settings(settings)]


def _data(run: Run, report: Report) -> None:
    origin = run.data.provenance
    sizes = ", ".join(f"{count:,} {name}" for name, count in run.data.sizes().items())
    report.section("Data")
    rows = [("name", origin.name), ("origin", origin.origin), ("source", origin.source), ("examples", sizes)]
    rows += [("size", human_bytes(origin.size)), ("sha256", origin.sha256), ("licence", origin.licence)]
    report.table(("data", ""), [row for row in rows if row[1]])


def _environment(run: Run, report: Report) -> None:
    report.section("Environment")
    report.table(("environment", ""), _environment_rows(run))


def _environment_rows(run: Run) -> list[tuple[str, str]]:
    found = run.environment
    try:
        packages = ", ".join(f"{name} {version}" for name, version in found["packages"].items())
        memory = human_bytes(found["memory_bytes"]) if found.get("memory_bytes") else "unknown"
        rows = [("backend", found["backend"]), ("python", found["python"]), ("packages", packages)]
        rows += [("machine", f"{found['cpu']}, {found['cores']} cores, {memory}"), ("system", found["system"])]
        return [*rows, ("git commit", found["git_commit"] or "unknown"), ("command", " ".join(found["command"]))]
    except (KeyError, TypeError, AttributeError) as error:
        path = run.path / "environment.json"
        raise RunError(f"{path}: expected versions, machine and command, {type(error).__name__}: {error}") from None
