"""Digits in NumPy's, MNIST's and pickle's formats."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from lab.data.io.formats import to_idx
from tests.conftest import digits
from tests.hostile import inputs as made
from tests.hostile.inputs import World
from tests.hostile.table import Case, Make


def digit_files() -> Iterator[Case]:
    def case(name: str, make: Make, said: str, data: str = "bad.npz") -> Case:
        return Case(name, "digits", f"run autoencoder fast_dev_run=true data={data}", said, 1, make)

    def npz(**changes: Any) -> Make:
        return lambda world: made.npz(world.here / "bad.npz", **changes)

    def members(*, sizes: int | None = None, **changes: bytes) -> Make:
        def make(world: World) -> None:
            path = made.npz(world.here / "bad.npz")
            found = made.unpack(path) | {f"{name}.npy": content for name, content in changes.items()}
            made.pack(path, found, sizes)

        return make

    def objects(world: World) -> None:
        members(x_train=made.npy((1,), "|O", made.evil_pickle(world)))(world)

    def folder(**changes: bytes | None) -> Make:
        return lambda world: made.idx_folder(world.here / "idx", **changes)

    (x, y), wanted = digits(60), "expected an .npz file of arrays"
    packed = gzip.compress(to_idx(x))
    yield case("a file that is nowhere", lambda world: None, "data=bad.npz: expected an .npz file or a folder")
    yield case("a file that is text", lambda world: world.write("bad.npz", "digits"), wanted)
    yield case("a file of nothing", lambda world: world.write("bad.npz", ""), wanted)
    yield case(
        "a file cut short",
        lambda world: (path := made.npz(world.here / "bad.npz")).write_bytes(path.read_bytes()[:9000]),
        wanted,
    )
    yield case("an array missing", npz(y_test=None), "y_test")
    yield case("objects that would run a command", objects, wanted)
    yield case("a member that is no array", members(x_train=b"text"), wanted)
    yield case("an array of petabytes", members(x_train=made.npy((1 << 50,))), wanted)
    yield case("a directory of petabytes", members(sizes=1 << 50), wanted)
    yield case("fractions", npz(x_train=x / 255), "x_train: expected whole numbers from 0 to 255, got float64")
    yield case("numbers that are none", npz(x_train=np.full(x.shape, np.nan)), "expected whole numbers from 0 to 255")
    yield case("negative pixels", npz(x_train=x.astype(int) - 1), "expected whole numbers from 0 to 255")
    yield case("pixels beyond 255", npz(x_test=x.astype(int) * 2), "x_test: expected whole numbers from 0 to 255")
    yield case("texts for labels", npz(y_train=np.array(["one"] * 60)), "y_train: expected whole numbers")
    yield case("complex numbers", npz(y_train=y.astype(complex)), "y_train: expected whole numbers")
    yield case("pictures of another size", npz(x_train=x[:, :20, :20]), "expected uint8 of shape (n, 28, 28)")
    yield case("flat pictures", npz(x_train=x.reshape(60, 784)), "expected uint8 of shape (n, 28, 28)")
    yield case("colours", npz(x_train=np.repeat(x[..., None], 3, -1)), "x_train: expected 1 to 3 axes")
    yield case("a single number", npz(x_train=np.uint8(5)), "x_train: expected 1 to 3 axes, got shape ()")
    yield case("no pictures", npz(x_train=x[:0], y_train=y[:0]), "expected at least 2 images")
    yield case("a label too few", npz(y_train=y[:-1]), "a label for each, got 60 and (59,)")
    yield case("a label of 10", npz(y_train=np.full(60, 10, np.uint8)), "expected 0 to 9, got 10")
    yield case(
        "a folder without files",
        lambda world: (world.here / "idx").mkdir(),
        "expected a file train-images-idx3-ubyte",
        "idx",
    )
    yield case("an IDX file missing", folder(t10k_labels=None), "expected a file t10k-labels-idx1-ubyte", "idx")
    yield case("an IDX file cut short", folder(train_images=to_idx(x)[:-5]), "bytes after the header", "idx")
    yield case(
        "an IDX file of only a header", folder(train_images=to_idx(x)[:6]), "expected a header of 16 bytes", "idx"
    )
    yield case(
        "an IDX file of another type",
        folder(train_images=b"\0\0\x0d" + to_idx(x)[3:]),
        "expected an IDX file of bytes",
        "idx",
    )
    yield case(
        "an IDX file of terabytes", folder(train_images=to_idx(x)[:4] + b"\xff" * 12), "bytes after the header", "idx"
    )
    yield case("labels for pictures", folder(train_images=to_idx(y)), "expected uint8 of shape (n, 28, 28)", "idx")
    yield case("a gzip cut short", folder(train_images=packed[:-9]), "expected a gzip file", "idx")
    yield case(
        "a gzip with a wrong checksum",
        folder(train_images=packed[:-8] + b"\0\0\0\0" + packed[-4:]),
        "expected a gzip file",
        "idx",
    )
    yield case(
        "a gzip of a hundred megabytes",
        folder(train_images=gzip.compress(bytes(100 << 20), 1)),
        "expected at most",
        "idx",
    )
    yield case("a gzip of nothing", folder(train_images=b"\x1f\x8b"), "expected a gzip file", "idx")

    def pickled(content: Callable[[World], bytes]) -> Callable[[World], object]:
        def call(world: World) -> object:
            from lab.data.datasets.mnist import _from_pickle

            return _from_pickle(content(world))

        return call

    for name, content, said in (
        (
            "a pickle that would run a command",
            lambda world: gzip.compress(made.evil_pickle(world)),
            "got one that asks for posix.system",
        ),
        (
            "a pickle of builtins",
            lambda world: gzip.compress(b"cbuiltins\neval\n(S'1'\ntR."),
            "got one that asks for builtins.eval",
        ),
        ("a pickle that is not packed", lambda world: b"\x80\x04.", "mnist.pkl.gz: expected a gzip file"),
        ("a pickle cut short", lambda world: gzip.compress(b"\x80\x04]"), "expected a pickle of arrays"),
        ("a pickle of numbers", lambda world: gzip.compress(b"I5\n."), "expected three pairs of images and labels"),
        (
            "a pickle of a list within itself",
            lambda world: gzip.compress(b"]q\0h\0a."),
            "expected three pairs of images and labels",
        ),
    ):
        yield Case(name, "pickles", pickled(content), said)
