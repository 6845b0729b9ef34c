"""Hostile inputs, made on the fly: what `tests.hostile` gives to the command."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import os
import pickle
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lab.data.io.formats import to_idx
from tests.conftest import digits, reviews, verse

ESCAPE = "\x1b[31mred\x1b[0m"  # colours a terminal
LINK = "\x1b]8;;http://evil.example\x07here\x1b]8;;\x07"  # a link of a terminal's
TURNED = "gpj.\u202eexe"  # shown the other way round
MARKUP = "[bold red]b[/] <script>alert(1)</script> | `c` *d* <blink>e</blink>"
NAME = "[bold]n<blink>|`x`" + ESCAPE + TURNED  # of a file; it has no slash
LABELS = ("<blink>bad</blink>|[red]" + ESCAPE, "yes")
NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


class World:
    """A temporary folder that the command runs in, and what can be put there.

    Args:
        outer: a new folder; the command runs a few levels below it, so that what leaves it is seen.
        trained: the folder of `train_all`.
    """

    def __init__(self, outer: Path, trained: Path) -> None:
        self.outer = outer
        self.here = outer / "one" / "two" / "here"
        self.here.mkdir(parents=True)
        self.trained = trained

    def write(self, name: str, content: bytes | str) -> Path:
        path = self.here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
        return path

    def run(self, experiment: str = "autoencoder") -> Path:
        """A run that was trained before, as the latest of its experiment."""
        path = self.here / "runs" / experiment / "20260101-000000-abcd"
        shutil.copytree(self.trained / experiment, path, symlinks=True)
        (path.parent / "latest").symlink_to(path.name, target_is_directory=True)
        return path

    def interrupted(self, experiment: str = "autoencoder") -> Path:
        """One that can be gone on with: it has not ended, and there is no report."""
        path = self.run(experiment)
        for name in ("training.json", "report.json", "model.keras"):
            (path / name).unlink()
        change(path / "status.json", status="interrupted", stage="fit", reason="asked to stop")
        return path

    def json(self, name: str, content: Any) -> Path:
        return self.write(name, json.dumps(content))


def change(path: Path, **values: Any) -> None:
    """Replaces values of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | values), "utf-8")


def train_all(folder: Path) -> None:
    """Trains a tiny run of each experiment that has something to predict, on files with hostile names and texts."""
    import lab
    from experiments.autoencoder import Autoencoder
    from experiments.sentiment_analysis import SentimentAnalysis
    from experiments.text_generation import TextGeneration
    from tests.resumed import quiet

    folder.mkdir(parents=True, exist_ok=True)
    data = folder / f"{NAME}.npz"
    npz(data)
    text = folder / f"{NAME}.txt"
    text.write_text(verse(60) + f"{MARKUP}\n{ESCAPE}{LINK}{TURNED}\n" * 3 + verse(20), "utf-8")
    table = folder / f"{NAME}.csv"
    write_table(table, [(f"{text} {MARKUP} {ESCAPE}", LABELS[label == "good"]) for text, label in reviews(80)])
    for experiment in (
        Autoencoder(data=data, hidden_units=(8,), latent_dim=2),
        TextGeneration(data=text, units=(8,), embedding_dim=4, samples=2, sample_length=20, temperatures=(0.5, 1.0)),
        SentimentAnalysis(data=table, units=2, embedding_dim=4, max_words=20, vocabulary=100, baselines=False),
    ):
        lab.Trainer(run_dir=folder / experiment.name(), epochs=1, jit=False).run(experiment, console=quiet())


def instead(path: Path, make: Callable[[Path], object]) -> None:
    """Puts something else in a file's place."""
    path.unlink()
    make(path)


# --- arrays ---------------------------------------------------------------------------------------


def npz(path: Path, **changes: Any) -> Path:
    """An `.npz` of digits as Keras has it, with arrays replaced, or left out where they are None."""
    (x_train, y_train), (x_test, y_test) = digits(60), digits(20, seed=1)
    arrays = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test} | changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def npy(shape: tuple[int, ...], descr: str = "|u1", content: bytes = b"") -> bytes:
    """A `.npy` file whose header says what it likes."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": descr, "fortran_order": False, "shape": shape})
    return buffer.getvalue() + content


def pack(path: Path, members: Mapping[str, bytes] | Sequence[tuple[str, bytes]], sizes: int | None = None) -> Path:
    """A zip archive; with `sizes` its directory says that each member has so many bytes."""
    pairs = list(members.items()) if isinstance(members, Mapping) else list(members)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in pairs:
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
        if sizes is not None:
            for info in archive.filelist:
                info.file_size = sizes
    return path


def unpack(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def repack(path: Path, change: Callable[[dict[str, bytes]], Any], *, stored: bool = True) -> Path:
    """Changes the members of a zip archive."""
    members = unpack(path)
    change(members)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def idx_folder(folder: Path, **changes: bytes | None) -> Path:
    """The four IDX files of digits, with some replaced or left out; a name is said by its first word and its kind."""
    (x_train, y_train), (x_test, y_test) = digits(60), digits(20, seed=1)
    folder.mkdir()
    for name, array in zip(NAMES, (x_train, y_train, x_test, y_test), strict=True):
        key = "_".join(name.split("-")[:2])
        content = changes.get(key, to_idx(array))
        if content is not None:
            (folder / (f"{name}.gz" if content[:2] == b"\x1f\x8b" else name)).write_bytes(content)
    return folder


class Runs:
    """A pickle of this runs a command that leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def evil_pickle(world: World) -> bytes:
    return pickle.dumps(Runs(world.outer / "evil"))


# --- pictures -------------------------------------------------------------------------------------


def png(width: int, height: int, rows: bytes | None = None) -> bytes:
    """A grey PNG whose header says what it likes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + bytes(width) for _ in range(height)) if rows is None else rows
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def picture(path: Path, mode: str = "L", kind: str = "PNG", side: int = 28, **options: Any) -> Path:
    from PIL import Image

    one = Image.new(mode, (side, side))
    if options.pop("moves", False):
        options |= {"save_all": True, "append_images": [Image.new(mode, (side, side), 1)]}
    one.save(path, kind, **options)
    return path


# --- texts and tables -----------------------------------------------------------------------------


def write_table(path: Path, rows: Sequence[Sequence[str]], head: Sequence[str] = ("text", "label")) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    return path


def table_text(count: int = 60) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerows([("text", "label"), *reviews(count)])
    return buffer.getvalue()


def tar(path: Path, *extra: tuple[tarfile.TarInfo, bytes], count: int = 30, mode: str = "w") -> Path:
    """An archive of labelled texts as aclImdb has it, with more members behind them."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for place, (text, label) in enumerate(reviews(2 * count)):
            add(archive, f"aclImdb/train/{'pos' if label == 'good' else 'neg'}/{place}.txt", text.encode())
        for info, content in extra:
            info.size = info.size or len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


def tar_block(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """A member's header that says what it likes."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def tar_gz_bomb(path: Path, kind: bytes, size: int, name: str = "train/pos/1.txt") -> Path:
    """A member of so many zero bytes, of which only the first million are there."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(tar_block(name, size, kind) + bytes(1 << 20))
    return path


def review_folder(folder: Path, names: Sequence[str] = ("neg", "pos"), count: int = 30) -> Path:
    for place, (text, label) in enumerate(reviews(2 * count)):
        path = folder / names[label == "good"] / f"{place}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder


@contextlib.contextmanager
def limit(name: str, value: Any) -> Iterator[None]:
    """Sets a module's value for a while."""
    from unittest import mock

    with mock.patch(name, value):
        yield
