"""The whole state of training in one file, and which of the files to keep.

`.keras` and `.weights.h5` leave out the state of Keras's `SeedGenerator` (Dropout, noise) and the
metrics' sums; a checkpoint holds every variable that the model, its optimizer and its metrics have.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import logging
import math
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ml_dtypes  # noqa: F401  (teaches NumPy the name bfloat16)
import numpy as np

from lab.data import Array
from lab.data.formats import read_npz
from lab.errors import LabError, RunError
from lab.files import atomic, read_bytes, read_json, write_json

if TYPE_CHECKING:
    import keras

log = logging.getLogger("lab")

_COUNT = re.compile(r"_[0-9]+(?=[_/]|$)")  # Keras counts the layers of a process: dense, dense_1, ...
_META = "meta"
FORMAT = 2


class FormatError(RunError):
    """A checkpoint that another version of the lab wrote: whole, but not for this one."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """The state after a number of steps.

    Args:
        epoch: epochs done.
        step: training steps done, over all epochs.
        variables: every variable's value, by kind, place and path.
        callbacks: what `lab.Callback.state_dict` gave, by class name.
        history: the rows of `history.csv` so far.
        origin: what it comes from, by name: settings, data, versions; another origin is another training.
    """

    epoch: int
    step: int
    variables: dict[str, Array]
    callbacks: dict[str, Any] = dataclasses.field(default_factory=dict)
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    origin: dict[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, model: keras.Model, epoch: int, step: int, **rest: Any) -> Checkpoint:
        """Takes the state of a compiled model."""
        import keras

        values = {name: keras.ops.convert_to_numpy(variable) for name, variable in _variables(model).items()}
        return cls(epoch, step, values, **rest)

    def restore(self, model: keras.Model, *, optimizer: bool = True) -> None:
        """Sets a model's variables to this state.

        Args:
            model: a model built as the one that was saved.
            optimizer: whether to set the optimizer's and the metrics' variables too.

        Raises:
            RunError: the model has other variables; the first difference is named.
        """
        import keras

        if optimizer and model.optimizer is not None and not model.optimizer.built:
            with keras.name_scope(model.optimizer.name, caller=model.optimizer):  # as Keras does in the first step
                model.optimizer.build(model.trainable_variables)
        wanted = _variables(model)
        if not optimizer:
            wanted = {name: v for name, v in wanted.items() if name.startswith(("trainable/", "state/"))}
        kinds = ("trainable/", "state/", "optimizer/") if optimizer else ("trainable/", "state/")
        for name in self.variables:
            if name.startswith(kinds) and name not in wanted:
                raise RunError(f"checkpoint of step {self.step}: the model has no variable {name}")
        for name, variable in wanted.items():
            if name not in self.variables:
                raise RunError(f"checkpoint of step {self.step}: expected a variable {name}, there is none")
            if tuple(variable.shape) != self.variables[name].shape:
                raise RunError(
                    f"checkpoint of step {self.step}: {name} is {self.variables[name].shape}, "
                    f"the model's is {tuple(variable.shape)}"
                )
        for name, variable in wanted.items():
            variable.assign(self.variables[name])

    def save(self, path: Path) -> None:
        """Writes the checkpoint, whole or not at all.

        Raises:
            OSError: the disk is full or the folder cannot be written.
        """
        meta: dict[str, Any] = {"format": FORMAT, "epoch": self.epoch, "step": self.step}
        meta |= {"callbacks": self.callbacks, "history": self.history, "origin": self.origin}
        meta["parts"] = {name: [value.dtype.name, _digest(value)] for name, value in self.variables.items()}
        stored = {  # NumPy's format has no name for bfloat16: its bits are stored, and its name beside them
            name: value.view(f"u{value.dtype.itemsize}") if value.dtype.kind == "V" else value
            for name, value in self.variables.items()
        }
        text = np.frombuffer(json.dumps(meta).encode(), np.uint8)
        with atomic(path) as file:
            np.savez(file, allow_pickle=False, **{_META: text}, **stored)

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Reads a checkpoint, whose every part has the sha256 that was written down with it.

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
            values = {name: value.view(np.dtype(parts[name][0])) for name, value in values.items()}
            damaged = [name for name, value in values.items() if _digest(value) != parts[name][1]]
            if damaged:
                raise ValueError(f"{damaged[0]} has another sha256 than was written")
            _check_meta(meta)
            return cls(meta["epoch"], meta["step"], values, meta["callbacks"], meta["history"], meta["origin"])
        except RunError:
            raise
        except Exception as error:  # a damaged file may raise nearly anything, from zipfile, zlib and NumPy
            raise RunError(f"{path}: expected a checkpoint, {type(error).__name__}: {error}") from None


def _check_meta(meta: Mapping[str, Any]) -> None:
    kinds = {"epoch": int, "step": int, "callbacks": dict, "history": list, "origin": dict}
    for name, kind in kinds.items():
        if type(meta[name]) is not kind or (kind is int and meta[name] < 0):
            raise ValueError(f"{name} is {meta[name]!r:.40}")


def _digest(value: Array) -> str:
    return hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()


def _variables(model: keras.Model) -> dict[str, Any]:
    """Every variable of training by a name that is the same for the same code: kind, place, path."""
    import keras

    tracked = {id(variable) for variable in model.variables}
    states = [getattr(layer, "states", None) for layer in model._flatten_layers() if getattr(layer, "stateful", False)]
    kinds = {
        "trainable": model.trainable_variables,
        "state": model.non_trainable_variables,
        "optimizer": model.optimizer.variables if model.optimizer is not None else [],
        "metrics": model.metrics_variables,
        "carried": [one for one in keras.tree.flatten(states) if one is not None and id(one) not in tracked],
    }
    return {
        f"{kind}/{place:04d}/{_COUNT.sub('', variable.path).replace('/', '.')}": variable
        for kind, variables in kinds.items()
        for place, variable in enumerate(variables)
    }


EPOCH, INSIDE, CUT = "epoch", "inside", "cut"
_FILE = re.compile(r"(step|inside|cut)-[0-9]{8,}\.npz")


def _is_entry(entry: Any) -> bool:
    """Whether an entry of an index is one; a file that it names elsewhere would be deleted in its time."""
    return (
        isinstance(entry, dict)
        and _FILE.fullmatch(str(entry.get("file"))) is not None
        and entry.get("kind", EPOCH) in (EPOCH, INSIDE, CUT)
        and all(type(entry.get(name)) is int for name in ("epoch", "step"))
        and (entry.get("value", "") is None or type(entry["value"]) in (int, float))
    )


class CheckpointFolder:
    """The checkpoints of one run: the last ones and the best ones by a metric; others are deleted.

    There are three kinds: after a whole epoch; inside an epoch, to go on from, of which the last two
    are kept; and after an epoch that was cut, which can be the best but not be gone on from, as its
    validation has cleared the sums of the metrics.

    Args:
        path: the folder.
        keep_last: how many of the newest to keep, those inside an epoch not counted.
        keep_best: how many of the best to keep.
        mode: `min` or `max`, whichever is better.
    """

    def __init__(self, path: Path, *, keep_last: int = 1, keep_best: int = 1, mode: str = "min") -> None:
        self.path = path
        self.keep_last = keep_last
        self.keep_best = keep_best
        self.mode = mode

    @property
    def index(self) -> list[dict[str, Any]]:
        """One entry a kept checkpoint, oldest first: file, kind, epoch, step, value."""
        path, said = self.path / "index.json", "it is missing"
        if path.exists():
            try:
                found = read_json(path)
                if isinstance(found, list) and all(_is_entry(entry) for entry in found):
                    return [{"kind": EPOCH, **entry} for entry in found]  # earlier versions knew no other kind
                said = "expected a list of checkpoints"
            except LabError as error:
                said = str(error)
        found = self._rebuilt()
        if found or path.exists():
            log.warning("%s: its index is made again from %d whole checkpoints; %s", self.path, len(found), said)
        return found

    def _rebuilt(self) -> list[dict[str, Any]]:
        """The entries of the checkpoints that are whole, as they were written."""
        monitor, found = self._monitor(), []
        for file in sorted(self.path.glob("*.npz")):
            match = _FILE.fullmatch(file.name)
            if match is None:
                continue
            try:
                checkpoint = Checkpoint.load(file)
            except RunError as error:
                log.warning("%s; it is left out", error)
                continue
            kind = EPOCH if match[1] == "step" else match[1]
            value = checkpoint.history[-1].get(monitor) if kind != INSIDE and checkpoint.history else None
            entry = {"file": file.name, "kind": kind, "epoch": checkpoint.epoch, "step": checkpoint.step}
            found.append(entry | {"value": value if value is None or math.isfinite(value) else None})
        return sorted(found, key=lambda entry: entry["step"])

    def _monitor(self) -> str:
        """The metric that says which is best, as the run's settings have it; a checkpoint has its row, not which."""
        with contextlib.suppress(LabError, TypeError, KeyError):
            return str(read_json(self.path.parent / "settings.json")["trainer"]["monitor"])
        return "val_loss"

    def add(self, checkpoint: Checkpoint, value: float | None, kind: str = EPOCH) -> None:
        """Saves a checkpoint with its metric's value, then deletes what need not be kept."""
        name = f"{'step' if kind == EPOCH else kind}-{checkpoint.step:08d}.npz"
        checkpoint.save(self.path / name)
        if value is not None and not math.isfinite(value):
            value = None
        entry = {"file": name, "kind": kind, "epoch": checkpoint.epoch, "step": checkpoint.step, "value": value}
        entries = self.index
        self._write([old for old in entries if old["file"] != name] + [entry], entries)

    def _write(self, entries: list[dict[str, Any]], before: list[dict[str, Any]]) -> None:
        kept = self._keep(entries)
        write_json(self.path / "index.json", kept)  # before deleting: it never names a missing file
        names = {entry["file"] for entry in kept}
        for old in [*before, *entries]:
            if old["file"] not in names:
                (self.path / old["file"]).unlink(missing_ok=True)

    def _keep(self, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        whole = [entry for entry in entries if entry["kind"] == EPOCH]
        inside = [entry for entry in entries if entry["kind"] == INSIDE]
        kept = whole[-self.keep_last :] + self._ranked(entries)[: self.keep_best] + inside[-2:]
        return [entry for entry in entries if entry in kept]

    def _ranked(self, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        sign = 1 if self.mode == "min" else -1
        return sorted((e for e in entries if e["value"] is not None), key=lambda e: sign * e["value"])

    def best(self) -> dict[str, Any] | None:
        """The entry with the best value; None where no value was known."""
        ranked = self._ranked(self.index)
        return ranked[0] if ranked else None

    def load_best(self) -> Checkpoint | None:
        """Returns the best checkpoint that is whole; a damaged one is said, and None is where there is none."""
        for entry in self._ranked(self.index):
            try:
                return self.load(entry)
            except RunError as error:
                log.warning("%s; the next best is used", error)
        return None

    def load(self, entry: Mapping[str, Any]) -> Checkpoint:
        """Reads the checkpoint of an entry of the index."""
        return Checkpoint.load(self.path / str(entry["file"]))

    def newest(self) -> Checkpoint | None:
        """Returns the newest checkpoint that can be gone on from and is whole; None where there is none.

        A damaged one is said, and the one before is taken.

        Raises:
            FormatError: another version wrote it.
        """
        able = [entry for entry in self.index if entry["kind"] != CUT]
        for entry in sorted(able, key=lambda entry: (entry["step"], entry["kind"] == EPOCH), reverse=True):
            try:
                return self.load(entry)
            except FormatError:
                raise
            except RunError as error:
                log.warning("%s; the checkpoint before it is used", error)
        return None

    def forget_after(self, checkpoint: Checkpoint | None) -> None:
        """Deletes what came after a checkpoint, or all, and the checkpoints of epochs that were cut."""
        step, entries = checkpoint.step if checkpoint is not None else -1, self.index
        kept = [entry for entry in entries if entry["kind"] != CUT and entry["step"] <= step]
        if kept != entries:
            self._write(kept, entries)

    def clean(self) -> None:
        """Deletes what a process that died has left half-written, or written and not yet named."""
        names = {entry["file"] for entry in self.index}
        for file in self._files():
            if file.name not in names:
                file.unlink(missing_ok=True)

    def _files(self) -> Iterator[Path]:
        yield from self.path.glob("*.npz")
        yield from self.path.glob(".*.part")
