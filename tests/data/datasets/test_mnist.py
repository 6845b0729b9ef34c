"""MNIST from one's own files and from the wheel's pickle: the same data, or one line that says why not."""

from __future__ import annotations

import gzip
import pickle
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.data import Data, DataSet, Provenance
from lab.data.datasets.mnist import MNIST, _from_npz, _from_pickle, load
from lab.data.io.formats import from_idx, to_idx
from lab.errors import DataError
from tests.conftest import digits

IDX_NAMES = tuple(MNIST.files)


def arrays(train: int = 120, test: int = 30) -> dict[str, np.ndarray]:
    (x_train, y_train), (x_test, y_test) = digits(train), digits(test, seed=1)
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def npz(path: Path, **changes: Any) -> Path:
    """Writes an `.npz` of digits; a change of None leaves an array out."""
    made = {name: array for name, array in (arrays() | changes).items() if array is not None}
    np.savez(path, **made)
    return path


def idx_folder(path: Path, packed: tuple[bool, ...] = (False,) * 4, **changes: Any) -> Path:
    path.mkdir()
    for name, array, is_packed in zip(IDX_NAMES, (arrays() | changes).values(), packed, strict=True):
        if array is None:
            continue
        content = to_idx(array)
        (path / (f"{name}.gz" if is_packed else name)).write_bytes(gzip.compress(content) if is_packed else content)
    return path


