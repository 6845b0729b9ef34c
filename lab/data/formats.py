"""File formats read without trusting them: IDX, gzip, and pickles of nothing but arrays."""

from __future__ import annotations

import gzip
import io
import pickle
import zlib
from typing import Any, ClassVar

import numpy as np

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
    shape = tuple(int(size) for size in np.frombuffer(content[4:start], ">u4"))
    data = np.frombuffer(content, np.uint8, offset=min(start, len(content)))
    if len(shape) != content[3] or data.size != int(np.prod(shape, dtype=object)):
        raise DataError(f"{name}: expected {shape} bytes after the header, got {data.size}")
    return data.reshape(shape)


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that can make NumPy arrays of numbers and nothing else."""

    _allowed: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy", "dtype"): np.dtype,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy.core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
        ("numpy._core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
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
        raise DataError(f"expected a pickle of arrays, {type(error).__name__}: {error}") from None


def gunzip(content: bytes, max_bytes: int, name: str) -> bytes:
    """Unpacks gzip up to a stated size.

    Raises:
        DataError: it is not gzip, is cut short, or holds more.
    """
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            unpacked = file.read(max_bytes + 1)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{name}: expected gzip, {error}") from None
    if len(unpacked) > max_bytes:
        raise DataError(f"{name}: expected at most {max_bytes} bytes unpacked, there are more")
    return unpacked
