"""Measures of generated text."""

from __future__ import annotations

import re

import numpy as np

from lab.data import Array

MOST_PAIRS = 2_000_000  # pairs of places in a row and in the source that are compared at once
SEED = 16  # symbols; a copied passage of this length is found by its hash and then extended
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
_BASE = np.uint64(0x9E3779B97F4A7C15)


def words(text: str) -> list[str]:
    """Returns a text's words in lower case, with the apostrophes and hyphens inside them."""
    return [match.lower() for match in _WORD.findall(text)]


def share_known(text: str, known: frozenset[str] | set[str]) -> float:
    """Returns the share of a text's words that are known; 0 for a text without words.

    The first and the last word are not counted, because they may be incomplete.
    """
    inner = words(text)[1:-1]
    return sum(word in known for word in inner) / len(inner) if inner else 0.0


def distinct(text: str, order: int = 2) -> float:
    """Returns the share of a text's word n-grams that are distinct (Li et al., 2016); 0 for a text without any."""
    sequence = words(text)
    grams = [tuple(sequence[place : place + order]) for place in range(len(sequence) - order + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


def longest_loop(symbols: Array, most: int = 300) -> int:
    """Returns the length of the longest stretch that repeats one piece, at least twice in a row; 0 if none does.

    Args:
        symbols: shape (n,).
        most: symbols in the longest piece that is considered.
    """
    longest, count = 0, len(symbols)
    for period in range(1, min(most, count // 2) + 1):
        same = symbols[period:] == symbols[:-period]
        breaks = np.flatnonzero(np.concatenate([[True], ~same, [True]]))
        run = int(np.diff(breaks).max()) - 1
        if run >= period:
            longest = max(longest, run + period)
    return longest


def longest_copies(rows: Array, source: Array) -> list[tuple[int, int]]:
    """Returns for each row the longest passage that also occurs in the source: its length and its start in the row.

    Args:
        rows: whole numbers, shape (rows, n).
        source: whole numbers, shape (m,).
    """
    longest = [(0, 0)] * len(rows)
    seed = min(SEED, rows.shape[1], len(source))
    for size in range(seed, 0, -1):
        waiting = [place for place, (length, _) in enumerate(longest) if not length]
        if not waiting:
            break
        hashes = _hashes(source, size)
        order = np.argsort(hashes, kind="stable")
        for row in waiting:
            longest[row] = _longest(rows[row], source, size, hashes, order)
    return longest


def _longest(row: Array, source: Array, size: int, hashes: Array, order: Array) -> tuple[int, int]:
    """Returns the longest common passage of a row and the source if it has at least `size` symbols, else (0, 0)."""
    mine = _hashes(row, size)
    low, high = (np.searchsorted(hashes, mine, side, sorter=order) for side in ("left", "right"))
    counts = high - low
    if counts.sum() > MOST_PAIRS:
        return _by_halving(row, source, size)
    here = np.repeat(np.arange(len(mine)), counts)
    there = order[np.repeat(low, counts) + np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)]
    # Different passages may have the same hash.
    agree = np.ones(len(here), bool)
    for step in range(size):
        agree &= row[here + step] == source[there + step]
    here, there, length = here[agree], there[agree], size
    if not len(here):
        return 0, 0
    while True:
        inside = (here + length < len(row)) & (there + length < len(source))
        more, beyond = here[inside], there[inside]
        longer = row[more + length] == source[beyond + length]
        if not longer.any():
            return length, int(here[0])
        here, there, length = more[longer], beyond[longer], length + 1


def _by_halving(row: Array, source: Array, least: int) -> tuple[int, int]:
    """Returns the same from hashes alone, for texts so repetitive that there are too many pairs of places."""

    def at(size: int) -> Array:
        return np.flatnonzero(np.isin(_hashes(row, size), _hashes(source, size)))

    low, high = least, min(len(row), len(source)) + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if len(at(middle)) else (low, middle)
    return low, int(at(low)[0])


def _hashes(symbols: Array, size: int) -> Array:
    """Returns a hash of each passage of `size` symbols: a polynomial modulo 2**64."""
    total = np.zeros(len(symbols) - size + 1, np.uint64)
    values = symbols.astype(np.uint64) + np.uint64(1)
    for step in range(size):
        total = total * _BASE + values[step : step + len(total)]
    return total
