"""What the model holds while it trains and while it is validated: raw weights, averages, carried states."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from lab import layers
from lab.callbacks.history import History
from lab.callbacks.weights import AveragedWeights, ResetStates, RNGState
from lab.data import Batches, Split
from lab.engine.loop import fit as fit_model
from lab.runs.run import Run
from tests.callbacks.fitting import VALIDATION, hooks, new_fit, small_model


def arrays(variables: Any) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def averages(optimizer: Any) -> list[np.ndarray]:
    return arrays(variable for variable in optimizer.variables if "average" in variable.path)


def test_validation_uses_the_averages_and_training_continues_with_the_raw_weights(tmp_path: Path) -> None:
    raw: list[list[np.ndarray]] = []
    tested: list[list[np.ndarray]] = []
    after: list[list[np.ndarray]] = []

    def at_step(batch: int, logs: Any = None) -> None:
        if batch == 4:
            raw.append(arrays(model.trainable_variables))

    def at_test(batch: int, logs: Any = None) -> None:
        if batch == 0:
            tested.append(arrays(model.trainable_variables))
            assert all(map(np.array_equal, tested[-1], averages(model.optimizer)))

    watches = hooks(
        on_train_batch_end=at_step,
        on_test_batch_end=at_test,
        on_epoch_end=lambda epoch, logs=None: after.append(arrays(model.trainable_variables)),
    )
    model = small_model(keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9))
    fit, run = new_fit(), Run(tmp_path)
    fit.run(model, epochs=2, validate=True, callbacks=[AveragedWeights(), watches, History(run, fit.progress)])
    for epoch in range(2):
        assert all(map(np.array_equal, raw[epoch], after[epoch]))
        assert not np.array_equal(raw[epoch][0], tested[epoch][0])
    final = arrays(model.trainable_variables)
    assert all(map(np.array_equal, final, averages(model.optimizer))), "they are the result of training"
    losses = model.evaluate(VALIDATION.x, VALIDATION.y, verbose=0, return_dict=True)
    assert run.history[-1]["val_loss"] == pytest.approx(losses["loss"], rel=1e-5)


def test_averages_work_below_a_loss_scale() -> None:
    inner = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5)
    model = small_model(keras.optimizers.LossScaleOptimizer(inner))
    tested: list[bool] = []

    def at_test(batch: int, logs: Any = None) -> None:
        tested.append(all(map(np.array_equal, arrays(model.trainable_variables), averages(inner))))

    new_fit().run(model, validate=True, callbacks=[AveragedWeights(), hooks(on_test_batch_end=at_test)])
    assert tested == [True] * 3


def test_every_epoch_and_every_validation_begins_with_a_state_of_zeros() -> None:
    seen: list[tuple[str, bool]] = []
    model = keras.Sequential([keras.Input((3, 2), batch_size=4), layers.LSTM(2, stateful=True), keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    examples = Split("train", np.ones((4, 3, 2), np.float32), np.ones((4, 1), np.float32))

    def look(when: str) -> None:
        seen.append((when, not np.any(arrays(model.layers[0].states)[0])))

    looks = hooks(
        on_epoch_begin=lambda epoch, logs=None: look("epoch"),
        on_test_begin=lambda logs=None: look("test"),
        on_epoch_end=lambda epoch, logs=None: look("end"),
    )
    fit_model(model, Batches(examples, 4), Batches(examples, 4), epochs=2, callbacks=[ResetStates(), looks])
    assert seen == [("epoch", True), ("test", True), ("end", False)] * 2


def test_the_global_generators_continue_where_they_were() -> None:
    def draw() -> tuple[float, float, float]:
        return random.gauss(0, 1), np.random.normal(), float(keras.random.normal(()))

    state = RNGState()
    state.on_train_begin()
    draw()
    kept = state.state_dict()
    drawn = [draw() for _ in range(3)]
    random.seed(1)
    np.random.seed(1)
    state.load_state_dict(kept)
    assert [draw() for _ in range(3)] == drawn
