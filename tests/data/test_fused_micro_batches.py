"""Micro-batches against Keras's own step: the same training to rounding, and what they are not used for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from experiments.autoencoder import Autoencoder
from lab.data import Batches, Data, Split
from lab.data.fused import fused
from lab.data.fused_micro_batches import micro_batched, pieces

RNG = np.random.default_rng(0)
IMAGES = (RNG.integers(0, 256, size=(100, 4, 6)) / 255).astype(np.float32)
DIGITS = RNG.integers(0, 3, size=100)
layers, losses = keras.layers, keras.losses


def autoencoder(loss: Any = None, *more: Any, **options: Any) -> keras.Model:
    keras.utils.set_random_seed(0)
    image = keras.Input((4, 6))
    encoder = keras.Sequential([keras.Input((4, 6)), layers.Flatten(), layers.Dense(5, "relu", **options)])
    decoder = keras.Sequential([keras.Input((5,)), layers.Dense(24), layers.Reshape((4, 6)), *more])
    model = keras.Model(image, layers.Activation("sigmoid", dtype="float32")(decoder(encoder(image))))
    model.compile(keras.optimizers.Adam(1e-2), losses.BinaryCrossentropy() if loss is None else loss)
    return model


def classifier(**options: Any) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4, 6)), layers.Flatten(), layers.Dense(3, "softmax")])
    model.compile("sgd", losses.SparseCategoricalCrossentropy(**options), metrics=["accuracy"])
    return model


def batches(size: int = 16, y: Any = IMAGES, weight: Any = None) -> Batches:
    return Batches(Split("train", IMAGES, y, weight), size, seed=3)


def trained(
    make: Callable[[], keras.Model], train: Batches, monkeypatch: pytest.MonkeyPatch, *, divide: bool
) -> tuple[list[Any], dict[str, Any], int]:
    """The weights and the history of two epochs, and how often a batch, or a part of it, went through the model."""
    with monkeypatch.context() as patch:
        if not divide:
            patch.setattr("lab.data.fused.micro_batched", lambda model, train: None)
        model = make()
        model.jit_compile, model.steps_per_execution = True, 3
        seen: list[int | None] = []
        usual = type(model).__call__

        def noted(self: Any, x: Any, *rest: Any, **options: Any) -> Any:
            if self is model and options.get("training"):
                seen.append(x.shape[0])
            return usual(self, x, *rest, **options)

        patch.setattr(type(model), "__call__", noted)
        validation = Batches(train.split.head(20), train.batch_size)
        with fused(model, train, validation):
            history = model.fit(train.feed(), validation_data=validation.feed(), epochs=2, verbose=0).history
    return [np.asarray(weight) for weight in model.get_weights()], history, seen.count(train.batch_size // 2)


@pytest.mark.parametrize(
    ("make", "y"),
    [
        (autoencoder, IMAGES),
        (lambda: autoencoder(losses.MeanSquaredError()), IMAGES),
        (lambda: autoencoder(losses.MeanAbsoluteError()), IMAGES),
        (lambda: autoencoder(kernel_regularizer="l2"), IMAGES),
        (lambda: autoencoder(dtype="mixed_bfloat16"), IMAGES),
        (classifier, DIGITS),
    ],
    ids=["cross-entropy", "squares", "absolutes", "regularized", "bfloat16", "classes and accuracy"],
)
@pytest.mark.parametrize("size", [16, 100], ids="batches of {}".format)
def test_training_is_keras_s_own_to_rounding(
    size: int, make: Callable[[], keras.Model], y: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, history, divided = trained(make, batches(size, y), monkeypatch, divide=True)
    theirs, other, whole = trained(make, batches(size, y), monkeypatch, divide=False)
    assert divided
    assert not whole
    halves = "mixed_bfloat16" in str(make().get_config())
    for weight, expected in zip(ours, theirs, strict=True):
        assert weight == pytest.approx(expected, rel=1e-4, abs=5e-3 if halves else 1e-5)
    assert history.keys() == other.keys()
    for name in history:
        assert history[name] == pytest.approx(other[name], rel=1e-2 if halves else 1e-5), name


def test_losses_are_scaled_for_half_precision_as_keras_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def make() -> keras.Model:
        model = autoencoder()
        model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)), losses.BinaryCrossentropy())
        return model

    ours, _, divided = trained(make, batches(), monkeypatch, divide=True)
    theirs, _, _ = trained(make, batches(), monkeypatch, divide=False)
    assert divided
    assert all(weight == pytest.approx(other, rel=1e-4, abs=1e-6) for weight, other in zip(ours, theirs, strict=True))


def test_layers_that_rest_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def make() -> keras.Model:
        model = autoencoder()
        model.layers[1].trainable = False
        model.compile("adam", losses.BinaryCrossentropy())
        return model

    ours, _, divided = trained(make, batches(), monkeypatch, divide=True)
    before = make().get_weights()
    assert divided
    assert np.array_equal(ours[0], before[0])
    assert not np.array_equal(ours[2], before[2])


class Other(keras.Model):  # type: ignore[misc]  # Keras has no types
    """It might look at other examples than one."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = layers.Dense(6)

    def call(self, x: Any) -> Any:
        return self.inner(x)


