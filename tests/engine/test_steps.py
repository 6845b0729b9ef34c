"""Feeding `fit`: the fused loop trains as Keras's own does, and steps aside where it must."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from lab.engine.fused import fused, has_convolutions

from lab.data import Batches, Split
from lab.data.device import gather, hold
from lab.data.ragged import Buckets, Ragged
from lab.engine import losses
from lab.layers import Noise

STEPS = 4


def split(count: int = 50, seed: int = 0) -> Split:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 3)).astype(np.float32)
    return Split("train", x, np.sum(x, axis=1, keepdims=True), sample_weight=rng.random(count).astype(np.float32))


def build(kind: type[keras.Model] = keras.Model, **compiled: Any) -> keras.Model:
    keras.utils.set_random_seed(3)
    x = keras.Input((3,))
    hidden = keras.layers.BatchNormalization()(keras.layers.Dense(5, "tanh")(x))
    model = kind(x, keras.layers.Dense(1)(keras.layers.Dropout(0.2)(hidden)))
    model.compile(keras.optimizers.Adam(0.05), "mse", metrics=["mae"], **compiled)
    model.jit_compile, model.steps_per_execution = True, STEPS
    return model


class Seek(keras.callbacks.Callback):  # type: ignore[misc]
    """Moves the batches to each epoch, and counts the calls."""

    def __init__(self, batches: Batches, step: int = 0) -> None:
        super().__init__()
        self.batches, self.step, self.ends = batches, step, list[int]()

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.batches.seek(epoch, self.step)
        self.step = 0

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.ends.append(batch)


def train(
    model: keras.Model, *, fuse: bool, epochs: int = 3, steps: int = STEPS, **batching: Any
) -> dict[str, list[float]]:
    model.steps_per_execution = steps
    batches, validation = Batches(split(), 8, seed=1, **batching), Batches(split(20, 1), 8, shuffle=False)
    options = {"epochs": epochs, "verbose": 0, "callbacks": [Seek(batches)]}
    if not fuse:
        history = model.fit(batches.feed(), validation_data=validation.feed(), **options).history
    else:
        with fused(model, batches, validation):
            assert batches.block == steps
            history = model.fit(batches.feed(), validation_data=validation.feed(), **options).history
    return {name: [float(value) for value in values] for name, values in history.items()}


@pytest.mark.parametrize("batching", [{}, {"limit": 5}, {"limit": 1}, {"shuffle": False}, {"steps": 7}], ids=str)
def test_the_fused_loop_trains_as_keras_does(batching: dict[str, Any]) -> None:
    one, two = build(), build()
    ours, theirs = train(one, fuse=True, **batching), train(two, fuse=False, **batching)
    assert ours.keys() == theirs.keys()
    for name, values in ours.items():
        assert values == pytest.approx(theirs[name], rel=1e-4), name
    for mine, other in zip(one.variables, two.variables, strict=True):  # Dropout's seeds are among them
        assert np.allclose(mine, other, rtol=1e-4, atol=1e-5), mine.path
    assert int(one.optimizer.iterations) == int(two.optimizer.iterations)


def build_with(layer: Callable[[], keras.layers.Layer]) -> keras.Model:
    """A model whose layer has something that the loop could get wrong; it takes and gives three numbers."""
    keras.utils.set_random_seed(3)
    x = keras.Input((3,))
    middle = keras.layers.Reshape((-1,))(layer()(keras.layers.Reshape((3, 1))(x)))
    model = keras.Model(x, keras.layers.Dense(1)(middle))
    model.compile(keras.optimizers.Adam(0.05), "mse")
    model.jit_compile, model.steps_per_execution = True, STEPS
    return model


@pytest.mark.parametrize(
    "layer",
    [lambda: keras.layers.Conv1D(4, 2), lambda: Noise("masking", 0.2, 0.6, seed=7)],
    ids=["convolution", "noise"],
)
def test_layers_that_need_care_train_as_in_keras(layer: Callable[[], keras.layers.Layer]) -> None:
    one, two = build_with(layer), build_with(layer)
    ours, theirs = train(one, fuse=True), train(two, fuse=False)
    for name, values in ours.items():
        assert values == pytest.approx(theirs[name], rel=1e-4), name
    for mine, other in zip(one.variables, two.variables, strict=True):
        assert np.allclose(mine, other, rtol=1e-4, atol=1e-5), mine.path


# --- the cross-entropy ------------------------------------------------------------------------------


def sigmoids(*, rate: float = 1.0) -> keras.Model:
    keras.utils.set_random_seed(0)
    last = keras.Sequential([keras.layers.Dense(3), keras.layers.Activation("sigmoid")])
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "sigmoid"), last])
    model.compile(keras.optimizers.SGD(rate), keras.losses.BinaryCrossentropy())
    model.jit_compile, model.steps_per_execution = True, STEPS
    return model


def test_an_order_is_computed_once_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    model, asked, usual = sigmoids(), [], Batches.order

    def order(self: Batches, epoch: int) -> Any:
        asked.append((self.split.name, epoch))
        return usual(self, epoch)

    monkeypatch.setattr(Batches, "order", order)
    train = fractions()[0]
    validation = Batches(Split("validation", *train.split.parts()), 8)
    position = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: train.seek(epoch))
    with fused(model, train, validation):
        asked.clear()  # JAX has looked at a batch
        model.fit(train.feed(), validation_data=validation.feed(), epochs=3, verbose=0, callbacks=[position])
    assert [epoch for name, epoch in asked if name == "train"] == [0, 1, 2]


def fractions() -> tuple[Batches, Batches]:
    examples = Split("train", *(np.random.default_rng(seed).random((24, 3)).astype(np.float32) for seed in (0, 1)))
    return Batches(examples, 8), Batches(examples, 8)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of the logits that the sooner cross-entropy is given."""
    shapes: list[tuple[int, ...]] = []
    usual = losses.binary_crossentropy

    def noted(target: Any, logits: Any) -> Any:
        shapes.append(tuple(logits.shape))
        return usual(target, logits)

    monkeypatch.setattr(losses, "binary_crossentropy", noted)
    return shapes


