"""Text as words: a tokeniser that keeps what carries feeling, and a vocabulary of the most frequent."""

from __future__ import annotations

import collections
import html
import itertools
import re
from collections.abc import Iterable, Sequence

import numpy as np

from lab.data.arrays import Array
from lab.data.ragged import Ragged, widths_for
from lab.errors import DataError

PADDING, UNKNOWN = 0, 1  # numbers that stand for no word, and for one that the vocabulary lacks
CUTS = ("start", "middle", "end")
_FIRST = 2

_TAG = re.compile(r"</?[A-Za-z!][^<>]{0,60}>")
_WORDS = re.compile(  # in lower case
    r"[^\W\d_]+(?:'[^\W\d_]+)*"  # don't is one word
    r"|\d+(?:[.,]\d+)*(?:/\d+)?"  # numbers, and marks such as 10/10
    r"|!+|\?[?!]*|\.\.+|\u2026"
    r"|[:;=]'?-?[()\[\]dp/|](?!\w)"  # faces
)
_ASCII_WORDS = re.compile(  # the same on ASCII text, in half the time
    r"[a-z]+(?:'[a-z]+)*|[0-9]+(?:[.,][0-9]+)*(?:/[0-9]+)?|!+|\?[?!]*|\.\.+|[:;=]'?-?[()\[\]dp/|](?![a-z0-9_])"
)


def tokenise(text: str) -> list[str]:
    """Returns a text's words in lower case, with its numbers, `!`, `?`, `...` and faces such as `:-)`.

    HTML tags such as `<br />` are left out, entities such as `&amp;` read. Commas, full stops and quotes
    are no tokens.
    """
    if "<" in text:
        text = _TAG.sub(" ", text)
    if "&" in text:
        text = html.unescape(text)
    text = text.replace("\u2019", "'").lower()
    return (_ASCII_WORDS if text.isascii() else _WORDS).findall(text)


def number(texts: Iterable[str]) -> tuple[list[Array], list[str]]:
    """Tokenises texts and numbers their tokens, each new one with the next number.

    Returns:
        For each text its tokens' numbers, int32 of shape (tokens,); and the token of each number.
    """
    table: collections.defaultdict[str, int] = collections.defaultdict()
    table.default_factory = table.__len__
    found = []
    for text in texts:
        tokens = tokenise(text)
        found.append(np.fromiter(map(table.__getitem__, tokens), np.int32, len(tokens)))
    return found, list(table)


class Words:
    """Words and their numbers, from 2 on; 0 is padding and 1 a word that is not among them.

    Args:
        words: each once, in the order of their numbers.

    Raises:
        DataError: there are none, or one stands twice.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self._numbers = {word: number for number, word in enumerate(self.words, _FIRST)}
        if not self.words or len(self._numbers) != len(self.words):
            raise DataError("expected a vocabulary of different words")

    @classmethod
    def most_frequent(cls, words: Sequence[str], counts: Array, size: int, least: int = 2) -> Words:
        """Returns the most frequent words; those that are equally frequent in the order of the alphabet.

        Args:
            words: each once.
            counts: how often each occurs, shape (len(words),).
            size: the most words.
            least: how often a word must occur.

        Raises:
            DataError: no word occurs so often.
        """
        able = [(-int(count), word) for count, word in zip(counts, words, strict=True) if count >= least]
        if not able:
            raise DataError(f"expected words that occur at least {least} times, there are none")
        return cls([word for _, word in sorted(able)[:size]])

    def __len__(self) -> int:
        """The number of symbols, padding and the unknown word included."""
        return len(self.words) + _FIRST

    def __contains__(self, word: str) -> bool:
        return word in self._numbers

    def encode(self, tokens: Sequence[str]) -> Array:
        """Returns the words' numbers, int32 of shape (len(tokens),)."""
        return np.fromiter(map(self._numbers.get, tokens, itertools.repeat(UNKNOWN)), np.int32, len(tokens))


def shorten(tokens: Array, most: int, cut: str) -> Array:
    """Returns at most so many of a text's tokens.

    Args:
        tokens: their numbers, shape (tokens,).
        most: how many stay.
        cut: what goes where there are more: the `start`, the `middle` or the `end`.
    """
    if len(tokens) <= most:
        return tokens
    head = {"start": 0, "middle": most // 2, "end": most}[cut]
    return np.concatenate([tokens[:head], tokens[len(tokens) - (most - head) :]])


class Reader:
    """Reads texts as a model takes them: words as numbers, at most so many of a text.

    Args:
        words: the vocabulary.
        max_words: how many words of a text are read.
        cut: what is left out of a longer one: its `start`, its `middle` or its `end`.
        multiple: what the width of a batch is a multiple of.

    Raises:
        DataError: the vocabulary is empty, or `cut` is none of the three.
    """

    def __init__(self, words: Sequence[str], max_words: int, cut: str = "middle", multiple: int = 1) -> None:
        if cut not in CUTS:
            raise DataError(f"cut={cut!r}: expected one of {', '.join(CUTS)}")
        self.vocabulary = Words(words)
        self.max_words = max_words
        self.cut = cut
        self.multiple = multiple

    def read(self, texts: Iterable[str]) -> Ragged:
        """Returns texts as numbers of words."""
        found, table = number(texts)
        return self.encode(found, table)

    def encode(self, texts: Sequence[Array], table: Sequence[str]) -> Ragged:
        """Returns texts that `number` has read."""
        numbers = self.vocabulary.encode(table)
        read = [numbers[shorten(text, self.max_words, self.cut)] for text in texts]
        return Ragged.of(read, widths_for(np.array([len(text) for text in read]), self.multiple))
