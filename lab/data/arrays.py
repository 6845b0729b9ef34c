"""Arrays with their provenance: what an experiment's `prepare` returns."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from lab.errors import DataError

Array = npt.NDArray[Any]
SPLITS = ("train", "validation", "test")


def map_arrays(function: Callable[[Any], Any], tree: Any) -> Any:
    """Applies a function to an array, or to each array of a mapping or tuple of them."""
    if isinstance(tree, Mapping):
        return {name: map_arrays(function, part) for name, part in tree.items()}
    if isinstance(tree, tuple):
        return tuple(map_arrays(function, part) for part in tree)
    return function(tree)


def leaves(tree: Any) -> list[Array]:
    """Returns the arrays of a mapping or tuple of arrays, or a single array, as a flat list."""
    if isinstance(tree, Mapping):
        return [leaf for part in tree.values() for leaf in leaves(part)]
    if isinstance(tree, tuple):
        return [leaf for part in tree for leaf in leaves(part)]
    return [tree]


def _named(path: str, tree: Any) -> list[tuple[str, Array]]:
    if isinstance(tree, Mapping):
        return [named for name in sorted(tree) for named in _named(f"{path}.{name}", tree[name])]
    if isinstance(tree, tuple):
        return [named for place, part in enumerate(tree) for named in _named(f"{path}.{place}", part)]
    return [] if tree is None else [(path, tree)]


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Examples for one purpose; the first axis of every array counts them.

    Args:
        name: `train`, `validation` or `test`.
        x: inputs, an array or a mapping or tuple of arrays, shape (examples, ...).
        y: targets, likewise; None where the model computes its own.
        sample_weight: the weight of each example in the loss, shape (examples,).
        labels: the class of each example, for reports; the model never sees it.

    Raises:
        DataError: the arrays have different numbers of examples, or numbers that are not finite.
    """

    name: str
    x: Any
    y: Any = None
    sample_weight: Array | None = None
    labels: Array | None = None

    def __post_init__(self) -> None:
        counts = {len(array) for array in self._all_arrays()}
        if len(counts) > 1:
            raise DataError(f"{self.name} split: expected arrays of one length, got {sorted(counts)}")
        for array in self._all_arrays():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                bad = int(np.size(array) - np.isfinite(array).sum())
                raise DataError(f"{self.name} split: expected finite numbers, {bad} are NaN or infinite")
        if self.sample_weight is not None and self.y is None:
            raise DataError(f"{self.name} split: expected targets as well as sample weights")

    def _all_arrays(self) -> list[Array]:
        return [
            array
            for part in (self.x, self.y, self.sample_weight, self.labels)
            if part is not None
            for array in leaves(part)
        ]

    def __len__(self) -> int:
        return len(leaves(self.x)[0])

    def parts(self) -> tuple[Any, ...]:
        """Returns `(x,)`, `(x, y)` or `(x, y, sample_weight)`, as Keras takes them."""
        if self.y is None:
            return (self.x,)
        return (self.x, self.y) if self.sample_weight is None else (self.x, self.y, self.sample_weight)

    def take(self, which: Any) -> Split:
        """Returns the examples of an index array or slice."""
        changed = {
            name: map_arrays(lambda array: array[which], getattr(self, name))
            for name in ("x", "y", "sample_weight", "labels")
            if getattr(self, name) is not None
        }
        return dataclasses.replace(self, **changed)

    def head(self, count: int) -> Split:
        """Returns the first `count` examples."""
        return self.take(slice(count))


@dataclasses.dataclass(frozen=True)
class Provenance:
    """Where a data set comes from, for the records of a run and for the report.

    Args:
        name: such as `MNIST`.
        origin: `cache`, `official source`, `PyPI wheel`, `your file` or `made here`.
        source: the address, requirement or path from which it was first read.
        sha256: a hash of the content, 64 hex digits.
        size: of the content, in bytes.
        licence: the terms of use.
    """

    name: str
    origin: str
    source: str
    sha256: str = ""
    size: int = 0
    licence: str = "unknown"


@dataclasses.dataclass(frozen=True, eq=False)
class Data:
    """The three splits and their provenance. Only a report uses `test`."""

    train: Split
    validation: Split
    test: Split
    provenance: Provenance = Provenance("unnamed data", "made here", "prepare()")

    def split(self, name: str) -> Split:
        """Returns a split by its name."""
        if name not in SPLITS:
            raise DataError(f"split {name!r}: expected one of {', '.join(SPLITS)}")
        found: Split = getattr(self, name)
        return found

    def map(self, function: Callable[[Split], Split]) -> Data:
        """Returns the data with a function applied to each split."""
        train, validation, test = (function(self.split(name)) for name in SPLITS)
        return dataclasses.replace(self, train=train, validation=validation, test=test)

    def as_inputs_and_targets(self) -> Data:
        """Returns data whose targets are its inputs, as autoencoders learn; `y`, if any, becomes `labels`."""
        return self.map(
            lambda split: dataclasses.replace(split, y=split.x, labels=split.labels if split.y is None else split.y)
        )

    def head(self, count: int) -> Data:
        """Returns the first `count` examples of each split."""
        return self.map(lambda split: split.head(count))

    def sizes(self) -> dict[str, int]:
        """Returns the number of examples of each split."""
        return {name: len(self.split(name)) for name in SPLITS}

    def _named_arrays(self) -> list[tuple[str, Array]]:
        """The arrays of training and validation with their paths, in an order that does not depend on mappings."""
        roles = ("x", "y", "sample_weight", "labels")
        return [
            named
            for split in ("train", "validation")
            for role in roles
            for named in _named(f"{split}.{role}", getattr(self.split(split), role))
        ]

    def fingerprint(self) -> str:
        """Returns a hash of every array of the training and validation splits: 64 hex digits."""
        digest = hashlib.sha256()
        for path, array in self._named_arrays():
            digest.update(f"{path} {array.dtype.str} {array.shape}\n".encode())
            lengths = getattr(array, "lengths", None)  # variable-length sequences
            if lengths is not None:
                digest.update(np.ascontiguousarray(lengths).data)
            array = getattr(array, "tokens", array)  # windows: the sequence that they share
            digest.update(np.ascontiguousarray(array).data if array.dtype != object else repr(array.tolist()).encode())
        return digest.hexdigest()
