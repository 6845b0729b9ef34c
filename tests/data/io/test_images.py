"""Pictures: every kind is read as grey on white, every fault is said, and distortions stay slight."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lab.data.io.images import by_tiles, distort, read_grey, resize, write_grey
from lab.errors import DataError
from tests.conftest import digits

RAMP = np.linspace(0, 255, 12).astype(np.uint8).reshape(3, 4)


def saved(path: Path, picture: Image.Image, **options: Any) -> Path:
    picture.save(path, **options)
    return path


def said(call: Callable[[], Any]) -> str:
    """The message of the DataError that a call ends with, which must be one line."""
    with pytest.raises(DataError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_grey_png_is_read_exactly(tmp_path: Path) -> None:
    grey = read_grey(saved(tmp_path / "a.png", Image.fromarray(RAMP)))
    assert grey.dtype == np.float32
    assert np.array_equal(grey, RAMP / np.float32(255))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_black_is_0_and_white_is_1_in_every_mode_of_png(tmp_path: Path, mode: str) -> None:
    pixels = np.array([[0, 255, 0], [255, 255, 0]], np.uint8)
    grey = read_grey(saved(tmp_path / "a.png", Image.fromarray(pixels).convert(mode)))
    assert grey.tolist() == [[0, 1, 0], [1, 1, 0]]


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_is_read_nearly(tmp_path: Path, mode: str) -> None:
    smooth = np.add.outer(np.arange(16), np.arange(24)).astype(np.uint8) * 6
    grey = read_grey(saved(tmp_path / "a.jpg", Image.fromarray(smooth).convert(mode), quality=95))
    assert grey.shape == (16, 24)
    assert np.abs(grey - smooth / 255).max() < 0.03


def test_colours_have_the_brightness_that_eyes_see(tmp_path: Path) -> None:
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    grey = read_grey(saved(tmp_path / "a.png", Image.fromarray(colours)))
    assert grey[0].tolist() == pytest.approx([0.299, 0.587, 0.114], abs=0.005)  # ITU-R 601


def test_white_shines_through_what_is_transparent(tmp_path: Path) -> None:
    pixels = np.array([[[0, 0, 0, 255], [0, 0, 0, 0], [0, 0, 0, 128]]], np.uint8)
    grey = read_grey(saved(tmp_path / "a.png", Image.fromarray(pixels)))
    assert grey[0].tolist() == pytest.approx([0, 1, 0.5], abs=0.005)


def test_a_transparent_colour_of_a_palette_is_white(tmp_path: Path) -> None:
    picture = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    picture.putpalette([0, 0, 0, 0, 0, 255])
    assert read_grey(saved(tmp_path / "a.png", picture, transparency=0))[0].tolist() == pytest.approx(
        [1, 0.114], abs=0.005
    )


def test_sixteen_bits_a_pixel_are_read_over_their_whole_range(tmp_path: Path) -> None:
    values = np.array([[0, 16384, 32768, 65535]], np.uint16)
    grey = read_grey(saved(tmp_path / "a.png", Image.fromarray(values)))
    assert grey[0].tolist() == pytest.approx([0, 0.25, 0.5, 1], abs=0.01)


def text(path: Path) -> None:
    path.write_text("no picture", "utf-8")


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("write", [text, empty])
def test_what_is_no_picture_is_refused(tmp_path: Path, write: Callable[[Path], None]) -> None:
    path = tmp_path / "a.png"
    write(path)
    assert said(lambda: read_grey(path)) == f"{path}: expected a picture (PNG, JPEG, ...), this is none"


def test_a_missing_picture_is_said(tmp_path: Path) -> None:
    assert said(lambda: read_grey(tmp_path / "a.png")) == f"{tmp_path / 'a.png'}: no such file"


def test_a_folder_is_no_picture(tmp_path: Path) -> None:
    assert said(lambda: read_grey(tmp_path)).startswith(f"{tmp_path}: expected a picture, ")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP"])
def test_a_picture_cut_short_is_refused(tmp_path: Path, kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)
    path = saved(tmp_path / "a", Image.fromarray(noise), format=kind)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert said(lambda: read_grey(path)).startswith(f"{path}: expected a picture, ")


@given(st.sampled_from(["PNG", "JPEG", "GIF", "BMP"]), st.data())
@settings(deadline=None)
def test_no_damage_makes_a_picture_raise_anything_but_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, kind: str, draw: st.DataObject
) -> None:
    buffer = io.BytesIO()
    Image.fromarray(RAMP).save(buffer, kind)
    content = bytearray(buffer.getvalue())
    for at in draw.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
        content[at] = draw.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("picture") / "a"
    path.write_bytes(content)
    said = ""
    try:
        assert read_grey(path).dtype == np.float32
    except DataError as error:
        said = str(error)
    assert "\n" not in said


def test_a_picture_with_too_many_pixels_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(RAMP))
    monkeypatch.setattr("lab.data.io.images._MAX_PIXELS", 12)
    assert read_grey(path).shape == (3, 4)
    monkeypatch.setattr("lab.data.io.images._MAX_PIXELS", 11)
    monkeypatch.setattr(Image.Image, "convert", lambda *_: pytest.fail("the pixels were read"))
    assert said(lambda: read_grey(path)) == f"{path}: expected at most 11 pixels, got (4, 3)"


@pytest.mark.parametrize("limit", [5, 7], ids=["error", "warning"])
def test_what_pillow_takes_for_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(RAMP))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)  # Pillow warns above it and raises above twice as many
    assert said(lambda: read_grey(path)) == f"{path}: expected at most 50,000,000 pixels, there are more"


def test_resize_gives_the_size_asked_for_within_0_and_1() -> None:
    sharp = np.kron(np.indices((4, 4)).sum(0) % 2, np.ones((5, 5))).astype(np.float32)
    for height, width in [(28, 28), (7, 31), (1, 1)]:
        resized = resize(sharp, height, width)
        assert resized.shape == (height, width)
        assert resized.dtype == np.float32
        assert resized.min() >= 0
        assert resized.max() <= 1


def test_resize_to_the_same_size_changes_nothing() -> None:
    image = np.random.default_rng(0).random((5, 6), np.float32)
    assert np.array_equal(resize(image, 5, 6), image)


def test_resize_keeps_what_the_picture_shows() -> None:
    ramp = np.tile(np.linspace(0, 1, 40, dtype=np.float32), (20, 1))
    small = resize(ramp, 10, 20)
    assert np.abs(small - np.linspace(0, 1, 20)).max() < 0.05
    assert np.allclose(resize(np.full((9, 9), 0.25, np.float32), 4, 5), 0.25, atol=1e-6)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write_grey(tmp_path / "a.png", RAMP / 255)
    assert np.array_equal(read_grey(tmp_path / "a.png"), RAMP / np.float32(255))
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_each_value_is_written_as_a_square(tmp_path: Path) -> None:
    write_grey(tmp_path / "a.png", RAMP / 255, scale=3)
    back = read_grey(tmp_path / "a.png")
    assert back.shape == (9, 12)
    assert np.array_equal(back, np.kron(RAMP, np.ones((3, 3))).astype(np.float32) / np.float32(255))


def test_values_beyond_0_and_1_are_written_as_black_and_white(tmp_path: Path) -> None:
    write_grey(tmp_path / "a.png", np.array([[-0.5, 0.5, 1.5]]))
    assert read_grey(tmp_path / "a.png")[0].tolist() == pytest.approx([0, 0.5, 1], abs=0.005)


def some_digits(count: int = 40) -> np.ndarray:
    return digits(count)[0].astype(np.float32) / 255


def test_the_same_seed_distorts_the_same_and_another_does_not() -> None:
    images = some_digits()
    assert distort(images, 3).tobytes() == distort(images, 3).tobytes()
    differs = np.abs(distort(images, 3) - distort(images, 4)).max(axis=(1, 2)) > 0.05
    assert differs.mean() > 0.9


def test_each_image_is_distorted_in_its_own_way() -> None:
    made = distort(np.repeat(some_digits(1), 20, axis=0), 0)
    assert len({image.tobytes() for image in made}) == 20


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(3, 28, 28), (2, 9, 14), (0, 28, 28)])
def test_distorted_images_keep_shape_dtype_and_range(dtype: Any, shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).random(shape).astype(dtype)
    kept = images.copy()
    made = distort(images, 1)
    assert made.shape == shape
    assert made.dtype == dtype
    assert ((made >= 0) & (made <= 1)).all()
    assert np.array_equal(images, kept)


def test_distortions_are_slight_but_there() -> None:
    images = some_digits(200)
    made = distort(images, 5)
    ink = images.sum((1, 2))
    assert (np.abs(made.sum((1, 2)) - ink) < 0.25 * ink).all()
    rows, columns = np.mgrid[:28, :28]
    for axis in (rows, columns):
        moved = (made * axis).sum((1, 2)) / made.sum((1, 2)) - (images * axis).sum((1, 2)) / ink
        assert np.abs(moved).max() < 2.5
        assert 0.1 < np.abs(moved).mean() < 1.5
    assert (np.abs(made - images).max(axis=(1, 2)) > 0.02).all()


def test_a_centred_disc_stays_where_it_is_within_a_pixel() -> None:
    rows, columns = np.mgrid[:28, :28]
    disc = (np.hypot(rows - 13.5, columns - 13.5) < 8).astype(np.float32)
    for image in distort(np.repeat(disc[None], 50, axis=0), 2):
        centre = (image * rows).sum() / image.sum(), (image * columns).sum() / image.sum()
        assert centre == pytest.approx((13.5, 13.5), abs=1.25)


# --- tiles ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(28, 28), (29, 28), (100, 61), (28, 300), (5, 90), (1, 1), (27, 27)])
def test_tiles_of_a_function_that_changes_nothing_give_the_picture_back(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random(size, np.float32)
    made = by_tiles(image, 28, lambda tiles: tiles)
    assert made.shape == size
    assert made.dtype == np.float32
    assert np.allclose(made, image, atol=1e-6)


def test_tiles_overlap_and_leave_no_seam() -> None:
    seen = 0

    def darken_the_edges(tiles: np.ndarray) -> np.ndarray:
        nonlocal seen
        seen += len(tiles)
        assert tiles.shape[1:] == (28, 28)
        made = np.ones_like(tiles)
        made[:, [0, -1]] = made[:, :, [0, -1]] = 0
        return made

    made = by_tiles(np.zeros((84, 84), np.float32), 28, darken_the_edges)
    assert seen == 9 * 9, "a quarter of the side apart"
    assert made[3:-3, 3:-3].min() > 0.97, "what a tile does at its edge hardly counts"


def test_each_tile_sees_what_is_there() -> None:
    image = np.zeros((28, 140), np.float32)
    image[:, 70:] = 1
    made = by_tiles(image, 28, lambda tiles: np.broadcast_to(tiles.mean(axis=(1, 2), keepdims=True), tiles.shape))
    assert made[14, 5] == 0
    assert made[14, 135] == 1
    assert made[14, 69] == pytest.approx(0.5, abs=0.1)


def test_a_picture_that_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="expected to write the result there"):
        write_grey(tmp_path / "file" / "x.png", np.zeros((2, 2)))
