"""Losses that Keras has, too, for what the lab trains most: the same numbers, sooner."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("lab")
class BinaryCrossentropy(keras.losses.Loss):  # type: ignore[misc]  # Keras has no types
    """`keras.losses.BinaryCrossentropy` of pictures: the mean over all pixels, to rounding.

    Keras averages along the last axis first. Of a row of 28 pixels XLA's loop takes 16 at once and 12
    one by one; and its `log1p` keeps digits of numbers that vanish in the mean. Here a picture is one
    row, and the logarithm a plain one: for logits x of pixels y, with relu(x) as (x + |x|) / 2, whose
    gradient at 0 is the right one,

        relu(x) - x * y + log(1 + exp(-|x|)).

    As in Keras, the logits come from the sigmoid that a model ends in where the backend tells of it
    (TensorFlow); else the probabilities are clipped.

    Args:
        reduction, name, dtype: as of every `keras.losses.Loss`.
    """

    def __init__(
        self, reduction: str = "sum_over_batch_size", name: str = "binary_crossentropy", dtype: Any = None
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns each example's loss in nats, shape (batch,), for arrays of one shape, (batch, ...)."""
        target = _flat(ops.cast(y_true, y_pred.dtype))
        logits = getattr(y_pred, "_keras_logits", None)
        if logits is None:
            return ops.mean(ops.binary_crossentropy(target, _flat(y_pred)), axis=-1)
        x = _flat(ops.cast(logits, y_pred.dtype))
        size = ops.abs(x)
        return ops.mean((x + size) / 2 - x * target + ops.log(1 + ops.exp(-size)), axis=-1)


def _flat(examples: Any) -> Any:
    return ops.reshape(examples, (ops.shape(examples)[0], -1))
