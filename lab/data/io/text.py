"""Text as whole numbers: a user's file read with care, and a vocabulary of characters."""

from __future__ import annotations

import codecs
from pathlib import Path

import numpy as np

from lab._utils.files import read_bytes
from lab.data.arrays import Array
from lab.errors import DataError

UNKNOWN = "\ufffd"  # what stands for a character that the vocabulary lacks; its number is 0
MAX_BYTES = 1 << 30


def read_text(path: Path) -> tuple[str, bytes]:
    """Returns a UTF-8 file's text, with `\\n` as its line ends and without a byte-order mark, and its bytes.

    Raises:
        DataError: it cannot be read, is empty, is no text, or is larger than a gibibyte.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise DataError(f"{path}: expected at most {MAX_BYTES >> 20} MiB of text, it has {size >> 20}; give a part")
        content = read_bytes(path, MAX_BYTES)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise DataError(f"{path}: expected a text file, {getattr(error, 'strerror', None) or error}") from None
    return decode(content, str(path)), content


def decode(content: bytes, name: str) -> str:
    """Returns the text of UTF-8 bytes, with `\\n` as its line ends.

    Raises:
        DataError: they are none, hold a zero byte, or are not UTF-8; it says where.
    """
    if b"\0" in content:
        raise DataError(f"{name}: expected UTF-8 text, it has a zero byte at {content.index(0)}: a binary file?")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = error.start + (len(codecs.BOM_UTF8) if content.startswith(codecs.BOM_UTF8) else 0)
        raise DataError(
            f"{name}: expected UTF-8 text, byte {place} is 0x{content[place]:02x}; "
            "save it as UTF-8, or convert it with iconv"
        ) from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise DataError(f"{name}: expected text, it is empty")
    return text


class Vocabulary:
    """Characters and their numbers: 1 for the first, and 0 for whatever is not among them.

    Args:
        characters: each once, in the order of their numbers.

    Raises:
        DataError: there are none, or one stands twice.
    """

    def __init__(self, characters: str) -> None:
        if not characters or len(set(characters)) != len(characters):
            raise DataError("expected a vocabulary of different characters")
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
        """The number of symbols, that of the unknown one included."""
        return len(self.characters) + 1

    def encode(self, text: str) -> Array:
        """Returns the characters' numbers, int32 of shape (len(text),)."""
        codes = _code_points(text)
        places = np.minimum(np.searchsorted(self._codes, codes), len(self._codes) - 1)
        known = self._codes[places] == codes
        return np.where(known, self._by_code[places] + 1, 0).astype(np.int32)

    def decode(self, numbers: Array) -> str:
        """Returns the text of numbers; 0 is written as U+FFFD."""
        return "".join([self._all[number] for number in np.asarray(numbers).tolist()])

    def unknown(self, text: str) -> str:
        """Returns the characters of a text that the vocabulary lacks, each once, as they come."""
        known = frozenset(self.characters)
        return "".join(dict.fromkeys(character for character in text if character not in known))


def _code_points(text: str) -> Array:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
