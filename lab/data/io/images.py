"""Pictures: reading a user's own, writing one, and slight distortions of many."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lab._utils.files import read_bytes, write_bytes
from lab.data.arrays import Array
from lab.errors import DataError

_MAX_PIXELS = 50_000_000
_MAX_BYTES = 1 << 30
_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")  # others of Pillow's start programs


def read_grey(path: Path) -> Array:
    """Reads a picture as grey values from 0 (black) to 1 (white); float32, shape (height, width).

    Raises:
        DataError: it is missing, not a picture, damaged, or has more than 50 million pixels.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(read_bytes(path, _MAX_BYTES)), formats=_FORMATS) as picture:
                if picture.width * picture.height > _MAX_PIXELS:
                    raise DataError(f"{path}: expected at most {_MAX_PIXELS:,} pixels, got {picture.size}")
                if picture.mode.startswith("I;16"):  # Pillow would cut it off at 255
                    wide = np.asarray(picture, np.float32)
                    return wide / np.float32(65535)
                if picture.mode == "F" and not np.isfinite(np.asarray(picture)).all():
                    raise ValueError("its numbers are not finite")
                rgba = picture.convert("RGBA")
    except DataError:
        raise
    except UnidentifiedImageError:
        raise DataError(f"{path}: expected a picture (PNG, JPEG, ...), this is none") from None
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"{path}: expected at most {_MAX_PIXELS:,} pixels, there are more") from None
    except Exception as error:  # a damaged file may raise nearly anything, from Pillow and zlib
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DataError(f"{path}: expected a picture, {reason}") from None
    white = Image.new("RGBA", rgba.size, "white")  # what shines through a transparent picture
    grey = Image.alpha_composite(white, rgba).convert("L")
    return np.asarray(grey, np.float32) / np.float32(255)


def resize(image: Array, height: int, width: int) -> Array:
    """Returns a grey picture at another size, with Lanczos's filter; values stay in [0, 1]."""
    from PIL import Image

    if image.shape == (height, width):
        return image
    picture = Image.fromarray(np.asarray(image, np.float32))
    resized = np.asarray(picture.resize((width, height), Image.Resampling.LANCZOS), np.float32)
    return np.asarray(np.clip(resized, 0, 1))


def by_tiles(image: Array, side: int, draw: Callable[[Array], Array]) -> Array:
    """Draws a picture of any size with a function that takes squares, in overlapping tiles.

    Tiles stand a quarter of their side apart and are blended with weights that fall off to their
    edges (a Hann window), so that no seam shows. A picture smaller than a tile is continued by its
    edges and cut back.

    Args:
        image: grey values, shape (height, width).
        side: of a tile, in pixels.
        draw: turns images of shape (n, side, side) into images of that shape.
    """
    height, width = image.shape
    if (height, width) == (side, side):
        return np.asarray(draw(image[None])[0])
    padded = np.pad(image, ((0, max(0, side - height)), (0, max(0, side - width))), mode="edge")
    wave = np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2
    window = np.outer(wave, wave)
    total, weight = np.zeros(padded.shape), np.zeros(padded.shape)
    rows, columns = (_places(size, side) for size in padded.shape)
    for row in rows:  # one band at a time: a large picture has millions of tiles
        tiles = np.stack([padded[row : row + side, column : column + side] for column in columns])
        for column, tile in zip(columns, draw(tiles), strict=True):
            total[row : row + side, column : column + side] += window * tile
            weight[row : row + side, column : column + side] += window
    return (total / weight)[:height, :width].astype(np.float32)


def _places(size: int, side: int) -> list[int]:
    """Where tiles begin, a quarter of their side apart, the last one at the end."""
    last = size - side
    return [*range(0, last, max(1, side // 4)), last]


def write_grey(path: Path, image: Array, scale: int = 1) -> None:
    """Writes grey values from 0 to 1 as a PNG, each value as a square of `scale` pixels.

    Raises:
        DataError: it cannot be written there.
    """
    from PIL import Image

    values = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(np.kron(values, np.ones((scale, scale), np.uint8))).save(buffer, "PNG")
    try:
        write_bytes(path, buffer.getvalue())
    except OSError as error:
        raise DataError(f"{path}: expected to write the result there, {error.strerror or error}") from None


def distort(images: Array, seed: int) -> Array:
    """Returns each image slightly turned, scaled, slanted and shifted, with cubic interpolation.

    The bounds are those of handwriting: 8 degrees, 8 %, a slant of 0.12, one pixel (cf. Simard,
    Steinkraus and Platt, 2003, who add elastic deformation).

    Args:
        images: float32 in [0, 1], shape (n, height, width).
        seed: of the distortions; the same seed gives the same images.
    """
    from scipy import ndimage

    rng = np.random.Generator(np.random.Philox(seed))
    count, centre = len(images), (np.array(images.shape[1:]) - 1) / 2
    angle, slant = rng.uniform(-0.14, 0.14, count), rng.uniform(-0.12, 0.12, count)
    scale, shift = np.exp(rng.uniform(-0.08, 0.08, (count, 2))), rng.uniform(-1, 1, (count, 2))
    turned = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], -1).reshape(-1, 2, 2)
    slanted = np.tile(np.eye(2), (count, 1, 1))
    slanted[:, 0, 1] = slant
    matrix = turned @ slanted * scale[:, None, :]
    offset = centre - matrix @ centre + shift
    made = np.empty_like(images)
    for image, m, o, out in zip(images, matrix, offset, made, strict=True):
        ndimage.affine_transform(image, m, o, output=out, order=3)
    np.clip(made, 0, 1, out=made)
    return made
