"""Micro-batches against Keras's own step: the same training to rounding, and what they are not used for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from experiments.autoencoder import Autoencoder
from lab.data import Batches, Data, Split
from lab.data.ragged import Buckets, Ragged
from lab.engine.fused import fused
from lab.engine.fused_micro_batches import micro_batched, pieces
from lab.layers import Dense as LabDense

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


def with_the_lab_s_layers() -> keras.Model:
    keras.utils.set_random_seed(0)  # layers choose their seeds when they are made
    return autoencoder(losses.MeanAbsoluteError(), LabDense(3), LabDense(6))


def batches(size: int = 16, y: Any = IMAGES, weight: Any = None) -> Batches:
    return Batches(Split("train", IMAGES, y, weight), size, seed=3)


def divide_in(count: int, patch: pytest.MonkeyPatch) -> None:
    patch.setattr("lab.engine.fused_micro_batches.pieces", lambda weights, size: count)


def trained(
    make: Callable[[], keras.Model], train: Batches, monkeypatch: pytest.MonkeyPatch, *, pieces: int
) -> tuple[list[Any], dict[str, Any], set[int | None]]:
    """The weights and the history of two epochs, and how many examples went through the model at once."""
    with monkeypatch.context() as patch:
        divide_in(pieces, patch)
        model = make()
        model.jit_compile, model.steps_per_execution = True, 3
        seen: list[int | None] = []
        usual = type(model).__call__

        def noted(self: Any, x: Any, *rest: Any, **options: Any) -> Any:
            if self is model and options.get("training"):
                seen.append(keras.tree.flatten(x)[0].shape[0])
            return usual(self, x, *rest, **options)

        patch.setattr(type(model), "__call__", noted)
        validation = Batches(train.split.head(20), train.batch_size)
        with fused(model, train, validation):
            history = model.fit(train.feed(), validation_data=validation.feed(), epochs=2, verbose=0).history
    return [np.asarray(weight) for weight in model.get_weights()], history, set(seen)


@pytest.mark.parametrize(
    ("make", "y"),
    [
        (autoencoder, IMAGES),
        (lambda: autoencoder(losses.MeanSquaredError()), IMAGES),
        (with_the_lab_s_layers, IMAGES),
        (lambda: autoencoder(kernel_regularizer="l2"), IMAGES),
        (lambda: autoencoder(dtype="mixed_bfloat16"), IMAGES),
        (classifier, DIGITS),
    ],
    ids=[
        "cross-entropy",
        "squares",
        "the lab's layer and absolutes",
        "regularized",
        "bfloat16",
        "classes and accuracy",
    ],
)
@pytest.mark.parametrize(("size", "counts"), [(16, (2, 4)), (100, (2,))], ids="{}".format)
def test_training_is_keras_s_own_to_rounding(
    size: int, counts: tuple[int, ...], make: Callable[[], keras.Model], y: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, other, seen_whole = trained(make, batches(size, y), monkeypatch, pieces=1)
    rest = {100 % size} - {0}
    assert seen_whole == {size} | rest
    halves = "mixed_bfloat16" in str(make().get_config())
    for count in counts:
        ours, history, seen = trained(make, batches(size, y), monkeypatch, pieces=count)
        assert seen == {size // count} | rest
        for weight, expected in zip(ours, theirs, strict=True):
            assert weight == pytest.approx(expected, rel=1e-4, abs=5e-3 if halves else 1e-5)
        assert history.keys() == other.keys()
        for name in history:
            assert history[name] == pytest.approx(other[name], rel=1e-2 if halves else 1e-5), name


def scaled() -> keras.Model:
    model = autoencoder()
    model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)), losses.BinaryCrossentropy())
    return model


def half_at_rest() -> keras.Model:
    model = autoencoder()
    model.layers[1].trainable = False
    model.compile("adam", losses.BinaryCrossentropy())
    return model


def sure() -> keras.Model:
    """So sure that Keras's metric, where it must take probabilities, cuts them off."""
    model = autoencoder()
    model.layers[2].layers[0].bias.assign(np.full(24, 40.0))
    model.compile(keras.optimizers.SGD(0.0), losses.BinaryCrossentropy(), metrics=[keras.metrics.BinaryCrossentropy()])
    return model


