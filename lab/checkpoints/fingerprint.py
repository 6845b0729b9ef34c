"""What a training comes from: a checkpoint says it, and is not gone on from by another training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras

from lab.data import Data
from lab.experiment import Experiment
from lab.runs.environment import machine, versions
from lab.settings import show

if TYPE_CHECKING:
    from lab.trainer.trainer import Trainer

FREE = (  # knobs that change when training ends and what is kept, not what it does
    *("epochs", "max_time", "max_steps", "patience", "monitor", "monitor_mode", "restore_best"),
    *("keep_best", "keep_last", "checkpoint_every", "tensorboard", "run_dir"),
)
_MACHINE = "machine."  # begins the names of what decides how numbers are rounded; no knob has a dot


def origin_of(
    experiment: Experiment[Any], trainer: Trainer, data: Data, callbacks: Sequence[str] = ()
) -> dict[str, str]:
    """Returns what a training comes from: settings, data, versions and machine, each as text by its name.

    Args:
        experiment: whose settings.
        trainer: whose knobs, those that change what training does.
        data: whose fingerprint.
        callbacks: class names of those that the caller of `Trainer.run` gave: a run's settings cannot hold them.
    """
    origin = {"experiment": f"{type(experiment).__module__}:{type(experiment).__qualname__}"}
    origin |= {name: show(value) for name, value in experiment.settings.json_values().items()}
    origin |= {name: show(value) for name, value in trainer.json_values().items() if name not in FREE}
    installed = versions()
    backend = keras.backend.backend()
    origin |= {name: installed[name] for name in ("keras", backend, "numpy") if name in installed}
    if callbacks:
        origin["callbacks=[...]"] = ", ".join(sorted(callbacks))
    origin |= {"backend": backend, "data": data.fingerprint()}
    return origin | {_MACHINE + name: str(value) for name, value in machine().items()}


def changes(then: Mapping[str, str], now: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Returns what differs between two origins: what makes another training, and what only rounds otherwise.

    An origin of an earlier version does not say what machine it was: then nothing differs there.
    """
    names = [*now, *(name for name in then if name not in now)]
    changed = [name for name in names if then.get(name) != now.get(name)]
    training = [
        f"{name}: {then.get(name, 'none')[:40]} then, {now.get(name, 'none')[:40]} now"
        for name in changed
        if not name.startswith(_MACHINE)
    ]
    rounding = [
        f"{name.removeprefix(_MACHINE)}: {then[name] or 'none'} then, {now[name] or 'none'} now"
        for name in changed
        if name.startswith(_MACHINE) and name in then and name in now
    ]
    return training, rounding
