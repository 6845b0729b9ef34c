"""Experiments by name: their classes, and instances configured from one flat set of settings."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Mapping
from typing import Any

from lab._utils.project import PACKAGE, is_provided
from lab.errors import RunError, SettingsError, UsageError, nearest
from lab.experiment import Experiment, defined_in
from lab.runs.run import Run
from lab.settings import show, unknown
from lab.trainer.discovery import names
from lab.trainer.trainer import Trainer


def load(name: str) -> type[Experiment[Any]]:
    """Returns an experiment's class.

    Args:
        name: the name of a file in the experiments folder, or `file:Class` where it defines several.

    Raises:
        UsageError: there is no such file, no such class in it, or no class that the name identifies.
    """
    known = names()
    stem, _, wanted = name.partition(":")
    if stem not in {one.partition(":")[0] for one in known}:
        raise UsageError(f"{name}: no such experiment{nearest(name, known) or '; there are ' + ', '.join(known)}")
    classes = defined_in(importlib.import_module(f"{PACKAGE}.{stem}"))
    if not classes:
        raise UsageError(f"{PACKAGE}/{stem}.py: expected a subclass of lab.Experiment; there is none")
    if wanted:
        if wanted not in classes:
            hint = nearest(wanted, classes) or f"; it has {', '.join(classes)}"
            raise UsageError(f"{name}: {PACKAGE}/{stem}.py has no experiment {wanted}{hint}")
        return classes[wanted]
    for kind in classes.values():
        if kind.name() == name:
            return kind
    raise UsageError(f"{name}: expected one of its experiments, {', '.join(k.name() for k in classes.values())}")


def configure(experiment: type[Experiment[Any]], values: Mapping[str, Any]) -> tuple[Experiment[Any], Trainer]:
    """Creates an experiment and its trainer from one flat set of settings, as a command line has them.

    Raises:
        SettingsError: lists every fault of both.
    """
    own = {name: value for name, value in values.items() if name in experiment.Settings.model_fields}
    training = {name: value for name, value in values.items() if name in Trainer.model_fields and name not in own}
    preset = values.get("preset")
    known = [*experiment.Settings.model_fields, *Trainer.model_fields, "preset"]
    faults = [unknown(name, known) for name in values if name not in known]
    configured: Experiment[Any] | None = None
    trainer: Trainer | None = None
    try:
        configured = experiment(preset=preset or None, **own)
    except SettingsError as error:
        faults += error.faults
    try:
        trainer = Trainer(**training)
    except SettingsError as error:
        faults += [_with_own_default(experiment, fault) for fault in error.faults]
    if faults or configured is None or trainer is None:
        raise SettingsError(faults)
    clash = sorted(experiment.Settings.model_fields.keys() & Trainer.model_fields.keys())
    if clash:
        raise UsageError(f"{experiment.__name__}.Settings: {', '.join(clash)}: the trainer has settings of that name")
    trainer.resolve(configured)  # checks the experiment's own values for the trainer before any time is spent
    return configured, trainer


def _with_own_default(experiment: type[Experiment[Any]], fault: str) -> str:
    """Replaces the trainer's default in a message by the experiment's value for it, if it has one."""
    start, default, _ = fault.partition("; the default is ")
    name = start.partition("=")[0]
    return f"{start}{default}{show(experiment.trainer[name])}" if default and name in experiment.trainer else fault


def experiment_of(run: Run) -> Experiment[Any]:
    """Recreates the experiment of a run, with its settings.

    A run directory can come from anywhere, so that it must not choose what is imported: its class has
    to be in the experiments folder, or loaded in this process already.

    Raises:
        RunError: its class is in neither, or no longer takes those settings.
    """
    record = run.record
    module, _, name = str(record.get("class", "")).partition(":")
    expected = f"{run.path}: expected its experiment at {module}:{name}"
    try:
        provided = is_provided(module)
        if provided:
            importlib.import_module(module)
    except (Exception, SystemExit) as error:  # a module may raise anything when it is imported
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise RunError(f"{expected}, {reason}") from error
    kind = _attribute(sys.modules.get(module), name)
    if kind is None and provided:
        raise RunError(f"{expected}; that file no longer defines it")
    if kind is None or (module == "__main__" and (not _is_experiment(kind) or kind.name() != run.experiment)):
        raise RunError(
            f"{expected}; only modules of the folder {PACKAGE!r} are imported: move it there, or call "
            "lab.resume in the script or notebook that defines it"
        )
    if not _is_experiment(kind):
        raise RunError(f"{expected}; that is not an experiment")
    try:
        configured: Experiment[Any] = kind(**run.settings)
    except SettingsError as error:
        raise RunError(f"{run.path}: its settings no longer fit {name}: {error}") from None
    configured.preset = record.get("preset")
    return configured


def _attribute(module: Any, path: str) -> Any:
    """The value at a dotted path below a loaded module; None if there is none. No `__getattr__` is called."""
    value = module
    for name in path.split("."):
        value = getattr(value, "__dict__", {}).get(name)
    return value


def _is_experiment(kind: Any) -> bool:
    return inspect.isclass(kind) and issubclass(kind, Experiment) and not inspect.isabstract(kind)


def trainer_of(run: Run) -> Trainer:
    """Recreates the trainer of a run, with its settings.

    Raises:
        RunError: the trainer no longer takes those settings.
    """
    try:
        return Trainer(**run.trainer)
    except SettingsError as error:
        raise RunError(f"{run.path}: its settings no longer fit the trainer: {error}") from None
