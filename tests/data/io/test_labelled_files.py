"""Labelled texts in tables, folders and archives, and which of these are refused."""

from __future__ import annotations

import collections
import csv
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from lab.data.io.labelled import LabelledSplits, LabelledTexts
from lab.data.io.labelled_files import MAX_TEXT, load, read_csv
from lab.errors import DataError
from tests.conftest import reviews


def pairs(part: LabelledTexts) -> list[tuple[str, int]]:
    return list(zip(part.texts, part.labels.tolist(), strict=True))


def error(path: Path, text: str) -> str:
    """The error, in one line, of loading a file with this text."""
    path.write_bytes(text.encode())
    with pytest.raises(DataError) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


# --- tables -----------------------------------------------------------------------------------------


def test_a_table_with_quotes_commas_and_lines_is_read_unchanged() -> None:
    texts = ['plain, with "quotes"', "two\nlines", "", "  spaces ", "\u041e\u0447\u0435\u043d\u044c \U0001f600", "last"]
    file = io.StringIO()
    rows = [(place, "pos" if place % 2 else "neg", text) for place, text in enumerate(texts)]
    csv.writer(file).writerows([("id", "kind", "review"), *rows])
    found, classes = read_csv(file.getvalue(), "a.csv", "review", "kind")
    assert found.texts == tuple(texts)
    assert found.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert found.labels.dtype == np.uint8
    assert classes == ("neg", "pos")


def test_rows_may_be_chosen_by_another_column_and_empty_lines_are_none() -> None:
    table = "text,label,source\na,0,imdb\n\nb,1,other\nc,1,imdb\n"
    found, classes = read_csv(table, "a.csv", "text", "label", {"source": "imdb"})
    assert pairs(found) == [("a", 0), ("c", 1)]
    assert classes == ("0", "1")


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (("positive", "negative"), ("negative", "positive")),
        (("good", "poor"), ("poor", "good")),
        (("Good", "not good"), ("not good", "Good")),
        (("1", "0"), ("0", "1")),
        (("yes", "no"), ("no", "yes")),
        (("ham", "spam"), ("ham", "spam")),
        (("true", "false"), ("false", "true")),
        (("fresh", "rotten"), ("rotten", "fresh")),
        (("1", "2"), ("2", "1")),
    ],
)
def test_the_positive_label_is_known_by_its_name(labels: tuple[str, str], classes: tuple[str, str]) -> None:
    for one in (labels, labels[::-1]):
        found, named = read_csv(f"text,label\na,{one[0]}\nb,{one[1]}\n", "a.csv", "text", "label")
        assert named == classes
        assert [classes[label] for label in found.labels] == list(one)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("txt,label\na,0\n", "expected a column 'text', got 'txt', 'label'; did you mean 'txt'"),
        ("text,lable\na,0\n", "expected a column 'label', got 'text', 'lable'; did you mean 'lable'"),
        ("text,label\na,0\nb\n", "line 3: expected 2 cells, got 1"),
        ("text,label\na,0\nb,1,2\n", "line 3: expected 2 cells, got 3"),
        ('text,label\na,0\n"b,1\n', "expected a CSV table, line 3: unexpected end of data"),
        ("text,label\na,0\nb,1\nc,2\n", "expected two labels in column 'label', got 3 ('0', '1', '2')"),
        ("text,label\na,0\nb,0\n", "expected two labels in column 'label', got 1 ('0')"),
        ("text,label\n", "expected two labels in column 'label', got 0 ()"),
        ("text,label\na,0\0\n", "expected UTF-8 text, got a zero byte at 14: is it a binary file?"),
        ("", "expected text, got an empty or blank file"),
        ("text,label\na,0\nb,1\n", "expected at least 20 texts labelled '0', got 1"),
        (",".join(map(str, range(1001))) + "\n", "expected a table of at most 1000 columns, got 1,001"),
    ],
    ids=str,
)
def test_an_unusable_table_is_one_line(tmp_path: Path, table: str, message: str) -> None:
    assert message in error(tmp_path / "a.csv", table)


def test_a_cell_may_be_longer_than_the_csv_modules_limit() -> None:
    before = csv.field_size_limit()
    found, _ = read_csv(f"text,label\n{'a' * 200_000},0\nb,1\n", "a.csv", "text", "label")
    assert len(found.texts[0]) == 200_000
    assert csv.field_size_limit() == before


def test_a_csv_file_is_cut_into_three_parts(reviews_file: Path) -> None:
    found = load(reviews_file)
    assert (len(found.train), len(found.validation), len(found.test)) == (320, 40, 40)
    assert found.description == "320 training texts, 40 validation texts, 40 test texts (held out)"
    assert found.classes == ("bad", "good")
    assert (found.provenance.origin, found.provenance.source) == ("your file", str(reviews_file))
    written = collections.Counter((text, int(label == "good")) for text, label in reviews(400))
    assert collections.Counter(pairs(found.train) + pairs(found.validation) + pairs(found.test)) == written


