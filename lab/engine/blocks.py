"""The indices of an epoch, cut into the blocks that one call of a compiled program takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from lab.data.arrays import Array
from lab.data.batches import Batches


class Block(NamedTuple):
    """The indices of the steps `first` to `last` of an epoch.

    Attributes:
        first, last: steps, counted from 0 in each epoch.
        looped: indices of the batches that go through a loop, int32 of shape (steps per call, batch size), of
            which the first `full` rows are used; None where there are none.
        full: how many batches go through the loop.
        rest: indices of the batches that are done one by one after it.
    """

    first: int
    last: int
    looped: Array | None
    full: int
    rest: list[Array]


def blocks(batches: Batches, epoch: int, start: int, per_call: int, *, loops: bool) -> Iterator[Block]:
    """Yields the blocks of an epoch.

    Args:
        batches: whose order it is.
        epoch: the epoch.
        start: the first step.
        per_call: the most steps in a block.
        loops: whether full batches go through a loop.
    """
    order: Array = batches.remaining(epoch, start).astype(np.int32)
    size = batches.batch_size
    for place in range(0, len(order), per_call * size):
        chosen = order[place : place + per_call * size]
        first = start + place // size
        count = len(chosen) // size if loops else 0
        looped: Array | None = None
        if count:
            looped = np.zeros((per_call, size), np.int32)
            looped[:count] = chosen[: count * size].reshape(count, size)
        rest = [chosen[begin : begin + size] for begin in range(count * size, len(chosen), size)]
        yield Block(first, first + count + len(rest) - 1, looped, count, rest)
