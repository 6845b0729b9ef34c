"""The trainer: takes an experiment through prepare, build, fit and report."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console

from lab import backend as backends
from lab.errors import LabError, SettingsError
from lab.experiment import Experiment
from lab.files import read_json, write_json
from lab.logs import current_console, log_to
from lab.optimization import OptimizationSettings, configure
from lab.run import Run
from lab.settings import Seconds, field, show
from lab.status import Status, StopReason

if TYPE_CHECKING:
    import keras

    from lab.data import Data
    from lab.report import Report


log = logging.getLogger("lab")


class Trainer(OptimizationSettings):
    """The engine and its knobs; `Trainer(epochs=5).run(experiment)` gives a `Run`.

    A knob that is not given takes the experiment's value (`Experiment.trainer`, or its preset's),
    else the default here.

    Raises:
        SettingsError: a knob is unknown or its value is wrong.
    """

    epochs: int = field(10, "Passes over the training data.", ge=1)
    batch_size: int = field(128, "Examples in a batch.", ge=1)
    seed: int = field(0, "Seed of weights, order and noise.", ge=0, lt=2**32)
    precision: Literal["float32", "bfloat16", "mixed_bfloat16", "mixed_float16", "float64"] = field(
        "float32", "Keras's dtype policy."
    )
    backend: Literal["tensorflow", "jax", "torch"] | None = field(None, "Keras's backend; none takes KERAS_BACKEND.")
    jit: bool | None = field(None, "Compile the step (XLA); none does so wherever the model allows it.")
    steps_per_execution: int | None = field(
        None,
        "Steps in one call of the backend; none takes 16 on TensorFlow, 1 where a callback hears every batch.",
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
        return trainer._run(_Session(trainer, experiment, run, callbacks), console, report)

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
            callbacks, console, report: as in `run`.

        Raises:
            RunError: another process works on the run, or its checkpoint comes from something else.
            LabError, KeyboardInterrupt: as in `run`.
        """
        trainer = self.resolve(experiment)
        backends.select(trainer.backend, deterministic=trainer.deterministic)
        run.lock()
        return trainer._run(_Session(trainer, experiment, run, callbacks, _Again(more, force)), console, report)

    def _run(self, session: _Session, console: Console | None, report: bool) -> Run:
        from lab.reporting import show_made

        session.console = console = console or current_console() or Console()
        with log_to(console), backends.configured(self.precision, self.seed):
            made = session.run_stages(report=report)
            if made is not None:
                show_made(made, console)  # after all is written: a reader that goes away changes nothing
        return session.run


@dataclasses.dataclass(frozen=True)
class _Again:
    """That a run is gone on with: for more epochs, and whatever its checkpoint comes from."""

    more: bool
    force: bool


