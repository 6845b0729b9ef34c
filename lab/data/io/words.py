"""Text as words: a tokeniser that keeps what carries sentiment, and a vocabulary of the most frequent words."""

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

PADDING, UNKNOWN = 0, 1  # no word, and a word that is not in the vocabulary
CUTS = ("start", "middle", "end")
_FIRST = 2

_TAG = re.compile(r"</?[A-Za-z!][^<>]{0,60}>")
_WORDS = re.compile(  # in lower case
    r"[^\W\d_]+(?:'[^\W\d_]+)*"  # don't is one word
    r"|\d+(?:[.,]\d+)*(?:/\d+)?"  # numbers, and ratings such as 10/10
    r"|!+|\?[?!]*|\.\.+|\u2026"
    r"|[:;=]'?-?[()\[\]dp/|](?!\w)"  # faces
)
_ASCII_WORDS = re.compile(  # the same on ASCII text, in half the time
    r"[a-z]+(?:'[a-z]+)*|[0-9]+(?:[.,][0-9]+)*(?:/[0-9]+)?|!+|\?[?!]*|\.\.+|[:;=]'?-?[()\[\]dp/|](?![a-z0-9_])"
)


def tokenise(text: str) -> list[str]:
    """Returns a text's words in lower case, with its numbers, `!`, `?`, `...` and faces such as `:-)`.

    HTML tags such as `<br />` are removed, entities such as `&amp;` decoded. Commas, full stops and quotation marks
    are not tokens.
    """
    if "<" in text:
        text = _TAG.sub(" ", text)
    if "&" in text:
        text = html.unescape(text)
    text = text.replace("\u2019", "'").lower()
    return (_ASCII_WORDS if text.isascii() else _WORDS).findall(text)


def number(texts: Iterable[str]) -> tuple[list[Array], list[str]]:
    """Tokenises texts and numbers the distinct tokens from 0, in order of appearance.

    Returns:
        The token numbers of each text, int32 of shape (tokens,), and the tokens by number.
    """
    table: collections.defaultdict[str, int] = collections.defaultdict()
    table.default_factory = table.__len__
    numbered = []
    for text in texts:
        tokens = tokenise(text)
        numbered.append(np.fromiter(map(table.__getitem__, tokens), np.int32, len(tokens)))
    return numbered, list(table)


class Words:
    """A vocabulary: words are numbered from 2; 0 is padding and 1 an unknown word.

    Args:
        words: distinct, in the order of their numbers.

    Raises:
        DataError: there are none, or they are not distinct.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self._numbers = {word: number for number, word in enumerate(self.words, _FIRST)}
        if not self.words or len(self._numbers) != len(self.words):
            raise DataError("expected a vocabulary of distinct words, got none or a repeated one")

    @classmethod
    def most_frequent(cls, words: Sequence[str], counts: Array, size: int, least: int = 2) -> Words:
        """Returns the vocabulary of the most frequent words; ties are broken alphabetically.

        Args:
            words: distinct.
            counts: occurrences of each, shape (len(words),).
            size: maximum number of words.
            least: minimum number of occurrences.

        Raises:
            DataError: no word occurs often enough.
        """
        frequent = [(-int(count), word) for count, word in zip(counts, words, strict=True) if count >= least]
        if not frequent:
            raise DataError(f"expected words that occur at least {least} times, got none")
        return cls([word for _, word in sorted(frequent)[:size]])

    def __len__(self) -> int:
        """The number of symbols, including padding and the unknown word."""
        return len(self.words) + _FIRST

    def __contains__(self, word: str) -> bool:
        return word in self._numbers

    def encode(self, tokens: Sequence[str]) -> Array:
        """Returns the words' numbers, int32 of shape (len(tokens),)."""
        return np.fromiter(map(self._numbers.get, tokens, itertools.repeat(UNKNOWN)), np.int32, len(tokens))


def shorten(tokens: Array, most: int, cut: str) -> Array:
    """Returns at most `most` of a text's tokens.

    Args:
        tokens: token numbers, shape (tokens,).
        most: maximum number of tokens.
        cut: which part of a longer text is left out: its `start`, `middle` or `end`.
    """
    if len(tokens) <= most:
        return tokens
    head = {"start": 0, "middle": most // 2, "end": most}[cut]
    return np.concatenate([tokens[:head], tokens[len(tokens) - (most - head) :]])


class Reader:
    """Turns texts into the word numbers that a model takes.

    Args:
        words: the vocabulary, in the order of its numbers.
        max_words: maximum number of words that are read of a text.
        cut: which part of a longer text is left out: its `start`, `middle` or `end`.
        multiple: the width of a batch is a multiple of it.

    Raises:
        DataError: the vocabulary is empty, or `cut` is not one of the three.
    """

    def __init__(self, words: Sequence[str], max_words: int, cut: str = "middle", multiple: int = 1) -> None:
        if cut not in CUTS:
            raise DataError(f"expected a cut of {', '.join(CUTS)}, got {cut!r}")
        self.vocabulary = Words(words)
        self.max_words = max_words
        self.cut = cut
        self.multiple = multiple

    def read(self, texts: Iterable[str]) -> Ragged:
        """Returns the word numbers of texts."""
        return self.encode(*number(texts))

    def encode(self, texts: Sequence[Array], table: Sequence[str]) -> Ragged:
        """Returns the word numbers of texts that `number` has tokenised."""
        numbers = self.vocabulary.encode(table)
        read = [numbers[shorten(text, self.max_words, self.cut)] for text in texts]
        return Ragged.of(read, widths_for(np.array([len(text) for text in read]), self.multiple))
