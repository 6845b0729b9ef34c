"""What Keras's tests demand of LSTM, Bidirectional and Dropout holds for the subclasses of the lab."""

from __future__ import annotations

import json
from typing import Any

import keras
import numpy as np
import pytest

from lab.layers import LSTM, Bidirectional, Dropout

X = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
CONSTANT: dict[str, Any] = {
    "kernel_initializer": keras.initializers.Constant(0.01),
    "recurrent_initializer": keras.initializers.Constant(0.02),
    "bias_initializer": keras.initializers.Constant(0.03),
}
LSTM_OPTIONS: list[dict[str, Any]] = [
    {},
    {"implementation": 1},
    {"unit_forget_bias": False},
    {"use_bias": False, "go_backwards": True},
    {"return_sequences": True, "bias_regularizer": "l1", "kernel_regularizer": "l2", "recurrent_regularizer": "l2"},
    {"return_state": True, "activity_regularizer": "l2"},
    {"return_sequences": True, "return_state": True, "zero_output_for_mask": True},
    {"stateful": True},
    {"dropout": 0.5, "recurrent_dropout": 0.5, "seed": 1},
    {"unroll": True, "kernel_constraint": "non_neg"},
    {"dtype": "mixed_bfloat16"},
]


def lstms(**options: Any) -> tuple[Any, Any]:
    return LSTM(2, **CONSTANT, **options), keras.layers.LSTM(2, **CONSTANT, **options)


def bidirectionals(merge: str | None, **options: Any) -> tuple[Any, Any]:
    ours, theirs = lstms(**options)
    return Bidirectional(ours, merge), keras.layers.Bidirectional(theirs, merge)


def backward_layers(**options: Any) -> tuple[Any, Any]:
    ours, theirs = lstms(**options, go_backwards=True)
    return (
        Bidirectional(lstms(**options)[0], "sum", backward_layer=ours),
        keras.layers.Bidirectional(lstms(**options)[1], "sum", backward_layer=theirs),
    )


def dropouts(rate: float, **options: Any) -> tuple[Any, Any]:
    return Dropout(rate, **options), keras.layers.Dropout(rate, **options)


def named(options: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in options.items())


PAIRS: dict[str, tuple[Any, Any]] = {
    **{f"LSTM {named(options)}": lstms(**options) for options in LSTM_OPTIONS},
    **{f"Bidirectional {merge}": bidirectionals(merge) for merge in ("concat", "sum", "ave", "mul", None)},
    **{
        f"Bidirectional {merge} {named(options)}": bidirectionals(merge, **options)
        for merge in ("concat", None)
        for options in LSTM_OPTIONS[5:8]
    },
    "Bidirectional with a backward layer": backward_layers(return_sequences=True),
    "Dropout": dropouts(0.5, seed=1),
    "Dropout of nothing": dropouts(0.0),
    "Dropout with a noise shape": dropouts(0.5, noise_shape=[3, 1, 5]),
}


@pytest.fixture(params=PAIRS, ids=str)
def pair(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """The layer of the lab and Keras's with the same arguments, neither built nor called."""
    return tuple(type(layer).from_config(layer.get_config()) for layer in PAIRS[request.param])


def flat(outputs: Any) -> list[np.ndarray]:
    return [np.asarray(keras.ops.cast(output, "float32")) for output in keras.tree.flatten(outputs)]


def own_arguments(layer: Any) -> Any:
    """The configuration of a layer, but for names and for where its classes come from."""
    names = {"name", "module", "registered_name", "class_name"}

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without(item) for key, item in value.items() if key not in names}
        return [without(item) for item in value] if isinstance(value, (list, tuple)) else value

    return without(json.loads(json.dumps(layer.get_config())))


def test_outputs_and_carried_states_are_equal_call_after_call(pair: tuple[Any, Any]) -> None:
    for _ in range(2):
        ours, theirs = (flat(layer(X)) for layer in pair)
        assert len(ours) == len(theirs)
        for mine, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(mine, other, atol=4e-3 if "float16" in pair[0].compute_dtype else 1e-6)


@pytest.mark.parametrize(
    "layer",
    [lstms(stateful=True)[0], bidirectionals("concat", stateful=True)[0]],
    ids=lambda layer: type(layer).__name__,
)
@pytest.mark.parametrize("reset", ["reset_state", "reset_states"])
def test_a_reset_layer_starts_again(layer: Any, reset: str) -> None:
    layer = type(layer).from_config(layer.get_config())
    first, second = np.asarray(layer(X)), np.asarray(layer(X))
    getattr(layer, reset)()
    np.testing.assert_array_equal(layer(X), first)
    np.testing.assert_array_equal(layer(X), second)


def shapes(nested: Any) -> list[tuple[int, ...]]:
    """The shapes in nested tuples and lists of them, in order."""
    if nested and isinstance(nested[0], int):
        return [tuple(nested)]
    return [shape for part in nested for shape in shapes(part)]


def test_the_shapes_are_known_before_the_first_call(pair: tuple[Any, Any]) -> None:
    computed = [shapes(layer.compute_output_shape(X.shape)) for layer in pair]
    symbolic = [output.shape for output in keras.tree.flatten(pair[0](keras.KerasTensor(X.shape)))]
    actual = [output.shape for output in flat(pair[0](X))]
    assert computed[0] == computed[1] == symbolic == actual


def test_weights_losses_and_properties_are_equal(pair: tuple[Any, Any]) -> None:
    assert pair[0].built == pair[1].built
    assert pair[0].supports_masking == pair[1].supports_masking
    for layer in pair:
        layer(X)
    ours, theirs = pair
    assert [weight.shape for weight in ours.trainable_weights] == [weight.shape for weight in theirs.trainable_weights]
    assert [weight.name for weight in ours.trainable_weights] == [weight.name for weight in theirs.trainable_weights]
    assert [float(loss) for loss in ours.losses] == pytest.approx([float(loss) for loss in theirs.losses])
    assert len(ours.non_trainable_variables) - len(theirs.non_trainable_variables) == 2 * len(carrying(ours))


def carrying(layer: Any) -> list[Any]:
    """The LSTMs within a layer that carry h and c, which Keras does not count among the variables of a layer."""
    inner = [layer, *(getattr(layer, name, None) for name in ("forward_layer", "backward_layer"))]
    return [part for part in inner if isinstance(part, LSTM) and part.stateful]


def test_arguments_go_through_json_and_are_those_of_keras(pair: tuple[Any, Any]) -> None:
    ours, theirs = pair
    assert own_arguments(ours) == own_arguments(theirs)
    again = keras.saving.deserialize_keras_object(json.loads(json.dumps(keras.saving.serialize_keras_object(ours))))
    assert type(again) is type(ours)
    assert again.get_config() == ours.get_config()


@pytest.mark.parametrize("index", [2, 8], ids=lambda index: list(PAIRS)[index])
def test_a_model_with_it_trains(index: int) -> None:
    layer = list(PAIRS.values())[index][0]
    model = keras.Sequential([type(layer).from_config(layer.get_config()), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    losses = [model.train_on_batch(X, np.ones((3, 1), np.float32)) for _ in range(4)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("noise_shape", "message"),
    [("Invalid", "tuple or list of integers"), ((3, 1.5, 5), "integers or None"), ((3, 0, 5), "positive integers")],
)
def test_a_noise_shape_that_is_none_is_refused(noise_shape: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Dropout(0.5, noise_shape=noise_shape)
