"""Reads labelled texts from a CSV file, from a folder for each label, or from an archive of such folders."""

from __future__ import annotations

import hashlib
import lzma
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from lab._utils.files import expand, leads_outside, read_bytes, sha256
from lab.data.arrays import Provenance
from lab.data.io.labelled import LabelledSplits, LabelledTexts
from lab.data.io.tables import csv_rows
from lab.data.io.text import decode, read_text
from lab.errors import DataError

POSITIVE_NAMES = ("1", "pos", "positive", "true", "yes", "good", "recommended", "fresh", "5")
MAX_TEXT = 1 << 22  # bytes of one text
MAX_TOTAL = 1 << 31  # bytes of all texts
_MEMBER = re.compile(r"(?:[^/]+/)?(train|test)/(pos|neg)/([^/]+\.txt)")

File = tuple[str, int, str, bytes]  # part (train or test), label, name, content
Parts = tuple[dict[str, LabelledTexts], tuple[str, str], str, int]  # texts, classes, SHA-256, bytes


def load(path: Path, text_column: str = "text", label_column: str = "label") -> LabelledSplits:
    """Reads labelled texts from a user's file or folder.

    Args:
        path: a CSV file; a folder that has a folder of `.txt` files for each of two labels, directly or under
            `train` and `test`; or the `aclImdb` archive.
        text_column, label_column: columns of a CSV file.

    Raises:
        DataError: it is none of these, cannot be read, or does not have two labels.
    """
    path = expand(path)
    if path.is_dir():
        parts, classes, digest, size = _read_folder(path)
    elif path.name.endswith((".tar.gz", ".tgz", ".tar")):
        parts, classes, digest, size = read_archive(path)
    else:
        text, content = read_text(path)
        train, classes = read_csv(text, str(path), text_column, label_column)
        parts, digest, size = {"train": train}, sha256(content), len(content)
    provenance = Provenance(path.name, "your file", str(path), digest, size)
    return LabelledSplits.of(parts, classes, provenance)


def read_csv(
    text: str, name: str, text_column: str, label_column: str, where: Mapping[str, str] | None = None
) -> tuple[LabelledTexts, tuple[str, str]]:
    """Returns the labelled texts of a CSV table, and the names of the two labels, the negative one first.

    Args:
        text: content of the file.
        name: name of the file, for messages.
        text_column, label_column: names of the columns.
        where: required values of other columns; rows with other values are left out.

    Raises:
        DataError: it is not such a table, or does not have two labels.
    """
    where = where or {}
    rows = csv_rows(text, name, (text_column, label_column, *where))
    header = next(rows)
    text_cell, label_cell = header.index(text_column), header.index(label_column)
    required = [(header.index(column), value) for column, value in where.items()]
    pairs = [(row[text_cell], row[label_cell]) for row in rows if all(row[cell] == value for cell, value in required)]
    names = sorted({label for _, label in pairs})
    if len(names) != 2:
        given = ", ".join(map(repr, names[:5]))
        raise DataError(f"{name}: expected two labels in column {label_column!r}, got {len(names)} ({given})")
    classes = _negative_first(names)
    labels = np.array([label == classes[1] for _, label in pairs], np.uint8)
    return LabelledTexts(tuple(text for text, _ in pairs), labels), classes


def _negative_first(names: list[str]) -> tuple[str, str]:
    first, second = sorted(names)
    is_reversed = first.lower() in POSITIVE_NAMES and second.lower() not in POSITIVE_NAMES
    return (second, first) if is_reversed else (first, second)


def _read_folder(path: Path) -> Parts:
    """Reads `neg` and `pos`, or any two folders, directly or below `train` and `test`."""
    roots = {part: path / part for part in ("train", "test") if (path / part).is_dir()}
    if "train" not in roots:
        roots = {"train": path}
    folders = sorted(entry for entry in roots["train"].iterdir() if entry.is_dir() and any(entry.glob("*.txt")))
    names = [folder.name for folder in folders if folder.name != "unsup"]
    if len(names) != 2:
        given = ", ".join(names) or "none"
        raise DataError(f"{roots['train']}: expected two folders of .txt files, one for each label, got {given}")
    classes = _negative_first(names)

    def files() -> Iterator[File]:
        for part, root in roots.items():
            for label, name in enumerate(classes):
                for file in sorted((root / name).glob("*.txt")):
                    yield part, label, f"{part}/{name}/{file.name}", _content(file)

    return _gather(files(), classes)


