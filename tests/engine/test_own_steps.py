"""Models with a `train_step` of their own train fused as they do step by step, and are saved and resumed completely."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import lab
from lab.checkpoints.checkpoint import Checkpoint
from lab.checkpoints.manager import CheckpointManager
from lab.data import Batches
from lab.engine.keras_private import symbolic_build
from lab.engine.loop import fit
from lab.engine.names import log_names
from lab.errors import ModelError
from lab.runs.run import Run
from tests.engine.models import EAGER, FUSED, STEP_BY_STEP, assert_close, assert_same_history, numbers, state
from tests.engine.own_steps import GAN, ON_JAX, VAE, digits
from tests.resumed import Dies, Killed, quiet

on_tensorflow = pytest.mark.skipif(ON_JAX, reason="a second optimizer, or a step that XLA refuses, is TensorFlow's")


def vae(**compiled: Any) -> VAE:
    keras.utils.set_random_seed(2)
    model = VAE()
    if ON_JAX:
        model.build((None, 3))
    model.compile(keras.optimizers.Adam(0.05), **compiled)
    return model


def gan(**compiled: Any) -> GAN:
    keras.utils.set_random_seed(2)
    return GAN().compile_with(keras.optimizers.Adam(0.05), keras.optimizers.SGD(0.1, momentum=0.9), **compiled)


def train(model: keras.Model, *callbacks: keras.callbacks.Callback) -> dict[str, list[float]]:
    batches, validation = Batches(digits(26), 8, seed=1), Batches(digits(10, 1), 8, shuffle=False)
    return numbers(fit(model, batches, validation, epochs=2, callbacks=list(callbacks)).history)


class Logs(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Keeps the logs of the last step of each epoch, and of each test."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[dict[str, float]] = []
        self.tests: list[dict[str, float]] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == 3:
            self.steps.append(dict(logs))

    def on_test_end(self, logs: Any = None) -> None:
        self.tests.append(dict(logs))


@pytest.mark.parametrize(
    ("build", "names"),
    [
        (vae, ["loss", "reconstruction_loss", "kl_loss"]),
        pytest.param(gan, ["d_loss", "g_loss"], marks=on_tensorflow),
    ],
)
def test_fused_and_step_by_step_it_trains_the_same(build: Callable[..., keras.Model], names: list[str]) -> None:
    fused, plain = build(**FUSED, steps_per_execution=4), build(**EAGER)
    logs = Logs()
    history, expected = train(fused, logs), train(plain)
    assert set(history) == {*names, *(f"val_{name}" for name in names)}
    assert_same_history(history, expected)
    assert_close(state(fused), state(plain))
    for name in names:
        assert [step[name] for step in logs.steps] == pytest.approx(history[name], rel=1e-5)
        assert [test[name] for test in logs.tests] == pytest.approx(history[f"val_{name}"], rel=1e-5)
    if isinstance(fused, GAN):
        assert (int(fused.d_optimizer.iterations), int(fused.g_optimizer.iterations)) == (8, 8)


def test_the_names_of_its_logs_are_known_before_the_first_step() -> None:
    model, batches = vae(**STEP_BY_STEP), Batches(digits(), 8)
    symbolic_build(model, next(batches.epoch(0)))
    assert log_names(model, batches, "train") == {"loss", "reconstruction_loss", "kl_loss"}
    assert log_names(model, batches, "test") == {"loss", "reconstruction_loss", "kl_loss"}


class Refused(VAE):
    """A step that XLA cannot compile: it calls NumPy."""

    def train_step(self, *arguments: Any) -> Any:
        import tensorflow as tf

        logs = super().train_step(*arguments)
        logs["halves"] = tf.numpy_function(lambda loss: np.float32(loss / 2), [logs["loss"]], tf.float32)
        return logs


@on_tensorflow
def test_a_step_that_xla_refuses_runs_step_by_step(caplog: pytest.LogCaptureFixture) -> None:
    keras.utils.set_random_seed(2)
    model = Refused()
    model.compile(keras.optimizers.Adam(0.05), **FUSED, steps_per_execution=4)
    with caplog.at_level(logging.INFO, "lab"):
        history = train(model)
    assert "Refused.train_step cannot be compiled" in caplog.text
    assert history["halves"][-1] == pytest.approx(history["loss"][-1] / 2, rel=1e-4)
    expected = train(vae(**EAGER))
    assert history["val_loss"] == pytest.approx(expected["val_loss"], rel=1e-4)


class NoTestStep(VAE):
    test_step = keras.Model.test_step


class OwnStep(lab.Experiment[lab.experiment.NoSettings]):
    """An experiment whose model has its own step."""

    trainer = {"epochs": 3, "batch_size": 8, "jit": False, "monitor": "val_g_loss"}
    kind: type[keras.Model] = GAN

    def prepare(self) -> lab.Data:
        return lab.Data(digits(), digits(20, 1), digits(20, 2))

    def build(self, data: lab.Data) -> keras.Model:
        if self.kind is GAN:
            return gan()
        model = self.kind()
        model.compile(keras.optimizers.Adam(0.05))
        return model

    def report(self, run: Run, report: lab.Report) -> None:
        """Nothing."""


@on_tensorflow
def test_a_run_of_two_optimizers_resumes_exactly(tmp_path: Path) -> None:
    def trainer(name: str) -> lab.Trainer:
        return lab.Trainer(run_dir=tmp_path / name, checkpoint_every=1e-6)

    def newest(name: str) -> Checkpoint:
        checkpoint = CheckpointManager(tmp_path / name / "checkpoints").newest()
        assert checkpoint is not None
        return checkpoint

    never = trainer("never").run(OwnStep(), callbacks=[Dies("never")], console=quiet(), report=False)
    with contextlib.suppress(Killed):
        dies = Dies("on_train_batch_end", 10)
        trainer("killed").run(OwnStep(), callbacks=[dies], console=quiet(), report=False)
    assert newest("killed").step < 21
    done = trainer("killed").resume(
        OwnStep(), Run.load(tmp_path / "killed"), callbacks=[Dies("never")], console=quiet(), report=False
    )
    variables, others = newest("never").variables, newest("killed").variables
    assert sum("d_optimizer" in name for name in variables) == 2 + 2 * 4
    assert sum("g_optimizer" in name for name in variables) == 2 + 2
    assert variables.keys() == others.keys()
    for name, value in variables.items():
        assert np.array_equal(value, others[name]), name
    assert [row["val_g_loss"] for row in done.history] == [row["val_g_loss"] for row in never.history]
    assert done.weights_hash() == never.weights_hash()


def test_a_model_that_cannot_be_validated_is_refused_before_training(tmp_path: Path) -> None:
    class Unvalidated(OwnStep):
        kind = NoTestStep

    with pytest.raises(ModelError, match="its train_step is its own: define test_step as well, for validation"):
        lab.Trainer(run_dir=tmp_path / "run", monitor="val_loss").run(Unvalidated(), console=quiet(), report=False)
