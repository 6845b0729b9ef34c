"""Texts to learn from, to go on with and to classify."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.conftest import verse
from tests.hostile.inputs import ESCAPE, LINK, MARKUP, NAME, TURNED, World
from tests.hostile.table import Case, Make, Said


def texts() -> Iterator[Case]:
    def case(name: str, make: Make, said: str, **rest: Any) -> Case:
        words = "run text_generation fast_dev_run=true data=bad.txt units=4 embedding_dim=2"
        return Case(name, "texts", words, said, 1, make, **rest)

    def of(content: bytes | str) -> Make:
        return lambda world: world.write("bad.txt", content)

    def large(world: World) -> None:
        with (world.here / "bad.txt").open("wb") as file:
            file.truncate(3 << 30)  # a file of holes

    yield case("a text that is not there", lambda world: None, "bad.txt: expected a text file")
    yield case("a text of nothing", of(""), "bad.txt: expected text, got an empty or blank file")
    yield case("a text of blanks", of(" \n\t" * 100), "bad.txt: expected text, got an empty or blank file")
    yield case("a text of nine characters", of("Shall I c"), "expected at least 100 characters to learn from, got 9")
    yield case("a program", of(Path("/bin/sh").read_bytes()[:5000]), "a binary file?")
    yield case("a byte that is not UTF-8", of(verse(20).encode() + b"\xe9t\xe9"), "expected UTF-8 text, byte")
    yield case("UTF-16", of(verse(20).encode("utf-16")), "expected UTF-8 text")
    yield case("a surrogate in UTF-8", of(verse(20).encode() + b"\xed\xa0\x80"), "expected UTF-8 text, byte")
    yield case("an overlong zero in UTF-8", of(verse(20).encode() + b"\xc0\x80"), "expected UTF-8 text, byte")
    yield case("a zero byte in a text", of(verse(20) + "\0"), "got a zero byte")
    yield case(
        "a text that is a folder", lambda world: (world.here / "bad.txt").mkdir(), "bad.txt: expected a text file"
    )
    yield case(
        "a text that is a pipe", lambda world: os.mkfifo(world.here / "bad.txt"), "bad.txt: expected a text file"
    )
    yield case(
        "a text that is a device without end",
        lambda world: (world.here / "bad.txt").symlink_to("/dev/zero"),
        "bad.txt: expected a text file",
    )
    yield case(
        "a text that is a link to itself",
        lambda world: (world.here / "bad.txt").symlink_to("bad.txt"),
        "bad.txt: expected a text file",
    )
    yield case("a text of three gigabytes", large, "expected at most 1024 MiB of text")
    yield Case("a text whose name has escapes", "texts", ("run", "text_generation", f"data={NAME}"), "\\x1b[31mred", 1)


def prompts() -> Iterator[Case]:
    def case(
        name: str,
        experiment: str,
        words: tuple[str, ...],
        said: str,
        code: int = 0,
        make: Make | None = None,
        **rest: Any,
    ) -> Case:
        def both(world: World) -> None:
            world.run(experiment)
            if make is not None:
                make(world)

        return Case(name, "prompts and texts", ("predict", experiment, *words), said, code, both, **rest)

    def prompt(name: str, text: str, said: str, **rest: Any) -> Case:
        return case(name, "text_generation", (text, "length=20"), said, **rest)

    def raw(world: World, said: Said) -> None:
        assert ESCAPE in said.out, "a file must get the text as it is"

    def of(content: bytes | str) -> Make:
        return lambda world: world.write("bad.csv", content)

    yield prompt("a prompt with escapes", ESCAPE + LINK, "[31mred")
    yield prompt("a prompt with escapes for a file", ESCAPE, "[31mred", piped=True, after=raw)
    yield prompt("a prompt with markup", MARKUP, "[bold red]b[/] <script>")
    yield prompt("a prompt that is shown the other way round", TURNED, "gpj.")
    yield prompt("a prompt that is no UTF-8", "abc\udcff", "abc")
    yield prompt("a prompt that is no UTF-8 for a file", "abc\udcff", "abc", piped=True)
    yield prompt("a prompt that moves the cursor", "a\rb\bc\x9b2J\x07", "a")
    yield prompt("a prompt of nothing", "", "\n")
    yield prompt("a prompt of characters that were never learnt", "\u4e2d\U0001f600", "\u4e2d\U0001f600")
    text = ("--text",)
    yield case(
        "a text to classify with markup and escapes",
        "sentiment_analysis",
        (*text, f"superb {MARKUP}{ESCAPE}{LINK}"),
        "probability",
    )
    yield case(
        "a text to classify without words", "sentiment_analysis", (*text, "-- ,"), "expected a text with words", 1
    )
    yield case("a text to classify that is no UTF-8", "sentiment_analysis", (*text, "superb \udcff"), "probability")
    yield case("nothing to classify", "sentiment_analysis", (), "expected --text, a file, or -", 2)
    yield case(
        "a table to classify without its column",
        "sentiment_analysis",
        ("bad.csv",),
        "expected a column 'text'",
        1,
        of("a,b\n1,2\n"),
    )
    yield case(
        "a table to classify with a broken quote",
        "sentiment_analysis",
        ("bad.csv",),
        "expected a CSV table",
        1,
        of('text\n"so'),
    )
    yield case(
        "a table to classify with a row too long",
        "sentiment_analysis",
        ("bad.csv",),
        "expected 1 cells, got 2",
        1,
        of("text\nso,so\n"),
    )
    yield case("a table to classify of binary", "sentiment_analysis", ("bad.csv",), "a binary file?", 1, of(bytes(50)))
    yield case(
        "a table to classify with escapes on a terminal",
        "sentiment_analysis",
        ("bad.csv",),
        "[31mred",
        0,
        of(f"text\n{ESCAPE}\n"),
    )
    yield case(
        "a table to classify with escapes for a file",
        "sentiment_analysis",
        ("bad.csv",),
        "[31mred",
        0,
        of(f"text\n{ESCAPE}\n"),
        piped=True,
        after=raw,
    )
    yield case(
        "lines to classify with escapes", "sentiment_analysis", ("-",), "[31mred", stdin=f"superb {ESCAPE}\n".encode()
    )
    yield case(
        "lines to classify that are not UTF-8",
        "sentiment_analysis",
        ("-",),
        "expected UTF-8",
        1,
        stdin=b"superb \xff\n",
    )
    yield case(
        "a pipe to classify",
        "sentiment_analysis",
        ("pipe.txt",),
        "expected a text file",
        1,
        lambda world: os.mkfifo(world.here / "pipe.txt"),
    )
