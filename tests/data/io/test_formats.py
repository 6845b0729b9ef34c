"""IDX, gzip and pickles of arrays: what is read, and that nothing else is harmful."""

from __future__ import annotations

import builtins
import gzip
import io
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lab.data.io.formats import from_idx, gunzip, read_npz, to_idx, unpickle_arrays, write_npz
from lab.errors import DataError

IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


def data_error_or(call: Callable[[], Any]) -> Any:
    """What a call returns, or its DataError's message, which must be one line; any other error fails the test."""
    try:
        return call()
    except DataError as error:
        said = str(error)
    assert "\n" not in said
    return said


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=6)))
@settings(deadline=None)
def test_what_is_written_as_idx_is_read_back(array: np.ndarray) -> None:
    back = from_idx(to_idx(array), "digits")
    assert back.dtype == np.uint8
    assert back.shape == array.shape
    assert np.array_equal(back, array)


def test_idx_is_the_format_of_the_mnist_page() -> None:
    assert to_idx(IMAGES) == bytes.fromhex("00000803 00000002 00000003 00000004") + bytes(range(24))
    assert to_idx(np.array([5, 0, 4], np.uint8)) == bytes.fromhex("00000801 00000003 050004")


def test_an_array_that_is_not_contiguous_is_written_in_order() -> None:
    assert np.array_equal(from_idx(to_idx(IMAGES.transpose(2, 0, 1)), "digits"), IMAGES.transpose(2, 0, 1))


@given(st.integers(0, len(to_idx(IMAGES)) - 1))
@settings(deadline=None)
def test_idx_cut_short_anywhere_is_refused(length: int) -> None:
    with pytest.raises(DataError, match=r"^digits: expected "):
        from_idx(to_idx(IMAGES)[:length], "digits")


def test_idx_with_bytes_too_many_is_refused() -> None:
    with pytest.raises(DataError, match=r"^digits: expected 24 bytes after the header for shape \(2, 3, 4\), got 25$"):
        from_idx(to_idx(IMAGES) + b"\0", "digits")


@pytest.mark.parametrize(
    "head", ["01000801", "00010801", "00000d01", "00000901", "00000800", "00000804", "000008ff", "1f8b0800"]
)
def test_another_magic_number_is_refused_and_shown(head: str) -> None:
    with pytest.raises(DataError, match=rf"^digits: expected an IDX file of bytes, got one that starts with {head}$"):
        from_idx(bytes.fromhex(head) + bytes(16), "digits")


def test_idx_sizes_beyond_any_memory_are_refused() -> None:
    with pytest.raises(DataError):
        from_idx(bytes.fromhex("00000803 ffffffff ffffffff ffffffff") + bytes(8), "digits")


@given(st.binary(max_size=40) | st.binary(max_size=24).map(lambda tail: b"\0\0\x08\x03" + tail))
@example(bytes.fromhex("00000803 ffffffff ffffffff 00000000"))
@example(bytes.fromhex("00000801 00"))
@settings(deadline=None)
def test_no_bytes_make_idx_raise_anything_but_a_data_error(content: bytes) -> None:
    assert isinstance(data_error_or(lambda: from_idx(content, "digits")), np.ndarray | str)


@given(st.binary(max_size=300))
@settings(deadline=None)
def test_what_is_packed_is_unpacked(content: bytes) -> None:
    assert gunzip(gzip.compress(content), len(content), "a.gz") == content


def test_gzip_in_two_members_is_unpacked_whole() -> None:
    assert gunzip(gzip.compress(b"one ") + gzip.compress(b"two"), 100, "a.gz") == b"one two"


def test_gzip_that_holds_more_than_stated_is_refused() -> None:
    with pytest.raises(DataError, match=r"^a.gz: expected at most 99 bytes unpacked, got more$"):
        gunzip(gzip.compress(bytes(100)), 99, "a.gz")


