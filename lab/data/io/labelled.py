"""Texts with one of two labels: from a CSV file, a folder or an archive, and cut into splits."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import lzma
import re
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from lab._utils.files import expand, leads_outside, read_bytes, sha256
from lab.data.arrays import Array, Provenance
from lab.data.io.text import decode, read_text
from lab.errors import DataError, nearest

POSITIVE = ("1", "pos", "positive", "true", "yes", "good", "recommended", "fresh", "5")
MAX_TEXT = 1 << 22  # bytes of one text
MAX_ALL = 1 << 31  # bytes of all texts
MAX_COLUMNS = 1000
_SPOKEN = {"neg": "negative", "pos": "positive"}  # the folders of aclImdb
_PARTS = ("train", "test")
_MEMBER = re.compile(r"(?:[^/]+/)?(train|test)/(pos|neg)/([^/]+\.txt)")


@dataclasses.dataclass(frozen=True)
class Labelled:
    """Texts and their labels.

    Args:
        texts: as they were written.
        labels: uint8, 1 where the text is positive; shape (texts,).
    """

    texts: tuple[str, ...]
    labels: Array

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, which: Array) -> Labelled:
        """Returns the texts that an index array names."""
        return Labelled(tuple(self.texts[place] for place in which), self.labels[which])

    def head(self, count: int) -> Labelled:
        """Returns the first so many texts."""
        return Labelled(self.texts[:count], self.labels[:count])

    def mixed(self) -> Labelled:
        """Returns the texts in an order that says nothing of their labels: that of their hashes."""
        keys = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in self.texts]
        return self.take(np.array(sorted(range(len(self)), key=keys.__getitem__), np.int64))

    def held_out(self, count: int) -> tuple[Labelled, Labelled]:
        """Returns all but `count` texts, and those, with as many of each label as there are in all, by share.

        Which ones is a function of what they say (their hash), in whatever order they come; texts that
        differ in nothing but case and white space stay on one side.
        """
        groups: dict[bytes, list[int]] = {}
        for place, text in enumerate(self.texts):
            key = hashlib.sha256(" ".join(text.lower().split()).encode("utf-8", "surrogatepass")).digest()
            groups.setdefault(key, []).append(place)
        wanted = {1: round(count * float(self.labels.mean()))}
        wanted[0] = count - wanted[1]
        out: list[int] = []
        for _, places in sorted(groups.items()):
            label = int(self.labels[places[0]])
            if len(places) <= wanted[label]:
                wanted[label] -= len(places)
                out += places
        chosen = np.zeros(len(self), bool)
        chosen[out] = True
        return self.take(np.flatnonzero(~chosen)), self.take(np.flatnonzero(chosen))


@dataclasses.dataclass(frozen=True)
class Reviews:
    """Labelled texts in three parts.

    Args:
        train, validation, test: the parts.
        classes: the two labels' names, the negative one first.
        provenance: where they came from.
        split: how they were cut, in a sentence.
    """

    train: Labelled
    validation: Labelled
    test: Labelled
    classes: tuple[str, str]
    provenance: Provenance
    split: str

    @classmethod
    def of(
        cls, parts: Mapping[str, Labelled], classes: tuple[str, str], provenance: Provenance, name: str = "given"
    ) -> Reviews:
        """Cuts off a tenth for validation, and where there is no `test` part a tenth of all for that.

        Raises:
            DataError: a label has fewer than 20 texts.
        """
        train = parts["train"]
        for label, word in enumerate(classes):
            count = int((train.labels == label).sum())
            if count < 20:
                raise DataError(f"{provenance.source}: expected at least 20 texts labelled {word!r}, got {count}")
        tenth = len(train) // 10
        if "test" in parts:
            test, how = parts["test"], f"the {name} test set of {len(parts['test']):,}"
        else:
            train, test = train.held_out(tenth)
            how = f"{len(test):,} held-out ones to test"
        train, validation = train.held_out(tenth)
        train, validation, test = train.mixed(), validation.mixed(), test.mixed()
        classes = (_SPOKEN.get(classes[0], classes[0]), _SPOKEN.get(classes[1], classes[1]))
        said = f"{len(train):,} texts to learn from, {len(validation):,} to choose on, {how}"
        return cls(train, validation, test, classes, provenance, said)


def load(path: Path, text_column: str = "text", label_column: str = "label") -> Reviews:
    """Reads a user's own labelled texts.

    Args:
        path: a CSV file; a folder with two folders of `.txt` files, or with such folders under `train`
            and `test`; or the `aclImdb` archive.
        text_column, label_column: the columns of a CSV file.

    Raises:
        DataError: it is none of them, cannot be read, or has not two labels.
    """
    path = expand(path)
    if path.is_dir():
        parts, classes, digest, size = _read_folder(path)
    elif path.name.endswith((".tar.gz", ".tgz", ".tar")):
        parts, classes, digest, size = read_archive(path)
    else:
        text, content = read_text(path)
        parts, classes = {"train": None}, ("", "")  # type: ignore[dict-item]
        parts["train"], classes = read_csv(text, str(path), text_column, label_column)
        digest, size = sha256(content), len(content)
    origin = Provenance(path.name, "your file", str(path), digest, size)
    return Reviews.of(parts, classes, origin)


def read_csv(
    text: str, name: str, text_column: str, label_column: str, where: Mapping[str, str] | None = None
) -> tuple[Labelled, tuple[str, str]]:
    """Returns the labelled texts of a CSV table, and the two labels, the negative one first.

    Args:
        text: the file's.
        name: for messages.
        text_column, label_column: the columns' names.
        where: other columns and the value that a row must have there.

    Raises:
        DataError: it is no such table.
    """
    rows = list(_rows(text, name, (text_column, label_column, *(where or ()))))
    chosen = [row for row in rows if all(row[2 + place] == value for place, value in enumerate((where or {}).values()))]
    named = sorted({row[1] for row in chosen})
    if len(named) != 2:
        shown = ", ".join(map(repr, named[:5]))
        raise DataError(f"{name}: expected two labels in column {label_column!r}, got {len(named)} ({shown})")
    if named[0].lower() in POSITIVE and named[1].lower() not in POSITIVE:
        named.reverse()
    classes = (named[0], named[1])
    return Labelled(
        tuple(row[0] for row in chosen), np.array([row[1] == classes[1] for row in chosen], np.uint8)
    ), classes


def _rows(text: str, name: str, columns: Iterable[str]) -> Iterable[list[str]]:
    """The cells of a CSV table in the columns named."""
    before = csv.field_size_limit(MAX_TEXT)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        head = next(reader)
        if len(head) > MAX_COLUMNS:
            raise DataError(f"{name}: expected a table of at most {MAX_COLUMNS} columns, got {len(head):,}")
        for column in columns:
            if column not in head:
                known = ", ".join(map(repr, head[:8]))
                raise DataError(f"{name}: expected a column {column!r}; there are {known}{nearest(column, head)}")
        places = [head.index(column) for column in columns]
        for row in reader:
            if not row:
                continue
            if len(row) != len(head):
                raise DataError(f"{name}: line {reader.line_num}: expected {len(head)} cells, got {len(row)}")
            yield [row[place] for place in places]
    except (csv.Error, StopIteration) as error:
        raise DataError(f"{name}: expected a CSV table, line {reader.line_num}: {error}") from None
    finally:
        csv.field_size_limit(before)


Found = tuple[dict[str, Labelled], tuple[str, str], str, int]


def _read_folder(path: Path) -> Found:
    """The texts of a folder: `neg` and `pos`, or any two folders, perhaps below `train` and `test`."""
    roots = {part: path / part for part in _PARTS if (path / part).is_dir()}
    if "train" not in roots:
        roots = {"train": path}
    names = sorted(entry.name for entry in roots["train"].iterdir() if entry.is_dir() and any(entry.glob("*.txt")))
    names = [name for name in names if name != "unsup"]
    if len(names) != 2:
        found = ", ".join(names) or "none"
        raise DataError(f"{roots['train']}: expected two folders of .txt files, one for each label, got {found}")
    if names[0].lower() in POSITIVE and names[1].lower() not in POSITIVE:
        names.reverse()
    files = []
    for part, root in roots.items():
        for label in names:
            for file in sorted((root / label).glob("*.txt")):
                files.append((part, names.index(label), f"{part}/{label}/{file.name}", file))
    return _gathered(((part, label, name, _content(file)) for part, label, name, file in files), (names[0], names[1]))


def _content(file: Path) -> bytes:
    try:
        return read_bytes(file, MAX_TEXT)
    except OSError as error:
        raise DataError(f"{file}: expected a text file, {error.strerror or error}") from None


def read_archive(path: Path) -> Found:
    """The texts of the `aclImdb` archive, read in memory: nothing of it is unpacked to disk.

    Raises:
        DataError: it is damaged, or another archive.
    """

    def members() -> Iterable[tuple[str, int, str, bytes]]:
        try:
            _check_end(path)
            total, seen = 0, set()
            with tarfile.open(path, tarinfo=_Header) as archive:
                for member in archive:
                    total += member.size
                    if total > MAX_ALL:
                        raise DataError(f"{path}: expected at most {MAX_ALL >> 30} GiB, there is more")
                    if leads_outside(member.name):
                        raise DataError(f"{path}: refused, its member {member.name!r} leads outside the archive")
                    match = _MEMBER.fullmatch(member.name.removeprefix("./"))
                    if match is None or not member.isfile():
                        continue
                    if member.size > MAX_TEXT:
                        raise DataError(f"{path}: {member.name!r} is larger than {MAX_TEXT} bytes")
                    stream = archive.extractfile(member)
                    assert stream is not None
                    part, label, name = match.groups()
                    if match.groups() in seen:
                        raise DataError(f"{path}: expected each text once, {member.name!r} is there twice")
                    seen.add(match.groups())
                    yield part, int(label == "pos"), f"{part}/{label}/{name}", stream.read()
        except (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError, ValueError) as error:
            raise DataError(f"{path}: expected a tar archive, {error}") from None

    return _gathered(members(), ("neg", "pos"))


class _Header(tarfile.TarInfo):
    """A member's header; one that is no file is read into memory whole, for a long name or an attribute."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Header:
        found = super().frombuf(buf, encoding, errors)
        if found.size < 0 or (found.size > MAX_TEXT and not found.isreg()):
            raise tarfile.ReadError(f"a header says {found.size} bytes")
        return found


