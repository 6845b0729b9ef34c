"""A model in Keras's own format: written without its optimizer, read with care, and hashed by its weights."""

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

from lab.errors import RunError
from lab._utils.files import atomic_path, leads_outside

if TYPE_CHECKING:
    import keras


def save(model: keras.Model, path: Path) -> None:
    """Writes a model, whole or not at all, without the optimizer's state.

    Raises:
        WriteError: the disk is full or the folder cannot be written.
    """
    optimizer, model.optimizer = model.optimizer, None  # two thirds of the bytes; checkpoints have it
    try:
        with atomic_path(path) as part:
            model.save(part)
    finally:
        model.optimizer = optimizer


def load(path: Path) -> keras.Model:
    """Reads a model, the lab's own layers among its layers; no code in the file is run.

    Raises:
        RunError: Keras cannot read it, or its safe mode refuses it.
    """
    import keras

    try:
        _check(path)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Skipping variable loading for optimizer")
            return keras.saving.load_model(path)
    except Exception as error:  # a damaged file may raise nearly anything, from zipfile, HDF5, Keras and its backend
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise RunError(f"{path}: expected a model that Keras can read, {reason}") from None


def weights_hash(model: keras.Model) -> str:
    """Returns the SHA-256 of a model's weights, in the order that it has them: 64 hex digits."""
    import keras

    digest = hashlib.sha256()
    for weight in model.weights:
        value = np.ascontiguousarray(keras.ops.convert_to_numpy(weight))
        digest.update(f"{value.dtype} {value.shape}\n".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def _check(path: Path) -> None:
    """Refuses what Keras would not have written: it packs nothing, and leads nowhere outside.

    Raises:
        ValueError: it is such an archive.
        OSError, zipfile.BadZipFile: it is none that can be read.
    """
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if leads_outside(info.filename):
                raise ValueError(f"its member {info.filename!r} leads outside the archive")
        if sum(info.file_size for info in archive.infolist()) > path.stat().st_size:
            raise ValueError("it unpacks to more than it has")
        count = _numbers(json.loads(archive.read("config.json")))  # Keras writes Infinity and NaN, too
        if count > path.stat().st_size:  # each takes a byte at least
            raise ValueError(f"its layers have {count:,} numbers, the file has {path.stat().st_size:,} bytes")


def _numbers(config: Any) -> int:
    """How many numbers a model has by its configuration, as far as Keras takes it; found without memory for them."""
    import keras

    from lab.engine.keras_private import uninitialized_variables

    def create() -> None:
        with contextlib.suppress(Exception):  # what is wrong with it, Keras reports when it reads it once more
            keras.saving.deserialize_keras_object({key: config[key] for key in config if key != "compile_config"})

    return sum(math.prod(variable.shape) for variable in uninitialized_variables(create))
