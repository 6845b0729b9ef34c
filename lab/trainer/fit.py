"""The fit stage: what stands between the trainer's knobs and `Model.fit`."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
from rich.console import Console

from lab.callbacks.annealing import Annealing
from lab.callbacks.base import Averages, CarriedState, History, InTouch, Position, Stopping
from lab.callbacks.checkpointing import Checkpoints, Generators, Resuming, give_back, had_ended
from lab.callbacks.progress_bar import ProgressBars
from lab.checkpoints.checkpoint import Checkpoint
from lab.checkpoints.manager import CheckpointFolder
from lab.data import Batches, Data
from lab.data.windows import batched
from lab.engine.fused import can_fuse
from lab.errors import ModelError, RunError, StopRequested, UsageError
from lab.experiment import Experiment
from lab.runs.run import Run
from lab.runs.status import StopReason
from lab.trainer.diagnosis import first_state, where_it_began
from lab.trainer.optimizers import cosine, peak_of

if TYPE_CHECKING:
    from lab.trainer.trainer import Trainer

log = logging.getLogger("lab")

STEPS_PER_EXECUTION = 16  # steps in one call of a compiled program
MOST_STEPS = 256  # of a small network, whose 16 steps would take a few milliseconds
SHORT = 2e10  # floating point operations in a call that is over before anyone waits for it: a tenth of a second


def prepare_model(model: keras.Model, trainer: Trainer, callbacks: Sequence[keras.callbacks.Callback]) -> None:
    """Sets what is compiled, and how many steps one call of the backend takes."""
    if trainer.deterministic and keras.backend.backend() == "tensorflow":
        model.jit_compile = False  # XLA's kernels are not covered by TensorFlow's promise
    elif trainer.jit is not None:
        model.jit_compile = trainer.jit
    elif keras.backend.backend() == "tensorflow" and _supports_jit(model):
        model.jit_compile = True  # Keras's own "auto" leaves XLA off on a CPU
    steps, in_graph = trainer.steps_per_execution, keras.backend.backend() == "tensorflow" or can_fuse(model)
    if steps is None:
        hears_batches = any(_hears_batches(callback) for callback in callbacks)
        steps = steps_at_once(model, trainer.batch_size) if in_graph and not hears_batches else 1
        if trainer.by_the_clock:  # the learning rate is set between calls
            steps = min(steps, STEPS_PER_EXECUTION)
    model.steps_per_execution = steps


def steps_at_once(model: keras.Model, batch_size: int) -> int:
    """Returns how many steps a call takes: 16, and more of a dense network so small that a call would cost as much."""
    dense = (keras.layers.Dense, keras.layers.BatchNormalization)
    layers = {id(layer): layer for layer in model._flatten_layers() if isinstance(layer, dense)}
    numbers = sum(layer.count_params() for layer in layers.values()) if model.built else 0
    if not numbers or numbers != model.count_params():
        return STEPS_PER_EXECUTION  # other layers may use a weight many times an example
    operations = 6 * numbers * batch_size  # two forwards and four backwards for each weight and example
    return int(min(max(SHORT / operations, STEPS_PER_EXECUTION), MOST_STEPS))


def _supports_jit(model: keras.Model) -> bool:
    return all(getattr(layer, "supports_jit", True) for layer in model._flatten_layers())


def _hears_batches(callback: keras.callbacks.Callback) -> bool:
    """Whether a callback overrides a hook that is called for every training batch."""
    hooks = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")
    plain = keras.callbacks.Callback
    return any(hook in vars(callback) or getattr(type(callback), hook) is not getattr(plain, hook) for hook in hooks)


def batches_for(trainer: Trainer, data: Data) -> tuple[Batches, Batches]:
    """Returns the training and the validation batches."""
    limit, made = trainer.limit_batches, []
    for split, training in ((data.train, True), (data.validation, False)):
        shuffle = training and trainer.overfit_batches is None
        stop = trainer.max_steps if training else None
        batches = batched(split, trainer.batch_size, seed=trainer.seed, shuffle=shuffle, stop=stop)
        if limit is not None:
            steps = batches.steps_per_epoch
            batches.steps_per_epoch = min(steps, math.ceil(limit * steps) if limit < 1 else int(limit))
        made.append(batches)
    return made[0], made[1]


def epochs_for(trainer: Trainer, train: Batches) -> int:
    """Returns the epochs to train, fewer where `max_steps` ends them sooner."""
    if trainer.max_steps is None:
        return trainer.epochs
    return min(trainer.epochs, math.ceil(trainer.max_steps / train.steps_per_epoch))


def checkpoints_of(run: Run, trainer: Trainer) -> CheckpointFolder:
    """Returns a run's checkpoints."""
    return CheckpointFolder(
        run.path / "checkpoints",
        keep_last=trainer.keep_last,
        keep_best=trainer.keep_best,
        mode=trainer.monitor_mode,
    )


