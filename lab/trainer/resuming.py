"""Going on with a run by its directory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from lab.errors import RunError, SettingsError
from lab.runs.run import Run
from lab.trainer.registry import experiment_of, trainer_of
from lab.trainer.trainer import Trainer

if TYPE_CHECKING:
    import keras


def resume(
    path: str | Path,
    *,
    epochs: int | None = None,
    force: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    console: Console | None = None,
) -> Run:
    """Goes on with a run that was interrupted, and ends as if it had not been; the same for one that was killed.

    Args:
        path: the run's directory, or an experiment's name (its latest run).
        epochs: train until so many are done, more than the run has; also one that was completed.
        force: go on from a checkpoint of other settings, data or versions, too.
        callbacks: those that were given to `Trainer.run`, anew; those of the experiment come by themselves.
        console: where progress and report go; the terminal unless given.

    Raises:
        RunError: there is no such run, it is completed, or another process works on it.
        SettingsError: `epochs` are fewer than it has.
        LabError, KeyboardInterrupt: as `Trainer.run`.
    """
    run = Run.load(path)
    trainer = trainer_of(run)
    had = trainer.epochs
    if epochs is not None and epochs < had:
        raise SettingsError([f"epochs={epochs}: expected {had} or more, as the run has"])
    more = epochs is not None and epochs > had
    if not more and run.is_complete:
        raise RunError(f"{run.path}: the run is completed; --epochs {2 * had} would train it further")
    if more:
        trainer = Trainer(**{**run.trainer, "epochs": epochs})
    return trainer.resume(experiment_of(run), run, more=more, force=force, callbacks=callbacks, console=console)