@pytest.mark.parametrize("make", [scaled, half_at_rest, sure], ids=lambda make: make.__name__)
def test_so_is_it_with_a_scaled_loss_layers_at_rest_and_a_metric_of_logits(
    make: Callable[[], keras.Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, history, seen = trained(make, batches(), monkeypatch, pieces=2)
    theirs, other, _ = trained(make, batches(), monkeypatch, pieces=1)
    assert 8 in seen
    assert all(weight == pytest.approx(one, rel=1e-4, abs=1e-5) for weight, one in zip(ours, theirs, strict=True))
    assert {name: pytest.approx(values, rel=1e-5) for name, values in history.items()} == other


@pytest.mark.parametrize(
    "batch",
    [
        (IMAGES[:16], IMAGES[:16], np.arange(16, dtype=np.float32)),
        (IMAGES[:3], IMAGES[:3]),
        (IMAGES[:1], IMAGES[:1]),
    ],
    ids=["weights", "three", "one"],
)
def test_a_callback_s_batch_of_another_kind_is_not_divided(batch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for count in (2, 1):
        model = autoencoder()
        model.jit_compile, model.steps_per_execution = True, 2

        def also(epoch: int, logs: Any, model: keras.Model = model) -> None:
            found.append(model.train_on_batch(*batch))

        with monkeypatch.context() as patch:
            divide_in(count, patch)
            train = batches()
            assert (micro_batched(model, train) is None) == (count == 1)
            with fused(model, train, batches()):
                callback = keras.callbacks.LambdaCallback(on_epoch_end=also)
                model.fit(train.feed(), validation_data=batches().feed(), verbose=0, callbacks=[callback])
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def by_name() -> keras.Model:
    keras.utils.set_random_seed(0)
    image = keras.Input((4, 6), name="image")
    model = keras.Model({"image": image}, layers.Dense(6)(image))
    model.compile("sgd", losses.MeanSquaredError())
    return model


@pytest.mark.parametrize(
    ("make", "x", "y"),
    [(by_name, {"image": IMAGES}, IMAGES), (autoencoder, IMAGES, (IMAGES,))],
    ids=["inputs by name", "a tuple of targets"],
)
def test_several_inputs_and_targets_are_not_divided(
    make: Callable[[], keras.Model], x: Any, y: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = Batches(Split("train", x, y), 16)
    ours, _, seen = trained(make, train, monkeypatch, pieces=2)
    theirs, _, _ = trained(make, train, monkeypatch, pieces=1)
    assert seen == {16, 4}
    assert all(np.array_equal(weight, other) for weight, other in zip(ours, theirs, strict=True))


class Other(keras.Model):  # type: ignore[misc]  # Keras has no types
    """It might look at other examples than one."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = layers.Dense(6)

    def call(self, x: Any) -> Any:
        return self.inner(x)


class OtherDense(keras.layers.Dense):  # type: ignore[misc]  # Keras has no types
    """It might, too."""


class OtherLabDense(LabDense):
    """What the lab's says of itself may not be so here."""


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


def with_its_own(name: str) -> keras.Model:
    model = autoencoder()
    setattr(model, name, lambda *given, **options: given)
    return model


def with_a_call_within() -> keras.Model:
    model = autoencoder()
    dense = model.layers[1].layers[-1]
    usual = dense.call
    dense.call = lambda x: usual(x) - keras.ops.mean(x)
    return model


def with_outputs(kind: Callable[[Any], Any]) -> keras.Model:
    image = keras.Input((4, 6))
    model = keras.Model(image, kind(layers.Dense(6)(image)))
    model.compile("sgd", losses.MeanSquaredError())
    return model


def not_built() -> keras.Model:
    model = keras.Sequential([layers.Dense(6)])
    model.compile("sgd", losses.MeanSquaredError())
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
        *(functools.partial(with_its_own, name) for name in ("train_step", "compute_loss", "compute_metrics", "call")),
        with_a_call_within,
        functools.partial(with_outputs, lambda output: [output]),
        functools.partial(with_outputs, lambda output: {"drawn": output}),
        not_built,
        at_rest,
        lambda: autoencoder(None, layers.Dropout(0.5)),
        lambda: autoencoder(None, layers.BatchNormalization()),
        lambda: autoencoder(None, OtherDense(6)),
        lambda: autoencoder(None, OtherLabDense(6)),
        lambda: autoencoder(None, layers.Activation(lambda x: x - tf.reduce_mean(x))),
        lambda: autoencoder(activity_regularizer="l2"),
        lambda: autoencoder("mse"),
        lambda: autoencoder(losses.Dice()),
        lambda: autoencoder(losses.BinaryCrossentropy(reduction="sum")),
        lambda: autoencoder(losses.BinaryCrossentropy(reduction="mean_with_sample_weight")),
        lambda: autoencoder(lambda y, x: tf.reduce_mean((y - x) ** 2, -1) / tf.reduce_max(y)),
        lambda: classifier(ignore_class=1),
        lambda: autoencoder(losses.CategoricalCrossentropy(axis=0)),
    ],
    ids=[
        "a subclass",
        "an operation across examples",
        "its own step",
        "its own loss",
        "its own metrics",
        "its own call",
        "a layer's own call",
        "a list of outputs",
        "outputs by name",
        "not built",
        "nothing to train",
        "dropout",
        "batch normalization",
        "a subclass of a layer",
        "a subclass of the lab's layer",
        "an activation of one's own",
        "an activity regularizer",
        "a loss by name",
        "a loss of a whole batch",
        "a sum",
        "a mean by weights",
        "a loss of one's own",
        "ignored classes",
        "classes along the batch",
    ],
)
def test_what_would_be_another_training_is_left_to_keras(
    make: Callable[[], keras.Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    divide_in(2, monkeypatch)
    assert micro_batched(make(), batches()) is None


def test_batches_of_other_kinds_are_left_to_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    divide_in(2, monkeypatch)
    assert micro_batched(autoencoder(), batches()) is not None
    assert micro_batched(autoencoder(), batches(15)) is None
    words = Ragged.of([np.ones(length, np.int32) for length in (2, 1, 1)], (2,))
    assert micro_batched(autoencoder(), Buckets(Split("train", words, DIGITS[:3]), 2)) is None


def test_a_gpu_takes_whole_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    divide_in(2, monkeypatch)
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: ["/GPU:0"])
    assert micro_batched(autoencoder(), batches()) is None


@pytest.mark.parametrize(
    ("weights", "batch", "expected"),
    [
        (50_992, 256, 4),
        (50_992, 128, 2),
        (50_992, 64, 1),
        (50_992, 1024, 2),
        (50_992, 2048, 1),
        (202_000, 256, 2),
        (1_150_000, 256, 1),
        (5_600, 256, 2),
        (67, 256, 1),
    ],
)
def test_a_batch_is_divided_by_what_it_costs(weights: int, batch: int, expected: int) -> None:
    assert pieces(weights, batch) == expected


def test_the_smallest_autoencoder_is_divided() -> None:
    images = np.zeros((256, 28, 28), np.float32)
    split = Split("train", images, images)
    model = Autoencoder(hidden_units=()).build(Data(split, split, split))
    assert pieces(model.count_params(), 256) == 4
    assert micro_batched(model, Batches(split, 256)) is not None
