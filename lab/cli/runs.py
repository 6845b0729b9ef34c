"""`lab runs`, `lab show`, `lab report` and `lab run NAME resume=RUN`: existing runs."""

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
    """Prints a line for each run: path, status, key metric, epochs, settings that differ from the defaults."""
    found = find_runs(experiment)
    if not found:
        of = f" of {experiment}" if experiment else ""
        console.print(printable(f"There are no runs{of} yet; `lab list` lists the experiments."), markup=False)
        return
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("run", "status", "key metric", "epochs", "settings"):
        table.add_column(column, overflow="fold", no_wrap=column in ("status", "key metric", "epochs"))
    kind_of = functools.cache(_class)
    for run in found:
        try:
            run.check()
            cells = _cells(run, kind_of(run.experiment))
        except LabError as error:  # the other runs are still listed
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
    except Exception:  # its file is gone or fails on import; the run can still be listed
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
    """Prints a run's report, or its status if there is none."""
    run = Run.load(name)
    if (run.path / "report.json").is_file():
        show_report(Report.read(run.path, run.report), console)
        return
    record = run.status_record()
    reason = f": {record['reason']}" if record.get("reason") else ""
    stage = f" in {record['stage']}" if record.get("stage") else ""
    line = f"{run.path}: {run.status}{stage}{reason} (no report)"
    console.print(printable(line), markup=False, highlight=False, soft_wrap=True)


def show_weights_hash(name: str) -> None:
    """Prints a hash of the model's weights: equal weights have equal hashes."""
    import click

    click.echo(Run.load(name).weights_hash())


def resume_with_settings(
    experiment: type[Experiment[Any]], path: str, values: dict[str, str], console: Console
) -> None:
    """Resumes a run of an experiment: `lab run NAME resume=latest epochs=20`.

    Raises:
        UsageError: the run is of another experiment, or settings differ from the run's.
    """
    from lab.trainer.resuming import resume

    run = Run.load(experiment.name() if path == LATEST else path)
    if run.experiment != experiment.name():
        raise UsageError(f"resume={path}: expected a run of {experiment.name()}, got one of {run.experiment}")
    epochs = values.pop("epochs", None)
    configured, trainer = registry.configure(experiment, values)
    had = run.settings | run.trainer | {"preset": run.record.get("preset")}
    now = configured.settings.json_values() | trainer.json_values() | {"preset": configured.preset}
    other = [name for name in values if now[name] != had.get(name)]
    if other:
        given = ", ".join(f"{name}={show(now[name])} (it has {show(had.get(name))})" for name in other)
        raise UsageError(f"resume={path}: expected the run's settings, got {given}; only epochs may be raised")
    more: dict[str, Any] = {} if epochs is None else {"epochs": Trainer(epochs=epochs).epochs}  # type: ignore[arg-type]
    resume(run.path, **more, console=console)


def report_again(name: str, console: Console) -> None:
    """Prepares the data again and writes the report of a trained run."""
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
            _ = run.model  # raises before the data is prepared if there is none
            data = experiment.prepare()
            if trainer.fast_dev_run:
                data = data.map(lambda split: split.head(tokens_of(split, trainer.batch_size)))
            run.data = data
            report = make_report(experiment, trainer, run)
        cut = run.stopped == StopReason.SIGNAL  # a report does not complete a run that was interrupted
        run.set_status(Status.INTERRUPTED if cut else Status.COMPLETED, reason=run.stopped)
        print_report(report, console)
    finally:
        run.unlock()
