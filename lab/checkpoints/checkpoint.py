"""The complete state of training in one file.

`.keras` and `.weights.h5` leave out the state of Keras's `SeedGenerator` (Dropout, noise) and the
sums of the metrics. A checkpoint holds every variable that the model leads to: weights, optimizers,
metrics, random generators.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ml_dtypes  # noqa: F401  (teaches NumPy the name bfloat16)
import numpy as np

from lab._utils.files import atomic, read_bytes
from lab.checkpoints.variables import named_variables
from lab.data import Array
from lab.data.io.formats import read_npz, write_npz
from lab.errors import OriginError, RunError, UsageError

if TYPE_CHECKING:
    import keras

_META, _ARRAYS = "meta", "callbacks/"  # parts that are not variables
FORMAT = 2


class FormatError(OriginError):
    """A checkpoint that another version of the lab wrote: intact, but not readable by this one."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """The state after a number of steps.

    Args:
        epoch: complete epochs.
        step: training steps done, over all epochs.
        variables: every variable's value, by kind, place and path.
        callbacks: the states of callbacks, by class name.
        history: the rows of `history.csv` so far.
        origin: the fingerprint of its training, by name: settings, data, versions, machine.
    """

    epoch: int
    step: int
    variables: dict[str, Array]
    callbacks: dict[str, Any] = dataclasses.field(default_factory=dict)
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    origin: dict[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, model: keras.Model, epoch: int, step: int, *, copy: bool = True, **rest: Any) -> Checkpoint:
        """Reads the state of a compiled model.

        Args:
            model: whose state it is.
            epoch, step: done so far.
            copy: False where it is saved at once: its arrays may then share the memory of the model.
            rest: the other fields.
        """
        import keras

        build_optimizer(model)
        taken = keras.ops.convert_to_numpy if copy else _view
        values = {name: taken(variable) for name, variable in named_variables(model).items()}
        return cls(epoch, step, values, **rest)

    def restore(self, model: keras.Model, *, optimizer: bool = True) -> None:
        """Sets a model's variables to this state.

        Args:
            model: a model built as the one that was saved.
            optimizer: whether to set all variables, or the weights and the layers' states only.

        Raises:
            OriginError: the model has other variables; the first difference is named.
        """
        kinds = ("trainable/", "state/", "optimizer/", "other/") if optimizer else ("trainable/", "state/")
        if optimizer:
            build_optimizer(model)
        wanted = named_variables(model)
        if not optimizer:
            wanted = {name: v for name, v in wanted.items() if name.startswith(kinds)}
        for name in self.variables:
            if name.startswith(kinds) and name not in wanted:
                raise OriginError(f"checkpoint of step {self.step}: the model has no variable {name}")
        for name, variable in wanted.items():
            if name not in self.variables:
                raise OriginError(f"checkpoint of step {self.step}: expected a variable {name}, it has none")
            if tuple(variable.shape) != self.variables[name].shape:
                raise OriginError(
                    f"checkpoint of step {self.step}: {name} is {self.variables[name].shape}, "
                    f"the model's is {tuple(variable.shape)}; resume with the model, and the lab, that wrote it"
                )
        for name, variable in wanted.items():
            variable.assign(self.variables[name])

    def save(self, path: Path) -> None:
        """Writes the checkpoint, completely or not at all.

        Raises:
            WriteError: the disk is full or the folder cannot be written.
        """
        arrays: dict[str, Array] = {}
        meta: dict[str, Any] = {"format": FORMAT, "epoch": self.epoch, "step": self.step}
        meta |= {"callbacks": _split(self.callbacks, arrays), "history": self.history, "origin": self.origin}
        arrays |= self.variables

        def parts() -> Iterator[tuple[str, Array]]:
            for name, value in arrays.items():  # NumPy's format does not know bfloat16: its bits are stored,
                yield name, value.view(f"u{value.dtype.itemsize}") if value.dtype.kind == "V" else value
            meta["parts"] = {name: [value.dtype.name, digests[name].result()] for name, value in arrays.items()}
            yield _META, np.frombuffer(json.dumps(meta).encode(), np.uint8)  # and its name here

        hashing = ThreadPoolExecutor(1)  # one core hashes while the other writes
        try:
            digests = {name: hashing.submit(_digest, value) for name, value in arrays.items()}
            with atomic(path) as file:
                write_npz(file, parts())
        finally:
            hashing.shutdown(wait=False, cancel_futures=True)

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Reads a checkpoint and verifies the SHA-256 of every part.

        Raises:
            FormatError: another version wrote it.
            RunError: it is missing or damaged.
        """
        try:
            content = read_bytes(path, sys.maxsize)
            values = read_npz(io.BytesIO(content), len(content))  # nothing in it is packed
            meta = json.loads(values.pop(_META).tobytes())
            if meta["format"] != FORMAT:
                raise FormatError(f"{path}: expected checkpoint format {FORMAT}, got {meta['format']}")
            parts = meta["parts"]
            if parts.keys() != values.keys():
                raise ValueError("parts are missing")
            values = {name: _as_kind(value, parts[name][0]) for name, value in values.items()}
            damaged = [name for name, value in values.items() if _digest(value) != parts[name][1]]
            if damaged:
                raise ValueError(f"the SHA-256 of {damaged[0]} differs from the one that was written")
            _check_meta(meta)
            callbacks = _join(meta["callbacks"], values)
            variables = {name: value for name, value in values.items() if not name.startswith(_ARRAYS)}
            return cls(meta["epoch"], meta["step"], variables, callbacks, meta["history"], meta["origin"])
        except RunError:
            raise
        except Exception as error:  # a damaged file may raise nearly anything, from zipfile, zlib and NumPy
            raise RunError(f"{path}: expected a checkpoint, {type(error).__name__}: {error}") from None


