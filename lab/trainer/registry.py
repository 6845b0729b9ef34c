"""Experiments by name: their classes, and instances made from flat sets of knobs."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from lab.errors import RunError, SettingsError, UsageError, nearest
from lab.experiment import Experiment
from lab.runs.run import Run
from lab.settings import show, unknown
from lab.trainer.discovery import PACKAGE, folder, names
from lab.trainer.trainer import Trainer


def load(name: str) -> type[Experiment[Any]]:
    """Returns the experiment class of a file in the experiments folder.

    Raises:
        UsageError: there is no such file, or not exactly one experiment in it.
    """
    known = names()
    if name not in known:
        raise UsageError(f"{name}: no such experiment{nearest(name, known) or '; there are ' + ', '.join(known)}")
    module = importlib.import_module(f"{PACKAGE}.{name}")
    found = [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, Experiment)
        and value.__module__ == module.__name__
        and not inspect.isabstract(value)
    ]
    named = [value for value in found if value.name() == name]
    if len(named or found) != 1:
        raise UsageError(f"{PACKAGE}/{name}.py: expected one subclass of lab.Experiment, found {len(found)}")
    return (named or found)[0]


def configure(experiment: type[Experiment[Any]], values: Mapping[str, Any]) -> tuple[Experiment[Any], Trainer]:
    """Makes an experiment and its trainer from one flat set of knobs, as a command line has them.

    Raises:
        SettingsError: every fault of both, together.
    """
    own = {name: value for name, value in values.items() if name in experiment.Settings.model_fields}
    training = {name: value for name, value in values.items() if name in Trainer.model_fields and name not in own}
    preset = values.get("preset")
    known = [*experiment.Settings.model_fields, *Trainer.model_fields, "preset"]
    faults = [unknown(name, known) for name in values if name not in known]
    made: Experiment[Any] | None = None
    trainer: Trainer | None = None
    try:
        made = experiment(preset=preset or None, **own)
    except SettingsError as error:
        faults += error.faults
    try:
        trainer = Trainer(**training)
    except SettingsError as error:
        faults += [_with_own_default(experiment, fault) for fault in error.faults]
    if faults or made is None or trainer is None:
        raise SettingsError(faults)
    clash = sorted(experiment.Settings.model_fields.keys() & Trainer.model_fields.keys())
    if clash:
        raise UsageError(f"{experiment.__name__}.Settings: {', '.join(clash)}: the trainer has settings of that name")
    trainer.resolve(made)  # the experiment's own values for the trainer are checked before anything is spent
    return made, trainer


def _with_own_default(experiment: type[Experiment[Any]], fault: str) -> str:
    """Names the experiment's value for the trainer where it has one, not the trainer's own default."""
    said, default, _ = fault.partition("; the default is ")
    name = said.partition("=")[0]
    return f"{said}{default}{show(experiment.trainer[name])}" if default and name in experiment.trainer else fault


def experiment_of(run: Run) -> Experiment[Any]:
    """Makes the experiment of a run again, with its settings.

    Raises:
        RunError: its class cannot be found, or no longer takes those settings.
    """
    record = run.record
    module, _, name = str(record.get("class", "")).partition(":")
    try:
        folder()  # puts the experiments here on the path
        found = getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:  # a module may raise anything when it is imported
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise RunError(f"{run.path}: expected its experiment at {module}:{name}, {reason}") from error
    if not (inspect.isclass(found) and issubclass(found, Experiment) and not inspect.isabstract(found)):
        raise RunError(f"{run.path}: expected its experiment at {module}:{name}, that is none")  # and is not called
    try:
        made: Experiment[Any] = found(**run.settings)
    except SettingsError as error:
        raise RunError(f"{run.path}: its settings no longer fit {name}: {error}") from None
    made.preset = record.get("preset")
    return made


def trainer_of(run: Run) -> Trainer:
    """Makes the trainer of a run again, with its settings.

    Raises:
        RunError: the trainer no longer takes those settings.
    """
    try:
        return Trainer(**run.trainer)
    except SettingsError as error:
        raise RunError(f"{run.path}: its settings no longer fit the trainer: {error}") from None
