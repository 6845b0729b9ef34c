"""Variable-length sequences: fused steps train on them as steps one by one do, from any step on."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from lab.data import Split
from lab.data.device import gather, to_device
from lab.data.ragged import Buckets, Ragged
from lab.engine.loop import fit
from lab.engine.steps import steps_of
from tests.engine.models import EAGER, FUSED, assert_close, assert_same_history, numbers, state


def ragged(count: int = 41, seed: int = 0) -> Split:
    """Sequences of up to five of the numbers 1 to 9, some empty; the target is their sum."""
    rng = np.random.default_rng(seed)
    sequences = [rng.integers(1, 10, rng.integers(0, 6)).astype(np.int32) for _ in range(count)]
    sums = np.array([[some.sum() / 10] for some in sequences], np.float32)
    return Split("train", Ragged.of(sequences, (2, 5)), sums)


def build(**compiled: Any) -> keras.Model:
    keras.utils.set_random_seed(3)
    x = keras.Input((None,), dtype="int32")
    pooled = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(10, 4)(x))
    model = keras.Model(x, keras.layers.Dense(1)(pooled))
    model.compile(keras.optimizers.Adam(0.05), "mse", **compiled)
    return model


@pytest.fixture(scope="module")
def fused() -> tuple[keras.Model, dict[str, list[float]]]:
    return train(build(**FUSED, steps_per_execution=4))


def train(model: keras.Model) -> tuple[keras.Model, dict[str, list[float]]]:
    batches, validation = Buckets(ragged(), 8, seed=1), Buckets(ragged(19, 1), 8, shuffle=False)
    return model, numbers(fit(model, batches, validation, epochs=2).history)


def test_they_train_the_same(fused: tuple[keras.Model, dict[str, list[float]]]) -> None:
    model, history = train(build(**EAGER))
    assert_same_history(fused[1], history)
    assert_close(state(fused[0]), state(model))


def test_training_starts_inside_an_epoch(fused: tuple[keras.Model, dict[str, list[float]]]) -> None:
    model, batches = fused[0], Buckets(ragged(), 8, seed=1)
    before = int(model.optimizer.iterations)
    for call in steps_of(model, batches, "train").calls(2, 4):
        call.run()
    assert int(model.optimizer.iterations) - before == batches.steps_per_epoch - 4 == 2


def test_a_batch_of_a_program_has_the_width_that_numpy_gives_it() -> None:
    batches = Buckets(ragged(), 8, seed=4)
    parts = to_device(batches)
    widths = set()
    for step in range(6):
        chosen = batches.indices(2, step)
        width = batches.width(chosen)
        widths.add(width)
        for gathered in (gather(parts, chosen, width)[0], gather(parts, chosen)[0]):
            assert np.array_equal(keras.ops.convert_to_numpy(gathered), batches.split.x[chosen])
    assert widths == {2, 5}
