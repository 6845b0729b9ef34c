"""Random numbers in the graph: fast, and the same on every backend.

`keras.random` gives other numbers on each backend, and on a CPU XLA takes many times as long for
them: sixteen times for an image's Gaussian noise, sixty for Dropout's masks. These come from
Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers: As Easy as 1,
2, 3", SC 2011): a pure function of a key and a counter, in 32-bit additions, rotations and exclusive
ors, which every backend has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


def threefry(key: tuple[Any, Any], first: Any, second: Any) -> tuple[Any, Any]:
    """Returns two int32 tensors of random bits for a key and two int32 tensors of counters (Threefry-2x32, 20 rounds).

    Args:
        key: two int32 scalars.
        first, second: the counters, of one shape.
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
    """Returns the first two of some whole numbers, or of a tensor of them, as int32 scalars."""
    first, second = (ops.cast(number, "int32") for number in (numbers[0], numbers[1]))
    return first, second


def words(key: tuple[Any, Any], rows: Any, columns: Any) -> Any:
    """Returns random bits, int32 of shape (rows, columns): a call of Threefry gives a pair.

    A row's bits do not depend on how many rows there are.
    """
    pairs = (columns + 1) // 2
    row, pair = ops.arange(rows, dtype="int32"), ops.arange(pairs, dtype="int32")
    none = ops.expand_dims(row, 1) * 0 + pair * 0  # (rows, pairs)
    bits = threefry(key, ops.expand_dims(row, 1) + none, pair + none)
    return ops.concatenate(bits, axis=1)[:, :columns]


def uniform(words: Any) -> Any:
    """Turns 23 of the 32 bits into a float32 inside (0, 1), exactly."""
    return (ops.cast(ops.bitwise_and(ops.right_shift(words, 9), (1 << 23) - 1), "float32") + 0.5) * 2.0**-23
