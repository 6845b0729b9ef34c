"""Fused steps train as the same steps one by one do, to rounding, and run only where they can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from lab.checkpoints.checkpoint import Checkpoint
from lab.data import Batches, Split
from lab.engine.loop import fit
from lab.engine.steps import can_fuse, has_convolutions, steps_of
from lab.engine.stepwise import Stepwise
from lab.layers import Noise
from tests.engine.models import (
    EAGER,
    FUSED,
    STEP_BY_STEP,
    assert_close,
    assert_same_history,
    build,
    build_with,
    eager_reference,
    numbers,
    run,
    small,
    split,
    state,
    train,
)


@pytest.mark.parametrize(
    ("compiled", "batching"),
    [
        ({**FUSED, "steps_per_execution": 4}, {"stop": 10, "epochs": 2}),
        ({**FUSED, "steps_per_execution": 7}, {"stop": 10, "epochs": 2}),
        ({**FUSED, "steps_per_execution": 4}, {"limit": 1, "shuffle": False, "epochs": 3}),
        ({**STEP_BY_STEP, "steps_per_execution": 4}, {"stop": 10, "epochs": 2}),
        ({"run_eagerly": True, "steps_per_execution": 4}, {"stop": 10, "epochs": 2}),
    ],
    ids=["fused", "fused, an epoch in a call", "fused, one batch", "step by step", "eager, four in a call"],
)
def test_however_steps_run_they_train_the_same(compiled: dict[str, Any], batching: dict[str, Any]) -> None:
    model = build(**compiled)
    history = train(model, **batching)
    expected, variables = eager_reference(**batching)
    assert_same_history(history, expected)
    assert_close(state(model), variables)  # the optimizer's steps and the seeds of dropout are among them


@pytest.mark.parametrize(
    "layer",
    [lambda: keras.layers.Conv1D(4, 2), lambda: Noise("masking", 0.2, 0.6, seed=7)],
    ids=["convolution", "noise"],
)
def test_layers_that_need_care_train_the_same(layer: Callable[[], keras.layers.Layer]) -> None:
    one, two = build_with(layer, **FUSED, steps_per_execution=4), build_with(layer, **EAGER)
    assert_same_history(train(one, epochs=2), train(two, epochs=2))
    assert_close(state(one), state(two))


def test_convolutions_are_not_put_into_a_loop() -> None:
    convolutional = build_with(lambda: keras.layers.Conv1D(4, 2))
    assert has_convolutions(convolutional)
    assert has_convolutions(keras.Sequential([keras.Input((3,)), convolutional]))
    assert not has_convolutions(build())


@pytest.mark.parametrize("steps", [1, 4, 7, 16])
def test_a_call_takes_as_many_steps_as_it_is_told(steps: int) -> None:
    model = build(**FUSED, steps_per_execution=steps)
    calls = list(steps_of(model, Batches(split(), 8), "train").calls(0, 1))
    assert [step for call in calls for step in range(call.first, call.last + 1)] == [1, 2, 3, 4, 5, 6]
    assert all(call.last - call.first < steps for call in calls)


@pytest.mark.parametrize("per_call", [4, 7])
def test_an_epoch_continues_from_any_step_to_the_bit(per_call: int) -> None:
    model, batches = build(**FUSED, steps_per_execution=per_call), Batches(split(), 8, seed=1)
    fit(model, batches, batches, epochs=0)  # creates the variables
    begin, steps = Checkpoint.of(model, 0, 0), steps_of(model, batches, "train")

    def run_from(start: int, stop: int | None) -> None:
        batches.stop = stop
        for call in steps.calls(0, start):
            call.run()

    run_from(0, None)
    complete = state(model)
    for cut in (1, 3, 6):
        begin.restore(model)
        run_from(0, cut)
        run_from(cut, None)
        assert all(map(np.array_equal, state(model), complete)), cut


def test_a_test_step_changes_no_weight() -> None:
    model, batches = small(**FUSED, steps_per_execution=4), Batches(split(), 8)
    fit(model, batches, batches, epochs=0)
    before = state(model)
    assert run(model, batches, "test")[-1][1] == 6
    assert all(map(np.array_equal, state(model)[: len(model.trainable_variables)], before))


class Elsewhere(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Evaluates other examples after each epoch, and learns one batch of them."""

    def __init__(self, other: Split) -> None:
        super().__init__()
        self.other = other
        self.found: list[Any] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        x, y, weight = self.other.parts()
        self.found.append(self.model.evaluate(x, y, sample_weight=weight, batch_size=3, verbose=0))
        self.found.append(self.model.train_on_batch(x, y, weight))


def test_a_callback_may_evaluate_and_train_on_other_examples_meanwhile() -> None:
    found = []
    for compiled in ({**FUSED, "steps_per_execution": 4}, EAGER):
        model, elsewhere = small(**compiled), Elsewhere(split(17, 5))
        train(model, epochs=2, callbacks=[elsewhere])
        found.append(np.array(elsewhere.found, np.float64))
    assert found[0].shape == (4, 2)
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_after_training_the_model_trains_with_keras() -> None:
    one, two = small(**FUSED, steps_per_execution=4), small(**EAGER)
    x, y, weight = split().parts()
    found = []
    for model in (one, two):
        train(model, epochs=1)
        model.run_eagerly, model.jit_compile = True, False
        history = model.fit(x, y, 8, sample_weight=weight, shuffle=False, verbose=0).history
        found.append(numbers(history) | numbers({"after": [model.evaluate(x, y, verbose=0)[0]]}))
    assert_same_history(*found)


@pytest.mark.parametrize("why", ["no XLA", "eager", "text"])
def test_a_model_that_cannot_be_fused_runs_step_by_step(why: str) -> None:
    model = build(**{"no XLA": STEP_BY_STEP, "eager": EAGER, "text": FUSED}[why])
    examples = Split("train", np.array(["a", "b"], object)) if why == "text" else split()
    assert can_fuse(model) == (why == "text")
    assert isinstance(steps_of(model, Batches(examples, 8), "train"), Stepwise)


def test_an_output_s_mask_is_heeded_in_half_precision() -> None:
    losses = []
    for compiled in ({**FUSED, "steps_per_execution": 4}, EAGER):
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy("mixed_bfloat16")
        try:
            keras.utils.set_random_seed(0)
            layers = [keras.layers.Embedding(4, 3, mask_zero=True), keras.layers.Dense(3)]
            model = keras.Sequential([keras.Input((5,), dtype="int32"), *layers])
            loss = keras.losses.BinaryCrossentropy(from_logits=True)
            model.compile(keras.optimizers.SGD(0.1), loss, **compiled)
            rng = np.random.default_rng(0)
            examples = Split("train", rng.integers(0, 4, (15, 5)).astype(np.int32), rng.random((15, 5, 3)).astype("f"))
            history = fit(model, Batches(examples, 5), Batches(examples, 5)).history
        finally:
            keras.config.set_dtype_policy(before)
        losses.append(float(history["val_loss"][0]))
    assert losses[0] == pytest.approx(losses[1], rel=0.01)
