"""Only intact checkpoint files are read, nothing is unpickled, and a save that fails keeps the old file."""

from __future__ import annotations

import dataclasses
import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lab.checkpoints.checkpoint import Checkpoint
from lab.data.io.formats import write_npz
from lab.errors import RunError


@pytest.fixture
def tiny() -> Checkpoint:
    variables = {
        "trainable/0000/dense.kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
        "state/0000/seed": np.array([1, 2], np.uint32),
        "optimizer/0000/iteration": np.array(3, np.int32),
    }
    return Checkpoint(1, 2, variables, {"Mine": {"best": 1}}, [{"epoch": 1.0}])


def equal(one: Checkpoint, other: Checkpoint) -> bool:
    if list(one.variables) != list(other.variables):
        return False
    pairs = zip(one.variables.values(), other.variables.values(), strict=True)
    return all(
        (mine.dtype, mine.shape, mine.tobytes()) == (its.dtype, its.shape, its.tobytes()) for mine, its in pairs
    ) and dataclasses.replace(one, variables={}) == dataclasses.replace(other, variables={})


def test_a_missing_file_is_said_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no\.npz: expected a checkpoint, FileNotFoundError"):
        Checkpoint.load(tmp_path / "no.npz")


def test_a_file_cut_short_anywhere_is_refused(tiny: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    tiny.save(path)
    content = path.read_bytes()
    for length in (*range(0, len(content), 5), len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(RunError, match="expected a checkpoint"):
            Checkpoint.load(path)


def test_a_damaged_byte_anywhere_is_refused_unless_it_changes_nothing(tiny: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    tiny.save(path)
    content = path.read_bytes()
    wrong: dict[str, list[int]] = {}
    refused = 0
    places = range(0, len(content), 3)
    for place in places:
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
    assert refused > len(places) // 2


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
