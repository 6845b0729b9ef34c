"""Engines for recurrent layers alone, and for writing one character at a time: the lab's and Keras's."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

import lab
from lab.tasks.text.generation import Generator, Sampling
from tests.benchmarks import tasks
from tests.benchmarks.worker import Turns

STEPS = 4  # training steps in a turn of the bare layers
READ = 32  # characters that each side reads, to see that all have the same network
WRITTEN = {"lab": 3200, "predict": 12}


def prepare_layers(turns: Turns) -> None:
    """Writes the input and the weights of two LSTM layers."""
    units, batch, steps = (int(turns.options[name]) for name in ("units", "batch", "steps"))
    lab.backend.select(None)
    keras.utils.set_random_seed(0)
    layers = [keras.layers.LSTM(units, return_sequences=True) for _ in range(2)]
    for layer in layers:
        layer.build((batch, steps, units))
    tasks.save_weights(turns.folder, [weight for layer in layers for weight in layer.get_weights()])
    np.save(turns.folder / "x.npy", np.random.default_rng(0).normal(size=(batch, steps, units)).astype(np.float32))
    turns.end()


def layers(turns: Turns) -> None:
    """One step forwards and backwards through two layers under XLA: loss `mean(y**2)`, gradients of all."""
    import tensorflow as tf

    lab.backend.select(None)
    kind = keras.layers.LSTM if turns.options.get("keras_layer") else lab.layers.LSTM
    x = tf.constant(np.load(turns.folder / "x.npy"))
    weights = tasks.load_weights(turns.folder)
    both = [kind(int(turns.options["units"]), return_sequences=True) for _ in range(2)]
    for place, layer in enumerate(both):
        layer.build(x.shape)
        layer.set_weights(weights[3 * place : 3 * place + 3])
    values = [weight.value for layer in both for weight in layer.trainable_weights]

    @tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
    def step(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_mean(tf.square(both[1](both[0](x))))
        return loss, tape.gradient(loss, [*values, x])

    for _ in range(turns.count):
        turns.begin()
        for _ in range(STEPS):
            loss = float(step(x)[0])
        turns.end(loss=loss, steps=STEPS)


def _network(units: int, symbols: int) -> Any:
    inputs = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(symbols, units)(inputs)
    x = lab.layers.LSTM(units, return_sequences=True)(x)
    return keras.Model(inputs, keras.layers.Dense(symbols)(x))


def prepare_writing(turns: Turns) -> None:
    """Writes the weights of a network of one layer, and characters to read."""
    lab.backend.select(None)
    keras.utils.set_random_seed(0)
    model = _network(int(turns.options["units"]), int(turns.options["symbols"]))
    weights = [
        8 * weight if weight.ndim == 2 and not place else weight for place, weight in enumerate(model.get_weights())
    ]
    tasks.save_weights(turns.folder, weights)
    rng = np.random.default_rng(0)
    np.save(turns.folder / "read.npy", rng.integers(int(turns.options["symbols"]), size=READ))
    turns.end()


def _loaded(turns: Turns) -> tuple[Any, Any]:
    lab.backend.select(None)
    model = _network(int(turns.options["units"]), int(turns.options["symbols"]))
    model.set_weights(tasks.load_weights(turns.folder))
    return model, np.load(turns.folder / "read.npy").astype(np.int32)


def write_with_lab(turns: Turns) -> None:
    """The lab's compiled loop, as `make generate` has it."""
    model, read = _loaded(turns)
    rows, length = int(turns.options["rows"]), WRITTEN["lab"]
    generator = Generator(model, rows)
    loss = -float(generator.read(np.tile(read, (rows, 1))).log_probability[0, 1:].mean())
    for _ in range(turns.count):
        turns.begin()
        list(generator.write(length, Sampling(0.8)))
        turns.end(per=length, loss=loss)


def write_with_predict(turns: Turns) -> None:
    """The loop of the keras.io example: a `predict` over the last 40 characters for each one."""
    model, read = _loaded(turns)
    rows, length = int(turns.options["rows"]), WRITTEN["predict"]
    said = model.predict(read[None, :-1], verbose=0)[0].astype(np.float64)
    said -= np.log(np.exp(said).sum(axis=1, keepdims=True))
    loss = -float(said[np.arange(READ - 1), read[1:]].mean())
    window, rng = np.zeros((rows, 40), np.int32), np.random.default_rng(0)
    for _ in range(turns.count):
        turns.begin()
        for _ in range(length):
            logits = model.predict(window, verbose=0)[:, -1].astype(np.float64) / 0.8
            chances = np.exp(logits - logits.max(axis=1, keepdims=True))
            chances /= chances.sum(axis=1, keepdims=True)
            drawn = [rng.choice(chances.shape[1], p=row) for row in chances]
            window = np.concatenate([window[:, 1:], np.array(drawn, np.int32)[:, None]], axis=1)
        turns.end(per=length, loss=loss)
