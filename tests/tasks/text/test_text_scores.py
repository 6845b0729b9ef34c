"""Measures of generated text, each compared with a slow one that follows the definition literally."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lab.tasks.text.scores import SEED, distinct, longest_copies, longest_loop, share_known, words


def array(symbols: list[int] | str) -> np.ndarray:
    return np.array([ord(symbol) if isinstance(symbol, str) else symbol for symbol in symbols], np.int32)


# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Shall I compare thee?", ["shall", "i", "compare", "thee"]),
        ("  O, 'tis BUT thy-self's\nlov\u2019d  ", ["o", "tis", "but", "thy-self's", "lov\u2019d"]),
        ("rock--hard -end- ''quoted''", ["rock", "hard", "end", "quoted"]),
        ("née Ägypten ΣΊΓΜΑ", ["née", "ägypten", "σίγμα"]),
        ("snake_case 4th x2y", ["snake", "case", "th", "x", "y"]),
        (" ... 42 _ - ' ", []),
        ("", []),
    ],
)
def test_words_are_letters_with_inner_apostrophes_and_hyphens_in_lower_case(text: str, found: list[str]) -> None:
    assert words(text) == found


@given(
    st.lists(st.text("abcXYZé", min_size=1, max_size=5), max_size=8), st.sampled_from([" ", "\n", ", ", " 7 ", "--"])
)
@settings(deadline=None)
def test_words_are_found_whatever_separates_them(parts: list[str], separator: str) -> None:
    assert words(separator.join(parts)) == [word.lower() for word in parts]


KNOWN = frozenset({"the", "rose", "o'er"})


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("x the rose o'er y", 1.0),
        ("the THE rosy rose blue the", 0.5),
        ("the wrong words the", 0.0),
        ("ro the se", 1.0),
        ("the rose", 0.0),
        ("the", 0.0),
        ("", 0.0),
    ],
)
def test_the_share_of_known_words_ignores_the_first_and_last(text: str, share: float) -> None:
    assert share_known(text, KNOWN) == share
    assert share_known(text, set(KNOWN)) == share


@pytest.mark.parametrize(
    ("text", "order", "share"),
    [
        ("a rose is a rose is a rose", 1, 3 / 8),
        ("a rose is a rose is a rose", 2, 3 / 7),
        ("A rose. Is a ROSE? Is a rose", 3, 3 / 6),
        ("all words differ here", 2, 1.0),
        ("one two", 2, 1.0),
        ("one", 2, 0.0),
        ("", 1, 0.0),
    ],
)
def test_distinct_is_the_share_of_distinct_word_ngrams(text: str, order: int, share: float) -> None:
    assert distinct(text, order) == pytest.approx(share)
    if order == 2:
        assert distinct(text) == distinct(text, 2)


# --- loops ----------------------------------------------------------------------------------------


def loop_by_trying(symbols: list[int], most: int) -> int:
    """The longest stretch that repeats its first `period` symbols, at least twice, by trying all."""
    longest, count = 0, len(symbols)
    for start in range(count):
        for end in range(start + 2, count + 1):
            stretch = symbols[start:end]
            for period in range(1, min(most, len(stretch) // 2) + 1):
                piece = stretch[:period]
                if (piece * len(stretch))[: len(stretch)] == stretch:
                    longest = max(longest, len(stretch))
    return longest


@given(st.lists(st.integers(0, 2), max_size=18), st.integers(1, 12))
@example([0, 1, 2, 0, 1, 2, 0, 1, 2, 0], 3)
@example([0, 1, 2, 0, 1, 2], 2)
@example([0, 0], 1)
@settings(deadline=None, max_examples=60)
def test_the_longest_loop_is_found(symbols: list[int], most: int) -> None:
    assert longest_loop(array(symbols), most) == loop_by_trying(symbols, most)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("", 0),
        ("a", 0),
        ("abcdef", 0),
        ("aa", 2),
        ("xyababab!", 6),
        ("the the the th", 14),
        ("ab12ab34ab", 0),
        ("abcabcx" + "d" * 5, 6),
    ],
)
def test_a_loop_is_measured_over_all_its_repetitions(text: str, length: int) -> None:
    assert longest_loop(array(text)) == length


def test_a_longer_piece_than_considered_is_not_a_loop() -> None:
    piece = list(range(301))
    assert longest_loop(array(piece * 2)) == 0
    assert longest_loop(array(piece * 2), 301) == 602
    assert longest_loop(array(list(range(300)) * 3)) == 900


# --- copies ---------------------------------------------------------------------------------------


def copy_by_trying(row: list[int], source: list[int]) -> tuple[int, int]:
    """The longest common passage and its first start in the row, by the textbook's dynamic programming."""
    ends = [[0] * (len(source) + 1) for _ in range(len(row) + 1)]
    best = (0, 0)
    for mine, symbol in enumerate(row):
        for theirs, other in enumerate(source):
            if symbol == other:
                length = ends[mine + 1][theirs + 1] = ends[mine][theirs] + 1
                if length > best[0]:
                    best = (length, mine + 1 - length)
    return best


