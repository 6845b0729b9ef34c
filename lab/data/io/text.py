"""Text files, and characters as whole numbers."""

from __future__ import annotations

import codecs
from pathlib import Path

import numpy as np

from lab._utils.files import read_bytes
from lab.data.arrays import Array
from lab.errors import DataError

UNKNOWN = "\ufffd"  # stands for a character that the vocabulary lacks; its number is 0
MAX_BYTES = 1 << 30


def read_text(path: Path, max_bytes: int = MAX_BYTES) -> tuple[str, bytes]:
    """Returns a UTF-8 file's text, with `\\n` as line end and without a byte-order mark, and the file's bytes.

    Raises:
        DataError: the file cannot be read, is empty, is not text, or is larger than `max_bytes`.
    """
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise DataError(
                f"{path}: expected at most {max_bytes >> 20} MiB of text, got {size >> 20}; use a part of it"
            )
        content = read_bytes(path, max_bytes)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise DataError(f"{path}: expected a text file, {getattr(error, 'strerror', None) or error}") from None
    return decode(content, str(path)), content


def decode(content: bytes, name: str) -> str:
    """Returns the text of UTF-8 bytes, with `\\n` as line end and without a byte-order mark.

    Raises:
        DataError: there is no text, or the bytes contain a zero or are not UTF-8; the message gives the position.
    """
    if b"\0" in content:
        raise DataError(f"{name}: expected UTF-8 text, got a zero byte at {content.index(0)}: is it a binary file?")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = error.start + (len(codecs.BOM_UTF8) if content.startswith(codecs.BOM_UTF8) else 0)
        raise DataError(
            f"{name}: expected UTF-8 text, byte {place} is 0x{content[place]:02x}; "
            "save it as UTF-8 or convert it with iconv"
        ) from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise DataError(f"{name}: expected text, got an empty or blank file")
    return text


class Vocabulary:
    """Characters and their numbers, from 1; 0 is the number of every other character.

    Args:
        characters: each once, in the order of their numbers.

    Raises:
        DataError: `characters` is empty or contains a character twice.
    """

    def __init__(self, characters: str) -> None:
        if not characters or len(set(characters)) != len(characters):
            raise DataError("expected a vocabulary of one or more different characters")
        self.characters = characters
        codes = _code_points(characters)
        self._by_code = np.argsort(codes, kind="stable")
        self._codes = codes[self._by_code]
        self._all = [UNKNOWN, *characters]

    @classmethod
    def of(cls, text: str) -> Vocabulary:
        """Returns the vocabulary of a text, in the order of code points."""
        return cls("".join(sorted(set(text))))

    def __len__(self) -> int:
        """The number of symbols, including the one for unknown characters."""
        return len(self.characters) + 1

    def encode(self, text: str) -> Array:
        """Returns the characters' numbers, int32 of shape (len(text),)."""
        codes = _code_points(text)
        places = np.minimum(np.searchsorted(self._codes, codes), len(self._codes) - 1)
        known = self._codes[places] == codes
        return np.where(known, self._by_code[places] + 1, 0).astype(np.int32)

    def decode(self, numbers: Array) -> str:
        """Returns the text of whole numbers of shape (n,); 0 becomes U+FFFD."""
        return "".join([self._all[number] for number in np.asarray(numbers).tolist()])

    def unknown(self, text: str) -> str:
        """Returns the characters of a text that the vocabulary lacks, each once, in their order in the text."""
        known = frozenset(self.characters)
        return "".join(dict.fromkeys(character for character in text if character not in known))


def _code_points(text: str) -> Array:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
