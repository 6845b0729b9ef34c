"""Texts with one of two labels, and how they are cut into training, validation and test texts."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping

import numpy as np

from lab.data.arrays import Array, Provenance
from lab.errors import DataError

MIN_TEXTS = 20  # of each label
_FOLDER_NAMES = {"neg": "negative", "pos": "positive"}  # of aclImdb


@dataclasses.dataclass(frozen=True)
class LabelledTexts:
    """Texts and their labels.

    Args:
        texts: unchanged.
        labels: uint8, 1 if the text is positive; shape (texts,).
    """

    texts: tuple[str, ...]
    labels: Array

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, indices: Array) -> LabelledTexts:
        """Returns the texts at the given indices."""
        return LabelledTexts(tuple(self.texts[index] for index in indices), self.labels[indices])

    def head(self, count: int) -> LabelledTexts:
        """Returns the first `count` texts."""
        return LabelledTexts(self.texts[:count], self.labels[:count])

    def mixed(self) -> LabelledTexts:
        """Returns the texts in the order of their hashes, which is independent of their labels."""
        keys = [_hash(text) for text in self.texts]
        return self.take(np.array(sorted(range(len(self)), key=keys.__getitem__), np.int64))

    def hold_out(self, count: int) -> tuple[LabelledTexts, LabelledTexts]:
        """Splits off `count` texts, stratified by label; returns the others, and these.

        A text's hash decides, so the order of the texts does not matter. Texts that differ only in case and white
        space stay on one side.
        """
        groups: dict[bytes, list[int]] = {}
        for index, text in enumerate(self.texts):
            groups.setdefault(_hash(" ".join(text.lower().split())), []).append(index)
        wanted = {1: round(count * float(self.labels.mean()))}
        wanted[0] = count - wanted[1]
        held_out = np.zeros(len(self), bool)
        for _, indices in sorted(groups.items()):
            label = int(self.labels[indices[0]])
            if len(indices) <= wanted[label]:
                wanted[label] -= len(indices)
                held_out[indices] = True
        return self.take(np.flatnonzero(~held_out)), self.take(np.flatnonzero(held_out))


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


@dataclasses.dataclass(frozen=True)
class LabelledSplits:
    """Labelled texts in three splits.

    Args:
        train, validation, test: the splits.
        classes: names of the two labels, the negative one first.
        provenance: where the texts come from.
        description: the sizes of the splits and the kind of test set, as a phrase.
    """

    train: LabelledTexts
    validation: LabelledTexts
    test: LabelledTexts
    classes: tuple[str, str]
    provenance: Provenance
    description: str

    @classmethod
    def of(
        cls,
        parts: Mapping[str, LabelledTexts],
        classes: tuple[str, str],
        provenance: Provenance,
        test_set: str = "given",
    ) -> LabelledSplits:
        """Splits off a tenth of `train` for validation and, if there is no `test` part, a tenth for testing.

        Args:
            parts: `train`, and perhaps `test`.
            classes: names of the two labels, the negative one first.
            provenance: where the texts come from.
            test_set: what kind of test set `test` is, for the description.

        Raises:
            DataError: a label has fewer than 20 texts.
        """
        train = parts["train"]
        for label, name in enumerate(classes):
            count = int((train.labels == label).sum())
            if count < MIN_TEXTS:
                raise DataError(
                    f"{provenance.source}: expected at least {MIN_TEXTS} texts labelled {name!r}, got {count}"
                )
        tenth = len(train) // 10
        if "test" in parts:
            test, origin = parts["test"], f"the {test_set} test set"
        else:
            train, test = train.hold_out(tenth)
            origin = "held out"
        train, validation = train.hold_out(tenth)
        splits = [part.mixed() for part in (train, validation, test)]
        sizes = zip(("training", "validation", "test"), splits, strict=True)
        description = f"{', '.join(f'{len(part):,} {name} texts' for name, part in sizes)} ({origin})"
        negative, positive = (_FOLDER_NAMES.get(name, name) for name in classes)
        return cls(*splits, (negative, positive), provenance, description)
