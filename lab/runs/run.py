"""A run: one directory that holds all that one training did."""

from __future__ import annotations

import contextlib
import csv
import datetime
import html
import importlib
import io
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab._utils import project
from lab.runs import model_file
from lab.data import Data
from lab.data.windows import batched
from lab.errors import LabError, RunError, nearest
from lab._utils.files import expand, read_bytes, read_json, write_json, write_text
from lab.runs.status import Standing, Status, StopReason

if TYPE_CHECKING:
    import keras

LATEST = "latest"
MAX_HISTORY = 1 << 28  # bytes


class Run:
    """A run directory, while it is written and afterwards.

    `settings.json` and `environment.json` are there before training, `history.csv` grows with each
    epoch, `checkpoints/`, `model.keras`, `report.*` and `figures/` follow. Each file appears whole.

    Args:
        path: the directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._data: Data | None = None
        self._model: keras.Model | None = None
        self._evaluations: dict[str, dict[str, float]] = {}
        self._standing = Standing(path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {self.status})"

    def _repr_html_(self) -> str:
        """Shows the report in a notebook."""
        try:
            page = (self.path / "report.html").read_text("utf-8")
        except FileNotFoundError:
            return f"<p>{html.escape(repr(self))}: no report</p>"
        return f'<iframe srcdoc="{html.escape(page)}" style="width: 100%; height: 80vh; border: 0"></iframe>'

    # --- making and finding -------------------------------------------------------------------

    @classmethod
    def create(cls, experiment: str, run_dir: Path | None = None, root: Path | None = None) -> Run:
        """Makes the directory of a new run, `runs/<experiment>/<time>-<id>` unless `run_dir` is given.

        Raises:
            RunError: it exists and is not empty, or cannot be written.
        """
        if run_dir is None:
            now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
            folder = folder_of(experiment, root)
            some = [folder / f"{now}-{secrets.token_hex(2)}" for _ in range(8)]  # of one second, two may be alike
            path = next((one for one in some if not one.exists()), some[0])
        else:
            path = run_dir
        try:
            path.mkdir(parents=True, exist_ok=run_dir is not None)
            if any(entry.name != ".lock" for entry in path.iterdir()):
                raise RunError(f"run_dir={path}: expected a new or empty folder; it holds files already")
            run = cls(path)
            run.lock()
        except OSError as error:
            raise RunError(f"{path}: expected a folder to write the run in, {error.strerror or error}") from None
        return run

    @classmethod
    def load(cls, path: str | Path) -> Run:
        """Opens a run by its directory, or by an experiment's name (its latest run).

        Raises:
            RunError: there is no run there.
        """
        folder, home = expand(path), folder_of(str(path))
        for place in (home / LATEST, *reversed(_folders(home))):  # the newest, where none got as far as to be latest
            if not _is_run(folder) and _is_run(place):
                folder = place
        if not _is_run(folder):
            known = [experiment.name for experiment in _folders(runs_folder())]
            hint = nearest(str(path), known) or (f"; there are runs of {', '.join(known)}" if known else "")
            raise RunError(f"{path}: expected a run directory or an experiment that has run{hint}")
        return cls(folder.resolve())

    def point_latest(self) -> None:
        """Makes `latest`, beside the run, point to it."""
        link, fresh = self.path.parent / LATEST, self.path.parent / f".{LATEST}-{secrets.token_hex(4)}"
        with contextlib.suppress(OSError, NotImplementedError):  # a disk without links keeps its runs all the same
            fresh.symlink_to(self.path.name, target_is_directory=True)
            os.replace(fresh, link)

    # --- status -------------------------------------------------------------------------------

    def lock(self) -> None:
        """Takes the lock that says a process works on this run; a dead process does not hold it.

        Raises:
            RunError: another process holds it.
        """
        self._standing.lock()

    def unlock(self) -> None:
        """Lets go of the lock."""
        self._standing.unlock()

    def set_status(self, status: Status, stage: str = "", reason: str = "") -> None:
        """Writes where the run stands, and why."""
        self._standing.write(status, stage, reason)

    @property
    def status(self) -> Status:
        """Where the run stands; one that says `running` while no process holds it was interrupted."""
        return self._standing.status

    @property
    def is_whole(self) -> bool:
        """Whether there is nothing left to do: training has ended by itself, and the report is there."""
        ended = self.stopped not in ("", StopReason.SIGNAL)
        return self.status is Status.COMPLETED and ended and (self.path / "report.json").is_file()

    def status_record(self) -> dict[str, Any]:
        """Returns `status.json`: status, stage, reason, time."""
        return self._standing.record()

    # --- records ------------------------------------------------------------------------------

    def write_settings(self, record: Mapping[str, Any]) -> None:
        """Writes `settings.json`."""
        write_json(self.path / "settings.json", record)

    @property
    def record(self) -> dict[str, Any]:
        """`settings.json`: experiment, class, preset, settings, trainer."""
        record = read_json(self.path / "settings.json")
        if not isinstance(record, dict) or "experiment" not in record:
            raise RunError(f"{self.path / 'settings.json'}: expected a run's settings")
        for name, kind in (("experiment", str), ("class", str), ("preset", str | None)):
            if name in record and not isinstance(record[name], kind):
                raise RunError(f"{self.path / 'settings.json'}: expected {name} as text, got {record[name]!r:.40}")
        return record

    def _values(self, name: str) -> dict[str, Any]:
        values = self.record.get(name)
        if not isinstance(values, dict):
            raise RunError(f"{self.path / 'settings.json'}: expected {name} as a mapping, got {values!r:.40}")
        return values

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

    @property
    def environment(self) -> dict[str, Any]:
        """Versions, machine and command, as they were before training."""
        return self._mapping("environment.json")

    def _mapping(self, name: str) -> dict[str, Any]:
        found = read_json(self.path / name)
        if not isinstance(found, dict):
            raise RunError(f"{self.path / name}: expected a mapping, got {found!r:.40}")
        return found

    def check(self) -> None:
        """Reads every record.

        Raises:
            LabError: one is damaged; the first is named.
        """
        _ = self.settings, self.trainer, self.history, self.metrics
        for name in ("status.json", "training.json", "environment.json"):
            if (self.path / name).exists():
                self._mapping(name)
        said = self.status_record().get("status")
        if said is not None and said not in list(Status):
            raise RunError(f"{self.path / 'status.json'}: expected one of {', '.join(Status)}, got {said!r:.40}")

    @property
    def history(self) -> list[dict[str, float]]:
        """One mapping an epoch: epoch (from 1), step, seconds, learning_rate, and each metric."""
        path = self.path / "history.csv"
        try:
            rows = csv.DictReader(io.StringIO(read_bytes(path, MAX_HISTORY).decode("utf-8")), strict=True)
            return [{name: float(value) for name, value in row.items() if value} for row in rows]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError, csv.Error) as error:  # TypeError: more cells than columns
            raise RunError(f"{path}: expected a table of numbers, {error}") from None

    def write_history(self, rows: list[dict[str, float]]) -> None:
        """Writes `history.csv`, a column for each name that any row has."""
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
        found = self._mapping("report.json")
        metrics = found.get("metrics")
        if not isinstance(metrics, dict) or not all(type(value) in (int, float) for value in metrics.values()):
            raise RunError(f"{self.path / 'report.json'}: expected metrics as a mapping of numbers")
        return found

    @property
    def metrics(self) -> dict[str, float]:
        """The finished report's metric values, by name; empty before there is one.

        Raises:
            LabError: the report is damaged.
        """
        return dict(self.report["metrics"]) if (self.path / "report.json").exists() else {}

    @property
    def stopped(self) -> str:
        """Why training ended, in words; empty before it has."""
        with contextlib.suppress(LabError):
            return str(self._mapping("training.json").get("stopped", ""))
        return ""

    @stopped.setter
    def stopped(self, reason: str) -> None:
        write_json(self.path / "training.json", {"stopped": reason})

    # --- data and model ----------------------------------------------------------------------------

    @property
    def data(self) -> Data:
        """The data that the *prepare* stage returned.

        Raises:
            RunError: that stage has not run in this process.
        """
        if self._data is None:
            raise RunError(f"{self.path}: expected data; the prepare stage has not run in this process")
        return self._data

    @data.setter
    def data(self, data: Data) -> None:
        self._data = data
        self._evaluations.clear()

    @property
    def model(self) -> keras.Model:
        """The trained model, read from `model.keras` when it is first asked for.

        Raises:
            RunError: there is none, or it cannot be read.
        """
        if self._model is None:
            self._model = self._load_model()
        return self._model

    @model.setter
    def model(self, model: keras.Model) -> None:
        self._model = model
        self._evaluations.clear()

    def release_model(self) -> None:
        """Lets go of the model in memory; it is read from `model.keras` when it is next asked for."""
        self._model = None
        self._evaluations.clear()

    def save_model(self) -> None:
        """Writes `model.keras`, whole or not at all, without the optimizer's state.

        Raises:
            WriteError: the disk is full or the folder cannot be written.
        """
        model_file.save(self.model, self.path / "model.keras")

    def _load_model(self) -> keras.Model:
        path = self.path / "model.keras"
        if not path.is_file():
            raise RunError(f"{self.path}: expected a trained model; the run has none (it is {self.status})")
        module = str(self.record.get("class", "")).partition(":")[0]
        if module and module != "__main__":
            with contextlib.suppress(Exception):  # only for the layers that it may register
                importlib.import_module(module)
        return model_file.load(path)

    def weights_hash(self) -> str:
        """Returns the SHA-256 of the model's weights, in the order that it has them: 64 hex digits."""
        return model_file.weights_hash(self.model)

    def evaluate(self, split: str, metric: str = "loss") -> float:
        """Returns a compiled metric's value over one split (`train`, `validation` or `test`).

        Raises:
            RunError: the data is not there yet, or the model has no such metric.
        """
        if split not in self._evaluations:
            batches = batched(self.data.split(split), int(self.trainer["batch_size"]), shuffle=False)
            self._evaluations[split] = self.model.evaluate(batches.feed(), verbose=0, return_dict=True)
        found = self._evaluations[split]
        if metric not in found:
            raise RunError(f"metric {metric!r}: the model has {', '.join(found)}{nearest(metric, found)}")
        return float(found[metric])


def _is_run(folder: Path) -> bool:
    try:
        return (folder / "settings.json").is_file()
    except OSError:  # a name that is too long
        return False


def runs_folder() -> Path:
    """Returns the folder that runs are kept in: `LAB_RUNS`, else the project's `runs`."""
    return Path(os.environ["LAB_RUNS"]) if os.environ.get("LAB_RUNS") else project.relative(project.root() / "runs")


def folder_of(experiment: str, root: Path | None = None) -> Path:
    """Returns the folder of an experiment's runs; `file-Class` for `file:Class`, a name that every disk allows."""
    return (root or runs_folder()) / experiment.replace(":", "-")


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.is_symlink())
    except (OSError, ValueError):  # ValueError: a zero byte in the name
        return []


def find_runs(experiment: str | None = None) -> list[Run]:
    """Returns the runs below the runs folder, oldest first."""
    found = [
        run
        for folder in _folders(runs_folder())
        if experiment is None or folder.name == folder_of(experiment).name
        for run in _folders(folder)
        if _is_run(run)
    ]
    return [Run(path) for path in sorted(found, key=lambda path: (path.name, str(path)))]
