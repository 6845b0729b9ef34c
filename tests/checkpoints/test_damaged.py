"""Damaged checkpoints and indexes: each is refused, and a damaged index is rebuilt from the checkpoints."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lab.checkpoints.checkpoint import Checkpoint
from lab.checkpoints.manager import CheckpointManager
from lab.data.io.formats import read_npz
from tests.hostile.inputs import npy, pack

WEIGHTS = {"trainable/0000/w": np.arange(6, dtype=np.float32).reshape(2, 3), "optimizer/0000/step": np.array(7)}
ENTRY = {"file": "step-00000002.npz", "kind": "epoch", "epoch": 1, "step": 2}


@pytest.mark.parametrize(
    "content",
    ["", "{", "[{}]", json.dumps([ENTRY]), json.dumps([ENTRY | {"value": "low"}]), None],
    ids=["empty", "no JSON", "no entry", "no value", "a value that is text", "no file"],
)
def test_a_damaged_index_is_rebuilt_as_it_was(tmp_path: Path, content: str | None) -> None:
    folder = CheckpointManager(tmp_path / "checkpoints", keep_last=2)
    for step, value in ((2, 0.25), (4, 0.75), (6, 0.5)):
        row = {"epoch": float(step // 2), "step": float(step), "val_loss": value}
        folder.add(Checkpoint(step // 2, step, WEIGHTS, history=[row]), value)
    folder.add(Checkpoint(3, 7, WEIGHTS, history=[{"val_loss": 0.5}]), None, "inside")
    before, index = folder.index, folder.path / "index.json"
    index.unlink()
    if content is not None:
        index.write_text(content)
    assert folder.index == before
    (folder.path / "step-00000006.npz").write_bytes(b"PK")
    assert [entry["step"] for entry in folder.index] == [2, 4, 7]


def test_a_checkpoint_with_objects_or_a_size_beyond_memory_is_refused(tmp_path: Path) -> None:
    for content in (npy((1 << 50,)), npy((1,), "|O", b"x"), npy((2**62, 2**62)), npy((1,) * 40)):
        path = pack(tmp_path / "c.npz", {"meta.npy": content})
        with path.open("rb") as file, pytest.raises(ValueError, match="expected"):
            read_npz(file, 1 << 60)