def _content(file: Path) -> bytes:
    try:
        return read_bytes(file, MAX_TEXT)
    except OSError as error:
        raise DataError(f"{file}: expected a text file, {error.strerror or error}") from None


def read_archive(path: Path) -> Parts:
    """Reads the `aclImdb` archive in memory, without unpacking it to disk.

    Raises:
        DataError: it is damaged, or a different archive.
    """

    def files() -> Iterator[File]:
        try:
            _check_end(path)
            with tarfile.open(path, tarinfo=_Header) as archive:
                yield from _members(archive, path)
        except (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError, ValueError) as error:
            raise DataError(f"{path}: expected a tar archive, {error}") from None

    return _gather(files(), ("neg", "pos"))


def _members(archive: tarfile.TarFile, path: Path) -> Iterator[File]:
    total, seen = 0, set()
    for member in archive:
        total += member.size
        if total > MAX_TOTAL:
            raise DataError(f"{path}: expected at most {MAX_TOTAL >> 30} GiB, it has more")
        if leads_outside(member.name):
            raise DataError(f"{path}: refused, its member {member.name!r} leads outside the archive")
        match = _MEMBER.fullmatch(member.name.removeprefix("./"))
        if match is None or not member.isfile():
            continue
        if member.size > MAX_TEXT:
            raise DataError(f"{path}: {member.name!r} is larger than {MAX_TEXT >> 20} MiB")
        stream = archive.extractfile(member)
        assert stream is not None
        part, label, name = match.groups()
        if match.groups() in seen:
            raise DataError(f"{path}: expected each text once, it has {member.name!r} twice")
        seen.add(match.groups())
        yield part, int(label == "pos"), f"{part}/{label}/{name}", stream.read()


class _Header(tarfile.TarInfo):
    """A header that refuses members whose content `tarfile` itself reads into memory: long names and attributes."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Header:
        header = super().frombuf(buf, encoding, errors)
        if header.size < 0 or (header.size > MAX_TEXT and not header.isreg()):
            raise tarfile.ReadError(f"a header has a size of {header.size} bytes")
        return header


def _check_end(path: Path) -> None:
    """Refuses a truncated `.tar`, which `tarfile` would read as a shorter one; it notices compressed ones."""
    if not path.is_file():
        raise OSError("it is a pipe or a device" if path.exists() else "no such file")
    if path.suffix == ".tar":
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - 2 * tarfile.BLOCKSIZE))
            if stream.read().strip(b"\0"):
                raise tarfile.ReadError("it is truncated")


def _gather(files: Iterable[File], classes: tuple[str, str]) -> Parts:
    """Returns the parts, each in the order of its files' names; files of white space are left out."""
    gathered: dict[str, list[tuple[str, int, str]]] = {}
    size, hashes = 0, []
    for part, label, name, content in files:
        size += len(content)
        if size > MAX_TOTAL:
            raise DataError(f"expected at most {MAX_TOTAL >> 30} GiB of text, got more")
        if content.strip():
            hashes.append(f"{name} {sha256(content)}\n")
            gathered.setdefault(part, []).append((name, label, decode(content, name)))
    if "train" not in gathered:
        raise DataError("expected train/pos/*.txt and train/neg/*.txt, got none")
    parts = {}
    for part, items in gathered.items():
        _, labels, texts = zip(*sorted(items), strict=True)
        parts[part] = LabelledTexts(texts, np.array(labels, np.uint8))
    digest = hashlib.sha256("".join(sorted(hashes)).encode("utf-8", "surrogateescape"))
    return parts, classes, digest.hexdigest(), size