def said(call: Callable[[], Any]) -> str:
    """The message of the DataError that a call ends with, which must be one line."""
    with pytest.raises(DataError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def assert_equal(one: Data, other: Data) -> None:
    for name in ("train", "validation", "test"):
        assert np.array_equal(one.split(name).x, other.split(name).x)
        assert np.array_equal(one.split(name).y, other.split(name).y)


@pytest.mark.parametrize(
    "packed", [(False,) * 4, (True,) * 4, (True, False, False, True)], ids=["plain", "gzip", "mixed"]
)
def test_npz_and_idx_give_the_same_data(tmp_path: Path, packed: tuple[bool, ...]) -> None:
    from_npz, from_folder = load(npz(tmp_path / "a.npz")), load(idx_folder(tmp_path / "idx", packed))
    assert_equal(from_npz, from_folder)
    assert from_npz.fingerprint() == from_folder.fingerprint()
    assert from_npz.provenance.sha256 == from_folder.provenance.sha256


def test_a_path_may_be_text_and_the_archive_compressed(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", **arrays())  # type: ignore[arg-type]
    assert_equal(load(str(tmp_path / "a.npz")), load(npz(tmp_path / "b.npz")))


def test_a_tilde_in_the_path_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    npz(tmp_path / "a.npz")
    assert load("~/a.npz").sizes()["test"] == 30


def test_the_last_training_images_are_for_validation(tmp_path: Path) -> None:
    whole = arrays()
    data = load(npz(tmp_path / "a.npz"))
    assert data.sizes() == {"train": 110, "validation": 10, "test": 30}
    assert np.array_equal(np.concatenate([data.train.y, data.validation.y]), whole["y_train"])
    images = np.concatenate([data.train.x, data.validation.x])
    assert np.array_equal(np.rint(images * 255).astype(np.uint8), whole["x_train"])
    assert np.array_equal(np.rint(data.test.x * 255).astype(np.uint8), whole["x_test"])
    assert np.array_equal(data.test.y, whole["y_test"])


@pytest.mark.parametrize(("count", "held_out"), [(2, 1), (12, 1), (36, 3), (60_000, 5_000), (60_012, 5_000)])
def test_a_twelfth_is_held_out_and_never_more_than_5000(tmp_path: Path, count: int, held_out: int) -> None:
    images, labels = np.zeros((count, 28, 28), np.uint8), np.zeros(count, np.uint8)
    sizes = load(npz(tmp_path / "a.npz", x_train=images, y_train=labels)).sizes()
    assert sizes == {"train": count - held_out, "validation": held_out, "test": 30}


def test_pixels_are_float32_from_0_to_1_and_labels_bytes(tmp_path: Path) -> None:
    images = arrays()["x_train"].copy()
    images[0, 0, :3] = 0, 128, 255
    data = load(npz(tmp_path / "a.npz", x_train=images))
    assert data.train.x[0, 0, :3].tolist() == [0, np.float32(128) / np.float32(255), 1]
    for name in ("train", "validation", "test"):
        split = data.split(name)
        assert split.x.dtype == np.float32
        assert split.y.dtype == np.uint8
        assert split.x.shape[1:] == (28, 28)
        assert split.x.min() >= 0
        assert split.x.max() <= 1


@pytest.mark.parametrize("dtype", ["int64", "uint16", "int8"])
def test_whole_numbers_of_any_type_are_taken(tmp_path: Path, dtype: str) -> None:
    changed = {name: (array // 2).astype(dtype) for name, array in arrays().items()}
    halved = {name: array // 2 for name, array in arrays().items()}
    assert_equal(load(npz(tmp_path / "a.npz", **changed)), load(npz(tmp_path / "b.npz", **halved)))


def test_ones_own_file_is_its_provenance(tmp_path: Path) -> None:
    provenance = load(npz(tmp_path / "a.npz")).provenance
    assert (provenance.origin, provenance.source) == ("your file", str(tmp_path / "a.npz"))
    changed = arrays()["y_test"].copy()
    changed[0] += 1
    assert load(npz(tmp_path / "b.npz", y_test=changed)).provenance.sha256 != provenance.sha256


def test_without_a_path_the_public_data_set_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    provenance = Provenance("MNIST", "cache", "somewhere")
    files = dict(zip(IDX_NAMES, map(to_idx, arrays().values()), strict=True))
    monkeypatch.setattr(DataSet, "get", lambda self: (files, provenance))
    data = load()
    assert data.provenance is provenance
    assert_equal(data, load(npz(tmp_path / "a.npz")))


IMAGES = np.zeros((120, 28, 28), np.uint8)
LABELS = np.zeros(120, np.uint8)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"x_train": np.zeros((120, 784), np.uint8)},
            r"train images: expected uint8 of shape \(n, 28, 28\), got .*784",
        ),
        ({"x_test": np.zeros((30, 27, 28), np.uint8)}, r"test images: expected uint8 of shape .* \(30, 27, 28\)"),
        ({"x_train": np.zeros((120, 28, 28, 1), np.uint8)}, r"expected"),
        ({"x_train": np.uint8(3)}, r"expected"),
        ({"y_train": np.zeros(119, np.uint8)}, r"train: expected at least 2 images and a label for each, got 120"),
        ({"y_test": np.zeros((30, 1), np.uint8)}, r"test: expected at least 2 images and a label for each, got 30"),
        ({"y_test": np.full(30, 10, np.uint8)}, r"test labels: expected 0 to 9, got 10"),
        ({"x_train": IMAGES[:1], "y_train": LABELS[:1]}, r"train: expected at least 2 images"),
        ({"x_test": IMAGES[:0], "y_test": LABELS[:0]}, r"test: expected at least 2 images"),
        ({"x_train": IMAGES.astype(np.float32)}, r"x_train: expected whole numbers from 0 to 255, got float32"),
        ({"y_train": LABELS.astype(bool)}, r"y_train: expected whole numbers from 0 to 255, got bool"),
        ({"y_train": LABELS.astype("U1")}, r"y_train: expected whole numbers from 0 to 255, got <U1"),
        ({"y_train": np.full(120, -1)}, r"y_train: expected whole numbers from 0 to 255"),
        ({"x_train": np.full((120, 28, 28), 256)}, r"x_train: expected whole numbers from 0 to 255"),
        (
            {"y_train": np.array([None] * 120)},
            r"expected an .npz file of arrays, y_train.npy: expected an array of numbers, got object",
        ),
        ({"y_test": None}, r"expected arrays x_train, y_train, x_test, y_test, y_test is not a file in the archive"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "+".join(value),
)
def test_an_npz_of_something_else_is_refused_in_one_line(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    path = npz(tmp_path / "a.npz", **changes)
    assert re.search(says, said(lambda: load(path)))


def test_an_object_array_is_not_unpickled(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
            return Path.mkdir, (marker,)

    labels = np.empty(1, object)
    labels[0] = Evil()
    said(lambda: load(npz(tmp_path / "a.npz", y_test=labels)))
    assert not marker.exists()


def npy(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros((3, 28, 28), np.uint8))


def foreign_members(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in arrays():
            archive.writestr(f"{name}.npy", b"no array")


def truncated(path: Path) -> None:
    content = npz(path).read_bytes()
    path.write_bytes(content[: len(content) // 2])


def other_compression(path: Path) -> None:
    content = bytearray(npz(path).read_bytes())
    at = content.index(b"PK\x01\x02")
    content[at + 10] = 99  # the number of the method in the first central header
    path.write_bytes(content)


def damaged_stream(path: Path) -> None:
    np.savez_compressed(path, **arrays())  # type: ignore[arg-type]
    content = bytearray(path.read_bytes())
    content[200:260] = b"\xff" * 60
    path.write_bytes(content)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("x_train, y_train", "utf-8"),
        lambda path: path.write_bytes(pickle.dumps(arrays())),
        lambda path: path.write_bytes(b"PK\x03\x04" + bytes(30)),
        npy,
        foreign_members,
        truncated,
        other_compression,
        damaged_stream,
    ],
    ids=["empty", "text", "pickle", "cut zip", "npy", "members", "truncated", "compression", "stream"],
)
def test_a_file_that_is_no_npz_is_refused_in_one_line(tmp_path: Path, write: Callable[[Path], Any]) -> None:
    path = tmp_path / "a.npz"
    write(path)
    assert said(lambda: load(path)).startswith(f"{path}: ")


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_no_damage_makes_an_npz_raise_anything_but_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, draw: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    small = {name: array[:2] for name, array in arrays(2, 2).items()}
    np.savez_compressed(path, **small)  # type: ignore[arg-type]
    content = bytearray(path.read_bytes())
    for at in draw.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=3)):
        content[at] = draw.draw(st.integers(0, 255))
    path.write_bytes(content)
    message = ""
    try:
        assert list(_from_npz(path)) == list(IDX_NAMES)
    except DataError as error:
        message = str(error)
    assert "\n" not in message


def test_a_path_where_nothing_is_is_said(tmp_path: Path) -> None:
    path = tmp_path / "absent"
    assert said(lambda: load(path)) == (
        f"data={path}: expected an .npz file or a folder of IDX files, there is nothing there"
    )


def test_a_folder_that_lacks_a_file_is_told_which(tmp_path: Path) -> None:
    folder = idx_folder(tmp_path / "idx", y_test=None)
    assert said(lambda: load(folder)) == (
        f"data={folder}: expected a file t10k-labels-idx1-ubyte or t10k-labels-idx1-ubyte.gz, there is none"
    )


def test_a_folder_with_damaged_files_is_refused(tmp_path: Path) -> None:
    folder = idx_folder(tmp_path / "idx", (True, False, False, False))
    packed = folder / f"{IDX_NAMES[0]}.gz"
    content = packed.read_bytes()
    packed.write_bytes(content[:-5])
    assert f"{packed}: expected a gzip file" in said(lambda: load(folder))
    packed.write_bytes(content)
    plain = folder / IDX_NAMES[2]
    plain.write_bytes(plain.read_bytes()[:-1])
    assert said(lambda: load(folder)).startswith(f"{IDX_NAMES[2]}: expected 23520 bytes")


def test_images_where_labels_should_be_are_refused(tmp_path: Path) -> None:
    folder = idx_folder(tmp_path / "idx", y_train=arrays()["x_train"])
    assert "a label for each" in said(lambda: load(folder))


def test_labels_where_images_should_be_are_refused(tmp_path: Path) -> None:
    folder = idx_folder(tmp_path / "idx", x_test=arrays()["y_test"])
    assert "test images: expected uint8 of shape (n, 28, 28), got uint8 (30,)" in said(lambda: load(folder))


def pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    """Digits as the wheel has them: rows of float32 pixels / 256 and int64 labels, in three sets."""
    made = [digits(40), digits(20, seed=1), digits(10, seed=2)]
    made[0][0].flat[:256] = np.arange(256)
    return [(images.reshape(-1, 784).astype(np.float32) / 256, labels.astype(np.int64)) for images, labels in made]


def assert_the_digits(files: dict[str, bytes]) -> None:
    (train, validation, test) = digits(40), digits(20, seed=1), digits(10, seed=2)
    train[0].flat[:256] = np.arange(256)
    x_train, y_train, x_test, y_test = (from_idx(files[name], name) for name in IDX_NAMES)
    assert np.array_equal(x_train, np.concatenate([train[0], validation[0]]))
    assert np.array_equal(y_train, np.concatenate([train[1], validation[1]]))
    assert np.array_equal(x_test, test[0])
    assert np.array_equal(y_test, test[1])


def test_the_wheels_pickle_gives_back_exactly_the_bytes() -> None:
    assert_the_digits(_from_pickle(gzip.compress(pickle.dumps(tuple(pairs()), 3))))


def python2_array(array: np.ndarray) -> bytes:
    """The pickle opcodes that Python 2 and its NumPy write for an array, in protocol 2."""
    dtype = b"cnumpy\ndtype\nU\x02" + array.dtype.str[1:].encode() + b"K\x00K\x01\x87R(K\x03U\x01<NNN"
    dtype += b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    shape = b"(" + b"".join(b"J" + struct.pack("<i", size) for size in array.shape) + b"t"
    data = array.tobytes()
    made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
    return made + b"(K\x01" + shape + dtype + b"\x89T" + struct.pack("<i", len(data)) + data + b"tb"


def test_the_pickle_of_python_2_gives_back_exactly_the_bytes() -> None:
    content = b"".join(python2_array(images) + python2_array(labels) + b"\x86" for images, labels in pairs())
    assert_the_digits(_from_pickle(gzip.compress(b"\x80\x02" + content + b"\x87.")))


@pytest.mark.parametrize(
    "content",
    [
        pairs()[:2],
        [pair[:1] for pair in pairs()],
        [(images[:, :700], labels) for images, labels in pairs()],
        [("images", labels) for _, labels in pairs()],
        {"train": pairs()[0]},
        3,
        None,
    ],
    ids=["two pairs", "no labels", "other shape", "text", "mapping", "number", "nothing"],
)
def test_a_pickle_of_something_else_is_refused_in_one_line(content: Any) -> None:
    packed = gzip.compress(pickle.dumps(content, 3))
    assert said(lambda: _from_pickle(packed)).startswith("mnist.pkl.gz: expected three pairs of images and labels, ")


def test_a_pickle_that_is_not_packed_is_refused() -> None:
    assert said(lambda: _from_pickle(pickle.dumps(pairs(), 3))).startswith("mnist.pkl.gz: expected a gzip file (")
