"""Pictures, one by one and in folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.hostile import inputs as made
from tests.hostile.inputs import NAME, World
from tests.hostile.table import Case, Make, Said


def pictures() -> Iterator[Case]:
    def case(
        name: str,
        make: Make,
        said: str,
        code: int = 1,
        words: str | tuple[str, ...] = "predict autoencoder bad.png",
        **rest: Any,
    ) -> Case:
        def both(world: World) -> None:
            world.run()
            make(world)

        return Case(name, "pictures", words, said, code, both, **rest)

    def cut(kind: str) -> Make:
        def make(world: World) -> None:
            path = made.picture(world.here / "bad.png", kind=kind, side=64)
            path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])

        return make

    def of(**options: Any) -> Make:
        return lambda world: made.picture(world.here / "bad.png", **options)

    def drawn(world: World, said: Said) -> None:
        assert (world.here / "bad.reconstruction.png").is_file()

    def loop(world: World) -> None:
        (world.here / "bad.png").symlink_to("bad.png")

    def taken(world: World) -> None:
        made.picture(world.here / "bad.png")
        world.write("taken", "a file")

    def named(world: World) -> None:
        made.picture(world.here / f"{NAME}.png")

    wanted = "bad.png: expected a picture"
    yield case("a file that is not there", lambda world: None, "bad.png: no such file")
    yield case("a file of nothing", lambda world: world.write("bad.png", ""), wanted)
    yield case("text", lambda world: world.write("bad.png", "a picture"), wanted)
    yield case("a PNG cut short", cut("PNG"), wanted)
    yield case("a JPEG cut short", cut("JPEG"), wanted)
    yield case("a GIF cut short", cut("GIF"), wanted)
    yield case("only a PNG's head", lambda world: world.write("bad.png", b"\x89PNG\r\n\x1a\n"), wanted)
    yield case("a PNG whose pixels are missing", lambda world: world.write("bad.png", made.png(28, 28, b"")), wanted)
    yield case(
        "a PNG of four gigapixels",
        lambda world: world.write("bad.png", made.png(65_535, 65_535, b"")),
        "expected at most 50,000,000 pixels",
    )
    yield case(
        "a PNG of more pixels than numbers",
        lambda world: world.write("bad.png", made.png(2**31 - 1, 2**31 - 1, b"")),
        "bad.png: expected",
    )
    yield case(
        "a PNG just too large",
        lambda world: world.write("bad.png", made.png(7_072, 7_072, b"")),
        "expected at most 50,000,000 pixels",
    )
    yield case("a PNG without a width", lambda world: world.write("bad.png", made.png(0, 28, b"")), "bad.png: expected")
    yield case(
        "a PNG with a wrong checksum",
        lambda world: world.write("bad.png", made.png(28, 28).replace(b"IHDR\0\0\0\x1c", b"IHDR\0\0\0\x1d")),
        wanted,
    )
    yield case("a folder", lambda world: (world.here / "bad.png").mkdir(), wanted)
    yield case("a pipe", lambda world: os.mkfifo(world.here / "bad.png"), wanted)
    yield case("a device without end", lambda world: (world.here / "bad.png").symlink_to("/dev/zero"), wanted)
    yield case("a link to itself", loop, wanted)
    yield case(
        "a name that is too long",
        lambda world: None,
        "expected a picture",
        words=("predict", "autoencoder", "w" * 5000),
    )
    yield case(
        "a name with a zero byte",
        lambda world: None,
        "expected a picture",
        words=("predict", "autoencoder", "a\0b.png"),
    )
    yield case("a name with escapes", lambda world: None, "\\x1b[31mred", words=("predict", "autoencoder", NAME))
    yield case(
        "three pictures of which two are bad",
        lambda world: (made.picture(world.here / "bad.png"), world.write("text.png", "x")),
        "text.png: expected a picture",
        words="predict autoencoder no.png bad.png text.png",
        lines=2,
        after=drawn,
    )
    yield case(
        "results into a file",
        taken,
        "expected to write the result there",
        words="predict autoencoder bad.png output=taken",
    )
    yield case(
        "results where nothing can be",
        taken,
        "expected to write the result there",
        words="predict autoencoder bad.png output=/proc/lab",
    )
    yield case("a text renamed to PDF", lambda world: world.write("bad.png", b"%PDF-1.4\n1 0 obj"), wanted)
    yield case(
        "a PostScript program",
        lambda world: world.write(
            "bad.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(x) run\n"
        ),
        wanted,
    )
    yield case("a GIF that moves", of(mode="P", kind="GIF", moves=True), "squared error", 0, after=drawn)
    yield case("a CMYK JPEG", of(mode="CMYK", kind="JPEG"), "squared error", 0, after=drawn)
    yield case("a PNG of 16 bits", of(mode="I;16"), "squared error", 0, after=drawn)
    yield case(
        "a TIFF of numbers that are none",
        lambda world: (lambda image: image.save(world.here / "bad.png", "TIFF"))(
            __import__("PIL.Image").Image.fromarray(np.full((28, 28), np.nan, np.float32))
        ),
        wanted,
    )
    yield case("a PNG of one pixel", of(side=1), "squared error", 0, after=drawn)
    yield case(
        "a picture whose name has markup and escapes",
        named,
        "[bold]n<blink>|",
        0,
        words=("predict", "autoencoder", f"{NAME}.png"),
    )
