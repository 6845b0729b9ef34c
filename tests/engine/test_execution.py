"""What the fit stage chooses where nobody chose."""

from __future__ import annotations

import keras
import pytest

import lab
from lab.engine.execution import MOST_STEPS, STEPS_PER_EXECUTION, prepare_model, steps_at_once

Dense, Input = keras.layers.Dense, keras.Input


def dense(*widths: int) -> keras.Model:
    encoder = keras.Sequential([Input((784,)), *(Dense(width) for width in widths), keras.layers.BatchNormalization()])
    return keras.Sequential([encoder, Dense(784)])


class Odd(keras.Model):  # type: ignore[misc]  # Keras has no types
    """A model that has weights of its own, and might use them in any way."""

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.own = self.add_weight(shape=(3, 3))
        self.dense = Dense(2)
        self.dense.build(shape)

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return self.dense(x @ self.own)


def odd(*, built: bool) -> keras.Model:
    model = Odd()
    if built:
        model.build((None, 3))
    return model


@pytest.mark.parametrize(
    ("model", "steps"),
    [
        (dense(16), MOST_STEPS),
        (dense(100), 82),  # 6 * 158,084 numbers * 256 examples: 82.4 of these are 2e10 operations
        (dense(512, 256), STEPS_PER_EXECUTION),
        (keras.Sequential([Input((9, 2)), keras.layers.LSTM(2), Dense(1)]), STEPS_PER_EXECUTION),
        (keras.Sequential([Input((9, 2)), keras.layers.Conv1D(2, 2)]), STEPS_PER_EXECUTION),
        (keras.Sequential([Input((9,)), keras.layers.Activation("relu")]), STEPS_PER_EXECUTION),
        (odd(built=True), STEPS_PER_EXECUTION),
        (odd(built=False), STEPS_PER_EXECUTION),
    ],
    ids=["small", "middle", "large", "recurrent", "convolution", "no weights", "weights of its own", "not built"],
)
def test_a_call_takes_more_steps_of_a_small_dense_network(model: keras.Model, steps: int) -> None:
    assert steps_at_once(model, 256) == pytest.approx(steps, abs=1)


def test_a_larger_batch_needs_fewer_steps_at_once() -> None:
    model = dense(32)
    found = [steps_at_once(model, size) for size in (32, 256, 1024, 65536)]
    assert found == sorted(found, reverse=True)
    assert found[0] == MOST_STEPS
    assert found[-1] == STEPS_PER_EXECUTION


def test_a_callback_for_batches_and_a_given_number_are_stronger() -> None:
    class Hears(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            """Hears it."""

    model = dense(32)
    model.compile("sgd", "mse")
    cases: list[tuple[int | None, list[keras.callbacks.Callback], int]]
    heard = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)
    cases = [(None, [], MOST_STEPS), (None, [Hears()], 1), (None, [heard], 1), (5, [], 5)]
    for given, callbacks, steps in cases:
        prepare_model(model, lab.Trainer(steps_per_execution=given), callbacks)
        assert model.steps_per_execution == steps


def test_a_rate_that_goes_by_the_clock_is_set_often() -> None:
    model = dense(32)
    model.compile("sgd", "mse")
    prepare_model(model, lab.Trainer(max_time=600, learning_rate_schedule="cosine"), [])
    assert model.steps_per_execution == STEPS_PER_EXECUTION