def test_gzip_that_holds_very_much_is_not_unpacked() -> None:
    bomb = gzip.compress(bytes(50_000_000), compresslevel=1)
    with pytest.raises(DataError, match="got more"):
        gunzip(bomb[: len(bomb) // 2], 1000, "a.gz")  # read to its end, it would be reported as truncated


@given(st.integers(1, len(gzip.compress(bytes(range(200)))) - 1))
@settings(deadline=None)
def test_gzip_cut_short_anywhere_is_refused(length: int) -> None:
    with pytest.raises(DataError, match=r"^a.gz: expected a gzip file \("):
        gunzip(gzip.compress(bytes(range(200)))[:length], 1000, "a.gz")


@pytest.mark.parametrize("content", [b"", b"\0\0\x08\x01", b"PK\x03\x04 a zip archive"], ids=["nothing", "IDX", "zip"])
def test_what_is_not_gzip_is_refused(content: bytes) -> None:
    with pytest.raises(DataError, match=r"^a.gz: expected a gzip file \("):
        gunzip(content, 1000, "a.gz")


def test_gzip_with_a_wrong_checksum_is_refused() -> None:
    packed = bytearray(gzip.compress(b"the digits"))
    packed[-8] ^= 1
    with pytest.raises(DataError, match=r"^a.gz: expected a gzip file \("):
        gunzip(bytes(packed), 1000, "a.gz")


@given(st.data())
@settings(deadline=None)
def test_no_damage_makes_gunzip_raise_anything_but_a_data_error(draw: st.DataObject) -> None:
    packed = bytearray(gzip.compress(bytes(range(100)) * 3))
    for at in draw.draw(st.lists(st.integers(0, len(packed) - 1), min_size=1, max_size=4)):
        packed[at] = draw.draw(st.integers(0, 255))
    assert isinstance(data_error_or(lambda: gunzip(bytes(packed), 1000, "a.gz")), bytes | str)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_in_lists_and_tuples_are_unpickled(protocol: int) -> None:
    images = np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3)
    content = [(images, np.array([3, -1])), (np.asfortranarray(images), np.array([[2]]))]
    back = unpickle_arrays(pickle.dumps(content, protocol))
    assert [[array.tolist() for array in pair] for pair in back] == [
        [images.tolist(), [3, -1]],
        [images.tolist(), [[2]]],
    ]
    assert [array.dtype for array in back[0]] == [np.float32, np.int64]


class Calls:
    """An object whose pickle calls a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def array_of(item: Any) -> np.ndarray:
    array = np.empty(1, object)
    array[0] = item
    return array


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_runs_a_command_is_refused_and_does_not_run(tmp_path: Path, protocol: int) -> None:
    marker = tmp_path / "ran"
    content = pickle.dumps([np.zeros(2), Calls(os.mkdir, str(marker))][1:], protocol)
    with pytest.raises(DataError, match=r"expected a pickle of arrays, got one that asks for \w+\.mkdir$"):
        unpickle_arrays(content)
    assert not marker.exists()
    pickle.loads(content)
    assert marker.exists()


@pytest.mark.parametrize(
    ("item", "asks"),
    [
        (Calls(os.system, "false"), r"\w+\.system"),
        (Calls(builtins.eval, "1"), r"builtins\.eval"),
        (Calls(builtins.getattr, "", "join"), r"builtins\.getattr"),
        (np.float32(1), r"numpy\._core\.multiarray\.scalar"),
        (np.array([1.0])[0], r"numpy\._core\.multiarray\.scalar"),
        (np.ma.zeros(1), r"numpy\.ma\.core\._mareconstruct"),
        (array_of(Calls(os.system, "false")), r"\w+\.system"),
        (np.ndarray.tofile, r"builtins\.getattr"),
        (Path("a"), r"pathlib\.\w+"),
    ],
    ids=["system", "eval", "getattr", "scalar", "element", "masked", "in an array", "method", "class"],
)
def test_a_pickle_of_anything_but_arrays_is_refused(item: Any, asks: str) -> None:
    with pytest.raises(DataError, match=rf"^expected a pickle of arrays, got one that asks for {asks}$"):
        unpickle_arrays(pickle.dumps([item], 3))


@pytest.mark.parametrize(
    "content",
    [
        b"cos\nsystem\n(S'false'\ntR.",
        b"cnumpy.core.multiarray\nscalar\n.",
        b"cnumpy\nload\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.",
        b"\x80\x04\x8c\x05numpy\x8c\x0adtype.type\x93.",
        b"\x80\x04\x8c\x08builtins\x8c\x04exec\x93.",
        b"(S'false'\nios\nsystem\n.",
    ],
    ids=["global", "scalar", "load", "dotted", "dotted dtype", "stack global", "instance"],
)
def test_a_handwritten_pickle_is_refused_by_name(content: bytes) -> None:
    with pytest.raises(DataError, match="expected a pickle of arrays, got one that asks for"):
        unpickle_arrays(content)


def test_a_pickle_with_a_persistent_name_is_refused() -> None:
    with pytest.raises(DataError, match="expected a pickle of arrays"):
        unpickle_arrays(b"Psomewhere\n.")


@pytest.mark.parametrize("length", [0, 1, 10, 60, -1])
def test_a_pickle_cut_short_is_refused(length: int) -> None:
    content = pickle.dumps([np.arange(3.0)], 3)[:length]
    with pytest.raises(DataError, match="expected a pickle of arrays"):
        unpickle_arrays(content)


@given(st.binary(max_size=60))
@settings(deadline=None, derandomize=True)  # a few bytes can ask for gigabytes: these do not
def test_no_bytes_make_unpickling_raise_anything_but_a_data_error(content: bytes) -> None:
    data_error_or(lambda: unpickle_arrays(content))


@given(st.data())
@settings(deadline=None, derandomize=True)
def test_no_damage_makes_unpickling_raise_anything_but_a_data_error(draw: st.DataObject) -> None:
    content = bytearray(pickle.dumps([(np.arange(3, dtype=np.float32), np.arange(2))], 3))
    for at in draw.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=3)):
        content[at] = draw.draw(st.integers(0, 255))
    data_error_or(lambda: unpickle_arrays(bytes(content)))


ARRAYS = {
    "matrix": np.arange(12.0).reshape(3, 4),
    "turned": np.arange(12, dtype=np.float32).reshape(3, 4).T,
    "every second": np.arange(10, dtype=np.int64)[::2],
    "number": np.array(3, np.uint8),
    "nothing": np.zeros((0, 3), np.float16),
    "truths": np.array([True, False]),
    "texts": np.array(["a", "ünlü"]),
    "many": np.zeros(1 << 20, np.int8),
}


def test_numpy_reads_the_arrays_that_were_written(tmp_path: Path) -> None:
    path, sizes = tmp_path / "arrays.npz", [0]
    with path.open("wb") as file:

        def each() -> Iterator[tuple[str, np.ndarray]]:
            for name, array in ARRAYS.items():
                yield name, array
                sizes.append(file.tell())  # an array is written before the next is asked for

        write_npz(file, each())
    assert all(
        now - before >= array.nbytes for before, now, array in zip(sizes, sizes[1:], ARRAYS.values(), strict=False)
    )
    with np.load(path, allow_pickle=False) as plain:
        found = dict(plain)
    for read in (found, read_npz(io.BytesIO(path.read_bytes()), 1 << 24)):
        assert list(read) == list(ARRAYS)
        for name, array in ARRAYS.items():
            assert read[name].dtype == array.dtype
            assert read[name].shape == array.shape
            assert np.array_equal(read[name], array)
