"""A state that a layer carries from batch to batch is that of a plain loop, in NumPy, over the same batches."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from lab.callbacks.weights import ResetStates
from lab.data import Array, Split
from lab.data.windows import Streams, Windows
from lab.engine.loop import fit
from lab.layers import LSTM

FILL = -1


def symbols(count: int, length: int, seed: int = 0) -> Split:
    """A text of five symbols, as small numbers."""
    tokens = np.random.default_rng(seed).integers(1, 5, count + 1).astype(np.int16)
    return Split("train", Windows(tokens[:-1], length), Windows(tokens[1:], length, FILL))


UNITS = 3


def reader(**compiled: Any) -> keras.Model:
    """A model of five symbols that carries its state and learns nothing."""
    keras.utils.set_random_seed(3)
    x = keras.Input((None,), dtype="int32")
    embedded = keras.layers.Embedding(5, 2, keras.initializers.RandomNormal(0, 1), name="table")(x)
    hidden = LSTM(UNITS, return_sequences=True, stateful=True, name="reader")(embedded)
    model = keras.Model(x, keras.layers.Dense(5)(hidden))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=FILL)
    model.compile(keras.optimizers.SGD(0.0), loss, **compiled)
    return model


def read_on(model: keras.Model, batches: list[tuple[Array, ...]]) -> tuple[Array, Array]:
    """The state of an LSTM after reading batches one after the other from zeros, written in plain NumPy."""
    cell, table = model.get_layer("reader").cell, model.get_layer("table").embeddings
    weights = (table, cell.kernel, cell.recurrent_kernel, cell.bias)
    embedding, kernel, recurrent, bias = (np.asarray(weight, float) for weight in weights)
    h = c = np.zeros((len(batches[0][0]), UNITS))
    for x, _ in batches:
        for column in x.T:
            gates = embedding[column] @ kernel + h @ recurrent + bias
            i, f, g, o = np.split(gates, 4, axis=1)
            c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
            h = np.tanh(c) / (1 + np.exp(-o))
    return h, c


def carried(model: keras.Model) -> list[Array]:
    return [np.asarray(state) for state in model.get_layer("reader").states]


@pytest.mark.parametrize(
    "compiled",
    [{"jit_compile": True, "steps_per_execution": 4}, {"run_eagerly": True}],
    ids=["fused", "step by step"],
)
def test_the_state_after_an_epoch_is_that_of_a_plain_loop_over_its_batches(compiled: dict[str, Any]) -> None:
    model, batches = reader(**compiled), Streams(symbols(80, 3), 4, seed=1)
    validation = Streams(symbols(45, 3), 4, shuffle=False)
    assert batches.steps_per_epoch == 6  # one full block of four steps and a part of one
    assert not np.array_equal(batches.order(0), batches.order(1))
    trained, tested = list[list[Array]](), list[list[Array]]()

    class Looks(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == batches.steps_per_epoch - 1:
                trained.append(carried(model))

        def on_test_end(self, logs: Any = None) -> None:
            tested.append(carried(model))

    history = fit(model, batches, validation, epochs=2, callbacks=[ResetStates(), Looks()]).history
    for epoch in (0, 1):  # the second begins with zeros again, at another place
        for state, wanted in zip(trained[epoch], read_on(model, list(batches.epoch(epoch))), strict=True):
            assert state.shape == (4, UNITS)
            assert np.allclose(state, wanted, atol=1e-5)
        made = list(validation.epoch(0))
        assert history["val_loss"][epoch] == pytest.approx(loss_of(model, made), rel=1e-4)
        for state, wanted in zip(tested[epoch], read_on(model, made), strict=True):
            assert np.allclose(state, wanted, atol=1e-5)
    alone = read_on(model, list(batches.epoch(1))[-1:])
    assert not np.allclose(trained[1][0], alone[0], atol=1e-3), "the batches before have left a trace"


def loss_of(model: keras.Model, batches: list[tuple[Array, ...]]) -> float:
    """The mean over batches of the mean loss of the targets that are none of the fill."""
    kernel, bias = (np.asarray(weight, float) for weight in model.layers[-1].get_weights())
    losses = []
    for place, (x, y) in enumerate(batches):
        columns = []
        for step in range(x.shape[1]):
            h, _ = read_on(model, [*batches[:place], (x[:, : step + 1], y)])
            columns.append(h @ kernel + bias)
        logits = np.stack(columns, axis=1)
        logits -= np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        counted = y != FILL
        losses.append(-np.take_along_axis(logits, np.maximum(y, 0)[..., None].astype(int), -1)[..., 0][counted].mean())
    return float(np.mean(losses))
