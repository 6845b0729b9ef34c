"""The trainer: takes an experiment through prepare, build, fit and report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console

from lab._utils.logs import current_console, log_to
from lab.engine import backend as backends
from lab.errors import SettingsError
from lab.experiment import Experiment
from lab.runs.run import Run
from lab.trainer.config import TrainerSettings
from lab.trainer.stages import Resume, Session

if TYPE_CHECKING:
    import keras


class Trainer(TrainerSettings):
    """Runs experiments with its settings; `Trainer(epochs=5).run(experiment)` returns a `Run`.

    A setting that is not given takes the experiment's value (`Experiment.trainer`, or its preset's), else the
    default of `TrainerSettings`.

    Raises:
        SettingsError: a setting is unknown or its value is wrong.
    """

    def resolve(self, experiment: Experiment[Any]) -> Trainer:
        """Returns the trainer with the experiment's values where none were given.

        Raises:
            SettingsError: the experiment's values are wrong.
        """
        return self.with_defaults(experiment.trainer_values)

    def run(
        self,
        experiment: Experiment[Any],
        *,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        console: Console | None = None,
        report: bool = True,
    ) -> Run:
        """Runs an experiment's stages and returns the run directory that they left.

        Args:
            experiment: what to run.
            callbacks: more callbacks, after the experiment's own.
            console: where progress and report go; unless given, that of the run around this one, or the terminal.
            report: whether the report is made, too; `lab report RUN` makes it later.

        Raises:
            LabError: anything that the user can fix. The run's status is `failed`, with the reason.
            KeyboardInterrupt: the run was interrupted, as its status records.
        """
        if not isinstance(experiment, Experiment):
            raise SettingsError([f"experiment={experiment!r}: expected an instance of an Experiment"])
        trainer = self.resolve(experiment)
        backends.select(trainer.backend, deterministic=trainer.deterministic)
        run = Run.create(experiment.name(), trainer.run_dir)
        return trainer._run(Session(trainer, experiment, run, callbacks), console, report)

    def resume(
        self,
        experiment: Experiment[Any],
        run: Run,
        *,
        more: bool = False,
        force: bool = False,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        console: Console | None = None,
        report: bool = True,
    ) -> Run:
        """Resumes a run that was interrupted, as if nothing had happened; see also `lab.resume`.

        Stages that are complete are not repeated, except *prepare*.

        Args:
            experiment: the run's, with its settings.
            run: the run.
            more: whether there are more epochs now than the run has ended with.
            force: whether to resume from a checkpoint of other settings, data or versions, too.
            callbacks: new instances of those that `run` was given; they get their states back.
            console, report: as in `run`.

        Raises:
            RunError: another process works on the run, or its checkpoint belongs to another training.
            LabError, KeyboardInterrupt: as in `run`.
        """
        trainer = self.resolve(experiment)
        backends.select(trainer.backend, deterministic=trainer.deterministic)
        run.lock()
        return trainer._run(Session(trainer, experiment, run, callbacks, Resume(more, force)), console, report)

    def _run(self, session: Session, console: Console | None, report: bool) -> Run:
        from lab.trainer.reporting import print_report

        session.console = console = console or current_console() or Console()
        with log_to(console), backends.configured(self.precision, self.seed):
            made = session.run_stages(report=report)
            if made is not None:
                print_report(made, console)  # after all is written: a reader that goes away changes nothing
        return session.run