class OtherDense(keras.layers.Dense):  # type: ignore[misc]  # Keras has no types
    """It might, too."""


def other_model() -> keras.Model:
    model = Other()
    model.compile("sgd", losses.MeanSquaredError())
    model(IMAGES[:1])
    return model


def across_examples() -> keras.Model:
    image = keras.Input((4, 6))
    drawn = layers.Dense(6)(image) - keras.ops.mean(image, axis=0)
    model = keras.Model(image, drawn)
    model.compile("sgd", losses.MeanSquaredError())
    return model


def with_own_step() -> keras.Model:
    model = autoencoder()
    model.train_step = lambda data: {}
    return model


def at_rest() -> keras.Model:
    model = autoencoder()
    model.trainable = False
    return model


@pytest.mark.parametrize(
    "make",
    [
        other_model,
        across_examples,
        with_own_step,
        at_rest,
        lambda: autoencoder(None, layers.Dropout(0.5)),
        lambda: autoencoder(None, layers.BatchNormalization()),
        lambda: autoencoder(None, OtherDense(6)),
        lambda: autoencoder(None, layers.Activation(lambda x: x - tf.reduce_mean(x))),
        lambda: autoencoder(activity_regularizer="l2"),
        lambda: autoencoder("mse"),
        lambda: autoencoder(losses.Dice()),
        lambda: autoencoder(losses.BinaryCrossentropy(reduction="sum")),
        lambda: autoencoder(losses.BinaryCrossentropy(reduction="mean_with_sample_weight")),
        lambda: autoencoder(lambda y, x: tf.reduce_mean((y - x) ** 2, -1) / tf.reduce_max(y)),
        lambda: classifier(ignore_class=1),
    ],
    ids=[
        "a subclass",
        "an operation across examples",
        "its own step",
        "nothing to train",
        "dropout",
        "batch normalization",
        "a subclass of a layer",
        "an activation of one's own",
        "an activity regularizer",
        "a loss by name",
        "a loss of a whole batch",
        "a sum",
        "a mean by weights",
        "a loss of one's own",
        "ignored classes",
    ],
)
def test_what_would_be_another_training_is_left_to_keras(make: Callable[[], keras.Model]) -> None:
    assert micro_batched(make(), batches()) is None


def test_batches_of_other_kinds_are_left_to_keras() -> None:
    model = autoencoder()
    assert micro_batched(model, batches()) is not None
    assert micro_batched(model, batches(15)) is None
    assert micro_batched(model, batches(weight=np.ones(100, np.float32))) is None


def test_a_gpu_takes_whole_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: ["/GPU:0"])
    assert micro_batched(autoencoder(), batches()) is None


@pytest.mark.parametrize(
    ("weights", "batch", "expected"),
    [(50_992, 256, 4), (50_992, 128, 2), (50_992, 1024, 2), (202_000, 256, 2), (1_150_000, 256, 1)],
)
def test_a_batch_is_divided_by_what_it_costs(weights: int, batch: int, expected: int) -> None:
    class Model:
        count_params = staticmethod(lambda: weights)

    assert pieces(Model(), batch) == expected


def test_the_smallest_autoencoder_is_trained_in_four() -> None:
    images = np.zeros((256, 28, 28), np.float32)
    split = Split("train", images, images)
    model = Autoencoder(hidden_units=()).build(Data(split, split, split))
    assert pieces(model, 256) == 4
    assert micro_batched(model, Batches(split, 256)) is not None
