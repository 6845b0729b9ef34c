"""Text files and vocabularies of characters: what is refused, with which message, and that no character is lost."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lab.data.io.text import UNKNOWN, Vocabulary, decode, read_text
from lab.errors import DataError

BOM = b"\xef\xbb\xbf"

# `read_text` refuses zero bytes; surrogates are no characters.
characters = st.characters(codec="utf-8", exclude_characters="\0")
texts = st.text(characters, max_size=60)
some_text = st.text(characters, min_size=1, max_size=60)
with_surrogates = st.text(st.characters(exclude_characters="\0"), max_size=30)


def message_of(call: Callable[[], Any]) -> str:
    """The message of the DataError that a call raises; it must be one line."""
    with pytest.raises(DataError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


# --- files ----------------------------------------------------------------------------------------


def test_a_file_is_read_as_text_and_as_bytes(tmp_path: Path) -> None:
    content = "Thou art € 𝄞 ünd é\n".encode()
    assert read_text(written(tmp_path / "a.txt", content)) == ("Thou art € 𝄞 ünd é\n", content)


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "none.txt"
    assert message_of(lambda: read_text(path)) == f"{path}: expected a text file, No such file or directory"


def test_a_folder_is_not_text(tmp_path: Path) -> None:
    assert message_of(lambda: read_text(tmp_path)) == f"{tmp_path}: expected a text file, Is a directory"


@pytest.mark.parametrize("content", [b"", b" \n\t\r\n ", "\u3000\u00a0\u2003".encode(), BOM, BOM + b"\r\n"], ids=repr)
def test_an_empty_or_blank_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = written(tmp_path / "a.txt", content)
    assert message_of(lambda: read_text(path)) == f"{path}: expected text, got an empty or blank file"


@pytest.mark.parametrize(("content", "place"), [(b"\0", 0), (b"ab\0cd\0", 2), (b"PK\x03\x04\xff\0", 5)], ids=repr)
def test_a_zero_byte_is_a_binary_file(tmp_path: Path, content: bytes, place: int) -> None:
    path = written(tmp_path / "a.bin", content)
    expected = f"{path}: expected UTF-8 text, got a zero byte at {place}: is it a binary file?"
    assert message_of(lambda: read_text(path)) == expected


@pytest.mark.parametrize(
    ("content", "place", "byte"),
    [
        (b"\xffabc", 0, "0xff"),
        ("Grüße".encode("latin-1"), 2, "0xfc"),
        ("é € ".encode() + b"\xe2\x82", 7, "0xe2"),
        (b"ab\xed\xa0\x80", 2, "0xed"),
    ],
    ids=["at the start", "Latin-1", "cut short", "a surrogate"],
)
def test_bytes_that_are_not_utf8_are_reported_with_their_position(
    tmp_path: Path, content: bytes, place: int, byte: str
) -> None:
    path = written(tmp_path / "a.txt", content)
    assert f"{content[place]:#x}" == byte
    assert message_of(lambda: read_text(path)) == (
        f"{path}: expected UTF-8 text, byte {place} is {byte}; save it as UTF-8 or convert it with iconv"
    )


def test_utf16_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", "words".encode("utf-16-le"))
    assert "got a zero byte at 1" in message_of(lambda: read_text(path))


def text_or_message(content: bytes) -> tuple[str | None, str | None]:
    """The text of bytes, or the message of the DataError; any other error fails the test."""
    try:
        return decode(content, "a"), None
    except DataError as error:
        return None, str(error)


@given(st.binary(max_size=40) | some_text.map(str.encode))
@settings(deadline=None)
def test_bytes_are_the_text_that_python_reads_or_refused_in_one_line(content: bytes) -> None:
    text, message = text_or_message(content)
    if text is None:
        assert re.fullmatch(r"a: expected .+", message or "")
        return
    assert text == content.removeprefix(BOM).decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    assert "\0" not in text
    assert text.split()


@given(some_text)
@settings(deadline=None)
def test_every_text_that_is_not_blank_is_read(text: str) -> None:
    decoded, _ = text_or_message(text.encode())
    assert (decoded is None) == (not text.removeprefix("\ufeff").split())


def test_a_byte_order_mark_is_left_out_and_one_inside_is_kept(tmp_path: Path) -> None:
    content = BOM + b"one" + BOM + b"two"
    assert read_text(written(tmp_path / "a.txt", content)) == ("one\ufefftwo", content)


def test_line_ends_are_normalised(tmp_path: Path) -> None:
    content = b"unix\nwindows\r\nmac\rempty\r\n\r\nend\n\r"
    text, kept = read_text(written(tmp_path / "a.txt", content))
    assert text == "unix\nwindows\nmac\nempty\n\nend\n\n"
    assert kept == content


def test_other_separators_are_ordinary_characters(tmp_path: Path) -> None:
    text = "a\u2028b\u0085c\x0cd\x0be"
    assert read_text(written(tmp_path / "a.txt", text.encode()))[0] == text


def test_a_file_that_is_too_large_is_refused_by_its_size(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with path.open("wb") as file:
        file.truncate(3 << 30)  # sparse: it takes no room on disk, but reading it would take 3 GiB of memory
    assert message_of(lambda: read_text(path)) == (
        f"{path}: expected at most 1024 MiB of text, got 3072; use a part of it"
    )


def test_a_file_of_the_maximum_size_is_read(tmp_path: Path) -> None:
    assert read_text(written(tmp_path / "a.txt", b"words"), max_bytes=5)[0] == "words"
    path = written(tmp_path / "b.txt", b"words!")
    assert "expected at most" in message_of(lambda: read_text(path, max_bytes=5))


# --- vocabulary -----------------------------------------------------------------------------------


@given(some_text)
@example("𝄞a\U0010ffff\ud7ff\ue000\ufffd")
@settings(deadline=None)
def test_a_text_can_be_recovered_from_its_numbers(text: str) -> None:
    vocabulary = Vocabulary.of(text)
    numbers = vocabulary.encode(text)
    assert numbers.dtype == np.int32
    assert numbers.shape == (len(text),)
    assert numbers.min() >= 1
    assert numbers.max() <= len(set(text)) == len(vocabulary) - 1
    assert vocabulary.decode(numbers) == text
    assert vocabulary.unknown(text) == ""


@given(known=some_text, text=texts)
@example(known="\U0010ffff", text="a\U0010ffff")
@example(known="b", text="abc")
@settings(deadline=None)
def test_numbers_are_places_in_the_vocabulary_from_one_on_and_zero_elsewhere(known: str, text: str) -> None:
    order = "".join(dict.fromkeys(known))  # in their order in the text, not sorted
    vocabulary = Vocabulary(order)
    assert vocabulary.characters == order
    assert vocabulary.encode(text).tolist() == [order.find(character) + 1 for character in text]
    expected = "".join(character if character in known else "\ufffd" for character in text)
    assert vocabulary.decode(vocabulary.encode(text)) == expected


@given(known=some_text, text=texts)
@settings(deadline=None)
def test_unknown_characters_are_listed_once_each_in_their_order(known: str, text: str) -> None:
    listed: list[str] = []
    for character in text:
        if character not in known and character not in listed:
            listed.append(character)
    assert Vocabulary.of(known).unknown(text) == "".join(listed)


def test_unknown_characters_are_not_sorted() -> None:
    assert Vocabulary("abc").unknown("zaybzcx𝄞y") == "zyx𝄞"


def test_a_vocabulary_of_a_text_is_in_the_order_of_code_points() -> None:
    assert Vocabulary.of("hello, 𝄞 World\n").characters == "\n ,Wdehlor𝄞"


def test_the_sign_for_unknown_characters_may_be_in_the_vocabulary() -> None:
    vocabulary = Vocabulary.of(f"a{UNKNOWN}b")
    assert vocabulary.encode(f"b{UNKNOWN}x").tolist() == [2, 3, 0]
    assert vocabulary.decode(np.array([2, 3, 0])) == f"b{UNKNOWN}{UNKNOWN}"
    assert vocabulary.unknown(f"{UNKNOWN}x") == "x"


def test_the_sign_for_unknown_characters_is_unknown_if_the_vocabulary_lacks_it() -> None:
    vocabulary = Vocabulary("ab")
    assert vocabulary.encode(UNKNOWN).tolist() == [0]
    assert vocabulary.unknown(UNKNOWN) == UNKNOWN


@given(with_surrogates)
@example("\ud800a\udfff\ud800")
@settings(deadline=None)
def test_lone_surrogates_in_a_prompt_are_unknown(prompt: str) -> None:
    vocabulary = Vocabulary("ab")
    assert vocabulary.encode(prompt).tolist() == [" ab".find(c) if c in "ab" else 0 for c in prompt]
    assert vocabulary.decode(vocabulary.encode(prompt)) == "".join(c if c in "ab" else UNKNOWN for c in prompt)
    assert set(vocabulary.unknown(prompt)) == set(prompt) - set("ab")


def test_an_empty_text_has_no_numbers() -> None:
    vocabulary = Vocabulary("ab")
    assert vocabulary.encode("").shape == (0,)
    assert vocabulary.decode(vocabulary.encode("")) == ""
    assert vocabulary.unknown("") == ""


@pytest.mark.parametrize("kind", [np.int16, np.int64, np.uint8])
def test_numbers_of_any_kind_are_read(kind: type[np.generic]) -> None:
    assert Vocabulary("abc").decode(np.array([3, 0, 1], kind)) == f"c{UNKNOWN}a"


@pytest.mark.parametrize("known", ["", "aa", "abca", "𝄞a𝄞"])
def test_an_empty_vocabulary_or_one_with_a_character_twice_is_refused(known: str) -> None:
    assert message_of(lambda: Vocabulary(known)) == "expected a vocabulary of one or more different characters"


def test_a_number_beyond_the_vocabulary_is_an_error() -> None:
    with pytest.raises(IndexError):
        Vocabulary("ab").decode(np.array([3]))