def test_a_cross_entropy_is_taken_from_the_logits_and_no_file_says_so(
    taken: list[tuple[int, ...]], tmp_path: Path
) -> None:
    batches, validation = fractions()
    saved = tmp_path / "model.keras"

    def fit(*, fuse: bool) -> tuple[keras.Model, float]:
        model = sigmoids()
        save = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: model.save(saved))
        with fused(model, batches, validation) if fuse else contextlib.nullcontext():
            kept = model.fit(batches.feed(), validation_data=validation.feed(), epochs=3, verbose=0, callbacks=[save])
        return model, kept.history["val_loss"][-1]

    model, loss = fit(fuse=True)
    assert taken
    assert all(shape == (8, 3) for shape in taken)
    back = keras.models.load_model(saved)
    assert np.allclose(back.predict(validation.split.x, verbose=0), model.predict(validation.split.x, verbose=0))
    assert back.layers[-1].layers[-1].activation is model.layers[-1].layers[-1].activation is keras.activations.sigmoid
    taken.clear()
    other, theirs = fit(fuse=False)
    assert not taken
    assert loss == pytest.approx(theirs, rel=1e-5)
    for mine, one in zip(model.weights, other.weights, strict=True):
        assert np.allclose(mine, one, rtol=1e-4, atol=1e-5), mine.path


def test_a_cross_entropy_is_exact_where_a_model_is_sure() -> None:
    model, (batches, validation) = sigmoids(rate=0.0), fractions()
    model.weights[2].assign(np.zeros((4, 3)))
    model.weights[3].assign(np.full(3, 60.0))
    with fused(model, batches, validation):
        kept = model.fit(batches.feed(), validation_data=validation.feed(), verbose=0)
    assert kept.history["val_loss"][0] == pytest.approx(60 * float(np.mean(1 - validation.split.y)), rel=1e-5)


def test_sigmoids_are_keras_s_again_after_an_error() -> None:
    model, (batches, validation) = sigmoids(), fractions()

    def fails() -> None:
        with fused(model, batches, validation):
            model.fit(batches.feed(), verbose=0)
            raise KeyError("of a callback")

    with pytest.raises(KeyError):
        fails()
    assert model.layers[-1].layers[-1].activation is keras.activations.sigmoid
    assert "call" not in vars(model.loss)


def test_the_mask_of_an_output_is_heeded_in_half_precision() -> None:
    losses_of = []
    for fuse in (True, False):
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy("mixed_bfloat16")
        try:
            keras.utils.set_random_seed(0)
            layers = [keras.layers.Embedding(4, 3, mask_zero=True), keras.layers.Dense(3)]
            model = keras.Sequential([keras.Input((5,), dtype="int32"), *layers])
        finally:
            keras.config.set_dtype_policy(before)
        model.compile(keras.optimizers.SGD(0.1), keras.losses.BinaryCrossentropy(from_logits=True))
        model.jit_compile, model.steps_per_execution = True, STEPS
        rng = np.random.default_rng(0)
        examples = Split("train", rng.integers(0, 4, (15, 5)).astype(np.int32), rng.random((15, 5, 3)).astype("f"))
        batches, validation = Batches(examples, 5), Batches(examples, 5)
        with fused(model, batches, validation) if fuse else contextlib.nullcontext():
            kept = model.fit(batches.feed(), validation_data=validation.feed(), verbose=0)
        losses_of.append(kept.history["val_loss"][0])
    assert losses_of[0] == pytest.approx(losses_of[1], rel=0.01)


