"""One call of the trainer: the stages in order, the records of the run, and what a failure does."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console

from lab._utils.files import remove_parts, write_json
from lab.errors import LabError
from lab.experiment import Experiment
from lab.runs.run import Run
from lab.runs.status import Status, StopReason
from lab.trainer.config import TrainerSettings
from lab.trainer.failure import explained
from lab.trainer.optimizers import configure

if TYPE_CHECKING:
    import keras

    from lab.data import Data
    from lab.report import Report

log = logging.getLogger("lab")


@dataclasses.dataclass(frozen=True)
class Resume:
    """How a run is resumed: for more epochs than before, and from a checkpoint of another training."""

    more: bool
    force: bool


class Session:
    """One call of `Trainer.run` or `Trainer.resume`: its stages, in order, and what a failure does."""

    def __init__(
        self,
        trainer: TrainerSettings,
        experiment: Experiment[Any],
        run: Run,
        callbacks: Sequence[keras.callbacks.Callback],
        resume: Resume | None = None,
    ) -> None:
        self.trainer = trainer
        self.experiment = experiment
        self.run = run
        self.resume = resume
        self.console = Console()
        self.callbacks: list[keras.callbacks.Callback] = list(callbacks)
        self.given = [type(callback).__name__ for callback in callbacks]
        self.stage = "start"
        self.before = run.status_record() if resume is not None else None  # until the run has resumed

    def run_stages(self, *, report: bool) -> Report | None:
        """Runs the stages; whatever happens, the status records it and the lock is released."""
        try:
            if self.resume is None:
                self._write_records()
                self.run.set_status(Status.RUNNING, self.stage)
            log.info("%s: %s", self.experiment.name(), self.run.path)
            self.callbacks = [*self.experiment.callbacks(), *self.callbacks]
            with self._stage("prepare"):
                data = self._prepare()
            if self._is_first() and not self.trainer.fast_dev_run and self.trainer.run_dir is None:
                self.run.point_latest()  # not a run of one batch, and none without data
            if self._is_trained():
                log.info("training had ended (%s); only the report is missing", self.run.stopped)
                self._write_records()
                self.before = None
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
            shown = explained(error, self.run.path, self.stage, self.trainer.batch_size)
            self._fail(shown)
            if shown is error:
                raise
            raise shown from error
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
        from lab.callbacks.base import Callback

        for callback in self.callbacks:
            if isinstance(callback, Callback):
                getattr(callback, hook)(*args)

    def _fail(self, error: BaseException) -> None:
        """Records why a stage failed; the error itself reaches the caller."""
        interrupted = isinstance(error, (KeyboardInterrupt, SystemExit))
        reason = "interrupted" if interrupted and not str(error) else str(error) or type(error).__name__
        if not interrupted and not isinstance(error, LabError):
            reason = f"{type(error).__name__}: {reason}"
        try:
            self._tell("on_failure", error, self.run)
        except Exception as second:
            error.add_note(f"a callback's on_failure raised as well: {second!r}")
        status, stage = Status.INTERRUPTED if interrupted else Status.FAILED, self.stage
        if self.before is not None:  # nothing was resumed: the run keeps its status
            status, stage, reason = (self.before.get(name, "") for name in ("status", "stage", "reason"))
            status = Status.INTERRUPTED if status == Status.RUNNING else status
        try:
            self.run.set_status(status, stage, reason)
        except OSError as second:  # the released lock shows that no process works on the run
            error.add_note(f"the status could not be written: {second}")

    def _is_first(self) -> bool:
        """Whether the run gets its data for the first time."""
        return self.before is None or self.before.get("stage") in (None, "start", "prepare")

    def _is_trained(self) -> bool:
        """Whether a resumed run needs nothing but its report."""
        if self.resume is None or self.resume.more or not (self.run.path / "model.keras").is_file():
            return False
        return self.run.stopped not in ("", StopReason.SIGNAL, StopReason.NOT_FINITE)

    def _write_records(self) -> None:
        from lab.runs.environment import describe

        experiment = self.experiment
        self.run.write_settings(
            {
                "experiment": experiment.name(),
                "class": experiment.import_path(),
                "preset": experiment.preset,
                "settings": experiment.settings.json_values(),
                "trainer": self.trainer.json_values(),
            }
        )
        environment, path = describe(), self.run.path / "environment.json"
        if self.resume is not None:
            remove_parts(self.run.path)
            with contextlib.suppress(LabError, TypeError):  # the first machine, and those of later processes
                first = self.run.environment
                environment = first | {"resumed": [*first.get("resumed", []), environment]}
        write_json(path, environment)

    def _prepare(self) -> Data:
        from lab.data.windows import tokens_of
        from lab.trainer.checks import check_data

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
        from lab.trainer.checks import check_disk, check_fit, check_model
        from lab.trainer.fit import batches_for, epochs_for

        model = self.experiment.build(data)
        check_model(model, f"{type(self.experiment).__name__}.build")
        train, _ = batches_for(self.trainer, data)
        check_fit(model, train)
        check_disk(self.run, model, self.trainer.keep_best + self.trainer.keep_last)
        total = sum(train.steps(epoch) for epoch in range(epochs_for(self.trainer, train)))
        configure(model, self.trainer, total)
        self.run.model = model
        return model

    def _fit(self, model: keras.Model, data: Data) -> None:
        from lab.checkpoints.fingerprint import fingerprint
        from lab.checkpoints.manager import CheckpointManager
        from lab.checkpoints.resume import last_checkpoint
        from lab.trainer.fit import Fit

        kind = type(self.experiment).import_path()
        identity = fingerprint(kind, self.experiment.settings, self.trainer, data, self.given)
        resume = None
        if self.resume is not None:
            manager = CheckpointManager(
                self.run.path / "checkpoints", keep_last=self.trainer.keep_last, keep_best=self.trainer.keep_best
            )
            resume = last_checkpoint(manager, identity, force=self.resume.force)
            (self.run.path / "training.json").unlink(missing_ok=True)  # training has not ended any more
            self._write_records()
            self.before = None
        more = self.resume is not None and self.resume.more
        fit = Fit(
            self.trainer,
            self.run,
            self.console,
            data,
            model,
            self.callbacks,
            fingerprint=identity,
            resume=resume,
            more=more,
        )
        self.callbacks = fit.callbacks  # so that a failure reaches them all
        fit.run(self.experiment)

    def _report(self) -> Report:
        from lab.trainer.reporting import make_report

        return make_report(self.experiment, self.trainer, self.run)
