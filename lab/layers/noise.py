"""Noise on images, computed in the graph: fast, and identical on every backend.

The Threefry key (`lab.layers.kernels.threefry`) is a seed and the number of the call; the counter is
an example's position in the batch and a pixel's position in the image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import keras
from keras import ops

from lab.errors import UsageError
from lab.layers.kernels.threefry import as_key, normal, random_words, threefry, uniform

Kind = Literal["gaussian", "salt_and_pepper", "masking"]
KINDS: tuple[str, ...] = get_args(Kind)

_LEVEL = -1  # the counter word of an example's level; those of pixels are 0 and more


def corrupt(images: Any, kind: str, levels: tuple[float, float], key: Sequence[Any]) -> Any:
    """Returns images with noise, identical up to rounding for the same key on every backend.

    Each image draws its level uniformly between the two given:

    - `gaussian`: the standard deviation of noise that is added; the sum is clipped to [0, 1];
    - `salt_and_pepper`: the fraction of pixels set to 0 or 1, with equal probability;
    - `masking`: the fraction of pixels set to 0.

    Args:
        images: floats in [0, 1], shape (batch, ...); every size but the batch must be known.
        kind: one of the three.
        levels: lowest and highest level, at least 0; a fraction is at most 1.
        key: two integers (or scalar tensors); another key gives other noise.

    Returns:
        A float32 tensor of the same shape.

    Raises:
        UsageError: the kind is unknown, or the levels are out of bounds.
    """
    _check(kind, levels)
    images = ops.cast(images, "float32")
    batch, shape = ops.shape(images)[0], tuple(images.shape[1:])
    pixels = math.prod(shape)
    key = as_key(key)
    bits = random_words(key, batch, pixels)
    low, high = levels
    level: Any = low
    if high > low:
        row = ops.reshape(ops.arange(batch, dtype="int32"), (-1, 1))
        first, _ = threefry(key, row, ops.full_like(row, _LEVEL))
        level = low + (high - low) * uniform(first)
    flat = ops.reshape(images, (-1, pixels))
    if kind == "gaussian":
        noisy = ops.clip(flat + level * normal(bits), 0, 1)
    elif kind == "salt_and_pepper":
        drawn = uniform(bits)
        noisy = ops.where(drawn < level / 2, 0.0, ops.where(drawn >= 1 - level / 2, 1.0, flat))
    else:
        noisy = ops.where(uniform(bits) < level, 0.0, flat)
    return ops.reshape(noisy, (-1, *shape))


def _check(kind: str, levels: tuple[float, float]) -> None:
    low, high = levels
    if kind not in KINDS:
        raise UsageError(f"kind={kind!r}: expected one of {', '.join(KINDS)}")
    if not 0 <= low <= high < math.inf or (kind != "gaussian" and high > 1):
        bound = "" if kind == "gaussian" else " of at most 1"
        raise UsageError(f"levels={low:g}:{high:g}: expected two numbers{bound}, 0 <= low <= high")


@keras.saving.register_keras_serializable("lab")
class Noise(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """Adds new noise to its input at each training step, and none at inference (Vincent et al., 2008).

    The noise is a pure function of the seed and the number of training calls so far. That number is
    a weight of the layer, so a resumed run draws the noise that the uninterrupted one would draw.

    Args:
        kind: `gaussian`, `salt_and_pepper` or `masking`; see `corrupt`.
        low, high: lowest and highest level; each example draws its level between them. `high=None`
            is `low`.
        seed: an integer; None draws one from Python's generator, which a run seeds.
        rest: further arguments of `keras.layers.Layer`; `dtype` is always float32, since half precision
            would round the pixels.

    Raises:
        UsageError: the kind is unknown, or the levels are out of bounds.
    """

    training_only = True  # a saved model leaves it out: lab.runs.export

    def __init__(
        self, kind: str = "gaussian", low: float = 0.5, high: float | None = None, seed: int | None = None, **rest: Any
    ) -> None:
        super().__init__(**{**rest, "dtype": "float32"})
        self.kind = kind
        self.levels = (low, low if high is None else high)
        _check(kind, self.levels)
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, images: Any, training: bool = False) -> Any:
        """Returns the images (batch, ...), with noise in training."""
        if not training:
            return images
        return corrupt(images, self.kind, self.levels, self.seed_generator.next())

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments, for `model.keras`."""
        low, high = self.levels
        seed = self.seed_generator.get_config()["seed"]
        return {**super().get_config(), "kind": self.kind, "low": low, "high": high, "seed": seed}
