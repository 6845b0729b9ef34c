"""The report stage: the experiment's own report, then training, settings, data and environment."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
from rich.console import Console
from rich.filesize import decimal

from lab._utils.logs import busy
from lab.errors import RunError
from lab.experiment import Experiment
from lab.report import Report, plots
from lab.report.terminal import plain, show_report
from lab.runs.run import Run
from lab.settings import Settings, list_settings, show

CHANGED = "The trainer's settings that differ from its own defaults; the experiment's values are among them."
LOWEST_OR_HIGHEST = {"min": "lowest", "max": "highest"}


def check_records(run: Run) -> None:
    """Checks the records that a report shows, before time is spent on it.

    Raises:
        LabError: one is damaged.
    """
    _ = _environment_rows(run), run.training
    rows = run.history
    if rows and not {"epoch", "seconds"} <= rows[-1].keys():
        raise RunError(f"{run.path / 'history.csv'}: expected columns epoch and seconds, got {', '.join(rows[-1])}")


def make_report(experiment: Experiment[Any], trainer: Settings, run: Run) -> Report:
    """Writes a run's report; the run must have its model and its data.

    Random numbers in it are the same whether the run was trained in this process or in an earlier one.
    """
    keras.utils.set_random_seed(run.trainer.get("seed", 0))
    provenance = run.data.provenance
    subtitle = f"{provenance.name} ({provenance.origin}) · {run.path.name}"
    name = experiment.name().replace("_", " ")
    title = name[:1].upper() + name[1:]  # keeps the class's name in `file:Class`
    report = Report(run.path, title, subtitle)
    with busy("writing the report"):
        with plots.style():
            experiment.report(run, report)
            _references(run, report)
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


def print_report(report: Report, console: Console) -> None:
    """Prints a report and the path of its page."""
    show_report(report, console)
    console.print(f"\n{plain(str(report.folder / 'report.html'))}", highlight=False, markup=False, soft_wrap=True)


def _references(run: Run, report: Report) -> None:
    references = run.references
    if references:
        report.section("Reference runs")
        rows = [(name, item.path, "; ".join(item.differences) or "none") for name, item in references.items()]
        report.table(
            ("reference run", "path", "differences"),
            rows,
            "Runs that this report compares with, and the settings and versions in which they differ from this run.",
        )


def _training(run: Run, report: Report) -> None:
    rows, training = run.history, run.training
    report.section("Training")
    if run.stopped:
        report.text(f"Training ended after {len(rows)} epoch{'s' * (len(rows) != 1)}: {run.stopped}.")
    if not rows:
        return
    report.metric("training_seconds", rows[-1]["seconds"], "From the first step to the last, validation included.")
    report.metric("epochs", len(rows), "Passes over the training data.")
    if training.get("best_epoch") is not None:
        which = LOWEST_OR_HIGHEST.get(training.get("monitor_mode", ""), "best")
        monitor = f": {which} {training['monitor']}" if training.get("monitor") else ""
        report.metric("best_epoch", training["best_epoch"], f"The epoch whose weights were kept{monitor}.")
    report.metric("parameters", run.model.count_params(), "Numbers in the model.")
    report.figure("training", plots.history(rows), "The loss on training and validation data, epoch by epoch.")


def _settings(experiment: Experiment[Any], trainer: Settings, run: Run, report: Report) -> None:
    report.section("Settings")
    rows = [("experiment", experiment.name(), "")]
    if experiment.preset:
        rows.append(("preset", experiment.preset, ""))
    rows += _rows(type(experiment.settings), run.settings)
    report.table(("setting", "value", "what it is"), rows)
    pairs = zip(_rows(type(trainer), run.trainer), list_settings(type(trainer)), strict=True)
    changed = [row for row, setting in pairs if row[1] != show(setting.default)]
    report.table(("trainer", "value", "what it is"), changed, CHANGED)


def _rows(settings: type[Settings], values: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(setting.name, show(values.get(setting.name)), setting.help) for setting in list_settings(settings)]


def _data(run: Run, report: Report) -> None:
    origin = run.data.provenance
    sizes = ", ".join(f"{count:,} {name}" for name, count in run.data.sizes().items())
    report.section("Data")
    rows = [("name", origin.name), ("origin", origin.origin), ("source", origin.source), ("examples", sizes)]
    rows += [("size", decimal(origin.size)), ("sha256", origin.sha256), ("licence", origin.licence)]
    report.table(("data", ""), [row for row in rows if row[1]])


def _environment(run: Run, report: Report) -> None:
    report.section("Environment")
    report.table(("environment", ""), _environment_rows(run))


def _environment_rows(run: Run) -> list[tuple[str, str]]:
    record = run.environment
    try:
        packages = ", ".join(f"{name} {version}" for name, version in record["packages"].items())
        memory = decimal(int(record["memory_bytes"])) if record.get("memory_bytes") else "unknown"
        rows = [("backend", record["backend"]), ("python", record["python"]), ("packages", packages)]
        rows += [("machine", f"{record['cpu']}, {record['cores']} cores, {memory}"), ("system", record["system"])]
        return [*rows, ("git commit", record["git_commit"] or "unknown"), ("command", " ".join(record["command"]))]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        path = run.path / "environment.json"
        raise RunError(f"{path}: expected versions, machine and command, {type(error).__name__}: {error}") from None
