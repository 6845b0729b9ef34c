"""Texts with labels: tables, folders and archives."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from typing import Any

from tests.conftest import reviews
from tests.hostile import inputs as made
from tests.hostile.inputs import ESCAPE, NAME, World
from tests.hostile.table import Case, Make


def labelled() -> Iterator[Case]:
    def case(name: str, make: Make, said: str, data: str = "bad.csv", code: int = 1, more: str = "") -> Case:
        words = f"run sentiment_analysis fast_dev_run=true units=1 embedding_dim=1 data={data} {more}"
        return Case(name, "labelled texts", words, said, code, make)

    def of(content: bytes | str) -> Make:
        return lambda world: world.write("bad.csv", content)

    def rows(*more: tuple[str, ...], head: tuple[str, ...] = ("text", "label")) -> Make:
        return lambda world: made.write_table(world.here / "bad.csv", [*reviews(60), *more], head)

    text = made.table_text()
    columns = ",".join(f"c{place}" for place in range(1_000_000))
    yield case("no table", lambda world: None, "bad.csv: expected a text file")
    yield case("a table of nothing", of(""), "bad.csv: expected text, got an empty or blank file")
    yield case("a quote that does not end", of(text + '"and so on'), "bad.csv: expected a CSV table, line")
    yield case(
        "a quote in the middle of a cell",
        of(text + 'good "film" it,was"\n"a"b,c\n'),
        "bad.csv: expected a CSV table, line",
    )
    yield case("a zero byte in a table", of(text + "a\0b,good\n"), "got a zero byte")
    yield case(
        "a table that is not UTF-8", of(text.encode() + "café,good\n".encode("latin-1")), "expected UTF-8 text, byte"
    )
    yield case("a table in UTF-16", of(text.encode("utf-16")), "expected UTF-8 text")
    yield case(
        "a million columns", of(f"{columns}\n{columns}\n"), "expected a table of at most 1000 columns, got 1,000,000"
    )
    yield case("a row too short", of(text + "alone\n"), "expected 2 cells, got 1")
    yield case("a row too long", of(text + "a,b,c\n"), "expected 2 cells, got 3")
    yield case("a cell of five megabytes", of(text + "x" * (5 << 20) + ",good\n"), "field larger than field limit")
    yield case(
        "a column that is missing",
        rows(head=("review", "label")),
        "expected a column 'text', got 'review', 'label'",
    )
    yield case("a column that is misspelt", rows(), "did you mean 'text'?", more="text_column=texts")
    yield case("a column with escapes", rows(head=("text", ESCAPE)), "expected a column 'label'")
    yield case("a column that stands twice", rows(head=("text", "text")), "expected a column 'label'")
    yield case(
        "one label",
        lambda world: made.write_table(world.here / "bad.csv", [(text, "good") for text, _ in reviews(60)]),
        "expected two labels in column 'label', got 1 ('good')",
    )
    yield case("three labels", rows(("so so", "fair")), "expected two labels in column 'label', got 3")
    yield case("a label with escapes too many", rows(("so so", ESCAPE)), "got 3 (")
    yield case(
        "too few texts",
        lambda world: made.write_table(world.here / "bad.csv", reviews(20)),
        "expected at least 20 texts labelled",
    )
    yield case("a head alone", of("text,label\n"), "expected two labels in column 'label', got 0")
    yield case(
        "texts without words",
        lambda world: made.write_table(world.here / "bad.csv", [("", label) for _, label in reviews(60)]),
        "expected",
    )
    yield case(
        "a table that is a pipe", lambda world: os.mkfifo(world.here / "bad.csv"), "bad.csv: expected a text file"
    )
    yield case(
        "a folder of nothing",
        lambda world: (world.here / "texts").mkdir(),
        "expected two folders of .txt files",
        "texts",
    )
    yield case(
        "a folder of one label",
        lambda world: made.review_folder(world.here / "texts", ("pos", "pos")),
        "expected two folders of .txt files",
        "texts",
    )

    def binary(world: World) -> None:
        made.review_folder(world.here / "texts")
        world.write("texts/pos/0.txt", bytes(100))

    def pipe(world: World) -> None:
        made.review_folder(world.here / "texts")
        os.mkfifo(world.here / "texts/pos/x.txt")

    def hostile_label(world: World) -> None:
        made.review_folder(world.here / "texts", ("pos", NAME))
        world.write(f"texts/{NAME}/0.txt", bytes(100))

    yield case("a folder with a binary file", binary, "got a zero byte", "texts")
    yield case("a folder with a pipe", pipe, "expected a text file", "texts")
    yield case("a folder with escapes in its name", hostile_label, "got a zero byte", "texts")

    def archive(*extra: Any, **options: Any) -> Make:
        return lambda world: made.tar(world.here / "bad.tar", *extra, **options)

    def linked(kind: bytes, to: str) -> Make:
        return archive((made.member("aclImdb/train/pos/link.txt", kind, to), b""), count=19)

    few = "expected at least 20 texts labelled"
    one = "aclImdb/train/pos/0.txt"
    yield case(
        "an archive that is text",
        lambda world: world.write("bad.tar", "texts" * 400),
        "expected a tar archive",
        "bad.tar",
    )
    yield case("an archive of nothing", lambda world: world.write("bad.tar", ""), "expected a tar archive", "bad.tar")
    yield case(
        "an archive cut short",
        lambda world: (path := made.tar(world.here / "bad.tar")).write_bytes(path.read_bytes()[:9999]),
        "expected a tar archive",
        "bad.tar",
    )
    yield case(
        "a packed archive cut short",
        lambda world: (path := made.tar(world.here / "bad.tar.gz", mode="w:gz")).write_bytes(path.read_bytes()[:-99]),
        "expected a tar archive",
        "bad.tar.gz",
    )
    yield case(
        "an archive that leads outside",
        archive((made.member("../train/pos/evil.txt"), b"evil")),
        "leads outside the archive",
        "bad.tar",
    )
    yield case(
        "an archive that leads outside by another way",
        archive((made.member("aclImdb/../../../../evil"), b"evil")),
        "leads outside the archive",
        "bad.tar",
    )
    yield case(
        "an archive with an absolute name",
        archive((made.member("/train/pos/evil.txt"), b"evil")),
        "leads outside the archive",
        "bad.tar",
    )
    yield case("an archive with a link", linked(tarfile.SYMTYPE, "/etc/passwd"), few, "bad.tar")
    yield case("an archive with a hard link", linked(tarfile.LNKTYPE, "/etc/passwd"), few, "bad.tar")
    yield case("an archive with a device", linked(tarfile.CHRTYPE, ""), few, "bad.tar")
    yield case("an archive with a pipe", linked(tarfile.FIFOTYPE, ""), few, "bad.tar")
    yield case(
        "an archive with a text twice",
        archive((made.member("aclImdb/train/pos/1.txt"), b"again")),
        "twice",
        "bad.tar",
    )
    yield case(
        "an archive with a name with escapes",
        archive((made.member(f"aclImdb/train/pos/{ESCAPE}.txt"), bytes(9))),
        "\\x1b[31mred",
        "bad.tar",
    )
    yield case(
        "an archive of other things",
        lambda world: made.tar(world.here / "bad.tar", (made.member("letter.txt"), b"mine"), count=0),
        "expected train/pos/*.txt",
        "bad.tar",
    )
    yield case(
        "an archive with a text of gigabytes",
        lambda world: made.tar_gz_bomb(world.here / "bad.tgz", tarfile.REGTYPE, 1 << 30),
        "is larger than",
        "bad.tgz",
    )
    yield case(
        "an archive with a name of gigabytes",
        lambda world: made.tar_gz_bomb(world.here / "bad.tgz", tarfile.GNUTYPE_LONGNAME, 3 << 30),
        "expected a tar archive",
        "bad.tgz",
    )
    yield case(
        "an archive with a header of gigabytes",
        lambda world: made.tar_gz_bomb(world.here / "bad.tgz", tarfile.XHDTYPE, 3 << 30),
        "expected a tar archive",
        "bad.tgz",
    )
    yield case(
        "an archive with other things of gigabytes",
        lambda world: made.tar_gz_bomb(world.here / "bad.tgz", tarfile.REGTYPE, 9 << 40, "zeros"),
        "expected at most 2 GiB",
        "bad.tgz",
    )
    yield case(
        "an archive with a text of a negative size",
        lambda world: world.write("bad.tar", made.tar_block(one, -1024) + bytes(2048)),
        "expected a tar archive",
        "bad.tar",
    )
    yield case(
        "an archive that is a pipe", lambda world: os.mkfifo(world.here / "bad.tar"), "bad.tar: expected", "bad.tar"
    )
    yield case(
        "an archive of another kind",
        lambda world: made.pack(world.here / "bad.zip", {one: b"good"}),
        "bad.zip: expected",
        "bad.zip",
    )
