"""Checkpoints while training: when, which, what callbacks remember; and what is not gone on from."""

from __future__ import annotations

import json
import shutil
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import lab
from lab.callbacks.base import Callback, Position, Stopping
from lab.callbacks.checkpointing import Checkpoints, Resuming, give_back, had_ended, states_of
from lab.checkpoints.checkpoint import Checkpoint
from lab.checkpoints.fingerprint import changes
from lab.checkpoints.manager import CUT, EPOCH, INSIDE, CheckpointManager
from lab.data import Batches, Split
from lab.errors import RunError, SettingsError, UsageError
from lab.runs.environment import machine
from lab.runs.run import Run
from lab.runs.status import StopReason
from tests.resumed import Dies, Noisy, differences, facts, go_on, killed, quiet, tick, train
from tests.toy import Toy

# --- what callbacks remember ------------------------------------------------------------------------


class Counts(Callback):
    """Remembers a number."""

    def __init__(self, count: int = 0) -> None:
        super().__init__()
        self.count = count

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state["count"]


def test_two_callbacks_of_one_class_each_take_back_their_own() -> None:
    states = states_of([Counts(1), keras.callbacks.TerminateOnNaN(), Counts(2)])
    assert states == {"Counts": {"count": 1}, "Counts-2": {"count": 2}}
    fresh = [Counts(), Counts(), Counts(7)]
    give_back(fresh, json.loads(json.dumps(states)))
    assert [one.count for one in fresh] == [1, 2, 7]


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.callbacks.EarlyStopping("loss", patience=2, mode="min"),
        lambda: keras.callbacks.ReduceLROnPlateau("loss", patience=1, cooldown=2, mode="min"),
        lambda: keras.callbacks.ModelCheckpoint("never.keras", "loss", save_best_only=True, mode="min"),
    ],
    ids=["EarlyStopping", "ReduceLROnPlateau", "ModelCheckpoint"],
)
def test_keras_callbacks_go_on_waiting(make: Callable[[], Any]) -> None:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    first, second = make(), make()
    for one in (first, second):
        one.set_model(model)
        one.on_train_begin()
    first.best = np.float32(0.5)
    first.wait = 1
    states = json.loads(json.dumps(states_of([first])))
    give_back([second], states)
    assert states_of([second]) == states_of([first]) != {}
    assert second.best == 0.5


# --- when -------------------------------------------------------------------------------------------


