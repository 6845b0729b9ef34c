"""Arrays on the device: what is gathered there is what the array has, to the bit, however it is stored."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from lab.data import Batches, Split
from lab.data.device import as_levels, gather, tensors_of, to_device, with_tensors
from lab.engine.compiled import compiled

LEVELS = np.arange(256, dtype=np.uint8)
PICTURES = (np.tile(LEVELS, 7 * 28).reshape(64, 28, 28) / np.float32(255)).astype(np.float32)


def gathered(array: Any, which: Any, *, jit: bool) -> np.ndarray:
    parts = to_device(Batches(Split("train", array, array), 4))
    places = keras.ops.convert_to_tensor(np.asarray(which, np.int32))
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        both = tf.function(lambda places: gather(parts, places), jit_compile=jit)(places)
    else:

        def take(tensors: Any, places: Any) -> Any:
            return gather(with_tensors(parts, tensors), places)

        both = (compiled(take) if jit else take)(tensors_of(parts), places)
    assert both[0] is both[1] or np.array_equal(both[0], both[1])
    return np.asarray(both[0])


@pytest.mark.parametrize("jit", [False, True], ids=["plain", "XLA"])
def test_every_level_of_a_pixel_comes_back_to_the_bit(jit: bool) -> None:
    assert as_levels(PICTURES) is not None
    which = np.random.default_rng(0).permutation(64)
    found = gathered(PICTURES, which, jit=jit)
    assert found.dtype == np.float32
    assert found.tobytes() == PICTURES[which].tobytes()


@pytest.mark.parametrize("jit", [False, True], ids=["plain", "XLA"])
@pytest.mark.parametrize(
    "array",
    [
        np.arange(10, dtype=np.int64),
        np.arange(30, dtype=np.uint8).reshape(10, 3),
        np.linspace(-3, 3, 120, dtype=np.float64).reshape(10, 2, 3, 2),
        np.zeros((10, 0), np.float32),
        np.full((10, 2), 1e38, np.float32),
        np.eye(10, dtype=np.float32),
        np.array([[True, False]] * 10),
    ],
    ids=["labels", "bytes", "float64", "nothing", "huge", "one-hot", "truths"],
)
def test_any_array_comes_back_unchanged(array: np.ndarray, jit: bool) -> None:
    which = [3, 3, 0, 9]
    found = gathered(array, which, jit=jit)
    same = keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(array))  # JAX has no 64 bits by default
    assert found.dtype == same.dtype
    assert np.array_equal(found, same[which])


def test_bytes_stand_for_pixels_only_where_they_are_exact() -> None:
    levels = as_levels(PICTURES)
    assert levels is not None
    assert levels.dtype == np.uint8
    assert np.array_equal(levels.reshape(-1)[:256], LEVELS)
    for wrong in (0.5001, -1 / 255, 256 / 255, 1e30, 3e-5):
        other = np.tile(PICTURES, (33, 1, 1))  # more than one part is looked at
        other[-1, -1, -1] = wrong
        assert as_levels(other) is None, wrong
    assert as_levels(PICTURES.astype(np.float64)) is None
    assert as_levels(PICTURES[:, 0, 0]) is None  # targets, one number each: there is nothing to save


def test_a_picture_that_is_its_own_target_is_moved_once() -> None:
    x, y = to_device(Batches(Split("train", PICTURES, PICTURES), 4))
    assert x is y
    assert keras.backend.standardize_dtype(x.tensors[0].dtype) == "uint8"
