"""The checkpoints of a run: which exist, which are kept, and which one to use."""

from __future__ import annotations

import contextlib
import logging
import math
import re
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any

from lab._utils.files import read_json, write_json
from lab.checkpoints.checkpoint import Checkpoint, FormatError
from lab.errors import LabError, RunError

log = logging.getLogger("lab")

EPOCH, INSIDE, CUT = "epoch", "inside", "cut"
_FILE = re.compile(r"(step|inside|cut)-[0-9]{8,}\.npz")


def _is_entry(entry: Any) -> bool:
    """Whether a value is a valid entry of an index; a file that it names elsewhere would be deleted later."""
    return (
        isinstance(entry, dict)
        and _FILE.fullmatch(str(entry.get("file"))) is not None
        and entry.get("kind", EPOCH) in (EPOCH, INSIDE, CUT)
        and all(type(entry.get(name)) is int for name in ("epoch", "step"))
        and type(entry.get("value", "missing")) in (int, float, NoneType)
    )


class CheckpointManager:
    """The checkpoints of one run: the last ones and the best ones by a metric; others are deleted.

    There are three kinds: after a complete epoch; inside an epoch, to resume from, of which the last two
    are kept; and after an epoch that was cut, which can be the best but cannot be resumed from, because
    validation has reset the sums of the metrics.

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
        """One entry for each kept checkpoint, oldest first: file, kind, epoch, step, value.

        Where the file is missing or damaged, it is rebuilt from the checkpoints that can be read, with a warning.
        """
        path, reason = self.path / "index.json", "it is missing"
        if path.exists():
            try:
                entries = read_json(path)
                if isinstance(entries, list) and all(_is_entry(entry) for entry in entries):
                    return [{"kind": EPOCH, **entry} for entry in entries]  # earlier versions knew no other kind
                reason = "expected a list of checkpoints"
            except LabError as error:
                reason = str(error)
        entries = self._rebuild()
        if entries or path.exists():
            log.warning("%s: the index is rebuilt from %d intact checkpoints; %s", self.path, len(entries), reason)
        return entries

    def _rebuild(self) -> list[dict[str, Any]]:
        """The entries of the checkpoints that can be read."""
        monitor, entries = self._monitor(), []
        for file in sorted(self.path.glob("*.npz")):
            match = _FILE.fullmatch(file.name)
            if match is None:
                continue
            try:
                checkpoint = Checkpoint.load(file)
            except FormatError:
                raise
            except RunError as error:
                log.warning("%s; it is ignored", error)
                continue
            kind = EPOCH if match[1] == "step" else match[1]
            value = checkpoint.history[-1].get(monitor) if kind != INSIDE and checkpoint.history else None
            entry = {"file": file.name, "kind": kind, "epoch": checkpoint.epoch, "step": checkpoint.step}
            entries.append(entry | {"value": value if value is None or math.isfinite(value) else None})
        return sorted(entries, key=lambda entry: entry["step"])

    def _monitor(self) -> str:
        """The metric that ranks checkpoints, from the run's settings; a checkpoint does not name it."""
        with contextlib.suppress(LabError, TypeError, KeyError):
            return str(read_json(self.path.parent / "settings.json")["trainer"]["monitor"])
        return "val_loss"

    def add(self, checkpoint: Checkpoint, value: float | None, kind: str = EPOCH) -> None:
        """Saves a checkpoint with the value of its metric, then deletes those that need not be kept."""
        name = f"{'step' if kind == EPOCH else kind}-{checkpoint.step:08d}.npz"
        entries = self.index  # read before a file exists that it does not name
        checkpoint.save(self.path / name)
        if value is not None and not math.isfinite(value):
            value = None
        entry = {"file": name, "kind": kind, "epoch": checkpoint.epoch, "step": checkpoint.step, "value": value}
        self._write([old for old in entries if old["file"] != name] + [entry], entries)

    def _write(self, entries: list[dict[str, Any]], before: list[dict[str, Any]]) -> None:
        kept = self._keep(entries)
        write_json(self.path / "index.json", kept)  # before deleting: it never names a missing file
        names = {entry["file"] for entry in kept}
        for old in [*before, *entries]:
            if old["file"] not in names:
                (self.path / old["file"]).unlink(missing_ok=True)

    def _keep(self, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        complete = [entry for entry in entries if entry["kind"] == EPOCH]
        inside = [entry for entry in entries if entry["kind"] == INSIDE]
        kept = complete[-self.keep_last :] + self._ranked(entries)[: self.keep_best] + inside[-2:]
        return [entry for entry in entries if entry in kept]

    def _ranked(self, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        sign = 1 if self.mode == "min" else -1
        return sorted((e for e in entries if e["value"] is not None), key=lambda e: sign * e["value"])

    def best(self) -> dict[str, Any] | None:
        """Returns the entry with the best value; None where none has a value."""
        ranked = self._ranked(self.index)
        return ranked[0] if ranked else None

    def load_best(self) -> Checkpoint | None:
        """Returns the best checkpoint that can be read, with a warning for each that cannot; None without one."""
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
        """Returns the newest checkpoint from which training can resume; None without one.

        For a damaged one there is a warning, and the one before it is returned.

        Raises:
            FormatError: another version wrote it.
        """
        resumable = [entry for entry in self.index if entry["kind"] != CUT]
        for entry in sorted(resumable, key=lambda entry: (entry["step"], entry["kind"] == EPOCH), reverse=True):
            try:
                return self.load(entry)
            except FormatError:
                raise
            except RunError as error:
                log.warning("%s; the checkpoint before it is used", error)
        return None

    def forget_after(self, checkpoint: Checkpoint | None) -> None:
        """Deletes all checkpoints after a given one, or all, and those of epochs that were cut."""
        step, entries = checkpoint.step if checkpoint is not None else -1, self.index
        kept = [entry for entry in entries if entry["kind"] != CUT and entry["step"] <= step]
        if kept != entries:
            self._write(kept, entries)

    def clean(self) -> None:
        """Deletes files that a killed process has written and not yet named in the index."""
        names = {entry["file"] for entry in self.index}
        for file in self.path.glob("*.npz"):
            if file.name not in names:
                file.unlink(missing_ok=True)