class Clock:
    """A clock that the test moves on, and that each save moves on by so many seconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


def saves_at(monkeypatch: pytest.MonkeyPatch, path: Path, steps: int, cost: float, every: float) -> list[int]:
    """The steps, a second each, after which a checkpoint inside the epoch is written."""
    clock, found = Clock(), []
    monkeypatch.setattr("lab.callbacks.checkpointing.time", clock)
    position = Position(Batches(Split("train", np.zeros((1000, 1), np.float32)), 1))
    history = types.SimpleNamespace(position=position, rows=[])
    folder = CheckpointManager(path)

    def add(checkpoint: Checkpoint, value: float | None, kind: str) -> None:
        assert (value, kind) == (None, INSIDE)
        found.append(checkpoint.step)
        clock.now += cost

    monkeypatch.setattr(folder, "add", add)
    saves = Checkpoints(folder, "val_loss", history, every=every)  # type: ignore[arg-type]
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.stop_training = False
    saves.set_model(model)
    saves.on_train_begin()
    for step in range(steps):
        clock.now += 1
        position.on_train_batch_end(step)
        saves.on_train_batch_end(step, {"loss": 1.0})
    return found


@pytest.mark.parametrize(
    ("cost", "every", "steps"),
    [
        (0, 10, [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]),
        (0.1, 10, [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]),
        (1, 10, [10, 60]),
        (2, 1, [1, 101]),
    ],
)
def test_saving_takes_a_fiftieth_of_the_time_at_most(
    cost: float, every: float, steps: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert saves_at(monkeypatch, tmp_path, 105, cost, every) == steps


# --- which ------------------------------------------------------------------------------------------


def checkpoint(step: int) -> Checkpoint:
    return Checkpoint(step // 10, step, {"trainable/0000/w": np.full(2, step, np.float32)})


def folder_of(path: Path, *steps: tuple[int, str, float | None], **options: Any) -> CheckpointManager:
    folder = CheckpointManager(path / "c", **options)
    for step, kind, value in steps:
        folder.add(checkpoint(step), value, kind)
    assert {file.name for file in folder.path.glob("*.npz")} == {entry["file"] for entry in folder.index}
    return folder


def steps_of(folder: CheckpointManager) -> list[int]:
    return [entry["step"] for entry in folder.index]


@pytest.mark.parametrize(
    ("steps", "kept"),
    [
        ([(3, INSIDE, None), (6, INSIDE, None), (9, INSIDE, None)], [6, 9]),
        ([(6, INSIDE, None), (10, EPOCH, 1.0), (20, EPOCH, 2.0), (24, INSIDE, None)], [6, 10, 20, 24]),
        ([(10, EPOCH, 1.0), (20, EPOCH, 2.0), (25, CUT, 3.0)], [10, 20]),
        ([(10, EPOCH, 1.0), (20, EPOCH, 2.0), (25, CUT, 0.5)], [20, 25]),
    ],
)
def test_each_kind_is_kept_for_its_own_use(steps: Any, kept: list[int], tmp_path: Path) -> None:
    assert steps_of(folder_of(tmp_path, *steps)) == kept


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "deleted":
        path.unlink()
        return
    content[len(content) // 2] ^= 0x40
    path.write_bytes(content[: len(content) // 2] if how == "truncated" else content)


@pytest.mark.parametrize("how", ["truncated", "flipped", "deleted"])
def test_the_newest_that_is_whole_is_gone_on_from(how: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    steps = (10, EPOCH, 1.0), (15, INSIDE, None), (20, EPOCH, 2.0), (25, INSIDE, None), (25, CUT, 0.1)
    folder = folder_of(tmp_path, *steps)
    found = folder.newest()
    assert found is not None
    assert found.step == 25
    assert [entry["kind"] for entry in folder.index] == [INSIDE, EPOCH, INSIDE, CUT], "looking changes nothing"
    folder.forget_after(found)
    assert [entry["kind"] for entry in folder.index] == [INSIDE, EPOCH, INSIDE]  # the cut one cannot be gone on from
    for step, kind, left in ((25, "inside", 20), (20, "step", 15)):
        damage(folder.path / f"{kind}-{step:08d}.npz", how)
        found = folder.newest()
        assert found is not None
        folder.forget_after(found)
        assert found.step == left == steps_of(folder)[-1]
        assert "the checkpoint before it is used" in caplog.text
    damage(folder.path / "inside-00000015.npz", how)
    assert folder.newest() is None
    folder.forget_after(None)
    assert folder.index == []


def test_what_a_dead_process_has_not_named_is_deleted(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, (10, EPOCH, 1.0))
    (folder.path / "step-00000020.npz").touch()
    folder.clean()
    assert {file.name for file in folder.path.iterdir()} == {"step-00000010.npz", "index.json"}


def test_a_place_that_other_data_does_not_have_is_the_epochs_begin() -> None:
    position = Position(Batches(Split("train", np.zeros((30, 1), np.float32)), 10))
    history: Any = types.SimpleNamespace(position=position)
    for epoch, step, expected in ((1, 5, (1, 2)), (1, 3, (1, 0)), (1, 9, (1, 0)), (4, 7, (4, 0))):
        Resuming(Checkpoint(epoch, step, {}), history, [])
        assert (position.epoch, position.step) == expected


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({}, None),
        ({"stop": False, "reason": ""}, None),
        ({"stop": True, "reason": str(StopReason.SIGNAL)}, None),
        ({"stop": True, "reason": ""}, StopReason.CALLBACK),
        ({"stop": True, "reason": str(StopReason.MAX_STEPS)}, StopReason.MAX_STEPS),
    ],
)
def test_a_signal_alone_does_not_end_a_training(state: dict[str, Any], reason: StopReason | None) -> None:
    assert had_ended({Stopping.__name__: state}) is reason


# --- what is not gone on from -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was killed in its second epoch, with checkpoints after step 13 and 18."""
    path = tmp_path_factory.mktemp("cut") / "run"
    with pytest.MonkeyPatch.context() as patch:
        tick(patch)
        killed(path, None, Dies("on_test_begin", 2), steps_per_execution=1)
    return path


@pytest.fixture
def path(cut: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(cut, tmp_path / "run"))


def test_damaged_checkpoints_change_nothing_in_the_end(path: Path, tmp_path: Path) -> None:
    never = facts(train(tmp_path / "never", Noisy()))
    shutil.copytree(path, tmp_path / "all")
    entries = CheckpointManager(path / "checkpoints").index
    damage(path / "checkpoints" / entries[-1]["file"], "flipped")
    assert differences(facts(go_on(path)), never) == []
    for entry in entries:
        damage(tmp_path / "all" / "checkpoints" / entry["file"], "flipped")
    assert differences(facts(go_on(tmp_path / "all")), never) == []


