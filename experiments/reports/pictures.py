"""What `lab predict` does with a user's pictures: it writes one result for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import lab
from lab.data import Array
from lab.data.datasets.mnist import SIDE
from lab.data.io.images import by_tiles, read_grey, resize, write_grey
from lab.engine.inference import predict
from lab.tasks.images.scores import psnr, squared_error

if TYPE_CHECKING:
    import keras


class Options(lab.Settings):
    """Options of `lab predict`."""

    invert: bool = lab.field(False, "The pictures are dark on light; MNIST is light on dark.")
    output: Path | None = lab.field(None, "Folder for the results; none writes each next to its picture.")


class DenoisingOptions(Options):
    """Options of `lab predict` for a denoising autoencoder."""

    noise: float = lab.field(0.0, "Level of noise to add to the picture first, of the run's kind.", ge=0, le=1)


def each(inputs: Sequence[str], process: Callable[[Path], str]) -> Iterator[str | lab.LabError]:
    """Yields a line of output for each picture, or the error that prevented it.

    Args:
        inputs: paths of pictures.
        process: writes one picture's result and returns a line about it.

    Raises:
        UsageError: there are no inputs.
    """
    if not inputs:
        raise lab.UsageError("predict: expected pictures, such as digit.png")
    for name in inputs:
        try:
            yield process(Path(name))
        except lab.LabError as error:
            yield error


def reconstruct(model: keras.Model, path: Path, options: Options) -> str:
    """Writes what the model saw and its reconstruction, side by side, as `NAME.reconstruction.png`.

    Args:
        model: maps images (n, 28, 28) to images of that shape.
        path: the picture; any size, resized to 28 x 28 pixels.
        options: those of `lab predict`.

    Raises:
        DataError: the picture cannot be read, or the result cannot be written.
    """
    picture = _read(path, options)
    image = resize(picture, SIDE, SIDE)
    drawn = predict(model, image[None])[0]
    target = _target(path, "reconstruction", options)
    write_grey(target, np.hstack([image, np.ones((SIDE, 1)), drawn]), scale=8)
    notes = []
    if picture.shape != (SIDE, SIDE):
        notes.append(f"resized from {picture.shape[1]} x {picture.shape[0]} pixels")
    error = squared_error(image[None], drawn[None])[0]
    return _line(f"{path} -> {target}, squared error {error:.4f}", notes, picture)


def denoise(model: keras.Model, path: Path, options: Options, add_noise: Callable[[Array, float], Array]) -> str:
    """Writes a picture denoised, in its own size, as `NAME.denoised.png`.

    Args:
        model: maps images (n, 28, 28) to images of that shape; larger pictures go through it in tiles.
        path: the picture.
        options: those of `lab predict`; with `noise`, the noisy picture is written as `NAME.noisy.png`.
        add_noise: adds noise of a level to images (n, height, width).

    Raises:
        DataError: the picture cannot be read, or a result cannot be written.
    """
    picture = _read(path, options)
    level = options.noise if isinstance(options, DenoisingOptions) else 0.0
    seen = add_noise(picture[None], level)[0] if level else picture
    drawn = by_tiles(seen, SIDE, lambda tiles: predict(model, tiles))
    target = _target(path, "denoised", options)
    notes = []
    if level:
        write_grey(_target(path, "noisy", options), 1 - seen if options.invert else seen)
        before, after = (psnr(picture[None], image[None])[0] for image in (seen, drawn))
        notes.append(f"{before:.1f} dB with the noise, {after:.1f} dB denoised")
    write_grey(target, 1 - drawn if options.invert else drawn)
    if picture.shape != (SIDE, SIDE):
        notes.append(f"in overlapping tiles; the model was trained on digits of {SIDE} x {SIDE} pixels only")
    return _line(f"{path} -> {target}", notes, seen)


def _read(path: Path, options: Options) -> Array:
    picture = read_grey(path)
    return 1 - picture if options.invert else picture


def _target(path: Path, result: str, options: Options) -> Path:
    return (options.output or path.parent) / f"{path.stem}.{result}.png"


def _line(text: str, notes: Iterable[str], picture: Array) -> str:
    """A line of output with notes in brackets, and a hint where the picture seems to need `--invert`."""
    hint = ["it is mostly light; for a dark digit on light paper add --invert"] if picture.mean() > 0.5 else []
    brackets = "; ".join([*notes, *hint])
    return f"{text} ({brackets})\n" if brackets else f"{text}\n"
