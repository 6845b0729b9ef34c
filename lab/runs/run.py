"""A run: one directory that holds everything that one training did."""

from __future__ import annotations

import contextlib
import html
import importlib
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab._utils import project
from lab.data import Data
from lab.data.batching import as_dataset, batched
from lab.errors import RunError, nearest
from lab.runs import folders, model_file
from lab.runs.records import Records
from lab.runs.status import Status, StatusFile, StopReason

if TYPE_CHECKING:
    import keras


class Run(Records):
    """A run directory, during training and afterwards.

    `settings.json` and `environment.json` are written before training, `history.csv` grows with each
    epoch, `checkpoints/`, `model.keras`, `report.*` and `figures/` follow. Each file appears complete or
    not at all.

    Args:
        path: the directory.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._data: Data | None = None
        self._model: keras.Model | None = None
        self._evaluations: dict[str, dict[str, float]] = {}
        self._status = StatusFile(path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {self.status})"

    def _repr_html_(self) -> str:
        """Shows the report in a notebook."""
        try:
            page = (self.path / "report.html").read_text("utf-8")
        except FileNotFoundError:
            return f"<p>{html.escape(repr(self))}: no report</p>"
        return f'<iframe srcdoc="{html.escape(page)}" style="width: 100%; height: 80vh; border: 0"></iframe>'

    # --- directory ----------------------------------------------------------------------------

    @classmethod
    def create(cls, experiment: str, run_dir: Path | None = None, root: Path | None = None) -> Run:
        """Makes the directory of a new run, `runs/<experiment>/<time>-<id>` unless `run_dir` is given.

        Raises:
            RunError: it exists and is not empty, or cannot be written.
        """
        path = run_dir or folders.new_folder(experiment, root)
        try:
            path.mkdir(parents=True, exist_ok=run_dir is not None)
            if any(entry.name != ".lock" for entry in path.iterdir()):
                raise RunError(f"run_dir={path}: expected a new or empty folder, got one that holds files")
            run = cls(path)
            run.lock()
        except OSError as error:
            raise RunError(f"{path}: expected a folder to write the run in, {error.strerror or error}") from None
        return run

    @classmethod
    def load(cls, path: str | Path) -> Run:
        """Opens a run by its directory, or the latest run of an experiment by its name.

        Raises:
            RunError: there is no run there.
        """
        return cls(folders.locate(path))

    def point_latest(self) -> None:
        """Makes the link `latest` in the parent folder point to this run."""
        link, fresh = self.path.parent / folders.LATEST, self.path.parent / f".latest-{secrets.token_hex(4)}"
        with contextlib.suppress(OSError, NotImplementedError):  # a disk without links; the run is found by its time
            fresh.symlink_to(self.path.name, target_is_directory=True)
            os.replace(fresh, link)

    # --- status -------------------------------------------------------------------------------

    def lock(self) -> None:
        """Takes the lock that marks the run as in use; a dead process does not hold it.

        Raises:
            BusyError: another process holds it.
            RunError: the folder cannot be written.
        """
        self._status.lock()

    def unlock(self) -> None:
        """Releases the lock."""
        self._status.unlock()

    def set_status(self, status: Status, stage: str = "", reason: str = "") -> None:
        """Writes the status, with the stage and the reason."""
        self._status.write(status, stage, reason)

    @property
    def status(self) -> Status:
        """The run's state; `running` without a process that holds the lock is `interrupted`."""
        return self._status.status

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to do: training ended by itself, and there is a report."""
        ended = self.stopped not in ("", StopReason.SIGNAL)
        return self.status is Status.COMPLETED and ended and (self.path / "report.json").is_file()

    def status_record(self) -> dict[str, Any]:
        """Returns `status.json`: status, stage, reason, time."""
        return self._status.record()

    def check(self) -> None:
        """Reads every record.

        Raises:
            LabError: a record is damaged; the message names the first.
        """
        super().check()
        if (self.path / "status.json").exists():
            status = self._mapping("status.json").get("status")
            if status is not None and status not in list(Status):
                raise RunError(f"{self.path / 'status.json'}: expected one of {', '.join(Status)}, got {status!r:.40}")

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
        """The trained model, read from `model.keras` at the first access.

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
        """Frees the model in memory; the next access reads it from `model.keras`."""
        self._model = None
        self._evaluations.clear()

    def save_model(self) -> None:
        """Writes `model.keras`, without the optimizer's state; it appears complete or not at all.

        Raises:
            WriteError: the disk is full or the folder cannot be written.
        """
        model_file.save(self.model, self.path / "model.keras")

    def _load_model(self) -> keras.Model:
        path = self.path / "model.keras"
        if not path.is_file():
            raise RunError(f"{self.path}: expected a trained model, got none (the run is {self.status})")
        module = str(self.record.get("class", "")).partition(":")[0]
        if project.is_provided(module):  # no other: the directory may come from someone else
            with contextlib.suppress(Exception):  # imported only for the layers that it may register
                importlib.import_module(module)
        return model_file.load(path)

    def weights_hash(self) -> str:
        """Returns the SHA-256 of the model's weights, in the model's order: 64 hex digits."""
        return model_file.weights_hash(self.model)

    def evaluate(self, split: str, metric: str = "loss") -> float:
        """Returns a compiled metric's value over one split (`train`, `validation` or `test`).

        Raises:
            RunError: the data is not there yet, or the model has no such metric.
        """
        if split not in self._evaluations:
            batches = batched(self.data.split(split), int(self.trainer["batch_size"]), shuffle=False)
            self._evaluations[split] = self.model.evaluate(as_dataset(batches), verbose=0, return_dict=True)
        values = self._evaluations[split]
        if metric not in values:
            raise RunError(f"metric {metric!r}: the model has {', '.join(values)}{nearest(metric, values)}")
        return float(values[metric])


def find_runs(experiment: str | None = None) -> list[Run]:
    """Returns the runs below the runs folder, oldest first."""
    return [Run(path) for path in folders.find(experiment)]