# --- folders and archives ---------------------------------------------------------------------------


def members(train: int = 30, test: int = 10) -> dict[str, str]:
    """Files in the layout of aclImdb."""
    found = {"README": "read me", "imdb.vocab": "the", "train/labeledBow.feat": "1:2", "train/unsup/0_0.txt": "none"}
    for part, count in (("train", train), ("test", test)):
        for label in ("pos", "neg"):
            for place in range(count):
                found[f"{part}/{label}/{place}_7.txt"] = f"{part} {label} {place}"
    return found


def folder(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, "utf-8")
    return root


def archive(path: Path, files: dict[str, bytes], prefix: str = "aclImdb/") -> Path:
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as file:
        for name, content in files.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    return path


def encoded(files: dict[str, str]) -> dict[str, bytes]:
    return {name: text.encode() for name, text in files.items()}


def assert_the_layout_is_read(found: LabelledSplits) -> None:
    assert found.classes == ("negative", "positive")
    assert (len(found.train), len(found.validation), len(found.test)) == (54, 6, 20)
    for name, part in (("train", found.train), ("train", found.validation), ("test", found.test)):
        for text, label in pairs(part):
            assert text.startswith(f"{name} {('neg', 'pos')[label]} ")
    assert found.description == "54 training texts, 6 validation texts, 20 test texts (the given test set)"


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tgz", "a.tar"])
@pytest.mark.parametrize("prefix", ["aclImdb/", "./", ""], ids=repr)
def test_an_archive_is_read_without_being_unpacked(tmp_path: Path, name: str, prefix: str) -> None:
    assert_the_layout_is_read(load(archive(tmp_path / name, encoded(members()), prefix)))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_folder_is_read_as_the_archive_is(tmp_path: Path) -> None:
    one, other = load(folder(tmp_path / "b", members())), load(archive(tmp_path / "a.tar", encoded(members())))
    assert_the_layout_is_read(one)
    for name in ("train", "validation", "test"):
        assert pairs(getattr(one, name)) == pairs(getattr(other, name))
    assert one.provenance.sha256 == other.provenance.sha256


def test_two_folders_of_any_name_are_two_labels(tmp_path: Path) -> None:
    files = {f"{label}/{place}.txt": f"{label} {place}" for label in ("spam", "ham") for place in range(25)}
    found = load(folder(tmp_path, files | {"unsup/1.txt": "x", "notes/readme.md": "y"}))
    assert found.classes == ("ham", "spam")
    assert sum(map(len, (found.train, found.validation, found.test))) == 50
    assert all(text.startswith(("ham", "spam")[label]) for text, label in pairs(found.train))


@pytest.mark.parametrize("labels", [("a",), ("a", "b", "c"), ()], ids=str)
def test_a_folder_without_two_labels_is_one_line(tmp_path: Path, labels: tuple[str, ...]) -> None:
    folder(tmp_path, {f"{label}/1.txt": "x" for label in labels})
    with pytest.raises(DataError, match=r"expected two folders of \.txt files, one for each label, got (a|none)"):
        load(tmp_path)


@pytest.mark.parametrize("content", [b"no archive", b"", b"\x1f\x8b\x08\x00"], ids=["text", "empty", "gzip"])
def test_a_file_that_is_no_archive_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tar.gz").write_bytes(content)
    with pytest.raises(DataError, match="expected"):
        load(tmp_path / "a.tar.gz")


def test_a_truncated_archive_is_not_read_as_a_smaller_one(tmp_path: Path) -> None:
    files = encoded(members(test=0) | members(train=0))  # training texts first
    content = archive(tmp_path / "a.tar.gz", files).read_bytes()
    (tmp_path / "a.tar.gz").write_bytes(content[: len(content) * 7 // 8])
    with pytest.raises(DataError, match="expected a tar archive"):
        load(tmp_path / "a.tar.gz")


def test_an_archive_without_texts_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected train/pos/\*.txt and train/neg/\*.txt, got none"):
        load(archive(tmp_path / "b.tar", {"x.txt": b"y"}))


def test_a_text_that_is_too_large_or_no_text_is_one_line(tmp_path: Path) -> None:
    large = archive(tmp_path / "a.tar.gz", encoded(members()) | {"train/pos/x.txt": bytes(MAX_TEXT + 1)})
    with pytest.raises(DataError, match=r"train/pos/x\.txt' is larger than 4 MiB"):
        load(large)
    with pytest.raises(DataError, match=r"train/pos/x\.txt: expected UTF-8 text"):
        load(archive(tmp_path / "b.tar", encoded(members()) | {"train/pos/x.txt": b"\xff\xfe"}))
