"""What can be measured in text that a model wrote."""

from __future__ import annotations

import re

import numpy as np

from lab.data import Array
from lab.data.io.text import Vocabulary

MOST_PAIRS = 2_000_000  # places in a row and in the source that are followed together
SEED = 16  # symbols that a copied passage has at least before it is followed to its end
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
_BASE = np.uint64(0x9E3779B97F4A7C15)


def words(text: str) -> list[str]:
    """Returns a text's words in lower case, with the apostrophes and hyphens inside them."""
    return [match.lower() for match in _WORD.findall(text)]


def share_known(text: str, known: frozenset[str] | set[str]) -> float:
    """Returns the share of a text's words that are among the known ones; 0 where it has none.

    The first and the last word are left out: they may be cut.
    """
    found = words(text)[1:-1]
    return sum(word in known for word in found) / len(found) if found else 0.0


def distinct(text: str, order: int = 2) -> float:
    """Returns the share of a text's word n-grams that are different (Li et al., 2016); 0 where it has none."""
    found = words(text)
    grams = [tuple(found[place : place + order]) for place in range(len(found) - order + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


def longest_loop(symbols: Array, most: int = 300) -> int:
    """Returns the length of the longest stretch that is one piece, at least twice in a row; 0 where none is.

    Args:
        symbols: shape (n,).
        most: the longest piece looked for.
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
    """Returns for each row its longest passage that stands in the source, too: (its length, where in the row).

    Args:
        rows: whole numbers, shape (rows, n).
        source: whole numbers, shape (m,).
    """
    found = [(0, 0)] * len(rows)
    seed = min(SEED, rows.shape[1], len(source))
    for size in range(seed, 0, -1):
        waiting = [place for place, (length, _) in enumerate(found) if not length]
        if not waiting:
            break
        hashes = _hashes(source, size)
        order = np.argsort(hashes, kind="stable")
        for row in waiting:
            found[row] = _longest(rows[row], source, size, hashes, order)
    return found


def _longest(row: Array, source: Array, size: int, hashes: Array, order: Array) -> tuple[int, int]:
    """The longest common passage of at least `size` symbols of a row and the source; (0, 0) where none is."""
    mine = _hashes(row, size)
    low, high = (np.searchsorted(hashes, mine, side, sorter=order) for side in ("left", "right"))
    counts = high - low
    if counts.sum() > MOST_PAIRS:
        return _by_halving(row, source, size)
    here = np.repeat(np.arange(len(mine)), counts)
    there = order[np.repeat(low, counts) + np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)]
    # Hashes may agree by chance: the symbols decide.
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
    """The same for text that repeats itself so much that pairs of places would be too many: by hashes alone."""

    def at(size: int) -> Array:
        return np.flatnonzero(np.isin(_hashes(row, size), _hashes(source, size)))

    low, high = least, min(len(row), len(source)) + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if len(at(middle)) else (low, middle)
    return low, int(at(low)[0])


def _hashes(symbols: Array, size: int) -> Array:
    """A number for each passage of so many symbols, the same for the same passage; modulo 2**64."""
    total = np.zeros(len(symbols) - size + 1, np.uint64)
    values = symbols.astype(np.uint64) + np.uint64(1)
    for step in range(size):
        total = total * _BASE + values[step : step + len(total)]
    return total


def written(vocabulary: Vocabulary, rows: Array) -> list[str]:
    """Returns the text of each row of symbols."""
    return [vocabulary.decode(row) for row in rows]