class _Session:
    """One call of `Trainer.run`: its stages, in order, and what failure does."""

    def __init__(
        self,
        trainer: Trainer,
        experiment: Experiment[Any],
        run: Run,
        callbacks: Sequence[keras.callbacks.Callback],
        again: _Again | None = None,
    ) -> None:
        self.trainer = trainer
        self.experiment = experiment
        self.run = run
        self.again = again
        self.console = Console()
        self.callbacks: list[keras.callbacks.Callback] = list(callbacks)
        self.stage = "start"

    def run_stages(self, *, report: bool) -> Report | None:
        """Runs the stages; whatever happens, the status says it and the lock is let go."""
        try:
            self._write_records()
            log.info("%s: %s", self.experiment.name(), self.run.path)
            self.callbacks = [*self.experiment.callbacks(), *self.callbacks]
            with self._stage("prepare"):
                data = self._prepare()
            if self._is_trained():
                log.info("training had ended (%s); the report is still to come", self.run.stopped)
            else:
                with self._stage("build"):
                    model = self._build(data)
                with self._stage("fit"):
                    self._fit(model, data)
            made = None
            if report:
                with self._stage("report"):
                    made = self._report()
            self.run.set_status(Status.COMPLETED, reason=self.run.stopped)
            return made
        except BaseException as error:
            self._fail(error)
            raise
        finally:
            self.run.unlock()

    @contextlib.contextmanager
    def _stage(self, stage: str) -> Iterator[None]:
        self.stage = stage
        self.run.set_status(Status.RUNNING, stage)
        self._tell("on_stage_begin", stage, self.run)
        yield
        self._tell("on_stage_end", stage, self.run)

    def _tell(self, hook: str, *args: Any) -> None:
        from lab.callbacks import Callback

        for callback in self.callbacks:
            if isinstance(callback, Callback):
                getattr(callback, hook)(*args)

    def _fail(self, error: BaseException) -> None:
        """Records why a stage ended badly; the error itself goes on to the caller."""
        interrupted = isinstance(error, (KeyboardInterrupt, SystemExit))
        said = "interrupted" if interrupted and not str(error) else str(error) or type(error).__name__
        if not interrupted and not isinstance(error, LabError):
            said = f"{type(error).__name__}: {said}"
        try:
            self._tell("on_failure", error, self.run)
        except Exception as second:
            error.add_note(f"a callback's on_failure raised as well: {second!r}")
        status = Status.INTERRUPTED if interrupted else Status.FAILED
        try:
            self.run.set_status(status, self.stage, said)
        except OSError as second:  # a full disk: the lock tells that nobody works on the run any more
            error.add_note(f"the status could not be written: {second}")

    def _is_trained(self) -> bool:
        """Whether the run that is gone on with needs nothing but its report."""
        if self.again is None or self.again.more or not (self.run.path / "model.keras").is_file():
            return False
        return self.run.stopped not in ("", StopReason.SIGNAL, StopReason.NOT_FINITE)

    def _write_records(self) -> None:
        from lab.environment import describe

        experiment = self.experiment
        if self.again is not None and self.again.more:  # before the settings say so: it has not ended any more
            (self.run.path / "training.json").unlink(missing_ok=True)
        self.run.write_settings(
            {
                "experiment": experiment.name(),
                "class": f"{type(experiment).__module__}:{type(experiment).__qualname__}",
                "preset": experiment.preset,
                "settings": experiment.settings.json_values(),
                "trainer": self.trainer.json_values(),
            }
        )
        environment, path = describe(), self.run.path / "environment.json"
        if self.again is not None:
            with contextlib.suppress(LabError):  # the first process's machine, and those of the later ones
                first = dict(read_json(path))
                environment = first | {"resumed": [*first.get("resumed", []), environment]}
        write_json(path, environment)
        self.run.set_status(Status.RUNNING, "start")
        if self.again is None and not self.trainer.fast_dev_run and self.trainer.run_dir is None:
            self.run.point_latest()  # a run of one batch is nobody's latest model

    def _prepare(self) -> Data:
        from lab.checks import check_data
        from lab.data.streams import tokens_of

        data = self.experiment.prepare()
        check_data(data, f"{type(self.experiment).__name__}.prepare")
        size = self.trainer.batch_size
        if self.trainer.fast_dev_run:
            data = data.map(lambda split: split.head(tokens_of(split, size)))
        if self.trainer.overfit_batches is not None:
            few = data.train.head(tokens_of(data.train, size * self.trainer.overfit_batches))
            data = dataclasses.replace(data, train=few, validation=dataclasses.replace(few, name="validation"))
        self.run.data = data
        return data

    def _build(self, data: Data) -> keras.Model:
        from lab.checks import check_disk, check_fit, check_model
        from lab.fitting import batches_for, epochs_for

        model = self.experiment.build(data)
        check_model(model, f"{type(self.experiment).__name__}.build")
        train, _ = batches_for(self.trainer, data)
        check_fit(model, train)
        check_disk(self.run, model, self.trainer.keep_best + self.trainer.keep_last)
        total = sum(train.steps(epoch) for epoch in range(epochs_for(self.trainer, train)))
        configure(model, self.trainer, total, timed=self.trainer.by_the_clock)
        self.run.model = model
        return model

    def _fit(self, model: keras.Model, data: Data) -> None:
        from lab.fitting import Fit, checkpoints_of, last_checkpoint, origin_of

        origin, resume = origin_of(self.experiment, self.trainer, data), None
        if self.again is not None:
            resume = last_checkpoint(checkpoints_of(self.run, self.trainer), origin, force=self.again.force)
            (self.run.path / "training.json").unlink(missing_ok=True)  # it has not ended any more
        more = self.again is not None and self.again.more
        fit = Fit(self.trainer, self.run, self.console, data, self.callbacks, origin=origin, resume=resume, more=more)
        self.callbacks = fit.callbacks  # so that a failure reaches them all
        fit.run(self.experiment, model)

    def _report(self) -> Report:
        from lab.reporting import make_report

        return make_report(self.experiment, self.trainer, self.run)
