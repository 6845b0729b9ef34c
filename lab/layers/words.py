"""Layers for texts as words: an embedding with its vocabulary, segments, and pooling over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from lab.data.io.words import PADDING, Reader
from lab.layers.lstm import is_large_batch_inference


@keras.saving.register_keras_serializable("lab")
class WordEmbedding(keras.layers.Embedding):  # type: ignore[misc]  # Keras has no types
    """A `keras.layers.Embedding` that contains its vocabulary.

    A saved model therefore reads raw texts without another file, by `layer.reader.read(texts)`.

    Args:
        words: the vocabulary; its numbers start at 2, as 0 is padding and 1 an unknown word.
        output_dim: size of a word vector.
        max_words, cut, multiple: as in `lab.data.io.words.Reader`.
    """

    def __init__(
        self, words: Sequence[str], output_dim: int, *, max_words: int, cut: str, multiple: int, **rest: Any
    ) -> None:
        self.reader = Reader(words, max_words, cut, multiple)
        super().__init__(len(self.reader.vocabulary), output_dim, **rest)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments, for `model.keras`."""
        config = dict(super().get_config())
        del config["input_dim"]
        reader = self.reader
        own = {"max_words": reader.max_words, "cut": reader.cut, "multiple": reader.multiple}
        return {**config, **own, "words": list(reader.vocabulary.words)}


@keras.saving.register_keras_serializable("lab")
class Segments(keras.layers.Wrapper):  # type: ignore[misc]  # Keras has no types
    """Applies a layer to each segment of a sequence separately, and concatenates the outputs.

    A recurrent layer then takes `length` steps over many rows instead of many steps over few rows, and its state
    has fewer steps to bridge (Johnson and Zhang, 2016, https://arxiv.org/abs/1602.02373).

    Args:
        layer: maps (batch, steps, features) to (batch, steps, other features).
        length: steps in a segment; the number of steps of a sequence must be a multiple of it.

    Raises:
        ValueError: in `call`, if the number of steps is not a multiple of `length`.
    """

    def __init__(self, layer: Any, length: int, **rest: Any) -> None:
        super().__init__(layer, **rest)
        self.length = length

    def build(self, input_shape: Any) -> None:
        """Builds the wrapped layer for segments."""
        self.layer.build((None, self.length, input_shape[-1]))
        self.built = True

    def call(self, x: Any, training: bool = False) -> Any:
        """Returns (batch, steps, other features) for (batch, steps, features)."""
        shape = ops.shape(x)
        if isinstance(shape[1], int) and shape[1] % self.length:
            raise ValueError(f"expected steps in multiples of {self.length}, got {shape[1]}")
        rows = ops.reshape(x, (shape[0] * (shape[1] // self.length), self.length, shape[2]))  # fails if not
        outputs = self.layer(rows, training=training)
        return ops.reshape(outputs, (-1, shape[1], outputs.shape[-1]))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Returns the input shape, with the features of the wrapped layer."""
        inner = self.layer.compute_output_shape((input_shape[0], self.length, input_shape[2]))
        return (*input_shape[:2], inner[-1])

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments, for `model.keras`."""
        return {**super().get_config(), "length": self.length}


@keras.saving.register_keras_serializable("lab")
class MaxAndMean(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """The maximum and the mean of each feature over the steps that have a word.

    Takes features, (batch, steps, features), and word numbers, (batch, steps), where 0 is padding. Returns
    (batch, 2 * features), which are zeros for a text without words.
    """

    def call(self, inputs: Any) -> Any:
        """Returns the pooled features."""
        x, words = inputs
        if is_large_batch_inference() and self.compute_dtype == "float32":
            return self._at_once(x, words)
        keep = ops.expand_dims(ops.not_equal(words, PADDING), -1)
        some = ops.any(keep, axis=1)
        greatest = ops.max(ops.where(keep, x, ops.full_like(x, -1e4)), axis=1)
        count = ops.maximum(ops.sum(ops.cast(keep, x.dtype), axis=1), 1)
        mean = ops.sum(ops.where(keep, x, ops.zeros_like(x)), axis=1) / count
        return ops.concatenate([ops.where(some, greatest, ops.zeros_like(greatest)), mean], axis=-1)

    def _at_once(self, x: Any, words: Any) -> Any:
        """The same to rounding, in two fifths of the time outside XLA, which would fuse the selection and the sum.

        Features at padding, which `call` ignores, must be finite and below 1e4 here.
        """
        keep = ops.cast(ops.not_equal(words, PADDING), x.dtype)
        count = ops.sum(keep, axis=1, keepdims=True)
        mean = ops.squeeze(ops.matmul(ops.expand_dims(keep, 1), x), 1) / ops.maximum(count, 1)
        greatest = ops.max(x + ops.expand_dims((keep - 1) * 1e4, -1), axis=1)
        return ops.concatenate([ops.where(count > 0, greatest, ops.zeros_like(greatest)), mean], axis=-1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Returns (batch, 2 * features)."""
        return (input_shape[0][0], 2 * input_shape[0][-1])


@keras.saving.register_keras_serializable("lab")
class Logit(keras.layers.Dense):  # type: ignore[misc]  # Keras has no types
    """The logit of a binary classifier: a `keras.layers.Dense` that contains the names of the classes.

    Takes features, (batch, features); returns logits, (batch, 1), above 0 for the second class, in float32.

    Args:
        classes: the two names, the negative class first.
    """

    def __init__(self, classes: Sequence[str], **rest: Any) -> None:
        negative, positive = classes
        self.classes = (str(negative), str(positive))
        super().__init__(1, **{"dtype": "float32"} | rest)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments, for `model.keras`."""
        config = dict(super().get_config())
        del config["units"]
        return {**config, "classes": list(self.classes)}