def test_another_origin_is_refused_with_every_difference(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    record = json.loads((path / "settings.json").read_text())
    record["settings"]["rate"] = 0.2
    record["trainer"]["batch_size"] = 64  # the step that it was killed in is not there any more
    (path / "settings.json").write_text(json.dumps(record))
    monkeypatch.setattr("lab.checkpoints.fingerprint.versions", lambda: {"keras": "2.0", "tensorflow": "1.0"})
    monkeypatch.setattr(lab.Data, "fingerprint", lambda self: "other")
    stood = Run.load(path).status_record()["reason"]
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file() and file.name != "status.json"}
    with pytest.raises(RunError, match="comes from another training") as caught:
        lab.resume(path, epochs=7, console=quiet())
    after = {file: file.read_bytes() for file in path.rglob("*") if file.is_file() and file.name != "status.json"}
    assert before == after, "what is refused is left as it was"
    said = str(caught.value)
    for part in ("rate: 0.1 then, 0.2 now", "batch_size: 8 then, 64 now", "keras: 3.", "data: ", "numpy: "):
        assert part in said
    assert "epochs" not in said
    assert said.endswith("--force goes on all the same, and ignores this")
    assert Run.load(path).status_record()["reason"] == stood
    assert go_on(path, force=True).status is lab.Status.COMPLETED
    assert "going on in spite of differences: rate: 0.1 then, 0.2 now" in caplog.text


def test_another_machine_is_gone_on_with_and_said(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    then = machine()
    monkeypatch.setattr(
        "lab.checkpoints.fingerprint.machine", lambda: then | {"cpu": "Another", "xla_flags": "--xla_other=1"}
    )
    assert go_on(path).status is lab.Status.COMPLETED
    said = f"cpu: {then['cpu']} then, Another now; xla_flags: {then['xla_flags'] or 'none'} then, --xla_other=1 now"
    assert f"going on, but the last bits may differ: {said}" in caplog.text


def test_the_same_machine_and_a_checkpoint_that_names_none_say_nothing(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert go_on(path).status is lab.Status.COMPLETED
    assert "last bits" not in caplog.text
    now = {"rate": "0.1", **{f"machine.{name}": str(value) for name, value in machine().items()}}
    assert changes({"rate": "0.1"}, now) == ([], [])
    assert changes({"rate": "0.2", "gone": "1"}, now) == (["rate: 0.2 then, 0.1 now", "gone: 1 then, none now"], [])


def test_a_checkpoint_of_another_version_is_refused_and_stays(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = path / "checkpoints" / "index.json"
    old = [{name: value for name, value in entry.items() if name != "kind"} for entry in json.loads(index.read_text())]
    index.write_text(json.dumps(old))  # as an earlier version wrote it
    monkeypatch.setattr("lab.checkpoints.checkpoint.FORMAT", 99)
    with pytest.raises(RunError, match="expected checkpoint format 99, got 2"):
        lab.resume(path, console=quiet())
    assert json.loads(index.read_text()) == old
    assert all((index.parent / entry["file"]).is_file() for entry in old)


def test_a_run_that_another_process_works_on_is_left_alone(path: Path) -> None:
    other = Run(path)
    other.lock()
    before = (path / "status.json").read_text()
    with pytest.raises(RunError, match="another process is working on this run"):
        lab.resume(path, console=quiet())
    other.unlock()
    assert (path / "status.json").read_text() == before


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"width": "5"}, r"got width=5 \(it has 4\); only epochs may grow"),
        ({"preset": "wide"}, r"got preset=wide \(it has none\)"),
        ({"batch_size": "9", "width": "4"}, r"got batch_size=9 \(it has 8\)"),
    ],
)
def test_a_setting_that_differs_is_refused(values: dict[str, str], said: str, path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        resume_with_settings(Noisy, str(path), values, quiet())


def test_the_run_of_another_experiment_and_fewer_epochs_are_refused(path: Path) -> None:
    with pytest.raises(UsageError, match="expected a run of toy, it is of noisy"):
        resume_with_settings(Toy, str(path), {}, quiet())
    with pytest.raises(SettingsError, match="epochs=2: expected 3 or more"):
        resume_with_settings(Noisy, str(path), {"epochs": "2"}, quiet())
