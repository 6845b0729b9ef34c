"""Checkpoints and their index."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.hostile import inputs as made
from tests.hostile.inputs import ESCAPE, World, change
from tests.hostile.table import Case, Make, Said


def checkpoints() -> Iterator[Case]:
    from lab.checkpoints.checkpoint import Checkpoint
    from lab.checkpoints.manager import CheckpointManager

    def resumed(what: Callable[[Path], object]) -> Make:
        def make(world: World) -> None:
            what(world.interrupted() / "checkpoints")

        return make

    def newest(path: Path) -> Path:
        return path / str(json.loads((path / "index.json").read_text())[-1]["file"])

    def load(world: World) -> object:
        return Checkpoint.load(world.here / "c.npz")

    def case(name: str, what: Callable[[Path], object], said: str) -> Case:
        def make(world: World) -> None:
            path = world.run() / "checkpoints"
            newest(path).rename(world.here / "c.npz")
            what(world.here / "c.npz")

        return Case(name, "checkpoints", load, said, 1, make)

    def members(**changes: Any) -> Callable[[Path], object]:
        """Replaces members: what an array is called, and its bytes; None leaves it out."""

        def what(path: Path) -> None:
            def edit(found: dict[str, bytes]) -> None:
                for name, content in changes.items():
                    key = next(iter(found)) if name == "first" else f"{name}.npy"
                    if content is None:
                        del found[key]
                    else:
                        found[key] = content

            made.repack(path, edit)

        return what

    def flip(where: float) -> Callable[[Path], object]:
        def what(path: Path) -> None:
            content = bytearray(path.read_bytes())
            content[int(len(content) * where)] ^= 16
            path.write_bytes(content)

        return what

    def meta(edit: Callable[[dict[str, Any]], object] | bytes) -> Callable[[Path], object]:
        def what(path: Path) -> None:
            def change_meta(found: dict[str, bytes]) -> None:
                if isinstance(edit, bytes):
                    text = edit
                else:
                    head = found["meta.npy"]
                    record = json.loads(head[head.index(b"{", 100) :])
                    edit(record)
                    text = json.dumps(record).encode()
                found["meta.npy"] = made.npy((len(text),), content=text)

            made.repack(path, change_meta)

        return what

    def last_part(path: Path) -> None:
        made.repack(path, lambda found: found.pop(list(found)[-1]))

    def objects(path: Path) -> None:
        import pickle

        body = pickle.dumps([made.Runs(path.parents[3] / "evil")])
        made.repack(path, lambda found: found.update({list(found)[-1]: made.npy((1,), "|O", body)}))

    def sizes(path: Path) -> None:
        made.pack(path, made.unpack(path), sizes=1 << 50)

    def bomb(path: Path) -> None:
        found = made.unpack(path)
        found[list(found)[-1]] = made.npy((200 << 20,), content=bytes(200 << 20))
        made.pack(path, found)

    wanted = "c.npz: expected a checkpoint"
    yield case("cut in half", lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), wanted)
    yield case("cut by a byte", lambda path: path.write_bytes(path.read_bytes()[:-1]), wanted)
    yield case("of nothing", lambda path: path.write_bytes(b""), wanted)
    yield case("that is text", lambda path: path.write_text("checkpoint"), wanted)
    yield case("that is a single array", lambda path: np.save(path.open("wb"), np.zeros(3)), wanted)
    yield case("that is a folder", lambda path: made.instead(path, Path.mkdir), wanted)
    yield case("that is a pipe", lambda path: made.instead(path, os.mkfifo), wanted)
    yield case(
        "that is a device without end", lambda path: made.instead(path, lambda it: it.symlink_to("/dev/zero")), wanted
    )
    yield case("that is missing", lambda path: path.unlink(), wanted)
    yield case("with a bit flipped in its first part", flip(0.05), wanted)
    yield case("with a bit flipped in its middle", flip(0.5), wanted)
    yield case("with a bit flipped in its directory", flip(0.97), wanted)
    yield case("with a part missing", last_part, wanted)
    yield case("with a part more", members(extra=made.npy((1,), content=b"x")), wanted)
    yield case("with objects that would run a command", objects, wanted)
    yield case("with a part of petabytes", members(first=made.npy((1 << 50,))), wanted)
    yield case("with a part of more axes than there are", members(first=made.npy((1,) * 100)), wanted)
    yield case("with a part of a negative size", members(first=made.npy((-1,))), wanted)
    yield case("with a part that is no array", members(first=b"not an array"), wanted)
    yield case(
        "with a part whose header is code",
        members(first=b"\x93NUMPY\x01\x00\x2a\x00" + b"__import__('os').system('x')".ljust(42)),
        wanted,
    )
    yield case("whose directory says petabytes", sizes, wanted)
    yield case("that unpacks to two hundred megabytes", bomb, wanted)
    yield case("without its record", members(meta=None), wanted)
    yield case(
        "of another format", meta(lambda record: record.update(format=99)), "expected checkpoint format 2, got 99"
    )
    yield case("whose record is not JSON", meta(b"not JSON"), wanted)
    yield case("whose record is nested a million deep", meta(b"[" * 1_000_000), wanted)
    yield case("whose record is a list", meta(b"[1]"), wanted)
    yield case("whose epoch is text", meta(lambda record: record.update(epoch="one")), wanted)
    yield case("whose step is below zero", meta(lambda record: record.update(step=-1)), wanted)
    yield case("whose history is a number", meta(lambda record: record.update(history=5)), wanted)
    yield case("whose callbacks are a list", meta(lambda record: record.update(callbacks=[1])), wanted)
    yield case("whose origin is text", meta(lambda record: record.update(origin="here")), wanted)
    yield case(
        "whose parts are numbers", meta(lambda record: record.update(parts=dict.fromkeys(record["parts"], 5))), wanted
    )
    yield case(
        "whose parts have a dtype of objects",
        meta(
            lambda record: record.update(parts={name: ["O", digest] for name, (_, digest) in record["parts"].items()})
        ),
        wanted,
    )
    yield case(
        "whose parts have a dtype with escapes",
        meta(
            lambda record: record.update(
                parts={name: [ESCAPE, digest] for name, (_, digest) in record["parts"].items()}
            )
        ),
        wanted,
    )

    def index(content: str | Callable[[Path], str], of: str = "autoencoder") -> Make:
        def make(world: World) -> None:
            path = world.interrupted(of) / "checkpoints"
            (path / "index.json").write_text(content if isinstance(content, str) else content(path))

        return make

    def rebuilt(world: World) -> None:
        from lab.runs.run import Run

        run = Run.load("autoencoder")
        folder = CheckpointManager(run.path / "checkpoints")
        found = folder.newest()
        assert found is not None, "a whole checkpoint was lost"
        assert [entry["value"] for entry in folder.index] == [run.history[-1]["val_loss"]]
        print(found.step)  # noqa: T201

    def outside(path: Path) -> str:
        (path.parents[4] / "mine.npz").write_text("mine")
        entries = json.loads((path / "index.json").read_text())
        return json.dumps([{**entries[0], "file": "../../../../../mine.npz", "step": 0}, *entries])

    def kept(world: World, said: Said) -> None:
        assert (world.here.parent / "mine.npz").is_file(), "a file outside of the run was deleted"

    for name, content in (
        ("not JSON", "{"),
        ("a mapping", '{"a": 1}'),
        ("of numbers", "[1, 2]"),
        ("of entries without a file", '[{"epoch": 1}]'),
        (
            "of entries whose step is text",
            '[{"file": "step-00000001.npz", "kind": "epoch", "epoch": 1, "step": "x", "value": 1}]',
        ),
        (
            "of entries whose value is a list",
            '[{"file": "step-00000001.npz", "kind": "epoch", "epoch": 1, "step": 1, "value": [1]}]',
        ),
        (
            "of entries of another kind",
            '[{"file": "step-00000001.npz", "kind": "new", "epoch": 1, "step": 1, "value": 1}]',
        ),
        ("nested a million deep", "[" * 1_000_000),
        (
            "with a file of another name",
            '[{"file": "/etc/passwd", "kind": "epoch", "epoch": 1, "step": 1, "value": 1}]',
        ),
    ):
        yield Case(
            f"an index that is {name}" if name[0] not in "ow" else f"an index {name}",
            "checkpoints: index",
            rebuilt,
            "1\n",
            0,
            index(content),
        )

    def forget(world: World) -> None:
        from lab.runs.run import Run

        CheckpointManager(Run.load("autoencoder").path / "checkpoints").forget_after(None)

    def missing(world: World) -> None:
        (world.interrupted() / "checkpoints/index.json").unlink()

    yield Case("an index that names a file outside", "checkpoints: index", forget, "", 0, index(outside), after=kept)
    yield Case("an index that is gone", "checkpoints: index", rebuilt, "1\n", 0, missing)
    yield Case(
        "a resume with an index that is not JSON",
        "checkpoints: index",
        "resume text_generation",
        "the index is rebuilt",
        0,
        index("{", "text_generation"),
    )

    def all_damaged(path: Path) -> None:
        newest(path).write_bytes(b"PK\x03\x04 and no more")
        change(path.parent / "settings.json", settings={"data": "/no/such"})

    yield Case(
        "a resume whose data is gone",
        "checkpoints: index",
        "resume autoencoder",
        "data=/no/such",
        1,
        resumed(all_damaged),
    )