def _check_end(path: Path) -> None:
    """Refuses a `.tar` that was cut short, which `tarfile` would read as a shorter one; compressed ones it notices."""
    if not path.is_file():
        raise OSError("it is a pipe or a device, no file" if path.exists() else "there is no such file")
    if path.suffix == ".tar":
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - 2 * tarfile.BLOCKSIZE))
            if stream.read().strip(b"\0"):
                raise tarfile.ReadError("it ends in the middle")


def _gathered(files: Iterable[tuple[str, int, str, bytes]], classes: tuple[str, str]) -> Found:
    """Parts from files (part, label, name, content), in the order of their names."""
    found: dict[str, list[tuple[str, int, str]]] = {}
    digest, size = hashlib.sha256(), 0
    hashes = []
    for part, label, name, content in files:
        if len(content) > MAX_TEXT:
            raise DataError(f"{name}: expected a text of at most {MAX_TEXT >> 20} MiB")
        size += len(content)
        if size > MAX_ALL:
            raise DataError(f"expected at most {MAX_ALL >> 30} GiB of text, there is more")
        if not content.strip():
            continue
        hashes.append(f"{name} {sha256(content)}\n")
        found.setdefault(part, []).append((name, label, decode(content, name)))
    for line in sorted(hashes):
        digest.update(line.encode("utf-8", "surrogateescape"))
    if "train" not in found:
        raise DataError("expected train/pos/*.txt and train/neg/*.txt, there are none")
    parts = {}
    for part, items in found.items():
        items.sort()
        labels = np.array([label for _, label, _ in items], np.uint8)
        parts[part] = Labelled(tuple(text for _, _, text in items), labels)
    return parts, classes, digest.hexdigest(), size
