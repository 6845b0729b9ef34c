"""The state of a run: its status file, and a lock that a dead process does not hold."""

from __future__ import annotations

import datetime
import enum
import os
from pathlib import Path
from typing import Any

import filelock

from lab._utils.files import read_json, write_json
from lab.errors import BusyError, LabError, RunError


class Status(enum.StrEnum):
    """The state of a run."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class StopReason(enum.StrEnum):
    """Why training ended."""

    EPOCHS = "all epochs done"
    PATIENCE = "no better for `patience` epochs"
    MAX_TIME = "max_time reached"
    MAX_STEPS = "max_steps reached"
    NOT_FINITE = "the loss is not finite"
    SIGNAL = "asked to stop"
    CALLBACK = "a callback asked to stop"


_STATUSES = {str(status): status for status in Status}


class StatusFile:
    """The status file and the lock of a run directory.

    Args:
        folder: the directory.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: filelock.BaseFileLock | None = None

    def lock(self) -> None:
        """Takes the lock.

        Raises:
            BusyError: another process holds it.
            RunError: the folder cannot be written.
        """
        lock = filelock.FileLock(self.folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            raise BusyError(f"{self.folder}: another process is working on this run") from None
        except OSError as error:
            raise RunError(f"{self.folder}: cannot be locked, {error.strerror or error}") from None
        self._lock = lock

    def unlock(self) -> None:
        """Releases the lock."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def write(self, status: Status, stage: str, reason: str) -> None:
        """Writes `status.json`."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        record = {"status": str(status), "stage": stage, "reason": reason, "time": now, "process": os.getpid()}
        write_json(self.folder / "status.json", record)

    def record(self) -> dict[str, Any]:
        """Returns `status.json`; empty if it cannot be read."""
        try:
            record = read_json(self.folder / "status.json")
        except LabError:
            return {}
        return record if isinstance(record, dict) else {}

    @property
    def status(self) -> Status:
        """The status in the file; `interrupted` if that is `running` and no process holds the lock."""
        status = _STATUSES.get(str(self.record().get("status", "")), Status.INTERRUPTED)
        if status is not Status.RUNNING or self._lock is not None:
            return status
        try:
            with filelock.FileLock(self.folder / ".lock", timeout=0):
                return Status.INTERRUPTED
        except filelock.Timeout:
            return Status.RUNNING
        except OSError:  # the folder is read-only
            return status
