"""Files that appear complete or not at all, strict JSON, hashes and free space."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab._utils.files import (
    atomic,
    free_bytes,
    read_json,
    remove_parts,
    sha256,
    write_bytes,
    write_json,
    write_text,
)
from lab.errors import LabError, WriteError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_content_appears_whole_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with atomic(path) as file:
        file.write(b"first ")
        file.flush()
        assert not path.exists()
        file.write(b"second")
    assert path.read_bytes() == b"first second"
    assert names(tmp_path) == ["a"]


def test_the_old_file_is_there_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with atomic(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_exception_leaves_the_old_file_and_no_part(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with atomic(path) as file:
            file.write(b"new")
            raise error

    with pytest.raises(error):
        interrupted()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_an_exception_leaves_no_file_where_there_was_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no"), atomic(tmp_path / "a"):
        raise ValueError("no")
    assert names(tmp_path) == []


@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
def test_a_disk_that_fails_leaves_the_old_file_and_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def full(*_: Any, **rest: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(WriteError, match=r"a: cannot be written, No space left on device"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_the_bytes_are_on_disk_before_the_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def watched_fsync(handle: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else f"file of {os.fstat(handle).st_size}")
        fsync(handle)

    def watched_replace(source: str, target: Path) -> None:
        done.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    write_bytes(tmp_path / "a", b"content")
    assert done == ["file of 7", "rename", "folder"]


def test_what_a_dead_process_left_half_written_is_deleted(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "whole.json").touch()
    left = []
    for path in (tmp_path / "a.json", tmp_path / "inner" / "b.keras"):
        with contextlib.suppress(OSError), pytest.MonkeyPatch.context() as patch:
            patch.setattr(Path, "unlink", lambda self: left.append(self))  # as if it had not come to that
            with atomic(path):
                raise OSError
    assert all(path.exists() for path in left)
    remove_parts(tmp_path)
    assert names(tmp_path) == ["inner", "whole.json"]
    assert names(tmp_path / "inner") == []
    assert len(left) == 2


def test_missing_folders_are_made(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a" / "b" / "c", b"content")
    assert (tmp_path / "a" / "b" / "c").read_bytes() == b"content"


def test_a_folder_in_the_way_is_an_error_and_leaves_no_part(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match="a"):
        write_bytes(tmp_path / "a", b"content")
    assert names(tmp_path) == ["a"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664), (0o000, 0o666)])
def test_permissions_are_those_that_the_umask_leaves(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write_bytes(tmp_path / "a", b"content")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode


def test_text_is_written_as_utf8(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "é\n☃")
    assert (tmp_path / "a").read_bytes() == "é\n☃".encode()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
@settings(deadline=None, max_examples=50)
def test_what_is_written_as_json_is_read_back(tmp_path_factory: pytest.TempPathFactory, content: Any) -> None:
    path = tmp_path_factory.mktemp("json") / "a.json"
    write_json(path, content)
    assert read_json(path) == content


def test_json_is_made_for_people_too(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"name": "é", "sizes": [1]})
    assert (tmp_path / "a.json").read_text("utf-8") == '{\n  "name": "é",\n  "sizes": [\n    1\n  ]\n}\n'


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_json_refuses_numbers_that_are_not_finite_and_leaves_the_old_file(tmp_path: Path, number: float) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"loss": 1.0})
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"loss": number})
    assert read_json(path) == {"loss": 1.0}
    assert names(tmp_path) == ["a.json"]


def test_json_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"a\.json: no such file$"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("content", [b"", b"{", b"{'a': 1}", b"\xff\xfe", b"1 2"])
def test_what_is_not_json_is_said_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(LabError) as caught:
        read_json(path)
    assert str(caught.value).startswith(f"{path}: expected JSON, ")
    assert "\n" not in str(caught.value)


def test_a_folder_is_not_json(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="expected JSON"):
        read_json(tmp_path)


def test_json_nested_too_deeply_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[" * 200_000, "utf-8")
    with pytest.raises(LabError, match="expected JSON"):
        read_json(tmp_path / "a.json")


@given(st.binary(max_size=300))
@settings(deadline=None, max_examples=40)
def test_bytes_and_their_file_have_the_same_hash(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("hash") / "a"
    path.write_bytes(content)
    expected = hashlib.sha256(content).hexdigest()
    assert sha256(content) == sha256(bytearray(content)) == sha256(memoryview(content)) == sha256(path) == expected


def test_the_hash_is_that_of_the_standard() -> None:
    assert sha256(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1


@pytest.mark.parametrize("path", ["", "not/yet", "not/yet/there"])
@pytest.mark.parametrize("relative", [False, True])
def test_free_bytes_are_those_of_the_nearest_folder_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, relative: bool
) -> None:
    asked: list[Path] = []

    class Usage:
        free = 1234

    def disk_usage(folder: Path) -> Usage:
        asked.append(folder)
        return Usage()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lab._utils.files.shutil.disk_usage", disk_usage)
    assert free_bytes(Path(path) if relative else tmp_path / path) == 1234
    assert len(asked) == 1
    assert asked[0].samefile(tmp_path)
