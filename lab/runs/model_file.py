"""A model in Keras's own format: written without its optimizer, checked before it is read, hashed by its weights."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lab._utils.files import atomic_path, leads_outside
from lab.errors import RunError
from lab.runs.export import without_training_layers

if TYPE_CHECKING:
    import keras


def save(model: keras.Model, path: Path) -> None:
    """Writes a model without the optimizer's state; the file appears complete or not at all.

    Raises:
        WriteError: the disk is full or the folder cannot be written.
    """
    model = without_training_layers(model)
    optimizer, model.optimizer = model.optimizer, None  # two thirds of the bytes; checkpoints hold it
    try:
        with atomic_path(path) as part:
            model.save(part)
    finally:
        model.optimizer = optimizer


def load(path: Path) -> keras.Model:
    """Reads a model, which may hold layers of the lab; code in the file is not run.

    Raises:
        RunError: Keras cannot read it, or its safe mode refuses it.
    """
    import keras

    try:
        _check(path)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Skipping variable loading for optimizer")
            return keras.saving.load_model(path)
    except Exception as error:  # zipfile, HDF5, Keras and its backend raise errors of any kind for a damaged file
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise RunError(f"{path}: expected a model that Keras can read, {reason}") from None


def weights_hash(model: keras.Model) -> str:
    """Returns the SHA-256 of a model's weights, in its order: 64 hex digits."""
    import keras

    digest = hashlib.sha256()
    for weight in model.weights:
        value = np.ascontiguousarray(keras.ops.convert_to_numpy(weight))
        digest.update(f"{value.dtype} {value.shape}\n".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def _check(path: Path) -> None:
    """Refuses an archive that Keras did not write: compressed, or with members outside the target folder.

    Raises:
        ValueError: it is such an archive, or its layers hold more numbers than the file has bytes.
        OSError, zipfile.BadZipFile: it cannot be read.
    """
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if leads_outside(info.filename):
                raise ValueError(f"its member {info.filename!r} leads outside the archive")
        if sum(info.file_size for info in archive.infolist()) > path.stat().st_size:
            raise ValueError("it is compressed, which Keras does not do")
        count = _numbers(json.loads(archive.read("config.json")))  # may hold Infinity and NaN
        if count > path.stat().st_size:  # each takes a byte at least
            raise ValueError(f"its layers have {count:,} numbers, the file has {path.stat().st_size:,} bytes")


def _numbers(config: Any) -> int:
    """The count of numbers in a model's variables by its configuration, as far as Keras reads it; allocates none."""
    import keras

    from lab.engine.keras_private import uninitialized_variables

    def create() -> None:
        with contextlib.suppress(Exception):  # what is wrong with it, Keras reports when it reads it once more
            keras.saving.deserialize_keras_object({key: config[key] for key in config if key != "compile_config"})

    return sum(math.prod(variable.shape) for variable in uninitialized_variables(create))
