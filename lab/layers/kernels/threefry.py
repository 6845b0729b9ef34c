"""Random numbers in the graph: fast, and identical on every backend.

`keras.random` gives different numbers on each backend, and on a CPU XLA takes much longer for them:
16 times as long for the Gaussian noise of an image, 60 times as long for the masks of Dropout. These numbers come
from Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers: As Easy as
1, 2, 3", SC 2011): a pure function of a key and a counter, in 32-bit additions, rotations and
exclusive ors, which every backend has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from keras import ops

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
_GILES = (  # the coefficients for the middle and for the tails, highest power first
    (2.81022636e-08, -0.000200214257),
    (3.43273939e-07, 0.000100950558),
    (-3.5233877e-06, 0.00134934322),
    (-4.39150654e-06, -0.00367342844),
    (0.00021858087, 0.00573950773),
    (-0.00125372503, -0.0076224613),
    (-0.00417768164, 0.00943887047),
    (0.246640727, 1.00167406),
    (1.50140941, 2.83297682),
)


def threefry(key: tuple[Any, Any], first: Any, second: Any) -> tuple[Any, Any]:
    """Returns two int32 tensors of random bits (Threefry-2x32, 20 rounds).

    Args:
        key: two int32 scalars.
        first, second: the counters, two int32 tensors of one shape.
    """
    keys = (*key, ops.bitwise_xor(ops.bitwise_xor(*key), _PARITY))
    first, second = first + keys[0], second + keys[1]
    for block in range(5):
        for bits in _ROTATIONS[block % 2]:
            first = first + second
            second = ops.bitwise_xor(_rotated(second, bits), first)
        first = first + keys[(block + 1) % 3]
        second = second + keys[(block + 2) % 3] + (block + 1)
    return first, second


def _rotated(words: Any, bits: int) -> Any:
    right = ops.bitwise_and(ops.right_shift(words, 32 - bits), (1 << bits) - 1)  # a shift of int32 keeps the sign
    return ops.bitwise_or(ops.left_shift(words, bits), right)


def as_key(numbers: Sequence[Any]) -> tuple[Any, Any]:
    """Returns the first two integers of a sequence or a tensor, as int32 scalars."""
    first, second = (ops.cast(number, "int32") for number in (numbers[0], numbers[1]))
    return first, second


def random_words(key: tuple[Any, Any], rows: Any, columns: Any) -> Any:
    """Returns random bits, int32 of shape (rows, columns).

    The bits of a row do not depend on the number of rows.
    """
    pairs = (columns + 1) // 2  # a call of Threefry gives two words
    row, pair = ops.arange(rows, dtype="int32"), ops.arange(pairs, dtype="int32")
    zeros = ops.expand_dims(row, 1) * 0 + pair * 0  # (rows, pairs)
    bits = threefry(key, ops.expand_dims(row, 1) + zeros, pair + zeros)
    return ops.concatenate(bits, axis=1)[:, :columns]


def uniform(words: Any) -> Any:
    """Turns 23 of the 32 bits into a float32 within (0, 1), exactly."""
    return (ops.cast(ops.bitwise_and(ops.right_shift(words, 9), (1 << 23) - 1), "float32") + 0.5) * 2.0**-23


def normal(words: Any) -> Any:
    """Turns 23 of the 32 bits into a float32 of the standard normal distribution, to within 1.5e-6.

    The result is sqrt(2) times the inverse error function of 2u - 1, by the polynomials of Giles
    ("Approximating the erfinv function", GPU Computing Gems, 2011), as in `ops.erfinv`. That function
    starts with the logarithm of 1 - (2u - 1)^2, which takes XLA as long as everything else; written as
    4u(1 - u), the plain logarithm does.
    """
    u = uniform(words)
    w = -ops.log(4 * u * (1 - u))
    middle = w < 5
    x = ops.where(middle, w - 2.5, ops.sqrt(w) - 3)
    value, *rest = (ops.where(middle, *(ops.cast(number, "float32") for number in pair)) for pair in _GILES)
    for coefficient in rest:
        value = coefficient + value * x
    return math.sqrt(2) * value * (2 * u - 1)
