"""Variable-length sequences, in batches of similar length, so that there is little padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lab.data.arrays import Array, Split
from lab.data.batches import Batches, Indices
from lab.errors import DataError, UsageError


class Ragged:
    """Variable-length sequences of whole numbers; it acts as an array of shape (sequences, widths[-1]).

    An index array returns a matrix, padded with zeros to the smallest of the widths that holds its
    longest sequence; a slice returns a container of fewer sequences. The batches of a `Split` whose
    inputs are ragged are `Buckets`.

    Args:
        tokens: all sequences, concatenated; shape (n,).
        starts: where each begins; shape (sequences,).
        lengths: how long each is; shape (sequences,).
        widths: the lengths to which batches are padded; few, as each is compiled.

    Raises:
        DataError: they do not fit.
    """

    def __init__(self, tokens: Array, starts: Array, lengths: Array, widths: Sequence[int]) -> None:
        self.tokens = tokens
        self.starts = np.asarray(starts, np.int64)
        self.lengths = np.asarray(lengths, np.int64)
        self.widths = tuple(sorted({int(width) for width in widths}))
        if tokens.ndim != 1 or tokens.dtype.kind not in "iu" or len(self.starts) != len(self.lengths):
            raise DataError(f"expected a sequence of whole numbers, starts and lengths, got {tokens.dtype}")
        longest = int(self.lengths.max(initial=0))
        ends = int((self.starts + self.lengths).max(initial=0))
        if not self.widths or self.widths[0] < 1 or longest > self.widths[-1] or ends > len(tokens):
            raise DataError(f"expected widths up to the longest of {longest} tokens, got {self.widths}")

    @classmethod
    def of(cls, sequences: Sequence[Array], widths: Sequence[int]) -> Ragged:
        """Returns a container of separate sequences."""
        lengths = np.array([len(sequence) for sequence in sequences], np.int64)
        tokens = np.concatenate([*sequences, np.zeros(0, np.int32)]).astype(np.int32)
        return cls(tokens, np.cumsum(lengths) - lengths, lengths, widths)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The tokens' dtype."""
        return self.tokens.dtype

    @property
    def ndim(self) -> int:
        """Two: sequences and tokens."""
        return 2

    @property
    def shape(self) -> tuple[int, int]:
        """The number of sequences and the greatest width."""
        return len(self.lengths), self.widths[-1]

    def __len__(self) -> int:
        return len(self.lengths)

    def to_device(self) -> Any:
        """Returns the container with its tokens as a tensor, for `lab.data.device.gather`."""
        from lab.data.device import DeviceRagged

        return DeviceRagged(self)

    def bucket(self, which: Any) -> Indices:
        """Returns the place of each sequence's width among the widths."""
        return np.asarray(np.searchsorted(self.widths, self.lengths[which]), np.int64)

    def width(self, which: Any) -> int:
        """Returns the width of a batch of these sequences."""
        return self.widths[int(self.bucket(which).max(initial=0))]

    def __getitem__(self, which: Any) -> Any:
        if isinstance(which, slice):
            return self._packed(self.starts[which], self.lengths[which])
        which = np.asarray(which)
        places = np.arange(self.width(which))
        sources = self.starts[which][..., None] + places
        inside = places < self.lengths[which][..., None]
        if not len(self.tokens):
            return np.zeros(inside.shape, self.dtype)
        return np.where(inside, self.tokens[np.minimum(sources, len(self.tokens) - 1)], np.asarray(0, self.dtype))

    def _packed(self, starts: Indices, lengths: Indices) -> Ragged:
        ends = np.cumsum(lengths)
        places = np.repeat(starts - (ends - lengths), lengths) + np.arange(lengths.sum())
        return Ragged(self.tokens[places], ends - lengths, lengths, self.widths)


class Buckets(Batches):
    """Batches of sequences of similar length.

    Where shuffled, an epoch takes the examples in the order of `Batches` and puts each into the bucket
    of its width. Every full bucket is a batch; the remainder of a bucket moves to the next wider one, so
    that only the last batch is smaller. The order of the batches is drawn from the same generator, so
    that it is a pure function of `(seed, epoch)` as well. Otherwise examples are ordered by width, and
    within a width as in the arrays.

    Args:
        split: its `x` are `Ragged`.
        batch_size, seed, shuffle, limit, stop: as in `Batches`.

    Raises:
        UsageError: the split has no variable-length sequences.
    """

    def __init__(self, split: Split, batch_size: int, **options: Any) -> None:
        if not isinstance(split.x, Ragged):
            raise UsageError(f"{split.name} split: expected lab.data.Ragged as inputs, got {type(split.x).__name__}")
        super().__init__(split, batch_size, **options)

    one_shape = False

    def width(self, indices: Any) -> int:
        """Returns the length to which a batch is padded: the least of the widths that holds its longest sequence."""
        return int(self.split.x.width(indices))

    def order(self, epoch: int) -> Indices:
        """Returns the indices of one epoch's examples, batch after batch; int64, shape (examples,)."""
        count, size = len(self.split), self.batch_size
        bucket = self.split.x.bucket(slice(None))
        if not self.shuffle:
            return np.argsort(bucket, kind="stable").astype(np.int64, copy=False)
        words = np.random.Philox(key=np.array([self.seed, epoch], np.uint64)).random_raw(count + count // size)
        shuffled = np.argsort(words[:count], kind="stable").astype(np.int64, copy=False)
        full, left = [], shuffled[:0]
        for place in range(len(self.split.x.widths)):
            members = np.concatenate([left, shuffled[bucket[shuffled] == place]])
            whole = len(members) - len(members) % size
            full.append(members[:whole].reshape(-1, size))
            left = members[whole:]
        batches = np.concatenate(full)
        return np.concatenate([batches[np.argsort(words[count:], kind="stable")].ravel(), left])


def widths_for(lengths: Array, multiple: int, count: int = 6) -> tuple[int, ...]:
    """Returns a few widths, multiples of a number, that hold sequences with the least padding.

    Args:
        lengths: of the sequences, shape (n,).
        multiple: what each width is a multiple of.
        count: the most widths.
    """
    steps = np.maximum(1, -(-np.asarray(lengths, np.int64) // multiple))
    longest = int(steps.max(initial=1))
    upto = np.searchsorted(np.sort(steps), np.arange(longest + 1), side="right")  # sequences of at most this many steps
    cost = np.full((count + 1, longest + 1), np.inf)  # padded steps by the number of widths and the widest
    cost[0, 0] = 0
    before = np.zeros((count + 1, longest + 1), np.int64)
    for used in range(1, count + 1):
        for widest in range(1, longest + 1):
            options = cost[used - 1, :widest] + (upto[widest] - upto[:widest]) * widest
            before[used, widest] = options.argmin()
            cost[used, widest] = options.min()
    used = int(cost[:, longest].argmin())
    chosen, widest = [], longest
    while used:
        chosen.append(int(widest) * multiple)
        widest, used = before[used, widest], used - 1
    return tuple(reversed(chosen))
