"""Resuming a run by its directory."""

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
    """Resumes a run that was interrupted or killed; it ends as if it had not been.

    Args:
        path: the run's directory, or an experiment's name for its latest run.
        epochs: train until this epoch; extends a completed run.
        force: accept a checkpoint of other settings, data or versions.
        callbacks: new instances of those that `Trainer.run` was given; the experiment creates its own.
        console: where progress and report are printed; by default the terminal.

    Raises:
        RunError: there is no such run, it is completed, its experiment is not in the experiments folder, or another
            process works on it.
        SettingsError: `epochs` is less than the run's.
        LabError, KeyboardInterrupt: as in `Trainer.run`.
    """
    run = Run.load(path)
    trainer = trainer_of(run)
    had = trainer.epochs
    if epochs is not None and epochs < had:
        raise SettingsError([f"epochs={epochs}: expected {had} or more, the run's epochs"])
    more = epochs is not None and epochs > had
    if not more and run.is_complete:
        raise RunError(f"{run.path}: the run is completed; --epochs {2 * had} trains it further")
    if more:
        trainer = Trainer(**{**run.trainer, "epochs": epochs})
    return trainer.resume(experiment_of(run), run, more=more, force=force, callbacks=callbacks, console=console)
