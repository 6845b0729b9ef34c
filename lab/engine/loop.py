"""The epoch loop: what `Model.fit` does, on the lab's batches and steps, the same for every backend.

Callbacks see what they see under `keras.Model.fit`: the same hooks, in the same order, with the same
logs. https://keras.io/api/models/model_training_apis/
"""

from __future__ import annotations

from typing import Any

import keras

from lab.callbacks.progress import Progress
from lab.data.batches import Batches
from lab.engine.call import Logs, Steps
from lab.engine.keras_private import initial_epoch, symbolic_build
from lab.engine.options import FitOptions
from lab.engine.steps import has_own_step, steps_of


def fit(model: keras.Model, train: Batches, validation: Batches, **options: Any) -> keras.callbacks.History:
    """Trains a compiled model, and returns its history.

    Args:
        model: compiled; `steps_per_execution` is the number of steps in a call of the backend.
        train: the training batches.
        validation: the validation batches.
        **options: those of `keras.Model.fit` that are not about the data; see `FitOptions`.

    Raises:
        UsageError: an option cannot be honoured.
    """
    chosen = FitOptions.read(options)
    train, validation = chosen.training(train), chosen.validating(validation)
    epochs = min(chosen.epochs, keras.config.max_epochs() or chosen.epochs)
    symbolic_build(model, next(train.epoch(0)))
    training, testing = steps_of(model, train, "train"), steps_of(model, validation, "test")
    callbacks = chosen.callbacks
    if not isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks = keras.callbacks.CallbackList(
            callbacks,
            add_history=True,
            add_progbar=chosen.verbose not in (0, "0"),
            verbose=chosen.verbose,
            epochs=epochs,
            steps=train.steps_per_epoch,
            model=model,
        )
    progress = next((one for one in callbacks.callbacks if isinstance(one, Progress)), Progress(train))
    model.stop_training = False
    callbacks.on_train_begin()
    first = chosen.initial_epoch if progress.resumed else initial_epoch(model) or chosen.initial_epoch
    epoch_logs: Logs | None = None
    for epoch in range(first, epochs):
        model.reset_metrics()
        callbacks.on_epoch_begin(epoch)
        logs: Logs = {}
        for call in training.calls(epoch, progress.first_step(epoch)):
            callbacks.on_train_batch_begin(call.first)
            logs = call.run()
            callbacks.on_train_batch_end(call.last, logs)
            if model.stop_training:
                break
        epoch_logs = dict(_results(model, logs, own=has_own_step(model, "train")))
        if chosen.validates(epoch):
            evaluated = evaluate(model, testing, callbacks)
            epoch_logs |= {f"val_{name}": value for name, value in evaluated.items()}
        callbacks.on_epoch_end(epoch, epoch_logs)
        if model.stop_training:
            break
    if isinstance(model.optimizer, keras.optimizers.Optimizer) and epochs > 0:
        model.optimizer.finalize_variable_values(model.trainable_weights)
    callbacks.on_train_end(logs=epoch_logs)
    return model.history


def evaluate(model: keras.Model, steps: Steps, callbacks: keras.callbacks.CallbackList) -> Logs:
    """Runs a model's `test_step` over one epoch of batches and returns the logs, without a prefix."""
    model.stop_evaluating = False
    callbacks.on_test_begin()
    logs: Logs = {}
    model.reset_metrics()
    for call in steps.calls(0):
        callbacks.on_test_batch_begin(call.first)
        logs = call.run()
        callbacks.on_test_batch_end(call.last, logs)
        if model.stop_evaluating:
            break
    results = _results(model, logs, own=has_own_step(model, "test"))
    callbacks.on_test_end(results)
    return results


def _results(model: keras.Model, logs: Logs, *, own: bool) -> Logs:
    """The logs of the last step; the model's metrics instead where they have the same names, by Keras's rule."""
    if own:
        metrics = model.get_metrics_result()
        if set(logs) == set(metrics):
            return dict(metrics)
    return logs
