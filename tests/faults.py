"""A disk that fails at a place of one's choice: full, read-only, cutting what is written short, refusing a rename.

    python -m tests.faults rename 7 always run autoencoder run_dir=runs/a

runs the `lab` command with a disk whose 7th rename, and every later one, fails.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

FAULTS = {"full": errno.ENOSPC, "read-only": errno.EROFS, "short": errno.EFBIG, "flush": errno.EIO, "rename": errno.EIO}
SHORT = 8  # bytes of a file that a short write leaves


class Disk:
    """Counts the files that the lab writes, and fails at one of them.

    Args:
        fault: `full` and `read-only` fail when a file is opened, `short` in the middle of it (the
            kernel's own limit on a file's size), `flush` and `rename` after it was written.
        at: the file that fails, from 1; none fails at 0.
        always: whether all later ones fail, too.
    """

    def __init__(self, fault: str, at: int, *, always: bool) -> None:
        self.fault = fault
        self.at = at
        self.always = always
        self.files = 0

    def _hit(self) -> bool:
        return self.files == self.at or (self.always and 0 < self.at <= self.files)

    @contextlib.contextmanager
    def installed(self) -> Iterator[Disk]:
        """Fails while the block runs."""
        make, limits = tempfile.mkstemp, resource.getrlimit(resource.RLIMIT_FSIZE)

        def opens(*args: Any, **rest: Any) -> Any:
            ours = ".part" in str(rest.get("suffix", ""))
            self.files += ours
            if ours and self._hit() and self.fault in ("full", "read-only"):
                raise self._error()
            found = make(*args, **rest)
            size = SHORT if ours and self._hit() and self.fault == "short" else limits[0]
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
            return found

        def failing(function: Callable[..., Any], fault: str) -> Callable[..., Any]:
            def call(*args: Any, **rest: Any) -> Any:
                if self.fault == fault and self._hit():
                    raise self._error()
                return function(*args, **rest)

            return call

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("lab._utils.files.tempfile.mkstemp", opens)
            patch.setattr("lab._utils.files.os.fsync", failing(os.fsync, "flush"))
            patch.setattr("lab._utils.files.os.replace", failing(os.replace, "rename"))
            try:
                yield self
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    def _error(self) -> OSError:
        number = FAULTS[self.fault]
        return OSError(number, os.strerror(number))


def main() -> None:
    """Runs the `lab` command with a disk that fails; with `count`, says how many files there were."""
    from lab.cli.main import main as run

    fault, at, often, *words = sys.argv[1:]
    disk = Disk(fault, int(at), always=often == "always")
    sys.argv = ["lab", *words]
    try:
        with disk.installed():
            run()
    finally:
        print(f"files written: {disk.files}")  # noqa: T201


if __name__ == "__main__":
    main()
