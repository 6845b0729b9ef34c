"""Text as words: tokens, their numbers, the vocabulary, and the cut of long texts."""

from __future__ import annotations

import collections
import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lab.data.io import words as module
from lab.data.io.words import CUTS, PADDING, UNKNOWN, Reader, Words, number, shorten, tokenise
from lab.errors import DataError

texts = st.text(max_size=80)
odd = st.text(
    st.sampled_from("aZ\u0130\u00df\u2019'\u02bc0159.,/!?:;=-()[]dDpP|<>&br _\u2026\u0660\n\x00\U0001f600"), max_size=40
)
ascii_texts = st.text(st.characters(max_codepoint=127), max_size=80) | st.text(
    st.sampled_from("aZ'09.,/!?:;=-()[]dDpP|_ "), max_size=40
)

# --- tokens -----------------------------------------------------------------------------------------


@given(texts | odd)
@example("\u0130stanbul")
@example("&#0; &#xD800; &nosuch; <")
@example("\ud800 a")
@settings(deadline=None, max_examples=200)
def test_any_text_has_tokens_in_lower_case_without_white_space(text: str) -> None:
    for token in tokenise(text):
        assert token
        assert token == token.lower()
        assert not re.search(r"\s", token)


@given(ascii_texts)
@example("don't :-) 10/10 ?! ... ")
@example("a_b 1_2 :d_ :)_ :)9")
@settings(deadline=None, max_examples=400)
def test_the_fast_path_gives_on_ascii_what_the_pattern_for_unicode_gives(text: str) -> None:
    lower = text.lower()
    assert module._ASCII_WORDS.findall(lower) == module._WORDS.findall(lower)


@given(ascii_texts.map(lambda text: text.replace("<", " ").replace("&", " ")))
@settings(deadline=None, max_examples=200)
def test_a_character_of_another_script_does_not_change_the_other_tokens(text: str) -> None:
    assert tokenise(f"{text} \u00e9") == [*tokenise(text), "\u00e9"]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The film, the END.", ["the", "film", "the", "end"]),
        ("I don't like it's rock'n'roll", ["i", "don't", "like", "it's", "rock'n'roll"]),
        ("'quoted' dogs' 'tis", ["quoted", "dogs", "tis"]),
        ("I don\u2019t", ["i", "don't"]),
        ("Great!!! Why?! What?? no...", ["great", "!!!", "why", "?!", "what", "??", "no", "..."]),
        ("well\u2026 so..", ["well", "\u2026", "so", ".."]),
        ("10/10, 7.5/10 or 1,000.50", ["10/10", "7.5/10", "or", "1,000.50"]),
        ("good :-) bad :( ;) =D :'( :P", ["good", ":-)", "bad", ":(", ";)", "=d", ":'(", ":p"]),
        ("note:don't :dog", ["note", "don't", "dog"]),
        ("a<br />b<BR>c<i>d</i>", ["a", "b", "c", "d"]),
        ("3 < 4 and 5 > 2", ["3", "4", "and", "5", "2"]),
        ("Tom &amp; J&eacute;r&ocirc;me &quot;x&quot; &lt;b&gt;", ["tom", "j\u00e9r\u00f4me", "x", "b"]),
        ("film_noir", ["film", "noir"]),
        ("\u041e\u0447\u0435\u043d\u044c \u65e5\u672c", ["\u043e\u0447\u0435\u043d\u044c", "\u65e5\u672c"]),
        ("", []),
        (' ,.;"- \n', []),
    ],
)
def test_a_text_has_these_tokens(text: str, tokens: list[str]) -> None:
    assert tokenise(text) == tokens


@given(st.lists(texts | odd, max_size=8))
@settings(deadline=None)
def test_tokens_are_numbered_in_order_of_appearance(given_texts: list[str]) -> None:
    found, table = number(given_texts)
    assert [[table[one] for one in some] for some in found] == [tokenise(text) for text in given_texts]
    assert all(some.dtype == np.int32 for some in found)
    assert table == list(dict.fromkeys(token for text in given_texts for token in tokenise(text)))


# --- the vocabulary ---------------------------------------------------------------------------------


def test_words_have_numbers_from_2_on() -> None:
    vocabulary = Words(["film", "good", "!"])
    assert (PADDING, UNKNOWN) == (0, 1)
    assert vocabulary.encode(["!", "film", "bad", "good", "film"]).tolist() == [4, 2, 1, 3, 2]
    assert vocabulary.encode([]).tolist() == []
    assert vocabulary.encode(["film"]).dtype == np.int32
    assert len(vocabulary) == 5
    assert "good" in vocabulary
    assert "bad" not in vocabulary


