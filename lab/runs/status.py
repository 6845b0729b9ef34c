"""Where a run stands, told by its status file and by a lock that a dead process does not hold."""

from __future__ import annotations

import datetime
import enum
import os
from pathlib import Path
from typing import Any

import filelock

from lab.errors import BusyError, LabError, RunError
from lab._utils.files import read_json, write_json


class Status(enum.StrEnum):
    """Where a run stands."""

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


class Standing:
    """The status file and the lock of one run directory.

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
        """Lets go of the lock."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def write(self, status: Status, stage: str, reason: str) -> None:
        """Writes `status.json`."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        record = {"status": str(status), "stage": stage, "reason": reason, "time": now, "process": os.getpid()}
        write_json(self.folder / "status.json", record)

    def record(self) -> dict[str, Any]:
        """Returns `status.json`; empty where there is none that can be read."""
        try:
            record = read_json(self.folder / "status.json")
        except LabError:
            return {}
        return record if isinstance(record, dict) else {}

    @property
    def status(self) -> Status:
        """What the file says, unless it says `running` and nobody holds the lock."""
        said = _STATUSES.get(str(self.record().get("status", "")), Status.INTERRUPTED)
        if said is not Status.RUNNING or self._lock is not None:
            return said
        try:
            with filelock.FileLock(self.folder / ".lock", timeout=0):
                return Status.INTERRUPTED
        except filelock.Timeout:
            return Status.RUNNING
        except OSError:  # a folder that we may only read
            return said
