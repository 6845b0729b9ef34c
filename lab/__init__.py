"""lab: an object-oriented trainer on Keras 3.

A `Trainer` takes an `Experiment` through prepare, build, fit and report, and leaves a `Run`. Names
load when they are first used: `import lab` costs neither Keras nor TensorFlow nor matplotlib.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from lab._lazy import defer

if TYPE_CHECKING:
    from lab import backend, layers, plots, testing
    from lab.callbacks import Callback
    from lab.checkpoint import Checkpoint
    from lab.companions import companion
    from lab.data import Batches, Data, Provenance, Split
    from lab.errors import DataError, LabError, ModelError, RunError, SettingsError, UsageError
    from lab.experiment import Experiment
    from lab.report import Report
    from lab.resuming import resume
    from lab.run import Run
    from lab.settings import NonNegativeFloat, PositiveInt, Range, Seconds, Settings, field
    from lab.status import Status
    from lab.trainer import Trainer

__version__ = "0.1.0"

_MODULES = {
    "lab.callbacks": ("Callback",),
    "lab.checkpoint": ("Checkpoint",),
    "lab.companions": ("companion",),
    "lab.data": ("Batches", "Data", "Provenance", "Split"),
    "lab.errors": ("DataError", "LabError", "ModelError", "RunError", "SettingsError", "UsageError"),
    "lab.experiment": ("Experiment",),
    "lab.report": ("Report",),
    "lab.resuming": ("resume",),
    "lab.run": ("Run",),
    "lab.settings": ("NonNegativeFloat", "PositiveInt", "Range", "Seconds", "Settings", "field"),
    "lab.status": ("Status",),
    "lab.trainer": ("Trainer",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}
_SUBMODULES = ("backend", "layers", "plots", "testing")

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
    "companion",
    "field",
    "layers",
    "plots",
    "resume",
    "testing",
]

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's start-up chatter, not its errors
defer("keras")


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    if name in _SUBMODULES:
        return importlib.import_module(f"lab.{name}")
    raise AttributeError(f"module 'lab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
