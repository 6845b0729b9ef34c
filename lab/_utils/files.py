"""Files that appear complete or not at all, JSON read strictly, hashes and free space."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any

from rich.filesize import decimal

from lab.errors import LabError, WriteError

MAX_JSON = 1 << 28  # bytes


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[IO[bytes]]:
    """Opens a temporary file for writing and renames it to `path` when the block ends without an exception.

    The bytes are on disk before the name is: a reader, or a machine that loses power, sees the old
    file or the new one.

    Raises:
        WriteError: it cannot be opened, written or renamed; the temporary file is removed.
    """
    with atomic_path(path) as part, part.open("wb") as file:
        yield file


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary path of the same suffix, for code that opens the file itself; otherwise like `atomic`."""
    part: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=f".part{path.suffix}")
        part = Path(name)
        os.close(handle)
        yield part
        _sync(part)
        umask = os.umask(0)
        os.umask(umask)
        part.chmod(0o666 & ~umask)  # mkstemp makes 0600, which hides a shared run from colleagues
        os.replace(part, path)
        if os.name != "nt":
            _sync(path.parent)  # the directory entry: a rename alone may be lost with the power
    except BaseException as error:
        if part is not None:
            with contextlib.suppress(OSError):
                part.unlink()
        if isinstance(error, OSError):
            raise WriteError(f"{path}: cannot be written, {error.strerror or error}") from error
        raise


def _sync(path: Path) -> None:
    """Flushes a file or a folder to disk."""
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)  # Windows flushes only files open for writing
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_parts(folder: Path) -> None:
    """Deletes the temporary files that dead processes left in a folder and below it."""
    for part in folder.rglob(".*.part*"):
        part.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes `content` to `path`; the file appears complete or not at all."""
    with atomic(path) as file:
        file.write(content)


def write_text(path: Path, content: str) -> None:
    """Writes `content` to `path` as UTF-8; the file appears complete or not at all."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Writes `content` as indented JSON; the file appears complete or not at all.

    Raises:
        ValueError: a number is not finite, which JSON cannot hold.
    """
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_bytes(path: Path, most: int) -> bytes:
    """Returns the bytes of a file.

    Args:
        path: the file.
        most: the number of bytes that it may have.

    Raises:
        OSError: it cannot be read, is larger, or is a pipe or a device, which may have no end.
    """
    status = path.stat()
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):  # `open` raises for a folder
        raise OSError(errno.EINVAL, "expected a file, got a pipe or a device")
    if status.st_size > most:
        raise OSError(errno.EFBIG, f"it is larger than {decimal(most)}")
    with path.open("rb") as file:
        return file.read()


def parse_json(text: str | bytes) -> Any:
    """Reads JSON strictly: Python's own reader also accepts NaN, and a name that occurs twice.

    Raises:
        ValueError: it is not JSON, or nested too deeply.
    """
    try:
        return json.loads(text, parse_constant=_refuse, object_pairs_hook=_mapping)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not a number")


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the name {next(name for name in mapping if names.count(name) > 1)!r} occurs twice")
    return mapping


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        LabError: the file is missing, unreadable or not JSON.
    """
    try:
        return parse_json(read_bytes(path, MAX_JSON).decode("utf-8"))
    except FileNotFoundError:
        raise LabError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise LabError(f"{path}: expected JSON, {getattr(error, 'strerror', None) or error}") from None


def expand(path: str | Path) -> Path:
    """Returns a path with `~` expanded; the `~name` of an unknown user is kept."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def leads_outside(member: str) -> bool:
    """Returns whether the name of an archive's member would be unpacked outside the target folder."""
    path = PurePosixPath(member.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or PureWindowsPath(member).drive != ""


def sha256(content: bytes | bytearray | memoryview | Path) -> str:
    """Returns the SHA-256 of bytes, or of a file's bytes, as 64 hex digits."""
    if isinstance(content, Path):
        with content.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256(content).hexdigest()


def free_bytes(path: Path) -> int:
    """Returns the free bytes of the disk that holds `path`, or would hold it."""
    existing = path.absolute()
    while not existing.exists():
        existing = existing.parent
    return shutil.disk_usage(existing).free
