"""What identifies a training: a checkpoint holds it, and only the same training resumes from that checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras

from lab.data import Data
from lab.runs.environment import machine, versions
from lab.settings import Settings, show

FREE = (  # the trainer's settings that change when training ends and what is kept, not what it does
    *("epochs", "max_time", "max_steps", "patience", "monitor", "monitor_mode", "restore_best"),
    *("keep_best", "keep_last", "checkpoint_every", "tensorboard", "run_dir"),
)
_MACHINE = "machine."  # begins the names of what decides how numbers are rounded; no setting has a dot


def fingerprint(
    experiment: str, settings: Settings, trainer: Settings, data: Data, callbacks: Sequence[str] = ()
) -> dict[str, str]:
    """Returns what identifies a training: settings, data, versions and machine, each as text by its name.

    Args:
        experiment: the experiment's class, as `module:name`.
        settings: the experiment's settings.
        trainer: the trainer's settings; those in `FREE` are left out.
        data: whose hash is taken.
        callbacks: class names of those that the caller of `Trainer.run` gave: a run's settings cannot hold them.
    """
    parts = {"experiment": experiment}
    parts |= {name: show(value) for name, value in settings.json_values().items()}
    parts |= {name: show(value) for name, value in trainer.json_values().items() if name not in FREE}
    installed, backend = versions(), keras.backend.backend()
    parts |= {name: installed[name] for name in ("keras", backend, "numpy") if name in installed}
    if callbacks:
        parts["callbacks=[...]"] = ", ".join(sorted(callbacks))
    parts |= {"backend": backend, "data": data.fingerprint()}
    return parts | {_MACHINE + name: str(value) for name, value in machine().items()}


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Returns the differences between two fingerprints: those of another training, and those of rounding only.

    A fingerprint of an earlier version does not name its machine: then there is no difference in rounding.
    """
    names = [*now, *(name for name in before if name not in now)]
    changed = [name for name in names if before.get(name) != now.get(name)]
    training = [
        f"{name}: {before.get(name, 'none')[:40]} then, {now.get(name, 'none')[:40]} now"
        for name in changed
        if not name.startswith(_MACHINE)
    ]
    rounding = [
        f"{name.removeprefix(_MACHINE)}: {before[name] or 'none'} then, {now[name] or 'none'} now"
        for name in changed
        if name.startswith(_MACHINE) and name in before and name in now
    ]
    return training, rounding
