"""Each option of `Model.fit` is honoured, with the effect that it has there, or refused in one line."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import pytest

from lab.data import Batches, Split
from lab.engine.loop import fit
from lab.engine.options import FitOptions
from lab.errors import DataError, UsageError

X = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
CLASSES = np.arange(12) % 3
ONE_HOT = np.eye(3, dtype=np.float32)[CLASSES]
WEIGHTS = np.linspace(0, 2, 12, dtype=np.float32)


class Counts(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Counts epochs and batches."""

    def __init__(self) -> None:
        super().__init__()
        self.epochs: list[int] = []
        self.batches = self.test_batches = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epochs.append(epoch)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.batches += 1

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        self.test_batches += 1


def classifier(loss: str = "sparse_categorical_crossentropy") -> keras.Model:
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, "softmax")])
    model.compile(keras.optimizers.SGD(0.5), loss, run_eagerly=True)
    return model


def trained(targets: Any = CLASSES, **options: Any) -> tuple[Counts, dict[str, list[float]]]:
    """Trains on three batches of four, without shuffling, and validates on two of six."""
    counts, loss = Counts(), "sparse_categorical_crossentropy" if np.ndim(targets) == 1 else "categorical_crossentropy"
    callbacks = [counts, *options.pop("callbacks", [])]
    train, validation = (
        Batches(Split("train", X, targets), 4, shuffle=False),
        Batches(Split("validation", X, targets), 6),
    )
    validation.shuffle = False
    history = fit(classifier(loss), train, validation, callbacks=callbacks, **options).history
    return counts, history


def losses_of_keras(y: Any = CLASSES, **options: Any) -> list[float]:
    loss = "sparse_categorical_crossentropy" if np.ndim(y) == 1 else "categorical_crossentropy"
    model = classifier(loss)
    return list(model.fit(X, y, 4, verbose=0, **{"shuffle": False, **options}).history["loss"])


def epochs() -> None:
    assert trained(epochs=3)[0].epochs == [0, 1, 2]


def initial_epoch() -> None:
    assert trained(epochs=4, initial_epoch=2)[0].epochs == [2, 3]


def callbacks() -> None:
    more = Counts()
    trained(callbacks=[more])
    assert more.batches == 3


def validation_freq() -> None:
    assert trained(epochs=4, validation_freq=2)[0].test_batches == 2 * 2
    assert trained(epochs=4, validation_freq=[1, 4])[0].test_batches == 2 * 2


def class_weight() -> None:
    weights = {0: 1.0, 2: 5.0}  # 1 for a class without a weight
    for y in (CLASSES, ONE_HOT):
        losses = trained(y, epochs=2, class_weight=weights)[1]["loss"]
        assert losses == pytest.approx(losses_of_keras(y, epochs=2, class_weight={**weights, 1: 1.0}), rel=1e-5)
        assert losses != pytest.approx(losses_of_keras(y, epochs=2), rel=1e-2)


def sample_weight() -> None:
    losses = trained(epochs=2, sample_weight=WEIGHTS)[1]["loss"]
    assert losses == pytest.approx(losses_of_keras(epochs=2, sample_weight=WEIGHTS), rel=1e-5)
    assert losses != pytest.approx(losses_of_keras(epochs=2), rel=1e-2)


def shuffle() -> None:
    batches = Batches(Split("train", X, CLASSES), 4)  # shuffled, unless the option says otherwise
    losses = fit(classifier(), batches, batches, epochs=2, shuffle=False).history["loss"]
    assert losses == pytest.approx(losses_of_keras(epochs=2), rel=1e-5)
    assert batches.shuffle, "the given batches are unchanged"


def steps_per_epoch() -> None:
    assert trained(epochs=2, steps_per_epoch=2)[0].batches == 2 * 2


def validation_steps() -> None:
    assert trained(epochs=2, validation_steps=1)[0].test_batches == 2


def validation_batch_size() -> None:
    assert trained(validation_batch_size=3)[0].test_batches == 4


