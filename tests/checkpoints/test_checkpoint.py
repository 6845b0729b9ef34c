"""A checkpoint holds all state, restores it to the bit, and names what does not fit."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from lab.checkpoints.checkpoint import Checkpoint, _view, build_optimizer
from lab.data import Batches, Split
from lab.engine.loop import fit
from lab.errors import RunError

SPLIT = Split("train", *(np.random.default_rng(0).normal(size=(24, size)).astype(np.float32) for size in (3, 1)))


def build(units: int = 4, dtype: str = "float32") -> Any:
    layers = [
        keras.Input((3,)),
        keras.layers.Dense(units, activation="relu", dtype=dtype),
        keras.layers.Dropout(0.5, dtype=dtype),
        keras.layers.BatchNormalization(dtype=dtype),
        keras.layers.Dense(1, dtype=dtype),
    ]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"], run_eagerly=True)
    return model


def train(model: Any, epoch: int) -> None:
    """Takes one epoch, whose order depends on its number alone."""
    batches = Batches(SPLIT, 8)
    fit(model, batches, batches, initial_epoch=epoch, epochs=epoch + 1, validation_freq=[0])


def values(model: Any) -> dict[str, np.ndarray]:
    return Checkpoint.of(model, 0, 0).variables


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    """Whether names, types, shapes and every bit agree."""
    return list(one) == list(other) and all(
        one[name].dtype == other[name].dtype
        and one[name].shape == other[name].shape
        and one[name].tobytes() == other[name].tobytes()
        for name in one
    )


@dataclasses.dataclass
class Trained:
    """A model after an epoch, that state, and the state one epoch later."""

    model: Any
    saved: Checkpoint
    after: dict[str, np.ndarray]


@pytest.fixture(scope="module")
def trained() -> Trained:
    model = build()
    train(model, 0)
    saved = Checkpoint.of(model, 1, 3, callbacks={"Mine": {"best": 0.5}}, history=[{"epoch": 1, "loss": math.inf}])
    train(model, 1)
    return Trained(model, saved, values(model))


# --- round trip -----------------------------------------------------------------------------------


def test_a_checkpoint_holds_weights_optimizer_metrics_and_random_state(trained: Trained) -> None:
    names = list(trained.saved.variables)
    assert sum(name.startswith("trainable/") for name in names) == 6
    assert any("seed_generator_state" in name for name in names)
    assert any("moving_variance" in name for name in names)
    assert sum("_velocity" in name for name in names) == 6
    assert any("iteration" in name for name in names)
    assert sum(name.startswith("metrics/") for name in names) == 4


def test_a_checkpoint_comes_back_from_disk_bit_for_bit(trained: Trained, tmp_path: Path) -> None:
    trained.saved.save(tmp_path / "deep" / "c.npz")
    loaded = Checkpoint.load(tmp_path / "deep" / "c.npz")
    assert same(loaded.variables, trained.saved.variables)
    assert dataclasses.replace(loaded, variables={}) == dataclasses.replace(trained.saved, variables={})


def test_saving_leaves_only_the_file_with_ordinary_rights(trained: Trained, tmp_path: Path) -> None:
    trained.saved.save(tmp_path / "c.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["c.npz"]
    if os.name != "nt":
        (tmp_path / "plain").touch()
        assert (tmp_path / "c.npz").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_checkpoint_is_a_copy_that_training_does_not_change(trained: Trained) -> None:
    assert not same(trained.saved.variables, trained.after)


def test_training_goes_on_from_a_file_as_if_it_had_never_stopped(trained: Trained, tmp_path: Path) -> None:
    trained.saved.save(tmp_path / "c.npz")
    Checkpoint.load(tmp_path / "c.npz").restore(trained.model)
    assert same(values(trained.model), trained.saved.variables)
    train(trained.model, 1)
    assert same(values(trained.model), trained.after)


@pytest.mark.parametrize("lost", ["state/", "optimizer/"])
def test_without_random_state_or_optimizer_training_goes_on_differently(trained: Trained, lost: str) -> None:
    trained.saved.restore(trained.model)
    train(trained.model, 5)
    kept = {name: value for name, value in values(trained.model).items() if name.startswith(lost)}
    dataclasses.replace(trained.saved, variables=trained.saved.variables | kept).restore(trained.model)
    train(trained.model, 1)
    weights = {name for name in trained.after if name.startswith("trainable/")}
    now = values(trained.model)
    assert not same({name: now[name] for name in weights}, {name: trained.after[name] for name in weights})


def test_weights_alone_can_be_restored(trained: Trained) -> None:
    trained.saved.restore(trained.model)
    train(trained.model, 1)
    before = values(trained.model)
    trained.saved.restore(trained.model, optimizer=False)
    for name, value in values(trained.model).items():
        source = trained.saved.variables if name.startswith(("trainable/", "state/")) else before
        assert np.array_equal(value, source[name]), name


def test_another_process_that_builds_the_same_model_goes_on_from_it() -> None:
    keras.utils.clear_session()  # names are counted from the start again, as in a new process
    first = build()
    train(first, 0)
    saved = Checkpoint.of(first, 1, 3)
    train(first, 1)
    keras.utils.clear_session()
    second = build()
    second.optimizer.build(second.trainable_variables)
    saved.restore(second)
    train(second, 1)
    assert same(values(second), values(first))


def test_a_model_built_a_second_time_in_the_same_process_takes_the_checkpoint(trained: Trained) -> None:
    second = build()
    second.optimizer.build(second.trainable_variables)
    trained.saved.restore(second)
    for value, saved in zip(second.trainable_variables, trained.saved.variables.values(), strict=False):
        assert np.array_equal(value.numpy(), saved)


def test_an_optimizer_built_by_itself_has_the_names_that_fit_gives_it() -> None:
    names = []
    for by_itself in (True, False):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        inner = keras.optimizers.Adam(use_ema=True, gradient_accumulation_steps=3)
        model.compile(keras.optimizers.LossScaleOptimizer(inner), "mse", run_eagerly=True)
        if by_itself:
            build_optimizer(model)
        else:
            train(model, 0)
        names.append([name for name in Checkpoint.of(model, 0, 0).variables if name.startswith("optimizer/")])
    assert names[0] == names[1]
    assert any("average" in name for name in names[0])


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="another backend lends no memory")
def test_what_is_saved_at_once_is_not_copied_and_the_rest_is() -> None:
    model = build()
    variable = model.trainable_variables[0]
    lent = [_view(variable), _view(variable)]
    assert np.shares_memory(lent[0], lent[1])
    kept = Checkpoint.of(model, 0, 0)
    before = {name: value.copy() for name, value in kept.variables.items()}
    del lent
    for one in model.trainable_variables:
        one.assign_add(keras.ops.ones_like(one))
    assert all(np.array_equal(kept.variables[name], value) for name, value in before.items())


@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_weights_of_other_precisions_come_back(dtype: str, copy: bool, tmp_path: Path) -> None:
    model = build(dtype=dtype)
    model.optimizer.build(model.trainable_variables)
    saved = Checkpoint.of(model, 0, 0, copy=copy)
    saved.save(tmp_path / "c.npz")
    weights = [keras.ops.convert_to_numpy(variable) for variable in model.variables]
    for variable in model.trainable_variables:
        variable.assign(np.full(variable.shape, 7))
    Checkpoint.load(tmp_path / "c.npz").restore(model)
    for variable, weight in zip(model.variables, weights, strict=True):
        assert np.array_equal(keras.ops.convert_to_numpy(variable), weight)


# --- what does not fit ----------------------------------------------------------------------------


def test_a_variable_of_another_shape_is_named_with_both_shapes_and_nothing_is_changed(trained: Trained) -> None:
    trained.saved.restore(trained.model)
    name = next(name for name in trained.saved.variables if name.startswith("trainable/0000/"))
    changed = {other: value + 1 for other, value in trained.saved.variables.items()}
    wrong = dataclasses.replace(trained.saved, variables=changed | {name: np.zeros((3, 9), np.float32)})
    with pytest.raises(RunError) as caught:
        wrong.restore(trained.model)
    message = f"checkpoint of step 3: {name} is (3, 9), the model's is (3, 4)"
    assert str(caught.value) == f"{message}; resume with the model, and the lab, that wrote it"
    assert same(values(trained.model), trained.saved.variables)


@pytest.mark.parametrize("kind", ["trainable/", "state/", "optimizer/", "metrics/"])
def test_a_variable_that_is_missing_is_named(trained: Trained, kind: str) -> None:
    name = next(name for name in trained.saved.variables if name.startswith(kind))
    rest = {other: value for other, value in trained.saved.variables.items() if other != name}
    with pytest.raises(RunError) as caught:
        dataclasses.replace(trained.saved, variables=rest).restore(trained.model)
    assert str(caught.value) == f"checkpoint of step 3: expected a variable {name}, it has none"


@pytest.mark.parametrize("kind", ["trainable", "state", "optimizer"])
def test_a_variable_that_the_model_does_not_have_is_named(trained: Trained, kind: str) -> None:
    name = f"{kind}/0099/sequential.dense_9.kernel"
    more = dataclasses.replace(trained.saved, variables={**trained.saved.variables, name: np.zeros(2, np.float32)})
    with pytest.raises(RunError, match=name):
        more.restore(trained.model)


def test_the_optimizers_state_is_not_lost_when_the_model_has_never_trained() -> None:
    keras.utils.clear_session()
    first = build()
    train(first, 0)
    saved = Checkpoint.of(first, 1, 3)
    keras.utils.clear_session()
    second = build()
    with contextlib.suppress(RunError):  # to refuse it would be as good
        saved.restore(second)
        assert [variable.numpy().tolist() for variable in second.optimizer.variables] == [
            variable.numpy().tolist() for variable in first.optimizer.variables
        ]
