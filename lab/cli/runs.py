"""`lab runs`, `lab show`, `lab report`: finished runs."""

from __future__ import annotations

import functools
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lab.errors import LabError, UsageError, printable
from lab.experiment import Experiment
from lab.report import Report
from lab.report.formatting import number
from lab.report.terminal import show_report
from lab.runs.folders import LATEST
from lab.runs.run import Run, find_runs
from lab.runs.status import Status, StopReason
from lab.settings import show
from lab.trainer import registry
from lab.trainer.trainer import Trainer


def show_runs(experiment: str | None, console: Console) -> None:
    """Prints a line a run: path, status, key metric, epochs, the settings that are not defaults."""
    found = find_runs(experiment)
    if not found:
        of = f" of {experiment}" if experiment else ""
        console.print(printable(f"There are no runs{of} yet; `lab list` shows what can be run."), markup=False)
        return
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("run", "status", "key metric", "epochs", "settings"):
        table.add_column(column, overflow="fold", no_wrap=column in ("status", "key metric", "epochs"))
    kind_of = functools.cache(_class)
    for run in found:
        try:
            run.check()
            cells = _cells(run, kind_of(run.experiment))
        except LabError as error:  # the others are listed all the same
            cells = [str(run.path), "damaged", "", "", str(error)]
        table.add_row(*(Text(printable(cell)) for cell in cells))
    console.print(table)


def _cells(run: Run, kind: type[Experiment[Any]] | None) -> list[str]:
    metrics, key = run.metrics, kind.key_metric if kind else ""
    value = f"{key} {number(metrics[key])}" if key in metrics else ""
    return [str(run.path), str(run.status), value, str(len(run.history)), _changed(run, kind)]


def _class(name: str) -> type[Experiment[Any]] | None:
    try:
        return registry.load(name)
    except Exception:  # its file has gone, or is broken; the run is listed all the same
        return None


def _changed(run: Run, kind: type[Experiment[Any]] | None) -> str:
    fields = kind.Settings.model_fields if kind else {}
    changed = [
        f"{name}={show(value)}"
        for name, value in run.settings.items()
        if name not in fields or show(fields[name].default) != show(value)
    ]
    preset = run.record.get("preset")
    return " ".join(([f"preset={preset}"] if preset else []) + changed)


def show_run(name: str, console: Console) -> None:
    """Prints a run's report as it was; a run without one says where it stands."""
    run = Run.load(name)
    if (run.path / "report.json").is_file():
        show_report(Report.read(run.path, run.report), console)
        return
    record = run.status_record()
    reason = f": {record['reason']}" if record.get("reason") else ""
    stage = f" in {record['stage']}" if record.get("stage") else ""
    said = f"{run.path}: {run.status}{stage}{reason} (no report)"
    console.print(printable(said), markup=False, highlight=False, soft_wrap=True)


def show_weights_hash(name: str) -> None:
    """Prints a hash of the weights alone: two models of the same numbers have the same."""
    import click

    click.echo(Run.load(name).weights_hash())


def resume_by_knobs(experiment: type[Experiment[Any]], path: str, values: dict[str, str], console: Console) -> None:
    """Goes on with a run of an experiment, as `lab run NAME resume=latest epochs=20` says it.

    Raises:
        UsageError: the run is of another experiment, or there are settings that differ from the run's.
    """
    from lab.trainer.resuming import resume

    run = Run.load(experiment.name() if path == LATEST else path)
    if run.experiment != experiment.name():
        raise UsageError(f"resume={path}: expected a run of {experiment.name()}, it is of {run.experiment}")
    epochs = values.pop("epochs", None)
    made, trainer = registry.configure(experiment, values)
    had = run.settings | run.trainer | {"preset": run.record.get("preset")}
    now = made.settings.json_values() | trainer.json_values() | {"preset": made.preset}
    other = [name for name in values if now[name] != had.get(name)]
    if other:
        told = ", ".join(f"{name}={show(now[name])} (it has {show(had.get(name))})" for name in other)
        raise UsageError(f"resume={path}: expected the run's own settings, got {told}; only epochs may grow")
    more: dict[str, Any] = {} if epochs is None else {"epochs": Trainer(epochs=epochs).epochs}  # type: ignore[arg-type]
    resume(run.path, **more, console=console)


def report_again(name: str, console: Console) -> None:
    """Prepares the data again and writes the report of a run that has its model."""
    from lab._utils.logs import log_to
    from lab.data.windows import tokens_of
    from lab.engine import backend
    from lab.trainer.reporting import check_records, make_report, print_report

    run = Run.load(name)
    run.lock()
    try:
        trainer = registry.trainer_of(run)
        backend.select(trainer.backend)
        experiment = registry.experiment_of(run)
        with log_to(console), backend.configured(trainer.precision, trainer.seed):
            check_records(run)
            _ = run.model  # says at once when there is none
            data = experiment.prepare()
            if trainer.fast_dev_run:
                data = data.map(lambda split: split.head(tokens_of(split, trainer.batch_size)))
            run.data = data
            report = make_report(experiment, trainer, run)
        cut = run.stopped == StopReason.SIGNAL  # a report does not complete what was interrupted
        run.set_status(Status.INTERRUPTED if cut else Status.COMPLETED, reason=run.stopped)
        print_report(report, console)
    finally:
        run.unlock()
