"""Sweeps: one run for each value of a knob, and one report over all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from lab._utils.files import sha256, write_json
from lab._utils.logs import log_to
from lab.engine import backend
from lab.errors import SettingsError, UsageError
from lab.experiment import Experiment
from lab.report import Report, plots
from lab.report.terminal import plain, show_report
from lab.runs.run import Run, folder_of
from lab.runs.status import Status
from lab.settings import show
from lab.trainer.reference import gone_on
from lab.trainer.registry import configure
from lab.trainer.trainer import Trainer


def split_values(text: str) -> list[str]:
    """Reads the values of an axis: `2,4,8`, or `512,256;64` where a value is itself a list."""
    return [part.strip() for part in text.split(";" if ";" in text else ",") if part.strip()]


def choose_axis(experiment: type[Experiment[Any]], values: Mapping[str, str]) -> tuple[str, list[Any]]:
    """Finds the one knob that has several values; without one, the experiment's own axis.

    Raises:
        UsageError: there are several such knobs, or none and the experiment names none.
    """
    many = {}
    for name, value in values.items():
        field = experiment.Settings.model_fields.get(name) or Trainer.model_fields.get(name)
        is_list = field is not None and "tuple" in str(field.annotation)
        if ";" in value or ("," in value and not is_list):
            many[name] = split_values(value)
    if len(many) > 1:
        raise UsageError(f"sweep: expected one setting with several values, got {', '.join(many)}")
    if many:
        name, points = next(iter(many.items()))
        if not points:
            raise UsageError(f"sweep: expected several values, got {name}={values[name]}")
        return name, points
    if experiment.sweep is None or experiment.sweep[0] in values:
        raise UsageError("sweep: expected a setting with several values, such as --latent-dim 8,16,32")
    return experiment.sweep[0], list(experiment.sweep[1])


class Sweep:
    """One axis of one experiment.

    Its folder is named by the axis and a hash of the other settings, so the same sweep, typed again,
    finds the runs that it has finished and goes on with the rest.

    Args:
        experiment: the class.
        knob: the setting to vary.
        values: its values, each as text or as the setting's type.
        fixed: the other settings.

    Raises:
        SettingsError: a value is wrong; all are checked before the first run.
    """

    def __init__(
        self, experiment: type[Experiment[Any]], knob: str, values: Sequence[Any], fixed: Mapping[str, Any]
    ) -> None:
        if "run_dir" in fixed or knob == "run_dir":
            raise SettingsError(["run_dir: a sweep makes its own folders; set LAB_RUNS to move them all"])
        self.experiment = experiment
        self.knob = knob
        self.points: dict[Any, dict[str, Any]] = {}
        self._shared: dict[str, Any] = {}
        for value in values:
            knobs = {**fixed, knob: value}
            made, trainer = configure(experiment, knobs)
            full = {**made.settings.json_values(), **trainer.resolve(made).json_values()}
            key = full.get(knob, value)
            self.points[tuple(key) if isinstance(key, list) else key] = knobs
            self._shared = {name: setting for name, setting in full.items() if name != knob}

    @property
    def folder(self) -> Path:
        digest = sha256(json.dumps(self._shared, sort_keys=True).encode())[:8]
        return folder_of(self.experiment.name()) / f"sweep-{self.knob}-{digest}"

    def run(self, console: Console) -> Report:
        """Trains what is not finished yet and writes the report."""
        backend.select(self._first_trainer().backend)
        runs: dict[Any, Run] = {}
        for place, (value, knobs) in enumerate(self.points.items(), 1):
            label = f"{self.knob}={show(value)}".replace("/", "_")  # a folder's name, also for paths
            done = self._finished(label)
            said = f"{label} ({place} of {len(self.points)})" + (", done before" if done else "")
            console.rule(Text(plain(said)))  # a value may look like markup
            runs[value] = done or self._train(label, knobs, console)
        return self._report(self._with_earlier(runs), console)

    def _with_earlier(self, runs: dict[Any, Run]) -> dict[Any, Run]:
        """Adds the points that the same sweep finished before with other values, in order where they have one."""
        for path in self.folder.glob(f"{self.knob}=*"):
            done = self._finished(path.name)
            if done is not None:
                value = {**done.trainer, **done.settings}.get(self.knob)
                runs.setdefault(tuple(value) if isinstance(value, list) else value, done)
        try:
            return dict(sorted(runs.items()))
        except TypeError:
            return runs

    def _finished(self, label: str) -> Run | None:
        """The newest completed run of a point, if there is one."""
        for path in sorted(self.folder.glob(f"{label}/*/settings.json"), reverse=True):
            run = Run(path.parent)
            if run.status is Status.COMPLETED:
                return run
        return None

    def _train(self, label: str, knobs: Mapping[str, Any], console: Console) -> Run:
        taken = len(list((self.folder / label).glob("*")))
        made, trainer, path = self._attempt(label, knobs, max(taken, 1))
        run = gone_on(made, trainer, path, report=True, console=console)
        if run is None:
            made, trainer, _ = self._attempt(label, knobs, taken + 1)
            run = trainer.run(made, console=console)
        return Run(run.path)  # without its model and data: one of them in memory at a time

    def _attempt(self, label: str, knobs: Mapping[str, Any], number: int) -> tuple[Experiment[Any], Trainer, Path]:
        path = self.folder / label / str(number)
        return *configure(self.experiment, {**knobs, "run_dir": str(path)}), path

    def _report(self, runs: Mapping[Any, Run], console: Console) -> Report:
        name = self.experiment.name().replace("_", " ")
        title = f"{name[:1].upper()}{name[1:]}: {self.knob} swept"
        report = Report(self.folder, title, f"{len(runs)} runs")
        names = self._common_metrics(runs)
        report.section("What came out")
        key = self.experiment.key_metric
        shown = [name for name in (key, *names) if name in names]
        shown = list(dict.fromkeys(shown))[:4]  # as many as a terminal shows whole
        rows = [(show(value), *(run.metrics[name] for name in shown)) for value, run in runs.items()]
        report.table((self.knob, *shown), rows)
        with plots.style(), log_to(console):
            numeric = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in runs)
            if numeric and key in names and len(runs) > 1:
                self._curve(runs, key, report)
            self._first().report_sweep(self.knob, runs, report)
        report.write({"experiment": self.experiment.name(), "knob": self.knob, "fixed": self._shared})
        write_json(self.folder / "runs.json", {show(value): str(run.path) for value, run in runs.items()})
        show_report(report, console)
        console.print(f"\n{plain(str(self.folder / 'report.html'))}", highlight=False, markup=False, soft_wrap=True)
        return report

    def _first_trainer(self) -> Trainer:
        made, trainer = configure(self.experiment, next(iter(self.points.values())))
        return trainer.resolve(made)

    def _first(self) -> Experiment[Any]:
        return configure(self.experiment, next(iter(self.points.values())))[0]

    def _common_metrics(self, runs: Mapping[Any, Run]) -> list[str]:
        first, *rest = [run.metrics for run in runs.values()]
        return [name for name in first if all(name in other for other in rest)]

    def _curve(self, runs: Mapping[Any, Run], key: str, report: Report) -> None:
        ordered = sorted(runs.items())
        xs, ys = [value for value, _ in ordered], [run.metrics[key] for _, run in ordered]
        better = min if self.experiment.key_metric_mode == "min" else max
        best = better(ordered, key=lambda pair: pair[1].metrics[key])
        report.metric(f"best_{key}", best[1].metrics[key], f"At {self.knob}={show(best[0])}.")
        figure = plots.curves({key: (xs, ys)}, x=self.knob, y=key, log_x=min(xs) > 0, markers=True)
        report.figure("sweep", figure, f"{key} against {self.knob}.")
        if min(xs) > 0 and len(xs) > 1:
            gains = [
                f"from {show(a)} to {show(b)}: {ya:.4g} to {yb:.4g} ({100 * (yb - ya) / ya:+.1f} %)"
                for a, b, ya, yb in zip(xs, xs[1:], ys, ys[1:], strict=False)
                if ya
            ]
            report.text(f"{key}, step by step: {'; '.join(gains)}.")
