"""The trainer: takes an experiment through prepare, build, fit and report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console

from lab._utils.logs import current_console, log_to
from lab.engine import backend as backends
from lab.errors import SettingsError
from lab.experiment import Experiment
from lab.runs.run import Run
from lab.settings import Seconds, field, show
from lab.trainer.optimizers import OptimizationSettings
from lab.trainer.stages import Again, Session

if TYPE_CHECKING:
    import keras


class Trainer(OptimizationSettings):
    """The engine and its knobs; `Trainer(epochs=5).run(experiment)` gives a `Run`.

    A knob that is not given takes the experiment's value (`Experiment.trainer`, or its preset's),
    else the default here.

    Raises:
        SettingsError: a knob is unknown or its value is wrong.
    """

    epochs: int = field(10, "Passes over the training data.", ge=1, le=1_000_000)
    batch_size: int = field(128, "Examples in a batch.", ge=1, le=1_000_000)
    seed: int = field(0, "Seed of weights, order and noise.", ge=0, lt=2**32)
    precision: Literal["float32", "bfloat16", "mixed_bfloat16", "mixed_float16", "float64"] = field(
        "float32", "Keras's dtype policy."
    )
    backend: Literal["tensorflow", "jax", "torch"] | None = field(None, "Keras's backend; none takes KERAS_BACKEND.")
    jit: bool | None = field(None, "Compile the step (XLA); none does so wherever the model allows it.")
    steps_per_execution: int | None = field(
        None,
        "Steps in one call of the backend; none takes 16 to 256, 1 where a callback hears each (or on JAX, unfused).",
        ge=1,
    )
    monitor: str = field("val_loss", "The metric that says which epoch is best.")
    monitor_mode: Literal["min", "max"] = field("min", "Whether the monitored metric should be low or high.")
    patience: int | None = field(None, "Stop after so many epochs that are no better.", ge=1)
    restore_best: bool = field(True, "End with the best epoch's weights, not the last's.")
    keep_best: int = field(1, "How many of the best checkpoints to keep.", ge=0)
    keep_last: int = field(1, "How many of the newest checkpoints to keep.", ge=1)
    max_time: Seconds | None = field(None, "Stop training after this time: 90s, 20m, 1h30m.", gt=0)
    max_steps: int | None = field(None, "Stop training after so many steps.", ge=1)
    limit_batches: int | float | None = field(None, "Batches an epoch at most; below 1, a share of them.", gt=0)
    overfit_batches: int | None = field(None, "Train and validate on the first so many batches only.", ge=1)
    fast_dev_run: bool = field(False, "One batch of everything, to see that every hook works.")
    deterministic: bool = field(False, "Deterministic kernels only, at some cost in speed.")
    checkpoint_every: Seconds = field(
        60.0, "Save inside an epoch, too, after so much time, or later where that would cost more than 2 %.", gt=0
    )
    tensorboard: bool = field(False, "Write TensorBoard logs into the run directory.")
    run_dir: Path | None = field(None, "The run's directory; none makes runs/<experiment>/<time>-<id>.")

    @property
    def by_the_clock(self) -> bool:
        """Whether the learning rate goes down with the time that is left, not with the steps alone."""
        return self.max_time is not None and self.learning_rate_schedule == "cosine"

    def resolve(self, experiment: Experiment[Any]) -> Trainer:
        """Returns the trainer with the experiment's values where none were given.

        Raises:
            SettingsError: the experiment's values are wrong.
        """
        values = {**experiment.trainer_values, **self.given()}
        if values.get("fast_dev_run"):
            values |= {"epochs": 1, "limit_batches": 1, "patience": None, "warmup_steps": 0}
        resolved = Trainer(**values)
        if resolved.learning_rate_schedule is None and (resolved.warmup_steps or resolved.final_learning_rate):
            raise SettingsError(
                [
                    f"warmup_steps={resolved.warmup_steps}, final_learning_rate={show(resolved.final_learning_rate)}: "
                    "expected a learning_rate_schedule with them, such as cosine"
                ]
            )
        return resolved

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
            LabError: anything that the user can mend. The run's status says `failed`, and why.
            KeyboardInterrupt: the run was interrupted; its status says so.
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
        """Goes on with a run that was interrupted, as if nothing had happened; see also `lab.resume`.

        Stages that were done are not done again, but for *prepare*.

        Args:
            experiment: the run's, with its settings.
            run: what to go on with.
            more: whether there are more epochs now than the run has ended with.
            force: go on from a checkpoint of other settings, data or versions, too.
            callbacks: those that `run` was given, anew, with what they had remembered.
            console, report: as in `run`.

        Raises:
            RunError: another process works on the run, or its checkpoint comes from something else.
            LabError, KeyboardInterrupt: as in `run`.
        """
        trainer = self.resolve(experiment)
        backends.select(trainer.backend, deterministic=trainer.deterministic)
        run.lock()
        return trainer._run(Session(trainer, experiment, run, callbacks, Again(more, force)), console, report)

    def _run(self, session: Session, console: Console | None, report: bool) -> Run:
        from lab.trainer.reporting import print_report

        session.console = console = console or current_console() or Console()
        with log_to(console), backends.configured(self.precision, self.seed):
            made = session.run_stages(report=report)
            if made is not None:
                print_report(made, console)  # after all is written: a reader that goes away changes nothing
        return session.run
