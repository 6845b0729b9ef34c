"""The options of `Model.fit`: each is honoured or refused, none is dropped."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from lab.data.arrays import Array, Split
from lab.data.batches import Batches
from lab.errors import UsageError, nearest

_ELSEWHERE = {
    "x": "the data comes from prepare()",
    "y": "the data comes from prepare()",
    "batch_size": "set the trainer's batch_size",
    "validation_split": "prepare() returns the validation split",
    "validation_data": "prepare() returns the validation split",
    "workers": "Keras 3 has no such option",
    "use_multiprocessing": "Keras 3 has no such option",
}


@dataclasses.dataclass(frozen=True)
class FitOptions:
    """What `Model.fit` takes besides the data; see `keras.Model.fit` for each.

    Args:
        epochs, initial_epoch, callbacks, verbose, validation_freq, class_weight: as in Keras.
        sample_weight: a weight for each training example, shape (examples,) or (examples, ...).
        shuffle: False keeps the order of the training examples.
        steps_per_epoch, validation_steps: batches of an epoch, and of a validation, at most.
        validation_batch_size: examples in a validation batch.
    """

    epochs: int = 1
    initial_epoch: int = 0
    callbacks: Any = None
    verbose: Any = 0
    validation_freq: Any = 1
    class_weight: Mapping[int, float] | None = None
    sample_weight: Any = None
    shuffle: Any = True
    steps_per_epoch: int | None = None
    validation_steps: int | None = None
    validation_batch_size: int | None = None

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> FitOptions:
        """Returns the options by name.

        Raises:
            UsageError: one does not exist, is given elsewhere, or has a value that cannot be honoured.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        keras_own = set(inspect.signature(keras.Model.fit).parameters)
        for name in options:
            if name in known:
                continue
            if name in _ELSEWHERE or name in keras_own:
                raise UsageError(f"fit: {name} is not an option here; {_ELSEWHERE.get(name, 'leave it out')}")
            raise UsageError(f"fit: no such option {name!r}{nearest(name, known) or '; expected ' + ', '.join(known)}")
        chosen = cls(**options)
        if chosen.shuffle not in (True, False):
            raise UsageError(f"fit: shuffle={chosen.shuffle!r}: expected True or False")
        freq = chosen.validation_freq
        if not (isinstance(freq, int) and freq > 0) and not isinstance(freq, (list, tuple, set)):
            raise UsageError(f"fit: validation_freq={freq!r}: expected a number of epochs, or a list of epochs")
        return chosen

    def validates(self, epoch: int) -> bool:
        """Whether the model is validated after an epoch, counted from 0."""
        if isinstance(self.validation_freq, int):
            return (epoch + 1) % self.validation_freq == 0
        return epoch + 1 in self.validation_freq

    def training(self, batches: Batches) -> Batches:
        """Returns the training batches with weights, order and length as these options have them.

        Raises:
            UsageError: an option does not fit the data.
        """
        split = batches.split
        if self.sample_weight is not None:
            if split.sample_weight is not None:
                raise UsageError("fit: sample_weight: expected one set of weights, the training split has its own")
            split = dataclasses.replace(split, sample_weight=np.asarray(self.sample_weight))
        if self.class_weight is not None:
            split = _with_class_weight(split, self.class_weight)
        batches = batches.with_split(split, shuffle=self.shuffle)
        return _limited(batches, self.steps_per_epoch, "steps_per_epoch")

    def validating(self, batches: Batches) -> Batches:
        """Returns the validation batches likewise.

        Raises:
            UsageError: an option does not fit the data.
        """
        return _limited(
            batches.with_split(batches.split, batch_size=self.validation_batch_size),
            self.validation_steps,
            "validation_steps",
        )


def _limited(batches: Batches, steps: int | None, name: str) -> Batches:
    if steps is not None:
        if not 1 <= steps <= batches.steps_per_epoch:
            raise UsageError(f"fit: {name}={steps}: expected 1 to {batches.steps_per_epoch}, the batches of the data")
        batches.steps_per_epoch = steps
    most = keras.config.max_steps_per_epoch()
    if most:
        batches.steps_per_epoch = min(batches.steps_per_epoch, most)
    return batches


def _with_class_weight(split: Split, class_weight: Mapping[int, float]) -> Split:
    """The split with the weight of its class for each example, by Keras's rules; 1 for a class without one."""
    if split.sample_weight is not None:
        raise UsageError("fit: class_weight: expected no sample weights, got both; Keras takes one of the two")
    if not isinstance(split.y, np.ndarray):
        raise UsageError("fit: class_weight: expected targets in one array, as for a model with a single output")
    y: Array = split.y
    one_hot = y.ndim > 1 and y.shape[-1] > 1
    classes = y.argmax(axis=-1) if one_hot else np.round(y.reshape(len(y), -1)[:, 0] if y.ndim < 3 else y)
    if np.ndim(classes) != 1:
        raise UsageError(f"fit: class_weight: expected one class for each example, got targets of shape {y.shape}")
    unknown = sorted(set(class_weight) - set(np.unique(classes).astype(int).tolist()))
    if unknown:
        raise UsageError(f"fit: class_weight: no training example has the class {unknown[0]!r}")
    weights = np.ones(len(y), np.float32)
    for name, weight in class_weight.items():
        weights[classes.astype(int) == name] = weight
    return dataclasses.replace(split, sample_weight=weights)
