"""Random and damaged input for what reads settings, checkpoints, archives and tables: it is read, or a `LabError`.

`make fuzz` runs these tests, `make test` does not: a random failure must not stop an unrelated change. Each failure
that they find becomes a fixed test beside the tests of the module that failed.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import tarfile
import zipfile
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lab
from lab.checkpoints.checkpoint import Checkpoint
from lab.checkpoints.manager import CheckpointManager
from lab.data.datasets import mnist
from lab.data.datasets.sources import members, read_member
from lab.data.io import labelled_files
from lab.errors import DataError, LabError, RunError, SettingsError
from lab.report import Report
from lab.runs.run import Run
from lab.trainer import registry
from lab.trainer.discovery import names
from tests.conftest import reviews
from tests.hostile.inputs import idx_folder, npz, tar

pytestmark = pytest.mark.fuzz

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
WORDS = JSON | st.sampled_from(["", "none", "nan", "inf", "-1", "1e999", "0x10", "1_0", "5m", "0.1:0.9", "1,2", "true"])


@st.composite
def mutations(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes of which some were changed, left out, doubled, or cut off."""
    found = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(found) - 1)))
        how = draw(st.sampled_from(["flip", "cut", "drop", "insert", "repeat"]))
        if how == "flip" and found:
            found[place] ^= 1 << draw(st.integers(0, 7))
        elif how == "cut":
            del found[place:]
        elif how == "drop":
            del found[place : place + draw(st.integers(1, 40))]
        elif how == "insert":
            found[place:place] = draw(st.binary(min_size=1, max_size=20))
        else:
            found[place:place] = found[place : place + draw(st.integers(1, 600))]
    return bytes(found)


def refused(error: LabError, said: str = "") -> None:
    """Checks that an error says something, and nothing that drives a terminal."""
    text = str(error)
    assert said in text
    assert text
    assert all(char.isprintable() or char == "\n" or char.isspace() for char in text)


# --- settings ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(names()))
@given(draw=st.data())
def test_any_settings_are_refused_in_words_or_come_back_from_json(name: str, draw: st.DataObject) -> None:
    experiment = registry.load(name)
    known = [*experiment.Settings.model_fields, *lab.Trainer.model_fields, "preset", "self", "settings", "values"]
    values = draw.draw(st.dictionaries(st.sampled_from(known) | st.text(max_size=8), WORDS, max_size=4))
    try:
        made, trainer = registry.configure(experiment, values)
    except SettingsError as error:
        refused(error)
        return
    again = json.loads(json.dumps([made.settings.json_values(), trainer.json_values()], allow_nan=False))
    assert experiment.Settings(**again[0]) == made.settings
    assert lab.Trainer(**again[1]).model_dump() == trainer.model_dump()


RECORD = {
    "experiment": "autoencoder",
    "class": "experiments.autoencoder:Autoencoder",
    "preset": None,
    "settings": {"latent_dim": 3},
    "trainer": {"epochs": 2, "batch_size": 8},
}


