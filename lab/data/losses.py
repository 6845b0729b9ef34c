"""A loss that Keras has, sooner: for the length of the fused loop, where XLA compiles it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


def binary_crossentropy(target: Any, logits: Any) -> Any:
    """Returns each example's mean binary cross-entropy in nats, shape (batch,), for tensors (batch, ...).

    That is relu(x) - x * y + log(1 + exp(-|x|)) for logits x and targets y, with relu(x) as (x + |x|) / 2,
    whose gradient at 0 is the right one. An example is one row, where Keras averages along the last axis
    first: of a row of 28 pixels XLA's loop takes 16 at once and 12 one by one. And the logarithm is a
    plain one: the digits of a tiny loss that `log1p` keeps vanish in the mean.
    """
    from keras import ops

    y, x = (ops.reshape(part, (ops.shape(part)[0], -1)) for part in (ops.cast(target, logits.dtype), logits))
    size = ops.abs(x)
    return ops.mean((x + size) / 2 - x * y + ops.log(1 + ops.exp(-size)), axis=-1)


@contextlib.contextmanager
def sooner(model: keras.Model) -> Iterator[None]:
    """Computes a model's `keras.losses.BinaryCrossentropy` as above for the length of a block.

    It is the same mean to rounding. What it does not speed up (one number an example, a mask, smoothed
    labels, probabilities whose logits nobody knows) is left to Keras. Outside the block, and in what is
    saved, the loss is Keras's.
    """
    import keras
    from keras.src.backend.common.masking import get_keras_mask
    from keras.src.backend.common.tensor_attributes import get_tensor_attr

    loss = model.loss
    if type(loss) is not keras.losses.BinaryCrossentropy or loss.label_smoothing or loss.axis != -1:
        yield
        return
    usual = loss.call

    def call(target: Any, said: Any) -> Any:
        logits = said if loss.from_logits else get_tensor_attr(said, "_keras_logits")
        alike = len(said.shape) > 1 and tuple(said.shape[1:]) == tuple(target.shape[1:]) and said.shape[-1] != 1
        if logits is None or not alike or get_keras_mask(said) is not None:
            return usual(target, said)
        return binary_crossentropy(target, keras.ops.cast(logits, said.dtype))

    loss.call = call
    try:
        with _remembered_logits(model):
            yield
    finally:
        del loss.call


@contextlib.contextmanager
def _remembered_logits(model: keras.Model) -> Iterator[None]:
    """Lets sigmoids on JAX say what their logits were: its traced arrays take no attributes, as Keras would set one."""
    import keras
    from keras.src.backend.common.tensor_attributes import set_tensor_attr

    usual = keras.activations.sigmoid

    @functools.wraps(usual)  # so that a layer's configuration says what it did
    def sigmoid(x: Any) -> Any:
        found = usual(x)
        set_tensor_attr(found, "_keras_logits", x)
        return found

    layers = []
    if keras.backend.backend() == "jax":
        layers = [layer for layer in model._flatten_layers() if vars(layer).get("activation") is usual]
    for layer in layers:
        layer.activation = sigmoid
    try:
        yield
    finally:
        for layer in layers:
            layer.activation = usual
