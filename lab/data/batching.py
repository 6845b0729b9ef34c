"""The right kind of batches for a split, and batches as Keras takes them."""

from __future__ import annotations

from typing import Any

from lab.data.arrays import Split
from lab.data.batches import Batches
from lab.data.ragged import Buckets, Ragged
from lab.data.windows import Streams, Windows


def batched(split: Split, batch_size: int, **options: Any) -> Batches:
    """Returns the batches of a split: `Streams` of windows, `Buckets` of variable-length sequences, else `Batches`."""
    kinds: dict[type, type[Batches]] = {Windows: Streams, Ragged: Buckets}
    return kinds.get(type(split.x), Batches)(split, batch_size, **options)


def as_dataset(batches: Batches) -> Any:
    """Returns the first epoch of batches as a `keras.utils.PyDataset`, for `Model.evaluate` and `Model.predict`."""
    import keras

    class Epoch(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no types
        def __len__(self) -> int:
            return batches.steps(0)

        def __getitem__(self, step: int) -> tuple[Any, ...]:
            return batches.split.take(order[step * batches.batch_size : (step + 1) * batches.batch_size]).parts()

    order = batches.remaining(0)
    return Epoch()