@given(draw=st.data())
def test_any_record_of_a_run_is_refused_in_words_or_makes_its_experiment(
    tmp_path_factory: pytest.TempPathFactory, draw: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("run")
    text = json.dumps(RECORD).encode()
    nested = st.fixed_dictionaries({}, optional=dict.fromkeys(RECORD, JSON)).map(lambda values: {**RECORD, **values})
    content = draw.draw(mutations(text) | st.binary(max_size=60) | nested.map(lambda v: json.dumps(v).encode()))
    (folder / "settings.json").write_bytes(content)
    try:
        run = Run.load(folder)
        made, trainer = registry.experiment_of(run), registry.trainer_of(run)
    except LabError as error:
        refused(error)
        return
    record = json.loads(content)
    assert made.settings.json_values().items() >= type(made.settings)(**record["settings"]).json_values().items()
    assert trainer == lab.Trainer(**record["trainer"])


@pytest.mark.parametrize("name", ["status.json", "training.json", "environment.json", "report.json", "history.csv"])
@given(content=st.binary(max_size=80) | JSON.map(lambda value: json.dumps(value).encode()) | st.text().map(str.encode))
def test_any_other_record_is_damaged_in_words_or_read(
    tmp_path_factory: pytest.TempPathFactory, name: str, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("run")
    (folder / "settings.json").write_text(json.dumps(RECORD))
    (folder / name).write_bytes(content)
    run = Run.load(folder)
    assert str(run.status)
    assert isinstance(run.stopped, str)
    try:
        run.check()
        Report.read(folder, run.report)
    except LabError as error:
        refused(error)


# --- checkpoints ------------------------------------------------------------------------------------

WEIGHTS = {
    "trainable/0000/w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "state/0000/seed": np.array([1, 2], np.uint32),
    "optimizer/0000/step": np.array(7),
}
HISTORY = [{"epoch": 1, "step": 3, "val_loss": 0.5}]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("checkpoint") / "c.npz"
    Checkpoint(1, 3, WEIGHTS, {"Stopping": {"stop": False}}, HISTORY, {"data": "x"}).save(path)
    return path.read_bytes()


def facts(checkpoint: Checkpoint) -> Any:
    arrays = {name: (value.dtype, value.shape, value.tobytes()) for name, value in checkpoint.variables.items()}
    rest = checkpoint.epoch, checkpoint.step, checkpoint.callbacks, checkpoint.history, checkpoint.origin
    return arrays, rest


@given(draw=st.data())
def test_a_damaged_checkpoint_is_refused_or_the_same(
    tmp_path_factory: pytest.TempPathFactory, saved: bytes, draw: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("checkpoint") / "c.npz"
    path.write_bytes(saved)
    whole = facts(Checkpoint.load(path))
    path.write_bytes(draw.draw(mutations(saved) | st.binary(max_size=200)))
    try:
        found = Checkpoint.load(path)
    except RunError:
        return
    assert facts(found) == whole


ENTRY = st.fixed_dictionaries(
    {
        "file": st.sampled_from(["step-00000003.npz", "../step-00000003.npz", "step-00000009.npz", ""]) | JSON,
        "kind": st.sampled_from(["epoch", "inside", "cut"]) | JSON,
        "epoch": st.just(1) | JSON,
        "step": st.just(3) | JSON,
        "value": st.just(0.5) | JSON,
    }
)


@given(draw=st.data())
def test_any_index_leads_to_the_whole_checkpoint_or_to_none_and_to_no_other_file(
    tmp_path_factory: pytest.TempPathFactory, saved: bytes, draw: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("run") / "checkpoints"
    path.mkdir()
    (path / "step-00000003.npz").write_bytes(saved)
    (path.parent / "step-00000003.npz").write_bytes(b"mine")
    text = json.dumps([{"file": "step-00000003.npz", "kind": "epoch", "epoch": 1, "step": 3, "value": 0.5}]).encode()
    entries = st.lists(ENTRY, max_size=3).map(lambda value: json.dumps(value).encode())
    (path / "index.json").write_bytes(draw.draw(mutations(text) | entries | st.binary(max_size=50)))
    folder = CheckpointManager(path)
    found = folder.newest()
    assert found is None or facts(found)[1][:2] == (1, 3)
    if len(folder.index) != 0 and found is None:
        assert all(entry["file"] != "step-00000003.npz" or entry["kind"] == "cut" for entry in folder.index)
    folder.best()
    folder.load_best()
    folder.forget_after(None)
    assert (path.parent / "step-00000003.npz").read_bytes() == b"mine"


# --- archives ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("texts")
    packed = {"bad.tar": "w", "bad.tar.gz": "w:gz"}
    return {name: tar(folder / name, mode=mode).read_bytes() for name, mode in packed.items()}


@pytest.mark.parametrize("name", ["bad.tar", "bad.tar.gz"])
@given(draw=st.data())
def test_a_damaged_archive_of_texts_is_refused_or_gives_texts(
    tmp_path_factory: pytest.TempPathFactory, texts: dict[str, bytes], name: str, draw: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("archive")
    (folder / name).write_bytes(draw.draw(mutations(texts[name]) | st.binary(max_size=2000)))
    try:
        found = labelled_files.load(folder / name)
    except DataError as error:
        refused(error)
    else:
        assert all(isinstance(text, str) for text in found.train.texts)
    assert [path.name for path in folder.iterdir()] == [name]


@given(draw=st.data())
def test_a_header_of_an_archive_may_say_anything(tmp_path_factory: pytest.TempPathFactory, draw: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("archive") / "bad.tar"
    block = bytearray(tarfile.TarInfo("train/pos/1.txt").tobuf(tarfile.GNU_FORMAT))
    size = draw.draw(st.integers(-(2**62), 2**62))
    block[124:136] = (
        b"\x80" + size.to_bytes(11, "big", signed=True)
        if size >= 0
        else b"\xff" + size.to_bytes(11, "big", signed=True)
    )
    block[156] = draw.draw(st.sampled_from(b"0123456789gxLKSVX"))
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    path.write_bytes(bytes(block) + draw.draw(st.binary(max_size=600)) + bytes(1024))
    with pytest.raises(DataError):
        labelled_files.load(path)


@given(draw=st.data())
def test_a_damaged_wheel_is_refused_or_gives_its_member(
    tmp_path_factory: pytest.TempPathFactory, draw: st.DataObject
) -> None:
    path, buffer = tmp_path_factory.mktemp("wheel") / "made.whl", io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("made/data.csv", "a,b\n" * 50)
        archive.writestr("made/other.csv", "c\n")
    path.write_bytes(draw.draw(mutations(buffer.getvalue())))
    try:
        found = [read_member(path, name, 1000) for name in members(path, "made/*.csv")]
    except DataError:
        return
    assert all(content in (b"a,b\n" * 50, b"c\n", b"") for content in found)


@given(draw=st.data())
def test_a_damaged_file_of_digits_is_refused_or_gives_digits(
    tmp_path_factory: pytest.TempPathFactory, draw: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("digits")
    if draw.draw(st.booleans()):
        path = npz(folder / "digits.npz")
        path.write_bytes(draw.draw(mutations(path.read_bytes())))
    else:
        path = idx_folder(folder / "idx")
        file = draw.draw(st.sampled_from(sorted(path.iterdir())))
        content = file.read_bytes()
        if draw.draw(st.booleans()):
            file.unlink()
            file, content = file.with_name(f"{file.name}.gz"), gzip.compress(content)
        file.write_bytes(draw.draw(mutations(content)))
    try:
        found = mnist.load(path)
    except DataError:
        return
    assert found.train.x.shape[1:] == (28, 28)
    assert found.train.y.max() <= 9


# --- tables -----------------------------------------------------------------------------------------

CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\ufeff"), max_size=20)


@given(rows=st.lists(st.tuples(CELL, CELL), min_size=1, max_size=20))
def test_a_table_comes_back_as_it_was_written(rows: list[tuple[str, str]]) -> None:
    rows = [*rows, ("one", "good"), ("two", "bad")]
    buffer = io.StringIO()
    csv.writer(buffer).writerows([("text", "label"), *rows])
    labels = sorted({label for _, label in rows})
    try:
        found, classes = labelled_files.read_csv(buffer.getvalue(), "made", "text", "label")
    except DataError as error:
        refused(error, "expected two labels")
        assert len(labels) != 2
        return
    assert sorted(classes) == labels
    assert list(zip(found.texts, [classes[label] for label in found.labels], strict=True)) == rows


@given(draw=st.data())
def test_any_table_is_refused_or_has_two_labels(tmp_path_factory: pytest.TempPathFactory, draw: st.DataObject) -> None:
    path, buffer = tmp_path_factory.mktemp("table") / "bad.csv", io.StringIO()
    csv.writer(buffer).writerows([("text", "label"), *reviews(60)])
    path.write_bytes(draw.draw(mutations(buffer.getvalue().encode()) | st.binary(max_size=200)))
    try:
        found = labelled_files.load(path)
    except DataError as error:
        refused(error)
        return
    assert set(found.train.labels) <= {0, 1}
    assert len(found.train.texts) == len(found.train.labels)
