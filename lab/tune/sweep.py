"""Sweeps: one run for each value of a setting, and one report over all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from lab._utils.files import sha256, write_json
from lab._utils.logs import busy, log_to
from lab.engine import backend
from lab.errors import SettingsError, UsageError
from lab.experiment import Experiment
from lab.report import Report, plots
from lab.report.terminal import plain
from lab.runs.folders import folder_of
from lab.runs.run import Run
from lab.runs.status import Status
from lab.settings import show
from lab.trainer.reference import resume_existing
from lab.trainer.registry import configure
from lab.trainer.reporting import print_report
from lab.trainer.trainer import Trainer


def split_values(text: str) -> list[str]:
    """Reads the values of an axis: `2,4,8`, or `512,256;64` where a value is itself a list."""
    return [part.strip() for part in text.split(";" if ";" in text else ",") if part.strip()]


def choose_axis(experiment: type[Experiment[Any]], values: Mapping[str, str]) -> tuple[str, list[Any]]:
    """Returns the one setting that has several values, and those; without one, the experiment's own axis.

    Raises:
        UsageError: several settings have several values, or none has and the experiment names no axis.
    """
    several = {}
    for name, value in values.items():
        field = experiment.Settings.model_fields.get(name) or Trainer.model_fields.get(name)
        is_list = field is not None and "tuple" in str(field.annotation)
        if ";" in value or ("," in value and not is_list):
            several[name] = split_values(value)
    if len(several) > 1:
        raise UsageError(f"sweep: expected one setting with several values, got {', '.join(several)}")
    if several:
        name, points = next(iter(several.items()))
        if not points:
            raise UsageError(f"sweep: expected several values, got {name}={values[name]}")
        return name, points
    if experiment.sweep is None or experiment.sweep[0] in values:
        raise UsageError("sweep: expected a setting with several values, such as --latent-dim 8,16,32")
    return experiment.sweep[0], list(experiment.sweep[1])


class Sweep:
    """One axis of one experiment.

    The name of its folder holds the axis and a hash of the other settings: the same command finds the
    runs that are finished and trains the rest.

    Args:
        experiment: the class.
        setting: the name of the setting to vary.
        values: its values, each as text or as the setting's type.
        fixed: the other settings.

    Raises:
        SettingsError: a value is wrong; all are checked before the first run.
    """

    def __init__(
        self, experiment: type[Experiment[Any]], setting: str, values: Sequence[Any], fixed: Mapping[str, Any]
    ) -> None:
        if "run_dir" in fixed or setting == "run_dir":
            raise SettingsError(["run_dir: expected none, a sweep makes its own folders; LAB_RUNS moves them all"])
        self.experiment = experiment
        self.setting = setting
        self.points: dict[Any, dict[str, Any]] = {}
        self._shared: dict[str, Any] = {}
        for value in values:
            given = {**fixed, setting: value}
            configured, trainer = configure(experiment, given)
            full = {**configured.settings.json_values(), **trainer.resolve(configured).json_values()}
            self.points[_key(full.get(setting, value))] = given
            self._shared = {name: shared for name, shared in full.items() if name != setting}

    @property
    def folder(self) -> Path:
        """The folder of the sweep's runs and of its report."""
        digest = sha256(json.dumps(self._shared, sort_keys=True).encode())[:8]
        return folder_of(self.experiment.name()) / f"sweep-{self.setting}-{digest}"

    def run(self, console: Console) -> Report:
        """Trains the points that are not finished, and writes the report."""
        backend.select(self._first_trainer().backend)
        runs: dict[Any, Run] = {}
        for place, (value, given) in enumerate(self.points.items(), 1):
            label = f"{self.setting}={show(value)}".replace("/", "_")  # a folder's name, also for paths
            finished = self._finished(label)
            heading = f"{label} ({place} of {len(self.points)})" + (", already completed" if finished else "")
            console.rule(Text(plain(heading)))  # a value may look like markup
            runs[value] = finished or self._train(label, given, console)
        return self._report(self._with_earlier(runs), console)

    def _with_earlier(self, runs: dict[Any, Run]) -> dict[Any, Run]:
        """Adds the points that the same sweep finished before with other values; sorted if they can be."""
        for path in self.folder.glob(f"{self.setting}=*"):
            finished = self._finished(path.name)
            if finished is not None:
                value = {**finished.trainer, **finished.settings}.get(self.setting)
                runs.setdefault(_key(value), finished)
        try:
            return dict(sorted(runs.items()))
        except TypeError:
            return runs

    def _finished(self, label: str) -> Run | None:
        """The newest completed run of a point, or None."""
        for path in sorted(self.folder.glob(f"{label}/*/settings.json"), reverse=True):
            run = Run(path.parent)
            if run.status is Status.COMPLETED:
                return run
        return None

    def _train(self, label: str, given: Mapping[str, Any], console: Console) -> Run:
        attempts = len(list((self.folder / label).glob("*")))
        experiment, trainer, path = self._attempt(label, given, max(attempts, 1))
        run = resume_existing(experiment, trainer, path, report=True, console=console)
        if run is None:
            experiment, trainer, _ = self._attempt(label, given, attempts + 1)
            run = trainer.run(experiment, console=console)
        return Run(run.path)  # without its model and data: one of them in memory at a time

    def _attempt(self, label: str, given: Mapping[str, Any], number: int) -> tuple[Experiment[Any], Trainer, Path]:
        path = self.folder / label / str(number)
        return *configure(self.experiment, {**given, "run_dir": str(path)}), path

    def _report(self, runs: Mapping[Any, Run], console: Console) -> Report:
        title = f"{self.experiment.name().replace('_', ' ').capitalize()}: sweep over {self.setting}"
        report = Report(self.folder, title, f"{len(runs)} runs")
        names = self._common_metrics(runs)
        key = self.experiment.key_metric
        with log_to(console), busy("writing the report"), plots.style():
            report.section("Results")
            columns = [name for name in dict.fromkeys((key, *names)) if name in names][:4]  # fit on a terminal
            rows = [(show(value), *(run.metrics[name] for name in columns)) for value, run in runs.items()]
            report.table((self.setting, *columns), rows)
            numeric = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in runs)
            if numeric and key in names and len(runs) > 1:
                self._curve(runs, key, report)
            self._first().report_sweep(self.setting, runs, report)
            report.write({"experiment": self.experiment.name(), "setting": self.setting, "fixed": self._shared})
        write_json(self.folder / "runs.json", {show(value): str(run.path) for value, run in runs.items()})
        print_report(report, console)
        return report

    def _first_trainer(self) -> Trainer:
        experiment, trainer = configure(self.experiment, next(iter(self.points.values())))
        return trainer.resolve(experiment)

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
        report.metric(f"best_{key}", best[1].metrics[key], f"At {self.setting}={show(best[0])}.")
        figure = plots.curves({key: (xs, ys)}, x=self.setting, y=key, log_x=min(xs) > 0, markers=True)
        report.figure("sweep", figure, f"{key} against {self.setting}.")
        if min(xs) > 0 and len(xs) > 1:
            gains = [
                f"from {show(a)} to {show(b)}: {ya:.4g} to {yb:.4g} ({100 * (yb - ya) / ya:+.1f} %)"
                for a, b, ya, yb in zip(xs, xs[1:], ys, ys[1:], strict=False)
                if ya
            ]
            report.text(f"{key}, step by step: {'; '.join(gains)}.")


def _key(value: Any) -> Any:
    """A value as a key: JSON's lists as tuples."""
    return tuple(value) if isinstance(value, list) else value