def _check_meta(meta: Mapping[str, Any]) -> None:
    kinds = {"epoch": int, "step": int, "callbacks": dict, "history": list, "origin": dict}
    for name, kind in kinds.items():
        if type(meta[name]) is not kind or (kind is int and meta[name] < 0):
            raise ValueError(f"{name} is {meta[name]!r:.40}")


def build_optimizer(model: keras.Model) -> None:
    """Creates the optimizer's variables, as Keras does in the first step."""
    if model.optimizer is not None and not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)


def lacks_variables(model: keras.Model, checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint has variables that the model has not created yet, such as those of a second optimizer."""
    names = named_variables(model)
    return any(name.startswith("other/") and name not in names for name in checkpoint.variables)


def _split(state: Any, arrays: dict[str, Array]) -> Any:
    """Moves the arrays out of the states of callbacks, and leaves their names."""
    if isinstance(state, np.ndarray):
        if state.dtype.hasobject:
            raise UsageError("state_dict of a callback: expected arrays of numbers or texts, got one of objects")
        name = f"{_ARRAYS}{len(arrays):04d}"
        arrays[name] = state
        return {_ARRAYS: name}
    if isinstance(state, Mapping):
        return {str(key): _split(value, arrays) for key, value in state.items()}
    return [_split(value, arrays) for value in state] if isinstance(state, (list, tuple)) else state


def _join(state: Any, arrays: Mapping[str, Array]) -> Any:
    """Moves the arrays back into the states of callbacks."""
    if isinstance(state, dict):
        if state.keys() == {_ARRAYS}:
            return arrays[state[_ARRAYS]]
        return {key: _join(value, arrays) for key, value in state.items()}
    return [_join(value, arrays) for value in state] if isinstance(state, list) else state


def _as_kind(value: Array, name: str) -> Array:
    """A stored array with its own dtype: one that NumPy's format does not know is stored by its bits."""
    return value if value.dtype.name == name else value.view(np.dtype(name))


def _digest(value: Array) -> str:
    return hashlib.sha256(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data).hexdigest()


def _view(variable: Any) -> Array:
    """A variable's value without a copy, where the backend's tensor lends its memory."""
    import keras

    try:
        return np.asarray(memoryview(variable.value.read_value()))  # TensorFlow's
    except (AttributeError, TypeError, ValueError):  # of another backend, or bfloat16, which no buffer has: a copy
        values: Array = keras.ops.convert_to_numpy(variable)
        return values
