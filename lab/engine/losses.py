"""A loss that Keras has, sooner: for the length of the fused loop, where XLA compiles it."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

MOST_FACTORS = 16  # of a product whose factors lie between 1 and 2


def binary_crossentropy(target: Any, logits: Any) -> Any:
    """Returns each example's mean binary cross-entropy in nats, shape (batch,), for two tensors (batch, ...).

    That is relu(x) - x * y + log(1 + exp(-|x|)) for logits x and targets y, with relu(x) as (x + |x|) / 2.
    An example is one row, where Keras averages along the last axis first: of a row of 28 pixels XLA's loop
    takes 16 at once and 12 one by one. The sum of several logarithms is the logarithm of one product, as
    each factor lies between 1 and 2. And the logarithm is a plain one: the digits of a tiny loss that
    `log1p` keeps vanish in the mean. The gradient, sigmoid(x) - y, is written out, for the product's own
    would cost more than what it saves; at 0 it is the right one.
    """
    from keras import ops

    width = math.prod(logits.shape[1:])
    y, x = (ops.reshape(part, (-1, width)) for part in (ops.cast(target, logits.dtype), logits))
    factors = _factors(width)

    @ops.custom_gradient  # type: ignore[untyped-decorator]  # Keras has no types
    def summed(y: Any, x: Any) -> Any:
        def some(terms: Any) -> Any:
            return ops.reshape(terms, (-1, factors, width // factors))

        small = ops.exp(-ops.abs(x))
        linear = ops.sum(some((x + ops.abs(x)) / 2 - x * y), axis=1)
        logarithm = ops.log(ops.prod(some(1 + small), axis=1))

        def gradient(upstream: Any) -> tuple[Any, Any]:
            each = ops.expand_dims(upstream, 1)
            return -x * each, ops.where(x >= 0, 1.0, small) / (1 + small) * each - y * each

        return ops.sum(linear + logarithm, axis=-1), gradient

    return summed(y, x) / width


def _factors(width: int) -> int:
    """Returns how many logarithms of a row become one: what is left are whole vectors of 16 numbers."""
    return max((count for count in range(1, MOST_FACTORS + 1) if width % (16 * count) == 0), default=1)


@contextlib.contextmanager
def sooner(model: keras.Model) -> Iterator[None]:
    """Computes a model's `keras.losses.BinaryCrossentropy` as above for the length of a block.

    It is the same mean to within 1e-7; but on JAX, where Keras takes it from probabilities, cut off at 1e-7,
    it is the exact one also where a model is surer than that. What it does not speed up (one number an
    example, examples of an unknown size, a loss in another precision than float32, a mask, smoothed labels,
    probabilities whose logits nobody knows) is left to Keras. Outside the block, and in what is saved, the
    loss is Keras's.
    """
    import keras
    from keras.src.backend.common.masking import get_keras_mask

    loss = model.loss
    if type(loss) is not keras.losses.BinaryCrossentropy or loss.label_smoothing or loss.axis != -1:
        yield
        return
    usual = loss.call
    # Keras takes the mask away when it casts to the loss's dtype.
    casts = getattr(model, "compute_dtype", loss.dtype) != loss.dtype

    with _noted_logits(model) as logits_of:

        def call(target: Any, said: Any) -> Any:
            logits = said if loss.from_logits else logits_of(said)
            shape = tuple(said.shape[1:])
            same_shape = bool(shape) and None not in shape and shape == tuple(target.shape[1:])
            may_be_masked = get_keras_mask(said) is not None or (casts and len(said.shape) > 2)
            usual_precision = keras.backend.standardize_dtype(said.dtype) == "float32"
            if logits is None or not same_shape or said.shape[-1] == 1 or may_be_masked or not usual_precision:
                return usual(target, said)
            return binary_crossentropy(target, keras.ops.cast(logits, said.dtype))

        loss.call = call
        try:
            yield
        finally:
            del loss.call


@contextlib.contextmanager
def _noted_logits(model: keras.Model) -> Iterator[Callable[[Any], Any]]:
    """Gives a function from what a model said to its logits, or None where nobody knows them.

    Keras's sigmoid leaves them on what it returns; but JAX's traced arrays take no attributes, so that
    there the sigmoids of the last layers note them for the length of a block.
    """
    import keras

    if keras.backend.backend() != "jax":
        yield lambda said: getattr(said, "_keras_logits", None)
        return
    usual = keras.activations.sigmoid
    layers = [layer for layer in _last_layers(model) if vars(layer).get("activation") is usual]
    noted: dict[int, tuple[Any, Any]] = {}

    def noting(place: int) -> Callable[[Any], Any]:
        @functools.wraps(usual)  # so that a layer's configuration says what it did
        def sigmoid(x: Any) -> Any:
            found = usual(x)
            noted[place] = (found, x)
            return found

        return sigmoid

    try:
        for place, layer in enumerate(layers):
            layer.activation = noting(place)
        yield lambda said: next((x for found, x in noted.values() if found is said), None)
    finally:
        noted.clear()
        for layer in layers:
            layer.activation = usual


def _last_layers(model: Any) -> list[Any]:
    """The layers that a model's outputs come from, those of models within it as well."""
    found: list[Any] = []
    for output in getattr(model, "outputs", None) or []:
        last = output._keras_history.operation
        found += _last_layers(last) if getattr(last, "outputs", None) else [last]
    return found
