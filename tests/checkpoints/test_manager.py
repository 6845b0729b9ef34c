"""Which checkpoints are kept, which is the best, and which is the newest to resume from."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lab.checkpoints.checkpoint import Checkpoint
from lab.checkpoints.manager import CUT, EPOCH, INSIDE, CheckpointManager


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


# --- three kinds, and damage ---------------------------------------------------------------------------


def folder_of(path: Path, *steps: tuple[int, str, float | None], **options: Any) -> CheckpointManager:
    folder = CheckpointManager(path / "c", **options)
    for step, kind, value in steps:
        folder.add(checkpoint(step), value, kind)
    assert {file.name for file in folder.path.glob("*.npz")} == {entry["file"] for entry in folder.index}
    return folder


@pytest.mark.parametrize(
    ("added", "kept"),
    [
        ([(3, INSIDE, None), (6, INSIDE, None), (9, INSIDE, None)], [6, 9]),
        ([(6, INSIDE, None), (10, EPOCH, 1.0), (20, EPOCH, 2.0), (24, INSIDE, None)], [6, 10, 20, 24]),
        ([(10, EPOCH, 1.0), (20, EPOCH, 2.0), (25, CUT, 3.0)], [10, 20]),
        ([(10, EPOCH, 1.0), (20, EPOCH, 2.0), (25, CUT, 0.5)], [20, 25]),
    ],
)
def test_each_kind_is_kept_for_its_own_use(added: Any, kept: list[int], tmp_path: Path) -> None:
    assert steps(folder_of(tmp_path, *added)) == kept


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "deleted":
        path.unlink()
        return
    content[len(content) // 2] ^= 0x40
    path.write_bytes(content[: len(content) // 2] if how == "truncated" else content)


@pytest.mark.parametrize("how", ["truncated", "flipped", "deleted"])
def test_training_resumes_from_the_newest_that_is_intact(
    how: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    added = (10, EPOCH, 1.0), (15, INSIDE, None), (20, EPOCH, 2.0), (25, INSIDE, None), (25, CUT, 0.1)
    folder = folder_of(tmp_path, *added)
    found = folder.newest()
    assert found is not None
    assert found.step == 25
    assert [entry["kind"] for entry in folder.index] == [INSIDE, EPOCH, INSIDE, CUT], "looking changes nothing"
    folder.forget_after(found)
    assert [entry["kind"] for entry in folder.index] == [
        INSIDE,
        EPOCH,
        INSIDE,
    ]  # training cannot resume from the cut one
    for step, kind, left in ((25, "inside", 20), (20, "step", 15)):
        damage(folder.path / f"{kind}-{step:08d}.npz", how)
        found = folder.newest()
        assert found is not None
        folder.forget_after(found)
        assert found.step == left == steps(folder)[-1]
        assert "the checkpoint before it is used" in caplog.text
    damage(folder.path / "inside-00000015.npz", how)
    assert folder.newest() is None
    folder.forget_after(None)
    assert folder.index == []


def test_files_that_a_dead_process_has_not_named_are_deleted(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, (10, EPOCH, 1.0))
    (folder.path / "step-00000020.npz").touch()
    folder.clean()
    assert {file.name for file in folder.path.iterdir()} == {"step-00000010.npz", "index.json"}
