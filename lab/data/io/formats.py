"""File formats read without trusting them: IDX, gzip, and pickles of nothing but arrays."""

from __future__ import annotations

import gzip
import io
import math
import pickle
import zipfile
import zlib
from collections.abc import Collection, Iterable
from typing import IO, Any, ClassVar

import numpy as np
from numpy.lib import format as npy

from lab.data.arrays import Array
from lab.errors import DataError

_UINT8 = 0x08  # IDX's code for unsigned bytes


def to_idx(array: Array) -> bytes:
    """Writes a uint8 array as an IDX file: two zero bytes, the type, the rank, the sizes, the data."""
    head = bytes([0, 0, _UINT8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return head + np.ascontiguousarray(array, np.uint8).tobytes()


def from_idx(content: bytes, name: str) -> Array:
    """Reads an IDX file of bytes.

    Raises:
        DataError: it is not one, or is cut short.
    """
    if len(content) < 4 or content[:3] != bytes([0, 0, _UINT8]) or not 1 <= content[3] <= 3:
        raise DataError(f"{name}: expected an IDX file of bytes, it starts with {content[:4].hex() or 'nothing'}")
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise DataError(f"{name}: expected a header of {start} bytes, got {len(content)}")
    shape = tuple(int(size) for size in np.frombuffer(content[4:start], ">u4"))
    data = np.frombuffer(content, np.uint8, offset=start)
    if data.size != math.prod(shape):
        raise DataError(f"{name}: expected {shape} bytes after the header, got {data.size}")
    try:
        return data.reshape(shape)
    except ValueError:  # no bytes, but sizes beyond any memory
        raise DataError(f"{name}: expected an array that fits in memory, got shape {shape}") from None


def read_npz(file: IO[bytes], most: int, names: Collection[str] | None = None) -> dict[str, Array]:
    """Reads the arrays of an `.npz` file; no pickle among them is read, and no more memory taken than their bytes need.

    Args:
        file: the archive.
        most: bytes that they may have together, unpacked.
        names: the ones wanted; all unless given.

    Raises:
        KeyError: one of the names is missing.
        ValueError, EOFError, OSError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error: it is damaged.
    """
    with zipfile.ZipFile(file) as archive:
        wanted = [name.removesuffix(".npy") for name in archive.namelist()] if names is None else names
        there = {info.filename: info for info in archive.infolist()}
        missing = [name for name in wanted if f"{name}.npy" not in there]
        if missing:
            raise KeyError(f"{missing[0]} is not a file in the archive")
        members = {name: there[f"{name}.npy"] for name in wanted}
        if sum(info.file_size for info in members.values()) > most:
            raise ValueError(f"it unpacks to more than {most:,} bytes")
        return {name: _read_npy(archive, info) for name, info in members.items()}


def write_npz(file: IO[bytes], arrays: Iterable[tuple[str, Array]]) -> None:
    """Writes named arrays as an `.npz` file, each when its turn comes, from where they lie in memory.

    `np.savez` copies each of them first, which takes longer than to write them.

    Args:
        file: what it is written to.
        arrays: names, and arrays of plain numbers or texts.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays:
            array = np.ascontiguousarray(array).reshape(array.shape)
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                npy.write_array_header_1_0(member, npy.header_data_from_array_1_0(array))
                member.write(array.reshape(-1).view(np.uint8).data)


def _read_npy(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Array:
    with archive.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"{info.filename}: expected NumPy's format 1 or 2, got {version}")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
        if dtype.hasobject or min(shape, default=0) < 0 or len(shape) > 32:
            raise ValueError(f"{info.filename}: expected an array of numbers, got {dtype} of shape {shape}")
        size, there = math.prod(shape) * dtype.itemsize, info.file_size - stream.tell()
        if size != there:  # before memory is taken for what the header says
            raise ValueError(f"{info.filename}: expected {size} bytes for {dtype} of shape {shape}, got {there}")
        stream.seek(0)
        return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))


def _latin1(text: str, encoding: str) -> bytes:
    """Python 3's way to write bytes in protocols 0 to 2; the codec that it names is never looked up."""
    if encoding != "latin1":
        raise DataError(f"refused a pickle that asks for the codec {encoding!r}: only arrays are read")
    return text.encode("latin1")


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that can make NumPy arrays of numbers and nothing else."""

    _allowed: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy", "dtype"): np.dtype,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy.core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
        ("numpy._core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
        ("numpy.core.numeric", "_frombuffer"): np._core.numeric._frombuffer,  # type: ignore[attr-defined]
        ("numpy._core.numeric", "_frombuffer"): np._core.numeric._frombuffer,  # type: ignore[attr-defined]
        ("_codecs", "encode"): _latin1,
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._allowed[module, name]
        except KeyError:
            raise DataError(f"refused a pickle that asks for {module}.{name}: only arrays are read") from None


def unpickle_arrays(content: bytes) -> Any:
    """Reads a pickle that holds nothing but arrays in lists and tuples.

    Raises:
        DataError: it asks for anything else, or is damaged.
    """
    try:
        return _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
    except DataError:
        raise
    except Exception as error:  # a damaged pickle may raise nearly anything
        reason = " ".join(str(error).split())
        raise DataError(f"expected a pickle of arrays, {type(error).__name__}: {reason}") from None


def gunzip(content: bytes, max_bytes: int, name: str) -> bytes:
    """Unpacks gzip up to a stated size.

    Raises:
        DataError: it is not gzip, is cut short, or holds more.
    """
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            unpacked = file.read(max_bytes + 1)
        if not content:
            raise EOFError("it is empty")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{name}: expected gzip, {error}") from None
    if len(unpacked) > max_bytes:
        raise DataError(f"{name}: expected at most {max_bytes} bytes unpacked, there are more")
    return unpacked
