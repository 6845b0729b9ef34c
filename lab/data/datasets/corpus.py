"""A text to learn from: by name or from a file, split, and as windows of numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lab._utils.files import expand, sha256
from lab.data.arrays import Array, Data, Provenance, Split
from lab.data.datasets import shakespeare
from lab.data.io.text import Vocabulary, read_text
from lab.data.windows import Windows
from lab.errors import DataError, SettingsError, nearest

NAMES = ("sonnets", "plays", "shakespeare", "tiny_shakespeare")
IGNORED = -1  # the target after a text's end
_SHORTEST = 100  # characters


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A text, split by position.

    Args:
        train: the training part.
        validation: the rest, about a tenth of the text.
        provenance: the text's origin.
    """

    train: str
    validation: str
    provenance: Provenance

    @property
    def vocabulary(self) -> Vocabulary:
        """The characters of the training part."""
        return Vocabulary.of(self.train)

    def windows(self, length: int) -> Data:
        """Returns the splits as windows of `length` characters; each target is the character after its input.

        The text has two parts, as in the literature: the `test` split is the validation split again.
        """
        vocabulary = self.vocabulary
        train, held_out = (vocabulary.encode(text) for text in (self.train, self.validation))
        return Data(
            _split("train", train, length),
            _split("validation", held_out, length),
            _split("test", held_out, length),
            self.provenance,
        )


def load(name: str, data: Path | None = None) -> Corpus:
    """Returns a corpus.

    Args:
        name: `sonnets`, `plays`, `shakespeare` (both), `tiny_shakespeare`, or the path of a UTF-8 file.
        data: a UTF-8 file to read instead.

    Raises:
        SettingsError: `name` is neither a corpus nor a file.
        DataError: the text cannot be obtained, is not text, or is too short.
    """
    path = data or (Path(name) if name not in NAMES else None)
    if path is not None:
        path = expand(path)
        try:
            exists = data is not None or (bool(name) and path.exists())  # `read_text` reports missing data
        except OSError:  # the name is too long, or a folder may not be read
            exists = False
        if not exists:
            raise SettingsError(
                [f"corpus={name}: expected one of {', '.join(NAMES)}, or the path of a text file{nearest(name, NAMES)}"]
            )
        text, content = read_text(path)
        if len(text) < _SHORTEST:
            raise DataError(
                f"{path}: expected at least {_SHORTEST} characters to learn from, got {len(text)}; use a longer text"
            )
        origin = Provenance(path.name, "your file", str(path), sha256(content), len(content))
        return Corpus(*_cut(text), origin)
    if name == "tiny_shakespeare":
        text, origin = shakespeare.tiny_shakespeare()
        return Corpus(*_cut(text), origin)
    if name == "sonnets":
        text, origin = shakespeare.sonnets()
        return Corpus(*_cut(text, "\n\n"), origin)
    texts, origin = shakespeare.plays()
    parts = [_cut("\n".join(texts))]
    if name == "shakespeare":
        text, more = shakespeare.sonnets()
        parts.append(_cut(text, "\n\n"))
        origin = _both(origin, more)
    return Corpus("\n".join(train for train, _ in parts), "\n".join(held_out for _, held_out in parts), origin)


def _cut(text: str, border: str = "") -> tuple[str, str]:
    """Cuts a text at nine tenths of its characters, or after the border that is nearest to that place."""
    place = int(0.9 * len(text))
    if border:
        candidates = text.rfind(border, 0, place + len(border) - 1), text.find(border, place)
        borders = [start for start in candidates if start > 0]
        if borders:
            place = min(borders, key=lambda start: abs(start - place)) + len(border)
    return text[:place], text[place:]


def _both(first: Provenance, second: Provenance) -> Provenance:
    """The provenance of two texts that are joined."""
    return Provenance(
        f"{first.name} and {second.name}",
        first.origin if first.origin == second.origin else f"{first.origin} and {second.origin}",
        f"{first.source}; {second.source}",
        sha256(f"{first.sha256} {second.sha256}".encode()),
        first.size + second.size,
        first.licence,
    )


def _split(name: str, symbols: Array, length: int) -> Split:
    symbols = symbols.astype(np.int16 if symbols.max(initial=0) < 2**15 else np.int32)
    return Split(name, Windows(symbols[:-1], length), Windows(symbols[1:], length, IGNORED))


def texts_of(data: Data) -> Sequence[Array]:
    """Returns the symbols of the training and the validation text, int32 of shape (n,) each, from their windows."""
    return [
        np.concatenate([data.split(name).x.tokens, data.split(name).y.tokens[-1:]]).astype(np.int32)
        for name in ("train", "validation")
    ]
