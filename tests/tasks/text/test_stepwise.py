"""A model run step by step gives the log-probabilities of `model.predict`, or is refused."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import layers, ops

import lab
from lab.errors import ModelError
from lab.tasks.text.generation import Generator
from lab.tasks.text.stepwise import Stepwise

SIZE = 7  # symbols
UNITS = 5

Body = Callable[[keras.KerasTensor], keras.KerasTensor]


def gru(units: int = UNITS, **options: object) -> keras.layers.Layer:
    return layers.GRU(units, return_sequences=True, **options)


def lstm(units: int = UNITS, **options: object) -> keras.layers.Layer:
    return layers.LSTM(units, return_sequences=True, **options)


def model_of(body: Body, steps: int | None = None, kind: type[keras.Model] = keras.Model) -> keras.Model:
    """A model whose `body` takes embedded symbols (batch, steps, UNITS), with weights that make logits differ."""
    keras.utils.set_random_seed(0)
    symbols = keras.Input((steps,), dtype="int32")
    model = kind(symbols, layers.Dense(SIZE)(body(layers.Embedding(SIZE, UNITS)(symbols))))
    model.set_weights([2 * weight for weight in model.get_weights()])
    return model


def log_probabilities(model: keras.Model, symbols: np.ndarray) -> np.ndarray:
    """The log-probability of every symbol but the first, by `model.predict`."""
    logits = np.asarray(model.predict(symbols, verbose=0), np.float64)
    logits -= np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return np.asarray(np.take_along_axis(logits[:, :-1], symbols[:, 1:, None], axis=2)[..., 0])


# --- models that are followed ---------------------------------------------------------------------


def residual(x: keras.KerasTensor) -> keras.KerasTensor:
    first = layers.Add()([x, lab.layers.LSTM(UNITS, return_sequences=True)(x)])
    return first + layers.Dropout(0.5)(lstm()(layers.LayerNormalization()(first)))


def an_operation(x: keras.KerasTensor) -> keras.KerasTensor:
    return ops.tanh(3 * gru()(ops.tanh(x)))


def a_layer_used_twice(x: keras.KerasTensor) -> keras.KerasTensor:
    recurrent, alone = lstm(), layers.Dense(UNITS, "tanh")
    return recurrent(alone(recurrent(alone(x))))


def branches(x: keras.KerasTensor) -> keras.KerasTensor:
    return ops.concatenate([lstm(4)(x), gru(3)(x), x[:, :, :2]], axis=2)


def stacked_cells(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.RNN([layers.LSTMCell(4), layers.GRUCell(3)], return_sequences=True)(x)


FOLLOWED: dict[str, Body] = {
    "residual connections": residual,
    "operations": an_operation,
    "a layer used twice": a_layer_used_twice,
    "branches": branches,
    "stacked cells": stacked_cells,
    "LSTM without bias": lambda x: lstm(use_bias=False, activation="softsign")(x),
    "GRU before LSTM": lambda x: lstm(4)(gru()(x)),
    "layers before": lambda x: lstm()(layers.BatchNormalization()(layers.Dense(9, "tanh")(x))),
    "SimpleRNN": lambda x: layers.SimpleRNN(UNITS, return_sequences=True)(x),
    "dropout": lambda x: layers.SpatialDropout1D(0.5)(lstm(dropout=0.5, recurrent_dropout=0.5)(x)),
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_log_probabilities_are_those_of_predict_after_a_change_of_weights_too(name: str) -> None:
    model = model_of(FOLLOWED[name])
    symbols = np.random.default_rng(0).integers(0, SIZE, (2, 12))
    generator = Generator(model, 2)
    for _ in range(2):
        generator.reset()
        found = generator.read(symbols).log_probability[:, 1:]
        np.testing.assert_allclose(found, log_probabilities(model, symbols), atol=1e-4)
        model.set_weights([weight + 0.3 for weight in model.get_weights()])


def test_a_sequential_model_is_followed() -> None:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            layers.Embedding(SIZE, 4),
            lstm(),
            layers.TimeDistributed(layers.Dense(SIZE)),
        ]
    )
    symbols = np.random.default_rng(0).integers(0, SIZE, (1, 9))
    found = Generator(model).read(symbols).log_probability[:, 1:]
    np.testing.assert_allclose(found, log_probabilities(model, symbols), atol=1e-4)


def test_symbols_may_come_in_without_an_embedding() -> None:
    keras.utils.set_random_seed(0)
    symbols = keras.Input((None,), dtype="int32")
    model = keras.Model(symbols, layers.Dense(SIZE)(lstm()(ops.one_hot(symbols, SIZE))))
    read = np.random.default_rng(0).integers(0, SIZE, (1, 9))
    found = Generator(model).read(read).log_probability[:, 1:]
    np.testing.assert_allclose(found, log_probabilities(model, read), atol=1e-4)


def test_the_model_is_unchanged() -> None:
    model = model_of(lambda x: lab.layers.LSTM(UNITS, return_sequences=True, stateful=True)(x))
    model.compile("adam", "mse")
    model(np.ones((2, 3), np.int32))
    layer = model.layers[2]
    carried, weights = [np.asarray(state) for state in layer.states], model.get_weights()
    Stepwise(model)
    assert layer.stateful
    assert layer.output is model.layers[3].input  # a further node would make `output` ambiguous
    for before, after in zip([*carried, *weights], [*map(np.asarray, layer.states), *model.get_weights()], strict=True):
        np.testing.assert_array_equal(after, before)


# --- models that are refused ----------------------------------------------------------------------


class Doubled(keras.Model):  # type: ignore[misc]  # Keras has no types
    """A functional model whose `call` does more than its graph."""

    def call(self, inputs: object, training: object = None) -> object:
        return 2 * super().call(inputs, training=training)


def convolution(dilation: int) -> Body:
    def body(x: keras.KerasTensor) -> keras.KerasTensor:
        x = gru()(x)
        return x + layers.Conv1D(UNITS, 2, dilation_rate=dilation, padding="causal")(x)

    return body


def attention(x: keras.KerasTensor) -> keras.KerasTensor:
    x = gru()(x)
    return layers.MultiHeadAttention(1, 3)(x, x, use_causal_mask=True)


def positions(x: keras.KerasTensor) -> keras.KerasTensor:
    return gru()(x + layers.Embedding(20, UNITS)(ops.expand_dims(ops.arange(20), 0)))


@pytest.mark.parametrize(
    ("body", "steps"),
    [
        (convolution(1), None),
        (convolution(100), None),
        (attention, None),
        (positions, 20),
        (lambda x: gru(go_backwards=True)(x), None),
        (lambda x: gru()(layers.Bidirectional(gru())(x)), None),
        (lambda x: x + ops.mean(lstm()(x), axis=1, keepdims=True), None),
    ],
    ids=["convolution", "dilated convolution", "attention", "positions", "backwards", "both directions", "mean"],
)
def test_layers_that_mix_steps_are_refused(body: Body, steps: int | None) -> None:
    with pytest.raises(ModelError, match=r"expected layers that treat each step alike, .* other logits: Embedding, "):
        Stepwise(model_of(body, steps))


def test_a_model_whose_call_differs_from_its_graph_is_refused() -> None:
    with pytest.raises(ModelError, match="one step at a time this model gives other logits: Embedding, GRU, Dense"):
        Stepwise(model_of(gru(), kind=Doubled))


def test_a_layer_that_cannot_take_a_single_step_is_refused() -> None:
    with pytest.raises(ModelError, match="expected a model that can be run one step at a time, "):
        Stepwise(model_of(lambda x: layers.Reshape((20, UNITS))(gru()(x)), 20))


def test_masks_states_and_models_without_recurrent_layers_are_refused() -> None:
    def states(x: keras.KerasTensor) -> keras.KerasTensor:
        x, state = gru(return_state=True)(x)
        return gru()(x, initial_state=state)

    symbols = keras.Input((None,), dtype="int32")
    masked = layers.Embedding(SIZE, UNITS, mask_zero=True)(symbols)
    for model in (
        model_of(states),
        model_of(keras.Sequential([keras.Input((None, UNITS)), lstm()])),
        model_of(layers.Dense(4)),
        keras.Model(symbols, layers.Dense(SIZE)(gru()(masked))),
    ):
        with pytest.raises(ModelError, match="expected a recurrent layer, such as LSTM or GRU, without a mask, "):
            Stepwise(model)


def test_other_inputs_and_outputs_are_refused() -> None:
    class Subclassed(keras.Model):  # type: ignore[misc]  # Keras has no types
        pass

    inputs = keras.Input((4,))
    for model in (keras.Model(inputs, layers.Dense(3)(inputs)), keras.Sequential([layers.Dense(3)]), Subclassed()):
        with pytest.raises(ModelError, match=r"of symbols \(batch, steps\) to logits \(batch, steps, symbols\)"):
            Stepwise(model)
