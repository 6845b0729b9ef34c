"""Where a loss that is not finite began is said: the step, and the layer or the loss."""

from __future__ import annotations

import re
from typing import Any

import keras
import numpy as np
import pytest

import lab
from lab.errors import ModelError
from lab.trainer.fit import batches_for
from tests.resumed import quiet, tick
from tests.toy import Toy

BAD, FAR = 57, 1000.0  # the example that is unlike the others, and its value


@keras.saving.register_keras_serializable("tests")
class Logarithm(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """Is not finite where a number is above 500."""

    def call(self, x: Any) -> Any:
        return keras.ops.log(500.0 - x)


def log_loss(y: Any, predicted: Any) -> Any:
    return keras.ops.mean(keras.ops.log(500.0 - y) + keras.ops.square(predicted), axis=-1)


class Breaks(Toy):
    """One example breaks a layer or the loss; `fail_in` says which."""

    trainer = {**Toy.trainer, "epochs": 3}

    def prepare(self) -> lab.Data:
        data = super().prepare()
        kind = self.settings.fail_in
        if kind in ("layer", "loss"):
            (data.train.x if kind == "layer" else data.train.y)[BAD, 0] = FAR
        return data

    def build(self, data: lab.Data) -> keras.Model:
        kind = self.settings.fail_in
        inner = [Logarithm(name="the_logarithm")] if kind == "layer" else [keras.layers.Dropout(0.5)]
        layers = [*inner, keras.layers.Dense(4, name="hidden"), keras.layers.Dense(1, name="last")]
        model = keras.Sequential([keras.Input((3,)), *layers])
        loss = log_loss if kind == "loss" else "mse"
        model.compile(keras.optimizers.Adam(self.settings.rate), loss)
        return model


def step_of_the_bad_example(epoch: int = 0) -> int:
    """The step, from 1, in which the example is trained on."""
    trainer, data = lab.Trainer().resolve(Toy()), Breaks(fail_in="layer").prepare()
    batches, _ = batches_for(trainer, data)
    found = [step for step, batch in enumerate(batches.epoch(epoch), 1) if (batch[0] == FAR).any()]
    return found[0] + epoch * batches.steps_per_epoch


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("layer", "in layer 'the_logarithm': its inputs and weights are finite, its output is not"),
        ("loss", "in the loss function: the model's output is finite, from -"),
    ],
)
@pytest.mark.parametrize("settings", [{}, {"jit": True}], ids=["a call of 16 steps", "a fused program"])
def test_the_step_and_the_place_are_said(kind: str, said: str, settings: dict[str, Any]) -> None:
    step = step_of_the_bad_example()
    assert step > 1, "else the check before training finds it"
    with pytest.raises(ModelError) as caught:
        lab.Trainer(**settings).run(Breaks(fail_in=kind), console=quiet())
    assert str(caught.value).startswith(f"step {step}: the loss is not finite; it began {said}")
    assert lab.Run.load("breaks").status_record()["reason"] == str(caught.value)


def test_it_is_looked_for_from_the_last_good_checkpoint_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tick(monkeypatch)

    with pytest.raises(ModelError, match=r"it began in layer 'the_logarithm'"):
        lab.Trainer(limit_batches=step_of_the_bad_example() - 1, checkpoint_every=1).run(
            Breaks(fail_in="layer"), console=quiet()
        )
    assert re.search(r"repeating from step [1-9]", caplog.text)


def test_weights_that_an_update_has_lost_are_said() -> None:
    with pytest.raises(ModelError, match=r"^step \d+: the loss is not finite; it began in (layer|the loss)"):
        lab.Trainer(epochs=50).run(Toy(rate=1e18), console=quiet())


def test_what_a_callback_did_is_not_laid_on_a_layer() -> None:
    class Spoils(lab.Callback):
        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            if batch == 4:
                self.model.trainable_variables[0].assign(self.model.trainable_variables[0] * np.nan)

    with pytest.raises(ModelError, match=r"^step 6: the loss is not finite; a repetition without callbacks"):
        lab.Trainer().run(Toy(), callbacks=[Spoils()], console=quiet())


def test_an_experiment_that_fits_by_itself_says_the_step() -> None:
    class Own(Toy):
        def fit(self, model: keras.Model, train: lab.Batches, validation: lab.Batches, **options: Any) -> None:
            super().fit(model, train, validation, **options)

    with pytest.raises(ModelError, match=r"^step \d+: the loss is not finite\. A lower"):
        lab.Trainer(epochs=50).run(Own(rate=1e18), console=quiet())
