"""Long sequences, read in parallel streams whose state is carried from batch to batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from lab.data.arrays import Array, Split
from lab.data.batches import Batches, Indices
from lab.errors import DataError, UsageError


class Windows:
    """All windows of one long sequence, without a copy; it acts as an array of shape (starts, length).

    Example `k` is `tokens[k : k + length]`, padded with `fill` behind the end of the sequence. The batches
    of a `Split` whose inputs are windows are `Streams`.

    Args:
        tokens: whole numbers, shape (n,).
        length: tokens in a window.
        fill: the padding: an input that the model takes, a target that the loss ignores.

    Raises:
        DataError: there are no tokens, or they are not whole numbers.
    """

    def __init__(self, tokens: Array, length: int, fill: int = 0) -> None:
        if tokens.ndim != 1 or tokens.dtype.kind not in "iu" or not len(tokens) or length < 1:
            raise DataError(f"expected a sequence of whole numbers and a length, got {tokens.dtype} {tokens.shape}")
        self.tokens = tokens
        self.length = length
        self.fill = fill

    @property
    def dtype(self) -> np.dtype[Any]:
        """The tokens' dtype."""
        return self.tokens.dtype

    @property
    def ndim(self) -> int:
        """Two: starts and length."""
        return 2

    @property
    def shape(self) -> tuple[int, int]:
        """The number of windows and their length."""
        return len(self.tokens), self.length

    def __len__(self) -> int:
        return len(self.tokens)

    def to_device(self) -> Any:
        """Returns the container with its tokens as a tensor, for `lab.data.device.gather`."""
        from lab.data.device import DeviceWindows

        return DeviceWindows(self)

    def __getitem__(self, which: Any) -> Any:
        """Returns the windows that begin at the given indices, as an array; for a slice, a shorter `Windows`."""
        if isinstance(which, slice):
            return Windows(self.tokens[which], self.length, self.fill)
        places = np.asarray(which)[..., None] + np.arange(self.length)
        windows = self.tokens[np.minimum(places, len(self.tokens) - 1)]
        return np.where(places < len(self.tokens), windows, np.asarray(self.fill, self.dtype))


class Streams(Batches):
    """Batches of consecutive windows: example `b` of a batch begins where example `b` of the previous one ended.

    The sequence is cut into `batch_size` streams of equal length. A layer that carries its state
    (`stateful=True`) reads each stream from end to end, while gradients stop at the border of a window
    (truncated back-propagation through time, Williams and Peng, 1990). Where shuffled, an epoch has
    complete windows only and leaves out fewer than `batch_size` of them; the start of the first is a pure
    function of `(seed, epoch)`, so that borders differ between epochs. Otherwise every token is read once,
    from the start, and the last windows are padded.

    Args:
        split: its `x` are `Windows`; likewise `y`, whose `fill` the loss should ignore.
        batch_size: streams.
        seed, shuffle, limit, stop: as in `Batches`.

    Raises:
        UsageError: the split has no windows.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        limit: int | None = None,
        stop: int | None = None,
    ) -> None:
        if not isinstance(split.x, Windows):
            raise UsageError(f"{split.name} split: expected lab.data.Windows as inputs, got {type(split.x).__name__}")
        super().__init__(split, batch_size, seed=seed, shuffle=shuffle, limit=limit, stop=stop)
        self.length = split.x.length
        count, covered = len(split), batch_size * self.length
        rounded = count // covered if shuffle else -(-count // covered)
        steps = max(1, rounded)
        self.steps_per_epoch = steps if limit is None else min(limit, steps)
        self._stream = steps * self.length  # tokens in one stream

    drop_remainder = True  # a carried state has a fixed size

    @property
    def last_size(self) -> int:
        """0, as every batch has all streams."""
        return 0

    def order(self, epoch: int) -> Indices:
        """Returns where each window begins, batch after batch; int64, shape (steps * batch_size,)."""
        count, batch = len(self.split), self.batch_size
        first = 0
        if self.shuffle:
            word = int(np.random.Philox(key=np.array([self.seed, epoch], np.uint64)).random_raw(1)[0])
            first = word % max(1, count - batch * self._stream + 1)
        if count >= batch * self._stream or not self.shuffle:
            starts = first + np.arange(batch) * self._stream
        else:  # too short for so many streams: they overlap
            starts = np.linspace(0, max(0, count - self._stream), batch).astype(np.int64)
        places = np.arange(self._stream // self.length)[:, None] * self.length + starts  # (steps, streams)
        return places.astype(np.int64).ravel()


def tokens_of(split: Split, examples: int) -> int:
    """Returns how many examples of a split a number of rows needs: of windows, each token begins one."""
    return examples * split.x.length if isinstance(split.x, Windows) else examples