HONOURED: Mapping[str, Callable[[], None]] = {
    function.__name__: function
    for function in (
        *(epochs, initial_epoch, callbacks, validation_freq, class_weight, sample_weight),
        *(shuffle, steps_per_epoch, validation_steps, validation_batch_size),
    )
}
REFUSED = {
    "x": r"x is not an option here; the data comes from prepare\(\)",
    "y": r"y is not an option here; the data comes from prepare\(\)",
    "batch_size": "batch_size is not an option here; set the trainer's batch_size",
    "validation_split": r"validation_split is not an option here; prepare\(\) returns the validation split",
    "validation_data": r"validation_data is not an option here; prepare\(\) returns the validation split",
}


def test_every_option_of_keras_is_honoured_or_refused() -> None:
    options = set(inspect.signature(keras.Model.fit).parameters) - {"self"}
    assert options == {*HONOURED, *REFUSED, "verbose"}


@pytest.mark.parametrize("name", list(HONOURED))
def test_an_option_has_its_effect(name: str) -> None:
    HONOURED[name]()


def test_verbose_shows_a_progress_bar(capsys: pytest.CaptureFixture[str]) -> None:
    for verbose in (1, 2, "auto"):
        trained(verbose=verbose, epochs=2)
        output = capsys.readouterr().out
        assert "Epoch 1/2" in output
        assert "3/3" in output
        assert "val_loss" in output
    trained(verbose=0)
    trained()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", list(REFUSED))
def test_an_option_that_is_given_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"^fit: {REFUSED[name]}$"):
        trained(**{name: None})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_wieght": {}}, "no such option 'class_wieght'; did you mean 'class_weight'"),
        ({"nonsense": 1}, "no such option 'nonsense'; expected epochs, initial_epoch"),
        ({"workers": 2}, "workers is not an option here; Keras 3 has no such option"),
        ({"shuffle": "batch"}, "shuffle='batch': expected True or False"),
        ({"validation_freq": 0}, "validation_freq=0: expected a number of epochs"),
        ({"validation_freq": 1.5}, r"validation_freq=1\.5: expected a number of epochs"),
        ({"steps_per_epoch": 4}, "steps_per_epoch=4: expected 1 to 3, the batches"),
        ({"steps_per_epoch": 0}, "steps_per_epoch=0: expected 1 to 3"),
        ({"validation_steps": 3}, "validation_steps=3: expected 1 to 2"),
        ({"class_weight": {7: 2.0}}, "class_weight: no training example has the class 7"),
        ({"class_weight": {0: 2.0}, "sample_weight": WEIGHTS}, "class_weight: expected no sample weights"),
    ],
    ids=str,
)
def test_a_value_that_cannot_be_honoured_is_refused_before_training(options: dict[str, Any], message: str) -> None:
    counts = Counts()
    with pytest.raises(UsageError, match=message):
        trained(callbacks=[counts], **options)
    assert counts.batches == 0


def test_weights_that_do_not_fit_the_data_are_refused() -> None:
    with pytest.raises(DataError, match=r"expected arrays of one length, got \[3, 12\]"):
        trained(sample_weight=WEIGHTS[:3])
    weighted = Batches(Split("train", X, CLASSES, WEIGHTS), 4)
    with pytest.raises(UsageError, match="sample_weight: expected one set of weights"):
        fit(classifier(), weighted, weighted, sample_weight=WEIGHTS)
    with pytest.raises(UsageError, match="class_weight: expected no sample weights"):
        fit(classifier(), weighted, weighted, class_weight={0: 1.0})
    several = Batches(Split("train", X, {"a": CLASSES, "b": CLASSES}), 4)
    with pytest.raises(UsageError, match="class_weight: expected targets in one array"):
        fit(classifier(), several, several, class_weight={0: 1.0})


def test_the_most_epochs_and_steps_that_keras_is_set_to_are_heeded() -> None:
    keras.config.set_max_epochs(2)
    keras.config.set_max_steps_per_epoch(1)
    try:
        counts, _ = trained(epochs=5)
        assert (counts.epochs, counts.batches, counts.test_batches) == ([0, 1], 2, 2)
    finally:
        keras.config.set_max_epochs(None)
        keras.config.set_max_steps_per_epoch(None)


def test_validation_at_a_list_of_epochs_counts_from_one() -> None:
    options = FitOptions.read({"epochs": 5, "validation_freq": (2, 3)})
    assert [epoch for epoch in range(5) if options.validates(epoch)] == [1, 2]