@given(st.lists(st.text(max_size=5), min_size=1, max_size=20, unique=True))
def test_every_word_is_read_back_from_its_number(given_words: list[str]) -> None:
    vocabulary = Words(given_words)
    numbers = vocabulary.encode(given_words)
    assert numbers.tolist() == list(range(2, len(vocabulary)))
    assert [vocabulary.words[one - 2] for one in numbers] == given_words


@pytest.mark.parametrize("wrong", [[], ["a", "b", "a"]], ids=["none", "twice"])
def test_a_vocabulary_has_distinct_words(wrong: list[str]) -> None:
    with pytest.raises(DataError, match="expected a vocabulary of distinct words"):
        Words(wrong)


def test_the_most_frequent_come_first_and_ties_by_the_alphabet() -> None:
    names, counts = ["pear", "fig", "apple", "rare", "kiwi", "date"], np.array([3, 5, 3, 1, 3, 2])
    assert Words.most_frequent(names, counts, 99).words == ("fig", "apple", "kiwi", "pear", "date")
    assert Words.most_frequent(names, counts, 3).words == ("fig", "apple", "kiwi")
    assert Words.most_frequent(names, counts, 99, least=5).words == ("fig",)
    assert Words.most_frequent(names, counts, 99, least=1).words[-1] == "rare"


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=60), st.integers(1, 9), st.integers(1, 3))
def test_the_most_frequent_are_those_of_a_plain_count(tokens: list[str], size: int, least: int) -> None:
    counted = collections.Counter(tokens)
    frequent = sorted((-count, word) for word, count in counted.items() if count >= least)
    names = list(counted)
    if frequent:
        made = Words.most_frequent(names, np.array([counted[name] for name in names]), size, least)
        assert list(made.words) == [word for _, word in frequent][:size]


def test_no_frequent_word_is_refused() -> None:
    with pytest.raises(DataError, match="expected words that occur at least 2 times, got none"):
        Words.most_frequent(["a", "b"], np.array([1, 0]), 10)


# --- the cut -----------------------------------------------------------------------------------------


@given(st.integers(0, 40), st.integers(1, 20), st.sampled_from(CUTS))
def test_at_most_so_many_tokens_stay_in_their_order(count: int, most: int, cut: str) -> None:
    kept = shorten(np.arange(count), most, cut).tolist()
    assert len(kept) == min(count, most)
    assert kept == sorted(set(kept))
    if count <= most:
        return
    left_out = sorted(set(range(count)) - set(kept))
    assert left_out == list(range(left_out[0], left_out[-1] + 1)), "the tokens left out are contiguous"
    before, behind = left_out[0], count - 1 - left_out[-1]
    assert (before, behind) == {"start": (0, most), "end": (most, 0), "middle": (most // 2, most - most // 2)}[cut]


@pytest.mark.parametrize(
    ("cut", "left"), [("start", [5, 6, 7, 8, 9]), ("middle", [0, 1, 7, 8, 9]), ("end", [0, 1, 2, 3, 4])]
)
def test_each_cut_leaves_out_its_part(cut: str, left: list[int]) -> None:
    assert shorten(np.arange(10), 5, cut).tolist() == left
    assert shorten(np.arange(5), 5, cut).tolist() == [0, 1, 2, 3, 4]


# --- the reader -------------------------------------------------------------------------------------


def test_a_reader_reads_known_words_and_cuts_long_texts() -> None:
    read = Reader(["good", "film", "!"], 3, "end", 2).read(["Good film!", "", "a film a film a", "Bad"])
    rows = [read[slice(place, place + 1)].tokens.tolist() for place in range(4)]
    assert rows == [[2, 3, 4], [], [1, 3, 1], [1]]
    assert read.shape == (4, 4)
    assert all(width % 2 == 0 for width in read.widths)


@given(
    st.lists(st.lists(st.sampled_from("abcdef"), max_size=12), max_size=6),
    st.integers(1, 8),
    st.sampled_from(CUTS),
    st.integers(1, 5),
)
@settings(deadline=None)
def test_reading_is_to_tokenise_to_encode_and_to_shorten(
    lists: list[list[str]], most: int, cut: str, multiple: int
) -> None:
    reader = Reader("abc", most, cut, multiple)
    read = reader.read(" ".join(some) for some in lists)
    expected = [shorten(reader.vocabulary.encode(some), most, cut).tolist() for some in lists]
    assert [read[slice(place, place + 1)].tokens.tolist() for place in range(len(read))] == expected
    assert all(width % multiple == 0 for width in read.widths)


def test_an_unknown_cut_is_refused() -> None:
    with pytest.raises(DataError, match="expected a cut of start, middle, end, got 'front'"):
        Reader(["a"], 3, "front")
