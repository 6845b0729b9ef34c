"""Companions: other trained models that a run's report compares its own with."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from lab._utils.files import read_json, write_json
from lab.errors import LabError, OriginError, StopRequested
from lab.experiment import Experiment
from lab.runs.run import Run, runs_folder
from lab.runs.status import Status, StopReason
from lab.trainer.trainer import Trainer

log = logging.getLogger("lab")

FOLDER = "companions"
_CUT = ("fast_dev_run", "limit_batches", "overfit_batches", "max_steps", "max_time")  # must be as they are here


def companion(
    run: Run, name: str, experiment: Experiment[Any], *, train: bool = True, ignore: Collection[str] = ()
) -> Run | None:
    """Returns a finished run of an experiment, trained for at least as many epochs as `run`, to compare it with.

    The latest run that matches is taken: of the same class, with the same settings, whole, and
    trained to its end. Where there is none, the experiment is trained now with the trainer's
    settings of `run`, in `RUN/companions/NAME`. The choice is written down in `companions.json`: a
    report that is made again compares with the same model.

    Args:
        run: the run whose report asks.
        name: what the companion is to it, a folder's name.
        experiment: what the companion is a run of.
        train: whether to train where nothing matches; otherwise that gives None.
        ignore: names of settings in which a match may differ.

    Raises:
        LabError: the training failed.
        StopRequested: it was interrupted; `lab report RUN` goes on.
    """
    trainer = Trainer(**{**run.trainer, "run_dir": None})
    found = next((one for one in _candidates(run, name) if _matches(one, experiment, trainer, ignore)), None)
    if found is None and train:
        found = _trained(run, name, experiment, trainer)
    if found is not None:
        log.info("compared with %s: %s", name.replace("_", " "), found.path)
        _write_choice(run, name, found)
    return found


def _candidates(run: Run, name: str) -> Iterator[Run]:
    """Completed runs: the one chosen before, the one trained beside the run, then all others, the latest first."""
    with contextlib.suppress(LabError, KeyError, TypeError):
        yield from _completed(run.path / Path(read_json(run.path / "companions.json")[name]))
    yield from _completed(run.path / FOLDER / name)
    runs = ("*/*", "*/sweep-*/*/*")  # a sweep has a folder for each value, with one for each attempt
    places = (*runs, *(f"{place}/{FOLDER}/*" for place in runs))
    found = {path.parent.resolve() for place in places for path in runs_folder().glob(f"{place}/settings.json")}
    for path in sorted(found, key=_started, reverse=True):
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
    path, said = run.path / FOLDER / name, name.replace("_", " ")
    trainer = Trainer(**{**trainer.given(), "run_dir": path})
    try:
        left = gone_on(experiment, trainer, path, report=False)
        if left is not None:
            return left
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path)
        log.info("no earlier run matches: training %s to compare with", said)
        return trainer.run(experiment, report=False)
    except StopRequested:
        raise StopRequested(
            f"interrupted in training {said} to compare with; "
            f"the run's own model is kept, lab report {run.path} goes on"
        ) from None


def gone_on(
    experiment: Experiment[Any], trainer: Trainer, path: Path, *, report: bool, console: Console | None = None
) -> Run | None:
    """Goes on with what a training that was cut off has left in a folder.

    Args:
        experiment, trainer: what that training must have been of; the trainer has its `run_dir`.
        path: the folder.
        report: whether the report is made, too.
        console: where progress and report go.

    Returns:
        The run; None where there is nothing to go on with: no run, or one of other settings, data or versions.

    Raises:
        LabError, KeyboardInterrupt: as `Trainer.run`.
    """
    from lab.checkpoints.fingerprint import FREE

    left, kind = Run(path), type(experiment)
    if path.is_dir():  # whatever is there, it is left alone where another process works on it
        left.lock()
        left.unlock()
    try:
        same = left.record.get("class") == kind.import_path()
        same = same and left.settings == experiment.settings.json_values()
        now, then = trainer.resolve(experiment).json_values(), left.trainer
        same = same and all(then.get(name) == value for name, value in now.items() if name not in FREE)
        more = now["epochs"] > int(then["epochs"])
    except (LabError, KeyError, TypeError, ValueError):  # there is none, or one that is damaged
        return None
    if not same:
        return None
    try:
        return trainer.resume(experiment, left, more=more, report=report, console=console)
    except OriginError as error:
        log.info("%s: beginning anew: %s", path, " ".join(str(error).split()))
        return None


def _matches(candidate: Run, experiment: Experiment[Any], trainer: Trainer, ignore: Collection[str]) -> bool:
    try:
        record = candidate.record
        settings, other = type(experiment.settings)(**record["settings"]), Trainer(**record["trainer"])
    except (LabError, KeyError):  # of another version, or damaged
        return False
    kind = type(experiment)
    return (
        record.get("class") == kind.import_path()
        and all(
            getattr(settings, field) == getattr(experiment.settings, field)
            for field in type(settings).model_fields
            if field not in ignore
        )
        and all(getattr(other, field) == getattr(trainer, field) for field in _CUT)
        and other.epochs >= trainer.epochs
        and (candidate.path / "model.keras").is_file()
        and candidate.stopped not in ("", StopReason.SIGNAL, StopReason.NOT_FINITE)
    )


def _write_choice(run: Run, name: str, found: Run) -> None:
    choices: dict[str, str] = {}
    with contextlib.suppress(LabError):
        choices = dict(read_json(run.path / "companions.json"))
    choices[name] = os.path.relpath(found.path.resolve(), run.path.resolve())
    write_json(run.path / "companions.json", choices)
