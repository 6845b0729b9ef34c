"""The trainer: takes an experiment through prepare, build, fit and report."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console

from lab import backend as backends
from lab.errors import LabError, SettingsError
from lab.experiment import Experiment
from lab.files import write_json
from lab.optimization import OptimizationSettings, configure
from lab.run import Run
from lab.settings import Seconds, field, show
from lab.status import Status

if TYPE_CHECKING:
    import keras

    from lab.data import Data
    from lab.report import Report


log = logging.getLogger("lab")
_console: contextvars.ContextVar[Console | None] = contextvars.ContextVar("lab_console", default=None)


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
        from lab.reporting import show_made

        trainer = self.resolve(experiment)
        console = console or _console.get() or Console()
        backends.select(trainer.backend, deterministic=trainer.deterministic)
        run = Run.create(experiment.name(), trainer.run_dir)
        session = _Session(trainer, experiment, run, console, callbacks)
        with log_to(console), backends.configured(trainer.precision, trainer.seed):
            made = session.run_stages(report=report)
            if made is not None:
                show_made(made, console)  # after all is written: a reader that goes away changes nothing
        return run


class _Session:
    """One call of `Trainer.run`: its stages, in order, and what failure does."""

    def __init__(
        self,
        trainer: Trainer,
        experiment: Experiment[Any],
        run: Run,
        console: Console,
        callbacks: Sequence[keras.callbacks.Callback],
    ) -> None:
        self.trainer = trainer
        self.experiment = experiment
        self.run = run
        self.console = console
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

    def _write_records(self) -> None:
        from lab.environment import describe

        experiment = self.experiment
        self.run.write_settings(
            {
                "experiment": experiment.name(),
                "class": f"{type(experiment).__module__}:{type(experiment).__qualname__}",
                "preset": experiment.preset,
                "settings": experiment.settings.json_values(),
                "trainer": self.trainer.json_values(),
            }
        )
        write_json(self.run.path / "environment.json", describe())
        self.run.set_status(Status.RUNNING, "start")
        if not self.trainer.fast_dev_run and self.trainer.run_dir is None:
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
        from lab.fitting import Fit

        fit = Fit(self.trainer, self.run, self.console, data, self.callbacks)
        self.callbacks = fit.callbacks  # so that a failure reaches them all
        fit.run(self.experiment, model)

    def _report(self) -> Report:
        from lab.reporting import make_report

        return make_report(self.experiment, self.trainer, self.run)


@contextlib.contextmanager
def log_to(console: Console) -> Iterator[None]:
    """Shows what the lab logs, such as where data comes from, on a console for the length of a block."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            style = "yellow" if record.levelno >= logging.WARNING else "dim"
            console.print(record.getMessage(), style=style, markup=False, highlight=False, soft_wrap=True)

    if _console.get() is console:  # a run inside a run: its lines are shown already
        yield
        return
    logger, handler = logging.getLogger("lab"), Handler()
    before, token = logger.level, _console.set(console)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
        _console.reset(token)
