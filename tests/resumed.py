"""Runs that are killed at a chosen place, resumed, and compared with an uninterrupted one."""

from __future__ import annotations

import contextlib
import io
import itertools
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import pytest
from rich.console import Console

import lab
from lab._utils.files import sha256
from lab.checkpoints.checkpoint import Checkpoint
from lab.checkpoints.manager import EPOCH, CheckpointManager
from lab.runs.run import Run
from lab.trainer.registry import experiment_of
from tests.toy import Toy


class Killed(BaseException):
    """The process ends here."""


class Noisy(Toy):
    """The toy with everything that has a state: dropout, Adam, a schedule, moving averages, metrics."""

    trainer = {
        **{**Toy.trainer, "epochs": 3, "checkpoint_every": 5, "patience": 2},
        **{"use_ema": True, "ema_momentum": 0.9, "learning_rate_schedule": "cosine", "warmup_steps": 4},
    }

    def build(self, data: lab.Data) -> keras.Model:
        self._at("build")
        layers = [keras.layers.Dense(6, "relu"), keras.layers.Dropout(0.3), keras.layers.Dense(1)]
        model = keras.Sequential([keras.Input((3,)), *layers])
        model.compile(keras.optimizers.Adam(self.settings.rate), "mse", metrics=["mae"])
        return model


def quiet() -> Console:
    return Console(file=io.StringIO(), width=300)


def tick(patch: pytest.MonkeyPatch) -> None:
    """Lets a second pass whenever checkpointing reads the clock, and ignores the cost of saving."""
    patch.setattr("lab.callbacks.checkpointing.time", types.SimpleNamespace(monotonic=itertools.count().__next__))
    patch.setattr("lab.callbacks.checkpointing.MOST_OF_THE_TIME", float("inf"))


class Dies(lab.Callback):
    """Raises where a hook is called for the n-th time."""

    def __init__(self, hook: str, times: int = 1) -> None:
        super().__init__()
        left = itertools.count(1)

        def dies(*args: Any, **rest: Any) -> None:
            if next(left) == times:
                raise Killed

        setattr(self, hook, dies)


@contextlib.contextmanager
def dying_after(patch: pytest.MonkeyPatch, owner: Any, name: str, times: int = 1) -> Iterator[None]:
    """Raises after the n-th successful call of a method."""
    left, method = itertools.count(1), getattr(owner, name)

    def dies(*args: Any, **rest: Any) -> Any:
        found = method(*args, **rest)
        if next(left) == times:
            raise Killed
        return found

    with patch.context() as inner:
        inner.setattr(owner, name, dies)
        yield


def train(path: Path, experiment: lab.Experiment[Any] | None = None, *callbacks: Any, **settings: Any) -> Run:
    trainer, made = lab.Trainer(run_dir=path, **settings), with_callbacks(experiment or Noisy(), callbacks)
    return trainer.run(made, console=quiet(), report=False)


def with_callbacks(experiment: lab.Experiment[Any], callbacks: Sequence[Any]) -> lab.Experiment[Any]:
    """Makes callbacks the experiment's own, which may differ when a run is resumed."""
    own = experiment.callbacks
    experiment.callbacks = lambda: [*own(), *callbacks]  # type: ignore[method-assign]
    return experiment


def go_on(path: Path, *callbacks: Any, report: bool = False, **options: Any) -> Run:
    """Resumes as `lab.resume` does, without a report unless asked."""
    run = Run.load(path)
    trainer, experiment = lab.Trainer(**run.trainer), with_callbacks(experiment_of(run), callbacks)
    return trainer.resume(experiment, run, console=quiet(), report=report, **options)


def killed(path: Path, experiment: lab.Experiment[Any] | None = None, *callbacks: Any, **settings: Any) -> None:
    with pytest.raises(Killed):
        train(path, experiment, *callbacks, **settings)


def last(run: Run) -> Checkpoint:
    """The newest checkpoint after a complete epoch."""
    folder = CheckpointManager(run.path / "checkpoints")
    return folder.load([entry for entry in folder.index if entry["kind"] == EPOCH][-1])


def facts(run: Run) -> dict[str, Any]:
    """All that must be the same, however often a run was killed; of its variables the hashes."""
    run = Run.load(run.path)
    index = CheckpointManager(run.path / "checkpoints").index
    newest = last(run)
    state: dict[str, Any] = {name: sha256(value.tobytes()) for name, value in newest.variables.items()}
    return {
        "weights": run.weights_hash(),
        "history": [{name: value for name, value in row.items() if name != "seconds"} for row in run.history],
        "rows": [{name: value for name, value in row.items() if name != "seconds"} for row in newest.history],
        "checkpoints": [entry for entry in index if entry["kind"] != "inside"],
        "ended": (run.stopped, run.status),
        "metrics": {name: value for name, value in run.metrics.items() if name != "training_seconds"},
        **state,
    }


def differences(one: dict[str, Any], other: dict[str, Any]) -> Sequence[str]:
    return [name for name in {**one, **other} if one.get(name) != other.get(name)]
