"""The fit stage: the callbacks of a run, training, and the weights that it ends with."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from rich.console import Console

from lab.callbacks.base import in_order
from lab.callbacks.checkpointing import Checkpointing, Resuming
from lab.callbacks.history import History
from lab.callbacks.learning_rate import Annealing
from lab.callbacks.progress import Progress
from lab.callbacks.progress_bar import ProgressBars
from lab.callbacks.stopping import Patience, Stopping, had_ended
from lab.callbacks.weights import AveragedWeights, ResetStates, RNGState, finalize
from lab.checkpoints.callback_state import CallbackStates
from lab.checkpoints.checkpoint import Checkpoint
from lab.checkpoints.manager import CheckpointManager
from lab.data import Batches, Data
from lab.data.batching import batched
from lab.engine.execution import create_variables, prepare_model
from lab.engine.keras_private import symbolic_build
from lab.engine.names import log_names
from lab.engine.steps import has_own_step
from lab.errors import ModelError, RunError, StopRequested, UsageError
from lab.experiment import Experiment
from lab.runs.run import Run
from lab.runs.status import StopReason
from lab.trainer.config import TrainerSettings
from lab.trainer.diagnosis import first_state, where_it_began
from lab.trainer.keras_callbacks import check_callbacks, prepare_resume, restores_best, swaps_averages
from lab.trainer.monitor import MonitorCheck, check_monitor, mode_of
from lab.trainer.optimizers import cosine, inner_optimizer, peak_of

log = logging.getLogger("lab")


def batches_for(trainer: TrainerSettings, data: Data) -> tuple[Batches, Batches]:
    """Returns the training and the validation batches."""
    made = []
    for split, training in ((data.train, True), (data.validation, False)):
        shuffle = training and trainer.overfit_batches is None
        stop = trainer.max_steps if training else None
        options: dict[str, Any] = {"seed": trainer.seed, "shuffle": shuffle, "stop": stop}
        batches = batched(split, trainer.batch_size, **options)
        limit = trainer.limit_batches
        if limit is not None:
            options["limit"] = math.ceil(limit * batches.steps_per_epoch) if limit < 1 else int(limit)
            batches = batched(split, trainer.batch_size, **options)
        made.append(batches)
    return made[0], made[1]


def epochs_for(trainer: TrainerSettings, train: Batches) -> int:
    """Returns the epochs to train, fewer where `max_steps` ends them sooner."""
    if trainer.max_steps is None:
        return trainer.epochs
    return min(trainer.epochs, math.ceil(trainer.max_steps / train.steps_per_epoch))


class Fit:
    """The *fit* stage of one run.

    Args:
        trainer: the resolved settings.
        run: where history, checkpoints and the model go.
        console: where progress goes.
        data: what to train and validate on.
        model: compiled, with the trainer's settings on its optimizer.
        callbacks: the experiment's and the caller's.
        fingerprint: what the training is, by name; it is written into its checkpoints.
        resume: where to resume.
        more: whether to continue a training that had ended.

    Attributes:
        callbacks: all callbacks, in the order in which they are called.

    Raises:
        SettingsError, UsageError: a setting or a callback cannot be honoured; nothing has been trained.
    """

    def __init__(
        self,
        trainer: TrainerSettings,
        run: Run,
        console: Console,
        data: Data,
        model: keras.Model,
        callbacks: Sequence[keras.callbacks.Callback],
        *,
        fingerprint: Mapping[str, str] | None = None,
        resume: Checkpoint | None = None,
        more: bool = False,
    ) -> None:
        self.trainer = trainer
        self.lab_run = run
        self.model = model
        self.given = list(callbacks)
        self.train, self.validation = batches_for(trainer, data)
        self.epochs = epochs_for(trainer, self.train)
        check_callbacks(model, self.given)
        prepare_model(model, trainer, self.given)
        own_step = has_own_step(model, "train")  # whose logs are found by tracing it, with the optimizer's variables
        symbolic_build(model, next(self.train.epoch(0)), optimizer=own_step)
        names, validated = log_names(model, self.train, "train"), log_names(model, self.validation, "test")
        known = None if names is None or validated is None else names | {f"val_{name}" for name in validated}
        check_monitor(trainer.monitor, known, self.given)
        self.mode = mode_of(model, trainer.monitor, trainer.monitor_mode)
        log.info("best epoch: %s %s", "lowest" if self.mode == "min" else "highest", trainer.monitor)

        self.checkpoints = CheckpointManager(
            run.path / "checkpoints", keep_last=trainer.keep_last, keep_best=trainer.keep_best, mode=self.mode
        )
        self.progress = progress = Progress(self.train)
        self.history = history = History(run, progress)
        patience = None
        if trainer.patience is not None:
            patience = Patience(trainer.monitor, patience=trainer.patience, mode=self.mode)
        self.stopping = Stopping(max_seconds=trainer.max_time, early_stopping=patience, progress=progress)
        others: list[keras.callbacks.Callback] = [progress, RNGState(), ResetStates(), history, self.stopping]
        others += [ProgressBars(console, progress, trainer.monitor, self.mode), MonitorCheck(trainer.monitor)]
        others += [patience] if patience is not None else []
        others += [AveragedWeights()] if trainer.use_ema and not swaps_averages(self.given) else []
        others += [_tensorboard(run)] if trainer.tensorboard else []
        others += [self._annealing()] if trainer.by_the_clock else []
        every = in_order([*others, *self.given])
        states = CallbackStates(every)
        saving = Checkpointing(
            self.checkpoints, trainer.monitor, history, states, every=trainer.checkpoint_every, fingerprint=fingerprint
        )
        self.resume = resume
        if resume is not None:  # also where a process that trained for more was killed before its first checkpoint
            more = more or self.epochs > resume.callbacks.get("Stopping", {}).get("epochs", 0)
        self.more = more
        resuming = []
        if resume is not None:
            prepare_resume(self.given, resume.epoch)
            restart = [patience] if patience is not None and more and had_ended(resume.callbacks) else []
            resuming = [Resuming(resume, history, states, restart, lambda: create_variables(model, self.train, resume))]
        self.callbacks = in_order([*every, saving, *resuming])

    def run(self, experiment: Experiment[Any]) -> None:
        """Trains, then saves the chosen weights as `model.keras`.

        Raises:
            ModelError: the loss was not finite.
            StopRequested: a signal asked to stop; training ended in order.
        """
        model = self.model
        repeats = type(experiment).fit is Experiment.fit and not self.trainer.by_the_clock
        first = first_state(model) if repeats and self.resume is None else None
        try:
            experiment.fit(
                model,
                self.train,
                self.validation,
                epochs=self.epochs,
                initial_epoch=self._first_epoch(),
                callbacks=self.callbacks,
                verbose=0,
            )
        finally:
            self.stopping.release()
        reason = self.stopping.reason or StopReason.EPOCHS
        if reason is StopReason.NOT_FINITE:
            self.lab_run.write_training(stopped=str(reason))
            raise ModelError(
                f"{self._where_it_began(first, repeats)}. A lower learning_rate or global_clipnorm=1 "
                f"may help; the last good checkpoint is in {self.checkpoints.path}"
            )
        best_epoch = self._keep()
        self.lab_run.write_training(  # not before: there may be a model of an earlier end
            stopped=str(reason), best_epoch=best_epoch, monitor=self.trainer.monitor, monitor_mode=self.mode
        )
        if reason is StopReason.SIGNAL:
            path = self.lab_run.path
            raise StopRequested(
                f"interrupted; lab resume {path} resumes, lab report {path} shows the best model so far"
            )

    def _where_it_began(self, first: Checkpoint | None, repeats: bool) -> str:
        """Names the step at which the loss was not finite, and the layer where training can be repeated."""
        plain = f"step {self.stopping.at_step}: the loss is not finite"
        good = self.checkpoints.newest() or first
        if good is None or not repeats:
            return plain
        log.info("the loss is not finite: repeating from step %d to find where it began", good.step)
        CallbackStates([RNGState()]).restore(good.callbacks)
        try:
            return where_it_began(self.model, self.train, good, self.stopping.at_step)
        except Exception as error:  # a layer of a user's own may do anything when it is called by itself
            log.warning("where it began could not be found: %s: %s", type(error).__name__, error)
            return plain

    def _first_epoch(self) -> int:
        """The epoch in which training resumes; past the last one where it had ended already."""
        if self.resume is None:
            return 0
        if not self.more or self.resume.epoch >= self.epochs:
            self.stopping.reason = had_ended(self.resume.callbacks)
        return self.resume.epoch if self.stopping.reason is None else self.epochs

    def _annealing(self) -> Annealing:
        peak, trainer = peak_of(inner_optimizer(self.model), self.trainer), self.trainer
        steps = sum(self.train.steps(epoch) for epoch in range(self.epochs))
        return Annealing(lambda share, done: cosine(share, done, peak, trainer), steps, self.stopping, self.progress)

    def _keep(self) -> int | None:
        """Chooses the weights, saves them, and reads them back, so that the report can be repeated exactly.

        Returns:
            The epoch of the weights, from 1.
        """
        model, rows = self.model, self.history.rows
        epoch = math.ceil(rows[-1]["epoch"]) if rows else None
        own = restores_best(self.given)
        best = None
        if own is not None:
            log.info("the weights are those of EarlyStopping(restore_best_weights=True); restore_best does nothing")
            epoch = own.best_epoch + 1
        elif self.trainer.restore_best:
            best = self.checkpoints.load_best()
        if best is not None:
            averaged = bool(inner_optimizer(model).use_ema)
            best.restore(model, optimizer=averaged)
            if averaged and not swaps_averages(self.given, best.callbacks):
                finalize(model)
            epoch = math.ceil(best.history[-1]["epoch"]) if best.history else epoch
        self.lab_run.model = model
        self.lab_run.save_model()
        self.lab_run.release_model()
        try:
            _ = self.lab_run.model
        except RunError as error:
            log.warning("%s; the report uses the model in memory", error)
            self.lab_run.model = model
        return epoch


def _tensorboard(run: Run) -> keras.callbacks.Callback:
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        raise UsageError("tensorboard=true: TensorBoard is not installed; pip install tensorboard") from None
    return keras.callbacks.TensorBoard(str(run.path / "tensorboard"))
