"""Readers of untrusted IDX, `.npz` and gzip files and of pickled arrays; writers of IDX and `.npz` files."""

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
_RECONSTRUCT = np.empty(1).__reduce__()[0]  # what pickles of arrays call, up to protocol 4 ...
_FROM_BUFFER = np.empty(1).__reduce_ex__(5)[0]  # ... and from protocol 5 on


def to_idx(array: Array) -> bytes:
    """Returns a uint8 array as an IDX file: two zero bytes, the type, the rank, the sizes, the data.

    http://yann.lecun.com/exdb/mnist describes the format.
    """
    header = bytes([0, 0, _UINT8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return header + np.ascontiguousarray(array, np.uint8).tobytes()


def from_idx(content: bytes, name: str) -> Array:
    """Returns the uint8 array of an IDX file, with 1 to 3 axes.

    Args:
        content: the bytes of the file.
        name: the name of the file, for messages.

    Raises:
        DataError: it is not such a file, or it is truncated.
    """
    if len(content) < 4 or content[:3] != bytes([0, 0, _UINT8]) or not 1 <= content[3] <= 3:
        raise DataError(
            f"{name}: expected an IDX file of bytes, got one that starts with {content[:4].hex() or 'nothing'}"
        )
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise DataError(f"{name}: expected a header of {start} bytes, got {len(content)}")
    shape = tuple(int(size) for size in np.frombuffer(content[4:start], ">u4"))
    data = np.frombuffer(content, np.uint8, offset=start)
    if data.size != math.prod(shape):
        raise DataError(
            f"{name}: expected {math.prod(shape)} bytes after the header for shape {shape}, got {data.size}"
        )
    try:
        return data.reshape(shape)
    except ValueError:  # no data, but sizes beyond any memory
        raise DataError(f"{name}: expected an array that fits in memory, got shape {shape}") from None


def read_npz(file: IO[bytes], max_bytes: int, names: Collection[str] | None = None) -> dict[str, Array]:
    """Returns the arrays of an `.npz` file by name, without reading pickles or taking more memory than the arrays need.

    Args:
        file: the archive.
        max_bytes: the maximum total size of the arrays.
        names: the arrays to read; None reads all.

    Raises:
        KeyError: one of the names is missing.
        ValueError, EOFError, OSError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error: the
            file is damaged.
    """
    with zipfile.ZipFile(file) as archive:
        requested = [name.removesuffix(".npy") for name in archive.namelist()] if names is None else names
        infos = {info.filename: info for info in archive.infolist()}
        missing = [name for name in requested if f"{name}.npy" not in infos]
        if missing:
            raise KeyError(f"{missing[0]} is not a file in the archive")
        members = {name: infos[f"{name}.npy"] for name in requested}
        if sum(info.file_size for info in members.values()) > max_bytes:
            raise ValueError(f"expected at most {max_bytes:,} bytes unpacked, got more")
        return {name: _read_npy(archive, info) for name, info in members.items()}


def write_npz(file: IO[bytes], arrays: Iterable[tuple[str, Array]]) -> None:
    """Writes named arrays as an `.npz` file, one after the other, without a copy in memory.

    `np.savez` copies each array first, which takes longer than writing it.

    Args:
        file: the file to write to.
        arrays: pairs of a name and an array of numbers or strings.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays:
            array = np.ascontiguousarray(array).reshape(array.shape)
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                npy.write_array_header_1_0(member, npy.header_data_from_array_1_0(array))
                member.write(array.reshape(-1).view(np.uint8).data)


def _read_npy(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Array:
    with archive.open(info) as stream:
        version = npy.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"{info.filename}: expected NumPy's format 1 or 2, got {version}")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(stream)
        if dtype.hasobject or min(shape, default=0) < 0 or len(shape) > 32:
            raise ValueError(f"{info.filename}: expected an array of numbers, got {dtype} of shape {shape}")
        size, available = math.prod(shape) * dtype.itemsize, info.file_size - stream.tell()
        if size != available:  # before memory of that size is allocated
            raise ValueError(f"{info.filename}: expected {size} bytes for {dtype} of shape {shape}, got {available}")
        stream.seek(0)
        return np.asarray(npy.read_array(stream, allow_pickle=False))


def _latin1(text: str, encoding: str) -> bytes:
    """Replaces `codecs.encode`, with which Python 3 pickles bytes in protocols 0 to 2, without a lookup of codecs."""
    if encoding != "latin1":
        raise DataError(f"expected a pickle of arrays, got one that asks for the codec {encoding!r}")
    return text.encode("latin1")


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that creates only NumPy arrays of numbers."""

    _allowed: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy", "dtype"): np.dtype,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
        ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
        ("numpy.core.numeric", "_frombuffer"): _FROM_BUFFER,
        ("numpy._core.numeric", "_frombuffer"): _FROM_BUFFER,
        ("_codecs", "encode"): _latin1,
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._allowed[module, name]
        except KeyError:
            raise DataError(f"expected a pickle of arrays, got one that asks for {module}.{name}") from None


def unpickle_arrays(content: bytes) -> Any:
    """Returns the content of a pickle of arrays in lists and tuples.

    Raises:
        DataError: it asks for anything else, or it is damaged.
    """
    try:
        return _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
    except DataError:
        raise
    except Exception as error:  # a damaged pickle may raise nearly anything
        reason = " ".join(str(error).split())
        raise DataError(f"expected a pickle of arrays ({type(error).__name__}: {reason})") from None


def gunzip(content: bytes, max_bytes: int, name: str) -> bytes:
    """Returns the unpacked bytes of a gzip file.

    Args:
        content: the bytes of the file.
        max_bytes: the maximum size, unpacked.
        name: the name of the file, for messages.

    Raises:
        DataError: it is not a gzip file, it is truncated, or it unpacks to more than `max_bytes`.
    """
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            unpacked = file.read(max_bytes + 1)
        if not content:
            raise EOFError("it is empty")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{name}: expected a gzip file ({error})") from None
    if len(unpacked) > max_bytes:
        raise DataError(f"{name}: expected at most {max_bytes} bytes unpacked, got more")
    return unpacked