def test_convolutions_are_not_put_into_a_loop() -> None:
    convolutional = build_with(lambda: keras.layers.Conv1D(4, 2))
    assert has_convolutions(convolutional)
    assert has_convolutions(keras.Sequential([keras.Input((3,)), convolutional]))
    assert not has_convolutions(build())


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_starting_inside_an_epoch_trains_on_the_rest_only() -> None:
    model = build()
    batches = Batches(split(), 8, seed=1)
    batches.seek(2, 5)
    with fused(model, batches, Batches(split(8), 8)):
        model.fit(batches.feed(), verbose=0)
    assert int(model.optimizer.iterations) == batches.steps_per_epoch - 5


@pytest.mark.parametrize("stop", [1, 3, 6])
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_an_epoch_in_one_program_goes_on_from_any_step_to_the_bit(stop: int) -> None:
    trained = []
    for stops in ([None], [stop, None]):
        model = build()
        model.steps_per_execution = 7  # six whole batches and a smaller one
        for begin, end in zip([0, *stops], stops, strict=False):
            batches = Batches(split(), 8, seed=1, stop=end)
            batches.seek(0, begin or 0)
            with fused(model, batches, Batches(split(8), 8)):
                model.fit(batches.feed(), verbose=0)
        trained.append([np.asarray(keras.ops.convert_to_numpy(variable)) for variable in model.variables])
    for whole, parts in zip(*trained, strict=True):
        assert np.array_equal(whole, parts)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="counts TensorFlow's programs")
@pytest.mark.parametrize(("steps", "programs"), [(7, 0), (8, 0), (4, 1)])
def test_an_epoch_in_one_block_needs_no_program_for_its_last_batch(
    steps: int, programs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow as tf

    model, batches, made = build(), Batches(split(), 8, seed=1), list[Any]()
    model.steps_per_execution = steps
    function, ask = tf.function, model.get_metrics_result

    def make(*arguments: Any, **options: Any) -> Any:
        made.append(arguments)
        return function(*arguments, **options)

    def asks() -> Any:
        assert not tf.executing_eagerly()  # the programs tell the metrics; nobody else computes them
        return ask()

    monkeypatch.setattr(tf, "function", make)
    model.get_metrics_result = asks
    with fused(model, batches, batches):
        before = len(made)
        model.fit(batches.feed(), epochs=3, verbose=0, callbacks=[Seek(batches)])
        assert len(made) - before == programs
    assert "_get_metrics_result_or_logs" not in vars(model)


def test_every_epoch_has_its_own_order() -> None:
    batches = Batches(split(), 8, seed=1)
    batches.block = 100
    dataset = batches.feed().get_tf_dataset()
    for epoch in (0, 1, 4):
        batches.seek(epoch)
        (chosen,) = list(dataset)
        assert np.array_equal(chosen, batches.order(epoch))


class Elsewhere(keras.callbacks.Callback):  # type: ignore[misc]
    """Evaluates other examples after each epoch, and learns one batch of them."""

    def __init__(self, other: Split) -> None:
        super().__init__()
        self.other = other
        self.found: list[Any] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        x, y, weight = self.other.parts()
        self.found.append(self.model.evaluate(x, y, sample_weight=weight, batch_size=3, verbose=0))
        self.found.append(self.model.train_on_batch(x, y, weight))


def test_a_callback_may_evaluate_and_train_on_other_examples_meanwhile() -> None:
    found = []
    for fuse in (True, False):
        model, batches, elsewhere = build(), Batches(split(), 8, seed=1), Elsewhere(split(17, 5))
        with fused(model, batches, batches) if fuse else contextlib.nullcontext():
            model.fit(batches.feed(), epochs=2, verbose=0, callbacks=[Seek(batches), elsewhere])
        found.append(np.array(elsewhere.found, np.float64))
    assert found[0].shape == (4, 2)
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_after_the_block_the_model_is_as_it_was() -> None:
    model, batches = build(), Batches(split(), 8)
    with fused(model, batches, batches):
        assert model.train_function is not None
    assert model.train_function is None
    assert batches.block == 0
    assert model.evaluate(batches.feed(), verbose=0, return_dict=True).keys() == {"loss", "mae"}


class OwnStep(keras.Model):  # type: ignore[misc]
    """A model with a training step of its own."""

    def train_step(self, data: Any) -> Any:
        return super().train_step(data)


@pytest.mark.parametrize("why", ["own train_step", "no XLA", "eager", "text"])
def test_a_model_that_cannot_be_fused_is_left_to_keras(why: str) -> None:
    model = build(OwnStep if why == "own train_step" else keras.Model)
    if why == "no XLA":
        model.jit_compile = False
    if why == "eager":
        model.jit_compile, model.run_eagerly = False, True
    examples = Split("train", np.array(["a", "b"], object)) if why == "text" else split()
    batches = Batches(examples, 8)
    with fused(model, batches, batches):
        assert batches.block == 0
        assert model.train_function is None


# --- sequences of different lengths -----------------------------------------------------------------


def ragged(count: int = 41, seed: int = 0, widths: tuple[int, ...] = (2, 5)) -> Split:
    """Sequences of up to five of the numbers 1 to 9, some empty; the target is their sum."""
    rng = np.random.default_rng(seed)
    sequences = [rng.integers(1, 10, rng.integers(0, 6)).astype(np.int32) for _ in range(count)]
    sums = np.array([[some.sum() / 10] for some in sequences], np.float32)
    return Split("train", Ragged.of(sequences, widths), sums)


def build_ragged() -> keras.Model:
    keras.utils.set_random_seed(3)
    x = keras.Input((None,), dtype="int32")
    pooled = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(10, 4)(x))
    model = keras.Model(x, keras.layers.Dense(1)(pooled))
    model.compile(keras.optimizers.Adam(0.05), "mse")
    model.jit_compile, model.steps_per_execution = True, STEPS
    return model


