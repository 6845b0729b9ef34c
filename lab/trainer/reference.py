"""Reference runs: other trained models that a run's report compares its own model with."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from lab.errors import LabError, OriginError, StopRequested
from lab.experiment import Experiment
from lab.runs.folders import runs_folder
from lab.runs.run import Run
from lab.runs.status import Status, StopReason
from lab.settings import show
from lab.trainer.trainer import Trainer

log = logging.getLogger("lab")

FOLDER = "references"
_SHORTENED = ("fast_dev_run", "limit_batches", "overfit_batches", "max_steps", "max_time")  # must be equal


def reference_run(
    run: Run, name: str, experiment: Experiment[Any], *, train: bool = True, ignore: Collection[str] = ()
) -> Run | None:
    """Returns a finished run of an experiment, trained for at least as many epochs as `run`, to compare it with.

    The latest run that matches is taken: of the same class, with the same settings, and trained to its end.
    If there is none, the experiment is trained now, with the trainer's settings of `run`, in
    `RUN/references/NAME`. `references.json` records the choice, so that a report that is written again
    compares with the same model, and the differences in training, which the report lists.

    Args:
        run: the run whose report compares.
        name: the reference's role in the comparison; also the name of its folder.
        experiment: the experiment, with its settings, that the reference is a run of.
        train: whether to train a reference if no run matches; otherwise the result is None.
        ignore: names of settings in which a match may differ.

    Raises:
        LabError: the training failed.
        StopRequested: it was interrupted; `lab report RUN` continues.
    """
    trainer = Trainer(**{**run.trainer, "run_dir": None})
    candidates = _candidates(run, name)
    match = next((candidate for candidate in candidates if _matches(candidate, experiment, trainer, ignore)), None)
    if match is None and train:
        match = _trained(run, name, experiment, trainer)
    if match is not None:
        differences = _differences(match, run, experiment)
        but = f"; it differs in {', '.join(differences)}" if differences else ""
        log.info("compared with %s: %s%s", name.replace("_", " "), match.path, but)
        path = os.path.relpath(match.path.resolve(), run.path.resolve())
        run.write_reference(name, path, differences)
    return match


def _candidates(run: Run, name: str) -> Iterator[Run]:
    """Completed runs: the earlier choice, the one trained in this run's folder, then all others, the latest first."""
    chosen = run.references.get(name)
    if chosen is not None:
        yield from _completed(run.path / chosen.path)
    yield from _completed(run.path / FOLDER / name)
    runs = ("*/*", "*/sweep-*/*/*")  # a sweep has a folder for each value, with one for each attempt
    places = (*runs, *(f"{place}/{FOLDER}/*" for place in runs))
    paths = {path.parent.resolve() for place in places for path in runs_folder().glob(f"{place}/settings.json")}
    for path in sorted(paths, key=_started, reverse=True):
        yield from _completed(path)


def _completed(path: Path) -> Iterator[Run]:
    run = Run(path.resolve())
    if run.status is Status.COMPLETED:
        yield run


def _started(path: Path) -> float:
    with contextlib.suppress(OSError):
        return (path / "settings.json").stat().st_mtime
    return 0.0


def _trained(run: Run, name: str, experiment: Experiment[Any], trainer: Trainer) -> Run:
    path, words = run.path / FOLDER / name, name.replace("_", " ")
    trainer = Trainer(**{**trainer.given(), "run_dir": path})
    try:
        resumed = resume_existing(experiment, trainer, path, report=False)
        if resumed is not None:
            return resumed
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path)
        log.info("no earlier run matches: training %s to compare with", words)
        return trainer.run(experiment, report=False)
    except StopRequested:
        raise StopRequested(
            f"interrupted while training {words} to compare with; "
            f"the run's own model is kept, lab report {run.path} continues"
        ) from None


def resume_existing(
    experiment: Experiment[Any], trainer: Trainer, path: Path, *, report: bool, console: Console | None = None
) -> Run | None:
    """Resumes the training that an interrupted process left in a folder, if it is the same training.

    Args:
        experiment, trainer: what the training must be of; the trainer has its `run_dir`.
        path: the folder.
        report: whether the report is written, too.
        console: where progress and report are shown.

    Returns:
        The run; None if the folder holds no run, or one of other settings, data or versions.

    Raises:
        LabError, KeyboardInterrupt: as `Trainer.run`.
    """
    from lab.checkpoints.fingerprint import FREE

    run = Run(path)
    if path.is_dir():  # raises if another process works on it
        run.lock()
        run.unlock()
    try:
        same = run.record.get("class") == type(experiment).import_path()
        same = same and run.settings == experiment.settings.json_values()
        now, then = trainer.resolve(experiment).json_values(), run.trainer
        same = same and all(then.get(name) == value for name, value in now.items() if name not in FREE)
        more = now["epochs"] > int(then["epochs"])
    except (LabError, KeyError, TypeError, ValueError):  # there is no run, or a damaged one
        return None
    if not same:
        return None
    try:
        return trainer.resume(experiment, run, more=more, report=report, console=console)
    except OriginError as error:
        log.info("%s: training restarts: %s", path, " ".join(str(error).split()))
        return None


def _matches(candidate: Run, experiment: Experiment[Any], trainer: Trainer, ignore: Collection[str]) -> bool:
    try:
        record = candidate.record
        settings, other = type(experiment.settings)(**record["settings"]), Trainer(**record["trainer"])
    except (LabError, KeyError):  # of another version, or damaged
        return False
    return (
        record.get("class") == type(experiment).import_path()
        and all(
            getattr(settings, field) == getattr(experiment.settings, field)
            for field in type(settings).model_fields
            if field not in ignore
        )
        and all(getattr(other, field) == getattr(trainer, field) for field in _SHORTENED)
        and other.epochs >= trainer.epochs
        and (candidate.path / "model.keras").is_file()
        and candidate.stopped not in ("", StopReason.SIGNAL, StopReason.NOT_FINITE)
    )


def _differences(reference: Run, run: Run, experiment: Experiment[Any]) -> list[str]:
    """Names the settings, the trainer's settings and the versions in which a reference run differs."""
    pairs: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = [
        (reference.settings, experiment.settings.json_values()),
        ({**reference.trainer, "run_dir": None}, {**run.trainer, "run_dir": None}),
        (_versions(reference), _versions(run)),
    ]
    return [
        f"{name}={show(theirs[name])} (here {show(ours[name])})"
        for theirs, ours in pairs
        for name in ours
        if name in theirs and theirs[name] != ours[name]
    ]


def _versions(run: Run) -> dict[str, Any]:
    try:
        environment = run.environment
        return {"backend": environment["backend"], **environment["packages"]}
    except (LabError, KeyError, TypeError):
        return {}
