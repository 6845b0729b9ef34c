"""Models without their training-only layers: the same numbers, and nothing of the lab's in them."""

from __future__ import annotations

import logging
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from lab.layers import Noise
from lab.runs.export import without_training_layers

X = np.random.default_rng(0).random((8, 6), np.float32)
Y = np.random.default_rng(1).random((8, 3), np.float32)


def functional() -> keras.Model:
    x = keras.Input((6,), name="image")
    hidden = keras.layers.Dense(5, "relu")(Noise(name="noise")(x))
    return keras.Model(x, keras.layers.Dense(3)(keras.layers.BatchNormalization()(hidden)), name="outer")


def sequential() -> keras.Model:
    return keras.Sequential([keras.Input((6,)), Noise(), keras.layers.Dense(3)], name="outer")


def nested() -> keras.Model:
    x = keras.Input((6,))
    inner = keras.Sequential([keras.Input((6,)), Noise(), keras.layers.Dense(6)], name="inner")
    return keras.Model(x, keras.layers.Dense(3)(inner(functional_encoder()(x))), name="outer")


def functional_encoder() -> keras.Model:
    x = keras.Input((6,))
    return keras.Model(x, keras.layers.Dense(6)(Noise()(x)), name="encoder")


def shared() -> keras.Model:
    x, noise, dense = keras.Input((6,)), Noise(), keras.layers.Dense(3)
    return keras.Model(x, keras.layers.Add()([dense(noise(x)), dense(noise(keras.layers.Rescaling(0.5)(x)))]))


def own_loss(y: Any, drawn: Any) -> Any:
    """A loss that Keras does not know by name."""
    return keras.ops.mean(keras.ops.square(y - drawn), axis=-1)


def compiled(model: keras.Model) -> keras.Model:
    model.compile("adam", "mse", metrics=["mae", keras.metrics.RootMeanSquaredError(name="rmse")], run_eagerly=True)
    return model


def classes(model: keras.Model) -> set[str]:
    """The class names of all layers, at any depth."""
    found = set()
    for layer in model.layers:
        found |= {type(layer).__name__} | (classes(layer) if hasattr(layer, "layers") else set())
    return found


@pytest.mark.parametrize("build", [functional, sequential, nested, shared])
def test_outputs_weights_and_scores_stay_the_same(build: Callable[[], keras.Model]) -> None:
    model = compiled(build())
    model.train_on_batch(X, Y)
    plain = without_training_layers(model)
    assert "Noise" in classes(model)
    assert "Noise" not in classes(plain)
    assert "Identity" in classes(plain)
    assert type(plain) is type(model)
    assert plain.name == model.name
    assert np.array_equal(model.predict_on_batch(X), plain.predict_on_batch(X))
    assert [w.path for w in plain.weights] == [w.path for w in model.weights]
    options: dict[str, Any] = {"verbose": 0, "return_dict": True}
    assert plain.evaluate(X, Y, **options) == model.evaluate(X, Y, **options)
    assert set(plain.evaluate(X, Y, **options)) == {"loss", "mae", "rmse"}


def test_names_and_precision_of_a_replaced_layer_stay() -> None:
    model = functional()
    plain = without_training_layers(model)
    assert [layer.name for layer in plain.layers] == [layer.name for layer in model.layers]
    assert plain.get_layer("noise").compute_dtype == "float32"


def test_the_model_itself_keeps_its_noise_and_trains_on() -> None:
    model = compiled(functional())
    before = model.predict_on_batch(X)
    without_training_layers(model)
    assert not np.array_equal(model(X, training=True), model(X, training=True))
    model.train_on_batch(X, Y)
    assert not np.array_equal(model.predict_on_batch(X), before)


def test_a_model_without_such_layers_is_returned_as_it_is() -> None:
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dropout(0.5), keras.layers.Dense(3)])
    assert without_training_layers(model) is model


def test_a_layer_that_is_called_for_training_stays() -> None:
    x = keras.Input((6,))
    model = keras.Model(x, keras.layers.Add()([Noise(name="always")(x, training=True), Noise(name="never")(x)]))
    plain = without_training_layers(model)
    assert isinstance(plain.get_layer("always"), Noise)
    assert isinstance(plain.get_layer("never"), keras.layers.Identity)


def test_a_model_that_keras_cannot_clone_is_kept_and_the_reason_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Own(keras.Model):  # type: ignore[misc]  # Keras has no types
        def __init__(self) -> None:
            super().__init__()
            self.noise, self.dense = Noise(), keras.layers.Dense(3)

        def call(self, x: Any, training: bool = False) -> Any:
            return self.dense(self.noise(x, training=training))

    model = Own()
    model(X)
    unknown_loss = functional()
    unknown_loss.compile("adam", own_loss)
    for kept in (model, unknown_loss):
        with caplog.at_level(logging.WARNING, "lab"):
            assert without_training_layers(kept) is kept
        assert "the saved model keeps its training-only layers" in caplog.text
        caplog.clear()


def test_the_saved_file_names_no_class_of_the_lab(tmp_path: Path) -> None:
    model = compiled(nested())
    model.train_on_batch(X, Y)
    without_training_layers(model).save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert not re.search(rb'"lab[.>]', archive.read("config.json"))
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert np.array_equal(loaded.predict_on_batch(X), model.predict_on_batch(X))