class Fit:
    """The *fit* stage of one run: its callbacks, and what becomes of the model when training ends.

    Args:
        trainer: the resolved knobs.
        run: where history, checkpoints and the model go.
        console: where progress goes.
        data: what to train and validate on.
        callbacks: the experiment's and the caller's.
        origin: what the training comes from, by name; it is written into its checkpoints.
        resume: where to go on.
        more: whether to go on where training had been told to end, too.

    Attributes:
        callbacks: every callback, the run's own among them, in the order they are called.

    Raises:
        UsageError: TensorBoard is asked for and not installed.
    """

    def __init__(
        self,
        trainer: Trainer,
        run: Run,
        console: Console,
        data: Data,
        callbacks: Sequence[keras.callbacks.Callback],
        *,
        origin: Mapping[str, str] | None = None,
        resume: Checkpoint | None = None,
        more: bool = False,
    ) -> None:
        self.trainer = trainer
        self.lab_run = run
        self.given = callbacks
        self.train, self.validation = batches_for(trainer, data)
        mode = trainer.monitor_mode
        self.checkpoints = checkpoints_of(run, trainer)
        self.position = position = Position(self.train)
        history = History(run, position)
        early = None
        if trainer.patience is not None:
            early = keras.callbacks.EarlyStopping(trainer.monitor, patience=trainer.patience, mode=mode)
        self.stopping = Stopping(max_seconds=trainer.max_time, early_stopping=early, position=position)
        hear = trainer.by_the_clock or any(_hears_batches(callback) for callback in callbacks)
        in_touch = [InTouch(position)] if hear and keras.backend.backend() == "jax" else []
        every = [position, *in_touch, Generators(), CarriedState(), *([Averages()] if trainer.use_ema else [])]
        every += [ProgressBars(console, self.train, trainer.monitor, mode), *callbacks, history]
        every += [*([early] if early else []), *([_tensorboard(run)] if trainer.tensorboard else []), self.stopping]
        saving = Checkpoints(
            self.checkpoints, trainer.monitor, history, every, every=trainer.checkpoint_every, origin=origin
        )
        self.resume = resume
        if resume is not None:  # also where a process that trained for more was killed before its first checkpoint
            more = more or epochs_for(trainer, self.train) > resume.callbacks.get("Stopping", {}).get("epochs", 0)
        self.more = more
        anew = [early] if resume is not None and early is not None and more and had_ended(resume.callbacks) else []
        resuming = [] if resume is None else [Resuming(resume, history, every, anew)]
        self.callbacks: list[keras.callbacks.Callback] = [*every, saving, *resuming]

    def run(self, experiment: Experiment[Any], model: keras.Model) -> None:
        """Trains, then saves the weights to keep as `model.keras`.

        Raises:
            ModelError: the loss was not finite.
            StopRequested: a signal asked to stop; training ended in order.
        """
        prepare_model(model, self.trainer, self.given)
        epochs = epochs_for(self.trainer, self.train)
        if self.resume is not None:
            _build_metrics(model, self.train)
        if self.trainer.by_the_clock:
            self._anneal(model, sum(self.train.steps(epoch) for epoch in range(epochs)))
        repeats = type(experiment).fit is Experiment.fit and not self.trainer.by_the_clock
        first = first_state(model) if repeats and self.resume is None else None
        try:
            with warnings.catch_warnings():
                if self.train.stop is not None or self.resume is not None:  # Keras warns of an epoch that is shorter
                    warnings.filterwarnings("ignore", message="Your input ran out of data")
                experiment.fit(
                    model,
                    self.train,
                    self.validation,
                    epochs=epochs,
                    initial_epoch=self._first_epoch(epochs),
                    callbacks=self.callbacks,
                    verbose=0,
                )
        finally:
            self.stopping.release()
        reason = self.stopping.reason or StopReason.EPOCHS
        if reason is StopReason.NOT_FINITE:
            self.lab_run.stopped = str(reason)
            raise ModelError(
                f"{self._where_it_began(model, first, repeats)}. A lower learning_rate or global_clipnorm=1 "
                f"may help; the last good checkpoint is in {self.checkpoints.path}"
            )
        self._keep(model)
        self.lab_run.stopped = str(reason)  # not before: there may be a model of an earlier end
        if reason is StopReason.SIGNAL:
            path = self.lab_run.path
            raise StopRequested(
                f"interrupted; lab resume {path} goes on, lab report {path} shows the best model so far"
            )

    def _where_it_began(self, model: keras.Model, first: Checkpoint | None, repeats: bool) -> str:
        """Says at which step the loss was not finite, and in which layer where training can be repeated."""
        plain = f"step {self.stopping.at_step}: the loss is not finite"
        good = self.checkpoints.newest() or first
        if good is None or not repeats:
            return plain
        log.info("the loss is not finite: looking for where it began, from step %d on", good.step)
        give_back([Generators()], good.callbacks)
        try:
            return where_it_began(model, self.train, good, self.stopping.at_step)
        except Exception as error:  # a layer of a user's own may do anything when it is looked into
            log.warning("where it began could not be found: %s: %s", type(error).__name__, error)
            return plain

    def _first_epoch(self, epochs: int) -> int:
        """The epoch that training goes on in; past the last one where it had ended already."""
        if self.resume is None:
            return 0
        if not self.more or self.resume.epoch >= epochs:
            self.stopping.reason = had_ended(self.resume.callbacks)
        return self.resume.epoch if self.stopping.reason is None else epochs

    def _anneal(self, model: keras.Model, steps: int) -> None:
        inner = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        peak, trainer = peak_of(inner, self.trainer), self.trainer
        rate = lambda share, done: cosine(share, done, peak, trainer)  # noqa: E731
        annealing = Annealing(rate, steps, self.stopping, self.position)
        self.callbacks.insert(1 + isinstance(self.callbacks[1], InTouch), annealing)

    def _keep(self, model: keras.Model) -> None:
        """Chooses the weights, saves them, and reads them back: the report can be made again to the last digit."""
        best = self.checkpoints.load_best() if self.trainer.restore_best else None
        if best is not None:
            best.restore(model, optimizer=bool(self.trainer.use_ema))
            if self.trainer.use_ema:
                inner = getattr(model.optimizer, "inner_optimizer", model.optimizer)
                inner.finalize_variable_values(model.trainable_variables)
        self.lab_run.model = model
        self.lab_run.save_model()
        self.lab_run.release_model()
        try:
            _ = self.lab_run.model
        except RunError as error:
            log.warning("%s; the report uses the model in memory", error)
            self.lab_run.model = model


def _build_metrics(model: keras.Model, train: Batches) -> None:
    """Makes the variables of the compiled metrics, which Keras makes in the first step: a checkpoint has their sums."""
    batch = keras.tree.map_structure(keras.ops.convert_to_tensor, next(train.epoch(0)))
    x, y, weight = (*batch, None, None)[:3]
    model.compute_metrics(x, y, model(x, training=False), weight)
    model.reset_metrics()


def _tensorboard(run: Run) -> keras.callbacks.Callback:
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        raise UsageError("tensorboard=true: TensorBoard is not installed; pip install tensorboard") from None
    return keras.callbacks.TensorBoard(str(run.path / "tensorboard"))
