"""lab: an object-oriented trainer on Keras 3.

A `Trainer` takes an `Experiment` through prepare, build, fit and report, and leaves a `Run`. Names load when they
are first used: `import lab` loads neither Keras nor TensorFlow nor matplotlib. When Keras loads, the lab's layers are
registered with it, so that `keras.models.load_model` opens every model that a run saved.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from lab._utils import project
from lab._utils.lazy import Deferred, defer

if TYPE_CHECKING:
    from lab import layers, testing
    from lab.callbacks.base import Callback
    from lab.checkpoints.checkpoint import Checkpoint
    from lab.cli.script import main
    from lab.data import Batches, Data, Provenance, Split
    from lab.engine import backend
    from lab.errors import DataError, LabError, ModelError, RunError, SettingsError, UsageError
    from lab.experiment import Experiment
    from lab.report import Report, plots
    from lab.runs.run import Run
    from lab.runs.status import Status
    from lab.settings import NonNegativeFloat, PositiveInt, Range, Seconds, Settings, field
    from lab.trainer.reference import reference_run
    from lab.trainer.resuming import resume
    from lab.trainer.trainer import Trainer

__version__ = "0.2.0.dev0"

_MODULES = {
    "lab.callbacks.base": ("Callback",),
    "lab.checkpoints.checkpoint": ("Checkpoint",),
    "lab.cli.script": ("main",),
    "lab.trainer.reference": ("reference_run",),
    "lab.data": ("Batches", "Data", "Provenance", "Split"),
    "lab.errors": ("DataError", "LabError", "ModelError", "RunError", "SettingsError", "UsageError"),
    "lab.experiment": ("Experiment",),
    "lab.report": ("Report",),
    "lab.trainer.resuming": ("resume",),
    "lab.runs.run": ("Run",),
    "lab.settings": ("NonNegativeFloat", "PositiveInt", "Range", "Seconds", "Settings", "field"),
    "lab.runs.status": ("Status",),
    "lab.trainer.trainer": ("Trainer",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}
_SUBMODULES = {
    "backend": "lab.engine.backend",
    "plots": "lab.report.plots",
    "testing": "lab.testing",
}

__all__ = [
    "Batches",
    "Callback",
    "Checkpoint",
    "Data",
    "DataError",
    "Experiment",
    "LabError",
    "ModelError",
    "NonNegativeFloat",
    "PositiveInt",
    "Provenance",
    "Range",
    "Report",
    "Run",
    "RunError",
    "Seconds",
    "Settings",
    "SettingsError",
    "Split",
    "Status",
    "Trainer",
    "UsageError",
    "backend",
    "field",
    "layers",
    "main",
    "plots",
    "reference_run",
    "resume",
    "testing",
]


def _register_layers() -> None:
    import lab.layers  # noqa: F401


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # hides TensorFlow's start-up messages, not its errors
defer("keras", _register_layers)
project.add_script_to_path()


def __getattr__(name: str) -> Any:
    if name == "layers":
        return Deferred("lab.layers", after="keras")  # `from lab import layers` does not load Keras, a layer does
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    if name in _SUBMODULES:
        return importlib.import_module(_SUBMODULES[name])
    raise AttributeError(f"module 'lab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
