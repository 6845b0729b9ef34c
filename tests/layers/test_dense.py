"""A dense layer whose kernel may lie turned: what Keras's does, in every respect that can be seen from outside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from lab.layers import Dense

NARROWS, WIDENS = (12, 5), (5, 12)
X = {features: np.random.default_rng(0).normal(size=(7, features)).astype(np.float32) for features in (5, 12)}


def model(kind: type[keras.layers.Dense], sizes: tuple[int, int], **options: Any) -> keras.Model:
    features, units = sizes
    keras.utils.set_random_seed(3)
    made = keras.Sequential([keras.Input((features,)), kind(units, **options)])
    made.compile(keras.optimizers.Adam(0.1), "mse")
    return made


def trained(kind: type[keras.layers.Dense], sizes: tuple[int, int], **options: Any) -> tuple[np.ndarray, list[float]]:
    """The kernel as Keras has it, and the losses."""
    made = model(kind, sizes, **options)
    features, units = sizes
    y = np.random.default_rng(1).normal(size=(7, units)).astype(np.float32)
    seen = made.fit(X[features], y, epochs=5, batch_size=7, shuffle=False, verbose=0).history["loss"]
    return np.asarray(keras.ops.convert_to_numpy(made.layers[0].kernel)), seen


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_bias": False, "activation": "gelu"},
        {"kernel_initializer": keras.initializers.HeNormal(seed=1)},  # which counts the features
        {"kernel_regularizer": keras.regularizers.OrthogonalRegularizer(0.3)},  # of the rows, which differ
        {"kernel_constraint": keras.constraints.MaxNorm(0.4, axis=0), "bias_constraint": "non_neg"},
        {"bias_regularizer": "l1", "bias_initializer": "ones"},
    ],
    ids=lambda options: "+".join(options) or "plain",
)
@pytest.mark.parametrize("sizes", [NARROWS, WIDENS, (5, 5)], ids=str)
def test_it_begins_and_trains_as_keras_has_it(sizes: tuple[int, int], options: dict[str, Any]) -> None:
    kernel, losses = trained(Dense, sizes, **options)
    expected_kernel, expected_losses = trained(keras.layers.Dense, sizes, **options)
    assert np.allclose(kernel, expected_kernel, rtol=1e-4, atol=1e-5)
    assert np.allclose(losses, expected_losses, rtol=1e-4)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(("sizes", "lies"), [(NARROWS, (5, 12)), (WIDENS, (5, 12)), ((5, 5), (5, 5))])
def test_the_shorter_side_of_the_weight_comes_first(sizes: tuple[int, int], lies: tuple[int, int]) -> None:
    layer = model(Dense, sizes).layers[0]
    assert layer.trainable_weights[0].shape == lies
    assert tuple(layer.kernel.shape) == sizes
    assert layer.turned == (sizes == NARROWS)


def test_longer_inputs_and_half_precision() -> None:
    x = np.stack([X[12], X[12]])
    for policy in ("float32", "mixed_bfloat16"):
        keras.utils.set_random_seed(3)
        found = Dense(5, dtype=policy)(x)
        keras.utils.set_random_seed(3)
        expected = keras.layers.Dense(5, dtype=policy)(x)
        assert found.dtype == expected.dtype
        assert np.array_equal(keras.ops.convert_to_numpy(found), keras.ops.convert_to_numpy(expected))


@pytest.mark.parametrize("sizes", [NARROWS, WIDENS])
def test_it_goes_through_a_file_with_its_optimizer(tmp_path: Path, sizes: tuple[int, int]) -> None:
    x, y = X[sizes[0]], X[sizes[1]]
    made = model(Dense, sizes, activation="tanh", kernel_constraint=keras.constraints.MaxNorm(2, axis=0))
    made.fit(x, y, verbose=0)
    made.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(again.layers[0], Dense)
    assert again.layers[0].get_config() == made.layers[0].get_config()
    assert np.allclose(again.predict(x, verbose=0), made.predict(x, verbose=0), rtol=1e-5, atol=1e-6)
    for _ in range(2):  # the second loss shows whether the optimizer came along
        assert again.fit(x, y, verbose=0).history["loss"] == pytest.approx(made.fit(x, y, verbose=0).history["loss"])


@pytest.mark.parametrize(("one", "other"), [(Dense, keras.layers.Dense), (keras.layers.Dense, Dense)])
def test_files_of_weights_fit_both(tmp_path: Path, one: Any, other: Any) -> None:
    first, second = model(one, NARROWS), model(other, NARROWS, kernel_initializer="zeros")
    first.save_weights(tmp_path / "some.weights.h5")
    second.load_weights(tmp_path / "some.weights.h5")
    assert np.allclose(second.predict(X[12], verbose=0), first.predict(X[12], verbose=0), rtol=1e-5)


def test_a_layer_for_lora_lies_as_in_keras() -> None:
    layer = model(Dense, NARROWS, lora_rank=2).layers[0]
    assert not layer.turned
    assert [tuple(weight.shape) for weight in layer.trainable_weights] == [(5,), (12, 2), (2, 5)]


def test_a_quantized_layer_lies_as_in_keras() -> None:
    layer = Dense(5, dtype="int8_from_float32")
    layer.build((None, 12))
    assert not layer.turned
    assert layer.kernel.shape == (12, 5)


def test_who_asks_for_lora_or_quantization_later_is_told_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"lies turned; take keras\.layers\.Dense"):
        model(Dense, NARROWS).layers[0].quantize("int8", type_check=False)
    with pytest.raises(ValueError, match="lies turned; give lora_rank"):
        model(Dense, NARROWS).layers[0].enable_lora(2)
    model(Dense, WIDENS).layers[0].enable_lora(2)


def test_a_kernel_is_asked_for_too_early() -> None:
    with pytest.raises(AttributeError, match="build"):
        _ = Dense(5).kernel


@pytest.mark.parametrize("sizes", [NARROWS, WIDENS])
def test_inputs_of_another_width_are_refused_as_by_keras(sizes: tuple[int, int]) -> None:
    layer = model(Dense, sizes).layers[0]
    with pytest.raises(ValueError, match=f"expected axis -1 of input shape to have value {sizes[0]}"):
        layer(np.zeros((2, 7), np.float32))


@pytest.mark.parametrize("kind", [Dense, keras.layers.Dense])
def test_a_width_that_nobody_knows_is_refused_as_by_keras(kind: Any) -> None:
    with pytest.raises(ValueError, match="None"):
        kind(5).build((None, None))


@pytest.mark.parametrize("kind", [Dense, keras.layers.Dense])
def test_a_file_without_its_weights_is_refused_as_by_keras(kind: Any) -> None:
    with pytest.raises(ValueError, match="expected 2 variables"):
        model(kind, NARROWS).layers[0].load_own_variables({})