def stacked(rows: list[list[int]]) -> np.ndarray:
    """Rows cut to the length of the shortest."""
    return np.array([row[: min(map(len, rows))] for row in rows], np.int32).reshape(len(rows), -1)


few = st.lists(st.integers(0, 2), max_size=30)
more = st.lists(st.integers(0, 9), max_size=30)


@given(rows=st.lists(few, min_size=1, max_size=4) | st.lists(more, min_size=1, max_size=4), source=few)
@example(rows=[[0] * 20, [1] * 20, [5] * 20], source=[0] * 30)
@example(rows=[[0, 1, 2]], source=[])
@example(rows=[[]], source=[0])
@settings(deadline=None)
def test_the_longest_copy_is_the_longest_common_passage(rows: list[list[int]], source: list[int]) -> None:
    equal = stacked(rows)
    assert longest_copies(equal, array(source)) == [copy_by_trying(row, source) for row in equal.tolist()]


@given(data=st.data(), length=st.integers(SEED - 2, SEED + 12))
@settings(deadline=None, max_examples=40)
def test_passages_shorter_and_longer_than_the_seed_are_measured_completely(data: st.DataObject, length: int) -> None:
    source = [data.draw(st.integers(0, 3)) for _ in range(60)]
    begin = data.draw(st.integers(0, len(source) - length))
    at = data.draw(st.integers(0, 10))
    row = [9] * at + source[begin : begin + length] + [9] * (40 - at - length)  # 9 is not in the source
    assert longest_copies(stacked([row]), array(source)) == [(length, at)]


def test_a_row_that_is_copied_completely_has_its_own_length() -> None:
    source = np.random.default_rng(0).integers(0, 50, 3000).astype(np.int16)
    rows = np.stack([source[100:600], source[2500:], source[:500]])
    assert longest_copies(rows, source) == [(500, 0)] * 3


def test_rows_are_measured_separately() -> None:
    rows = stacked([[ord(letter) for letter in text] for text in ("xxto bexx", "..not to ", "????????Z")])
    assert longest_copies(rows, array("to be or not to be")) == [(5, 2), (7, 2), (0, 0)]


def test_of_equally_long_copies_the_first_in_the_row_is_returned() -> None:
    assert longest_copies(stacked([[9, 3, 4, 9, 1, 2, 9]]), array([1, 2, 3, 4])) == [(2, 1)]


def test_passages_with_the_same_hash_are_not_taken_for_one_another() -> None:
    # Two passages whose polynomial hashes are equal modulo 2**64, found by lattice reduction (LLL).
    mine = [1, 2, 4, 0, 4, 3, 0, 2, 3, 9, 0, 0, 8, 0, 0, 6]
    other = [0, 0, 0, 7, 0, 0, 5, 0, 0, 0, 3, 4, 0, 5, 2, 0]
    base = 0x9E3779B97F4A7C15
    assert (
        sum((x - y) * base**power for power, (x, y) in enumerate(zip(mine[::-1], other[::-1], strict=True))) % 2**64
        == 0
    )
    assert longest_copies(stacked([mine]), array(other)) == [copy_by_trying(mine, other)]


def test_no_rows_have_no_copies() -> None:
    assert longest_copies(np.zeros((0, 5), np.int32), array("abc")) == []
