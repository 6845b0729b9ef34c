"""What the lab uses of Keras that is not public: each test fails when a new Keras changes it."""

from __future__ import annotations

import contextlib
import inspect
from typing import Any

import keras
import numpy as np
import pytest

from lab.engine import keras_private


def tower() -> keras.Model:
    inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="inner"), keras.layers.Dropout(0.5)])
    return keras.Sequential([keras.Input((3,)), inner, keras.layers.Dense(1, name="outer")])


def test_flatten_layers() -> None:
    model = tower()
    layers = keras_private.flatten_layers(model)
    assert layers[0] is model
    assert {"inner", "outer"} <= {layer.name for layer in layers}
    assert len({id(layer) for layer in layers}) == len(layers)
    assert any(isinstance(layer, keras.layers.Dropout) for layer in layers)


def test_symbolic_build() -> None:
    model = keras.Sequential([keras.layers.Dense(2), keras.layers.BatchNormalization()])
    model.compile("adam", "mse", metrics=["mae"])
    batch = (np.zeros((4, 3), np.float32), np.zeros((4, 2), np.float32))
    keras_private.symbolic_build(model, batch)
    assert model.built
    assert model.layers[0].kernel.shape == (3, 2)
    assert model.optimizer.built
    assert len(model.metrics_variables) == 4, "total and count of the loss and of the metric"
    assert int(model.optimizer.iterations) == 0, "nothing has been trained"
    before = [keras.ops.convert_to_numpy(variable) for variable in model.variables]
    keras_private.symbolic_build(model, batch)
    for variable, value in zip(model.variables, before, strict=True):
        assert np.array_equal(keras.ops.convert_to_numpy(variable), value)


def test_symbolic_build_may_leave_the_optimizer_for_later() -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    model.layers[0].trainable = False
    batch = (np.zeros((4, 3), np.float32), np.zeros((4, 1), np.float32))
    keras_private.symbolic_build(model, batch, optimizer=False)
    assert not model.optimizer.built
    assert len(model.metrics_variables) == 4
    model.layers[0].trainable = True
    keras_private.symbolic_build(model, batch)
    assert len(model.optimizer.variables) == 2 + 2 * 4, "iterations, rate, two moments of four weights"


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="Keras builds a model on JAX by its call alone")
def test_symbolic_build_leaves_a_model_without_a_call_to_its_own_step() -> None:
    class NoCall(keras.Model):  # type: ignore[misc]  # Keras has no types
        pass

    class OwnStep(NoCall):
        def train_step(self, data: Any) -> dict[str, Any]:
            return {}

    batch = (np.zeros((4, 3), np.float32),)
    for kind, refused in ((NoCall, True), (OwnStep, False)):
        model = kind()
        model.dense = keras.layers.Dense(2)  # not built
        model.compile("sgd")
        with pytest.raises(RuntimeError) if refused else contextlib.nullcontext():
            keras_private.symbolic_build(model, batch)


def test_initial_epoch(tmp_path: Any) -> None:
    model = tower()
    model.compile("sgd", "mse", run_eagerly=True)
    assert keras_private.initial_epoch(model) is None
    x, y = np.zeros((4, 3), np.float32), np.zeros((4, 1), np.float32)

    class Dies(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                raise KeyboardInterrupt

    try:
        model.fit(x, y, epochs=3, verbose=0, callbacks=[keras.callbacks.BackupAndRestore(tmp_path), Dies()])
    except KeyboardInterrupt:
        pass
    else:
        raise AssertionError("the training was to be interrupted")
    restore = keras.callbacks.BackupAndRestore(tmp_path)
    restore.set_model(model)
    restore.on_train_begin()
    assert keras_private.initial_epoch(model) == 2


def test_global_seed_generator() -> None:
    generator = keras_private.global_seed_generator()
    assert isinstance(generator, keras.random.SeedGenerator)
    assert generator is keras_private.global_seed_generator()
    state = keras.ops.convert_to_numpy(generator.state)
    first = keras.ops.convert_to_numpy(keras.random.normal((3,)))
    assert not np.array_equal(keras.ops.convert_to_numpy(generator.state), state), "keras.random draws from it"
    generator.state.assign(state)
    assert np.array_equal(keras.ops.convert_to_numpy(keras.random.normal((3,))), first)


def test_copy_optimizer() -> None:
    optimizer = keras.optimizers.AdamW(0.1, weight_decay=0.5, beta_1=0.7)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    copied = keras_private.copy_optimizer(optimizer, learning_rate=0.01)
    assert type(copied) is keras.optimizers.AdamW
    assert float(copied.learning_rate) == pytest.approx(0.01)
    assert (copied.beta_1, copied.weight_decay) == (0.7, 0.5)
    kernel, bias = keras.Variable(np.ones(2), name="kernel"), keras.Variable(np.ones(2), name="bias")
    copied.build([kernel, bias])
    copied.apply([np.zeros(2), np.zeros(2)])
    assert np.all(keras.ops.convert_to_numpy(kernel) < 1)
    assert np.all(keras.ops.convert_to_numpy(bias) == 1), "the exclusion is copied"


def test_uninitialized_variables() -> None:
    huge = (1 << 20, 1 << 20)  # four terabytes
    shapes = []

    def create() -> None:
        keras.Variable(lambda shape, dtype: keras.ops.zeros(shape, dtype), shape=huge, dtype="float32", name="huge")
        keras.layers.Dense(2).build((None, 3))

    for variable in keras_private.uninitialized_variables(create):
        shapes.append(tuple(variable.shape))
    assert shapes == [huge, (3, 2), (2,)]
    assert keras.layers.Dense(2)(np.zeros((1, 3))).shape == (1, 2), "variables are initialized again afterwards"


def test_every_function_has_its_test() -> None:
    functions = {
        name
        for name, function in inspect.getmembers(keras_private, inspect.isfunction)
        if function.__module__ == keras_private.__name__
    }
    assert functions <= {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