def train_ragged(*, fuse: bool) -> tuple[keras.Model, dict[str, list[float]]]:
    model = build_ragged()
    batches, validation = Buckets(ragged(), 8, seed=1), Buckets(ragged(19, 1), 8, shuffle=False)
    options = {"epochs": 2, "verbose": 0, "callbacks": [Seek(batches)], "validation_data": validation.feed()}
    if fuse:
        with fused(model, batches, validation):
            assert batches.block == STEPS
            return model, model.fit(batches.feed(), **options).history
    model.jit_compile = False  # there is less to compile; the numbers are the same
    return model, model.fit(batches.feed(), **options).history


def test_sequences_of_different_lengths_train_as_in_keras() -> None:
    (one, ours), (two, theirs) = train_ragged(fuse=True), train_ragged(fuse=False)
    for name, values in ours.items():
        assert values == pytest.approx(theirs[name], rel=1e-4), name
    for mine, other in zip(one.variables, two.variables, strict=True):
        assert np.allclose(mine, other, rtol=1e-4, atol=1e-5), mine.path


@pytest.mark.parametrize("position", [(0, 0), (1, 0), (1, 3), (7, 5), (7, 6)], ids=str)
@pytest.mark.parametrize("shuffle", [True, False], ids=["shuffled", "in order"])
def test_tensorflow_is_fed_the_buckets_that_numpy_has(position: tuple[int, int], shuffle: bool) -> None:
    for split_of in (ragged(), ragged(41, widths=(5,)), Split("train", Ragged.of([np.zeros(0, np.int32)] * 41, (2,)))):
        batches = Buckets(split_of, 8, seed=4, shuffle=shuffle)
        batches.seek(*position)
        fed = [tuple(map(np.asarray, batch)) for batch in batches.feed().get_tf_dataset()]
        expected = list(batches.epoch(*position))
        assert len(fed) == len(expected) == 6 - position[1]
        for mine, other in zip(fed, expected, strict=True):
            assert len(mine) == len(other)
            for part, wanted in zip(mine, other, strict=True):
                assert part.dtype == wanted.dtype
                assert np.array_equal(part, wanted)


def test_a_batch_of_a_program_has_the_width_that_numpy_gives_it() -> None:
    batches = Buckets(ragged(), 8, seed=4)
    parts = hold(batches)
    for step in range(6):
        chosen = batches.indices(2, step)
        width = batches.split.x.width(chosen)
        for found in (gather(parts, chosen, width)[0], gather(parts, chosen)[0]):
            assert np.array_equal(np.asarray(found), batches.split.x[chosen])


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_sequences_go_on_from_inside_an_epoch() -> None:
    model, batches = build_ragged(), Buckets(ragged(), 8, seed=1)
    batches.seek(2, 4)
    with fused(model, batches, Buckets(ragged(8), 8)):
        model.fit(batches.feed(), verbose=0)
    assert int(model.optimizer.iterations) == batches.steps_per_epoch - 4
