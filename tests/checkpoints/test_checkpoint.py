"""Checkpoints hold all state, say what does not fit, and only whole files are read."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from lab.checkpoints.checkpoint import Checkpoint, _view, build_optimizer
from lab.checkpoints.manager import CheckpointManager
from lab.data import Batches, Split
from lab.data.io.formats import write_npz
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
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"], jit_compile=False)
    return model


def train(model: Any, epoch: int) -> None:
    """Takes one epoch, whose order depends on nothing but its number."""
    batches = Batches(SPLIT, 8)
    batches.seek(epoch)
    model.fit(batches.feed(), initial_epoch=epoch, epochs=epoch + 1, verbose=0)


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
    found = []
    for by_itself in (True, False):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        inner = keras.optimizers.Adam(use_ema=True, gradient_accumulation_steps=3)
        model.compile(keras.optimizers.LossScaleOptimizer(inner), "mse", jit_compile=False)
        if by_itself:
            build_optimizer(model)
        else:
            model.fit(np.zeros((4, 3)), np.zeros((4, 2)), verbose=0)
        found.append([name for name in Checkpoint.of(model, 0, 0).variables if name.startswith("optimizer/")])
    assert found[0] == found[1]
    assert any("average" in name for name in found[0])


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
        variable.assign(keras.ops.ones_like(variable) * 7)
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
    told = f"checkpoint of step 3: {name} is (3, 9), the model's is (3, 4)"
    assert str(caught.value) == f"{told}; it goes on with the model, and the lab, that wrote it"
    assert same(values(trained.model), trained.saved.variables)


@pytest.mark.parametrize("kind", ["trainable/", "state/", "optimizer/", "metrics/"])
def test_a_variable_that_is_missing_is_named(trained: Trained, kind: str) -> None:
    name = next(name for name in trained.saved.variables if name.startswith(kind))
    rest = {other: value for other, value in trained.saved.variables.items() if other != name}
    with pytest.raises(RunError) as caught:
        dataclasses.replace(trained.saved, variables=rest).restore(trained.model)
    assert str(caught.value) == f"checkpoint of step 3: expected a variable {name}, there is none"


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


# --- damage ---------------------------------------------------------------------------------------


@pytest.fixture
def tiny() -> Checkpoint:
    variables = {
        "trainable/0000/dense.kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
        "state/0000/seed": np.array([1, 2], np.uint32),
        "optimizer/0000/iteration": np.array(3, np.int32),
    }
    return Checkpoint(1, 2, variables, {"Mine": {"best": 1}}, [{"epoch": 1.0}])


def equal(one: Checkpoint, other: Checkpoint) -> bool:
    return same(one.variables, other.variables) and (
        dataclasses.replace(one, variables={}) == dataclasses.replace(other, variables={})
    )


def test_a_missing_file_is_said_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no\.npz: expected a checkpoint, FileNotFoundError"):
        Checkpoint.load(tmp_path / "no.npz")


def test_a_file_cut_short_anywhere_is_refused(tiny: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    tiny.save(path)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(RunError, match="expected a checkpoint"):
            Checkpoint.load(path)


def test_a_damaged_byte_anywhere_is_refused_unless_it_changes_nothing(tiny: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    tiny.save(path)
    content = path.read_bytes()
    wrong: dict[str, list[int]] = {}
    refused = 0
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= (0xFF, 0x01, 0x10, 0x80)[place % 4]
        path.write_bytes(damaged)
        try:
            if not equal(Checkpoint.load(path), tiny):
                wrong.setdefault("read as something else", []).append(place)
        except RunError:
            refused += 1
        except Exception as error:
            wrong.setdefault(type(error).__name__, []).append(place)
    assert wrong == {}
    assert refused > len(content) // 2


@pytest.mark.parametrize("content", [b"", b"PK", b"\x93NUMPY", b"{}", b"\x00" * 1000])
def test_a_file_of_something_else_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "c.npz").write_bytes(content)
    with pytest.raises(RunError, match="expected a checkpoint"):
        Checkpoint.load(tmp_path / "c.npz")


def test_an_archive_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "c.npz", a=np.zeros(3))
    with pytest.raises(RunError, match="expected a checkpoint"):
        Checkpoint.load(tmp_path / "c.npz")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.mkdir, (str(tmp_path / "sprung"),))

    np.savez(tmp_path / "c.npz", meta=np.array([Trap()], dtype=object))
    with pytest.raises(RunError, match="expected a checkpoint"):
        Checkpoint.load(tmp_path / "c.npz")
    assert not (tmp_path / "sprung").exists()


def test_another_format_is_said(tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("lab.checkpoints.checkpoint.FORMAT", 99)
        tiny.save(tmp_path / "c.npz")
    with pytest.raises(RunError, match="expected checkpoint format 2, got 99"):
        Checkpoint.load(tmp_path / "c.npz")


def test_a_save_that_fails_keeps_the_old_file(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.save(tmp_path / "c.npz")

    def full(file: Any, parts: Any) -> None:
        write_npz(file, itertools.islice(parts, 2))
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("lab.checkpoints.checkpoint.write_npz", full)
        with pytest.raises(OSError, match="No space left"):
            dataclasses.replace(tiny, step=9).save(tmp_path / "c.npz")
    assert equal(Checkpoint.load(tmp_path / "c.npz"), tiny)
    assert [path.name for path in tmp_path.iterdir()] == ["c.npz"]


# --- which to keep --------------------------------------------------------------------------------


def checkpoint(step: int) -> Checkpoint:
    return Checkpoint(step, step, {"trainable/0000/w": np.full(2, step, np.float32)})


def filled(path: Path, values: list[float | None], **options: Any) -> CheckpointManager:
    folder = CheckpointManager(path, **options)
    for step, value in enumerate(values, 1):
        folder.add(checkpoint(step), value)
        assert on_disk(folder) == {entry["file"] for entry in folder.index}
    return folder


def on_disk(folder: CheckpointManager) -> set[str]:
    return {path.name for path in folder.path.glob("*.npz")}


def steps(folder: CheckpointManager) -> list[int]:
    return [entry["step"] for entry in folder.index]


def best_step(folder: CheckpointManager) -> int | None:
    best = folder.best()
    return None if best is None else int(best["step"])


@pytest.mark.parametrize(
    ("options", "kept", "best"),
    [
        ({}, [2, 5], 2),
        ({"mode": "max"}, [4, 5], 4),
        ({"keep_last": 3}, [2, 3, 4, 5], 2),
        ({"keep_best": 2}, [2, 3, 5], 2),
        ({"keep_best": 2, "mode": "max"}, [1, 4, 5], 4),
        ({"keep_best": 0}, [5], 5),
        ({"keep_last": 9}, [1, 2, 3, 4, 5], 2),
        ({"keep_last": 2, "keep_best": 9}, [1, 2, 3, 4, 5], 2),
    ],
)
def test_the_last_and_the_best_are_kept(options: dict[str, Any], kept: list[int], best: int, tmp_path: Path) -> None:
    folder = filled(tmp_path / "c", [4.0, 1.0, 2.0, 5.0, 3.0], **options)
    assert steps(folder) == kept
    assert best_step(folder) == best


def test_the_newest_may_be_the_best_too(tmp_path: Path) -> None:
    assert steps(filled(tmp_path / "c", [3.0, 2.0, 1.0])) == [3]


def test_of_equals_the_first_is_the_best(tmp_path: Path) -> None:
    assert best_step(filled(tmp_path / "c", [1.0, 1.0, 1.0])) == 1


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, None])
def test_a_value_that_is_not_finite_is_never_the_best(odd: float | None, mode: str, tmp_path: Path) -> None:
    folder = filled(tmp_path / "c", [odd, 1.0, odd, odd], mode=mode)
    assert best_step(folder) == 2
    assert steps(folder) == [2, 4]
    assert folder.index[-1]["value"] is None


def test_without_any_value_there_is_no_best(tmp_path: Path) -> None:
    assert filled(tmp_path / "c", [None, math.nan]).best() is None
    assert CheckpointManager(tmp_path / "none").best() is None
    assert CheckpointManager(tmp_path / "none").index == []


def test_an_entry_is_loaded(tmp_path: Path) -> None:
    folder = filled(tmp_path / "c", [1.0, 2.0])
    best = folder.best()
    assert best is not None
    loaded = folder.load(best)
    assert (loaded.epoch, loaded.step) == (1, 1)
    assert loaded.variables["trainable/0000/w"].tolist() == [1.0, 1.0]


def test_a_step_that_is_saved_again_replaces_the_first(tmp_path: Path) -> None:
    folder = filled(tmp_path / "c", [1.0, 2.0])
    folder.add(checkpoint(2), 0.5)
    assert steps(folder) == [2]
    assert folder.index[0]["value"] == 0.5


def test_the_index_is_read_by_another_process(tmp_path: Path) -> None:
    filled(tmp_path / "c", [1.0, 2.0])
    assert steps(CheckpointManager(tmp_path / "c")) == [1, 2]
    assert json.loads((tmp_path / "c" / "index.json").read_text())[0] == {
        "file": "step-00000001.npz",
        "kind": "epoch",
        "epoch": 1,
        "step": 1,
        "value": 1.0,
    }


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture(
    params=["lab.checkpoints.checkpoint.write_npz", "lab.checkpoints.manager.write_json", "pathlib.Path.unlink"]
)
def killed_at(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def dies(*args: Any, **options: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(request.param, dies)
        yield


@pytest.fixture
def before_the_kill(tmp_path: Path) -> CheckpointManager:
    return filled(tmp_path / "c", [2.0, 3.0])


def test_the_index_never_names_a_missing_file_wherever_a_save_is_killed(
    before_the_kill: CheckpointManager, killed_at: None
) -> None:
    folder = before_the_kill
    with pytest.raises(Killed):
        folder.add(checkpoint(3), 1.0)
    assert folder.index
    for entry in folder.index:
        assert folder.load(entry).step == entry["step"]


def test_the_best_is_damaged_and_the_next_best_is_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = filled(tmp_path / "c", [3.0, 1.0, 2.0], keep_best=2)
    (tmp_path / "c" / "step-00000002.npz").write_bytes(b"PK\x03\x04 and no more")
    found = folder.load_best()
    assert found is not None
    assert found.step == 3
    assert "the next best is used" in caplog.text
    (tmp_path / "c" / "step-00000003.npz").unlink()
    assert folder.load_best() is None
