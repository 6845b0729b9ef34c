"""The records of a run: settings, environment, history, the end of training, and the report's numbers."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pydantic

from lab._utils.files import read_bytes, read_json, write_json, write_text
from lab.errors import LabError, RunError

MAX_HISTORY = 1 << 28  # bytes


@dataclasses.dataclass(frozen=True)
class Reference:
    """A run that a report compares with.

    Args:
        path: its directory, relative to the run's own.
        differences: the settings and versions in which its training differs.
    """

    path: str
    differences: tuple[str, ...] = ()


class Records:
    """The files that describe a run; each appears complete or not at all.

    Args:
        path: the run directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def write_settings(self, record: Mapping[str, Any]) -> None:
        """Writes `settings.json`."""
        write_json(self.path / "settings.json", record)

    @property
    def record(self) -> dict[str, Any]:
        """`settings.json`: experiment, class, preset, settings, trainer.

        Raises:
            LabError: it is missing or damaged.
        """
        record = read_json(self.path / "settings.json")
        if not isinstance(record, dict) or "experiment" not in record:
            raise RunError(f"{self.path / 'settings.json'}: expected a run's settings")
        for name, kind in (("experiment", str), ("class", str), ("preset", str | None)):
            if name in record and not isinstance(record[name], kind):
                raise RunError(f"{self.path / 'settings.json'}: expected {name} as text, got {record[name]!r:.40}")
        return record

    @property
    def experiment(self) -> str:
        """The experiment's name."""
        return str(self.record["experiment"])

    @property
    def settings(self) -> dict[str, Any]:
        """The experiment's settings, by name."""
        return self._values("settings")

    @property
    def trainer(self) -> dict[str, Any]:
        """The trainer's settings, by name."""
        return self._values("trainer")

    def _values(self, name: str) -> dict[str, Any]:
        values = self.record.get(name)
        if not isinstance(values, dict):
            raise RunError(f"{self.path / 'settings.json'}: expected {name} as a mapping, got {values!r:.40}")
        return values

    @property
    def environment(self) -> dict[str, Any]:
        """`environment.json`: versions, machine and command, as they were before training."""
        return self._mapping("environment.json")

    @property
    def training(self) -> dict[str, Any]:
        """`training.json`, how training ended; empty while it has not.

        `stopped` is the reason, in words. `best_epoch` is the epoch (from 1) whose weights were kept, or None;
        `monitor` and `monitor_mode` are the metric that chose it, and `min` or `max`.

        Raises:
            LabError: it is damaged.
        """
        if not (self.path / "training.json").exists():
            return {}
        record = self._mapping("training.json")
        expected = {"stopped": str, "best_epoch": int | None, "monitor": str, "monitor_mode": str}
        for name, kind in expected.items():
            if name in record and (isinstance(record[name], bool) or not isinstance(record[name], kind)):
                kind_name = getattr(kind, "__name__", str(kind))
                raise RunError(
                    f"{self.path / 'training.json'}: expected {name} as {kind_name}, got {record[name]!r:.40}"
                )
        return record

    def write_training(self, *, stopped: str, **more: Any) -> None:
        """Writes `training.json`.

        Args:
            stopped: why training ended.
            **more: `best_epoch`, `monitor` and `monitor_mode`.
        """
        write_json(self.path / "training.json", {"stopped": str(stopped), **more})

    @property
    def stopped(self) -> str:
        """Why training ended, in words; empty while it has not, or if the record is damaged."""
        with contextlib.suppress(LabError):
            return str(self.training.get("stopped", ""))
        return ""

    @property
    def history(self) -> list[dict[str, float]]:
        """One mapping for each epoch: epoch (from 1), step, seconds, learning_rate, and each metric.

        Raises:
            RunError: it is damaged.
        """
        path = self.path / "history.csv"
        try:
            rows = csv.DictReader(io.StringIO(read_bytes(path, MAX_HISTORY).decode("utf-8")), strict=True)
            return [{name: float(value) for name, value in row.items() if value} for row in rows]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError, csv.Error) as error:  # TypeError: more cells than columns
            raise RunError(f"{path}: expected a table of numbers, {error}") from None

    def write_history(self, rows: list[dict[str, float]]) -> None:
        """Writes `history.csv`, with a column for each name that any row has."""
        names = list(dict.fromkeys(name for row in rows for name in row))
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.path / "history.csv", buffer.getvalue())

    @property
    def report(self) -> dict[str, Any]:
        """`report.json`: metrics, and every item in reading order.

        Raises:
            LabError: there is no report, or it is damaged.
        """
        record = self._mapping("report.json")
        metrics = record.get("metrics")
        if not isinstance(metrics, dict) or not all(type(value) in (int, float) for value in metrics.values()):
            raise RunError(f"{self.path / 'report.json'}: expected metrics as a mapping of numbers")
        return record

    @property
    def metrics(self) -> dict[str, float]:
        """The metric values of the report, by name; empty before there is a report.

        Raises:
            LabError: the report is damaged.
        """
        return dict(self.report["metrics"]) if (self.path / "report.json").exists() else {}

    @property
    def references(self) -> dict[str, Reference]:
        """`references.json`: the reference runs of the report, by name; empty if it is missing or damaged."""
        try:
            record = read_json(self.path / "references.json")
            return pydantic.TypeAdapter(dict[str, Reference]).validate_python(record)
        except (LabError, ValueError):  # the runs are chosen again
            return {}

    def write_reference(self, name: str, path: str, differences: Iterable[str]) -> None:
        """Adds a reference run to `references.json`, or replaces it."""
        references = {**self.references, name: Reference(path, tuple(differences))}
        record = {key: dataclasses.asdict(reference) for key, reference in references.items()}
        write_json(self.path / "references.json", record)

    def check(self) -> None:
        """Reads every record.

        Raises:
            LabError: a record is damaged; the message names the first.
        """
        _ = self.settings, self.trainer, self.history, self.metrics, self.training
        if (self.path / "environment.json").exists():
            _ = self.environment

    def _mapping(self, name: str) -> dict[str, Any]:
        record = read_json(self.path / name)
        if not isinstance(record, dict):
            raise RunError(f"{self.path / name}: expected a mapping, got {record!r:.40}")
        return record
