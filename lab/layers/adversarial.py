"""Training on the worst neighbours of the examples, as well as on the examples (TensorFlow only)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from lab.data.io.words import PADDING
from lab.errors import UsageError
from lab.layers.words import WordEmbedding


def adversarial_step(model: keras.Model, strength: float) -> Callable[[Any], Any]:
    """Returns a training step that learns from each batch twice: as it is, and with its words' vectors moved.

    They are moved against the model: along the gradient of the loss, all words of a text together by
    a share of the length of its vectors (Miyato, Dai and Goodfellow, 2017, who normalise the vectors
    instead), in each `WordEmbedding` for itself. The two gradients are added; a step takes twice the
    time. Loss and metrics are those of the batch as it is.

    Args:
        model: compiled; its one input are words, (batch, steps).
        strength: how far the vectors are moved, in lengths of themselves.

    Raises:
        UsageError: the backend is another, or the model embeds no words.
    """
    if keras.backend.backend() != "tensorflow":
        raise UsageError(f"adversarial steps: expected the backend tensorflow, got {keras.backend.backend()}")
    embeddings = [layer for layer in model.layers if isinstance(layer, WordEmbedding)]
    if not embeddings:
        raise UsageError("adversarial steps: expected a model with a WordEmbedding")
    import tensorflow as tf

    def lengths(x: Any) -> Any:
        return tf.sqrt(tf.reduce_sum(tf.square(x), axis=(1, 2), keepdims=True))

    def gradients(words: Any, y: Any, weight: Any, shifts: list[Any]) -> tuple[Any, Any, list[Any], list[Any]]:
        """The prediction, the loss, and the gradients of the shifts and of all weights, with the words moved."""
        variables = [variable.value for variable in model.trainable_variables]
        for embedding, shift in zip(embeddings, shifts, strict=True):
            embedding.shift = shift
        try:
            with tf.GradientTape() as tape:
                tape.watch(shifts)
                said = model(words, training=True)
                loss = model.compute_loss(x=words, y=y, y_pred=said, sample_weight=weight, training=True)
                scaled = model.optimizer.scale_loss(loss)
            uphill, found = tape.gradient(scaled, [shifts, variables])
        finally:
            for embedding in embeddings:
                embedding.shift = None
        return said, loss, uphill, [tf.convert_to_tensor(one) for one in found]

    def step(data: Any) -> Any:
        words, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        there = tf.cast(words != PADDING, tf.float32)[..., None]
        vectors = [tf.cast(tf.gather(one.embeddings.value, words), tf.float32) * there for one in embeddings]
        said, loss, uphill, plain = gradients(words, y, weight, [tf.zeros_like(one) for one in vectors])
        shifts = []
        for vector, way in zip(vectors, uphill, strict=True):
            way = way * there
            shifts.append(tf.stop_gradient(strength * lengths(vector) * way / (lengths(way) + 1e-12)))
        *_, moved = gradients(words, y, weight, shifts)
        both = [one + other for one, other in zip(plain, moved, strict=True)]
        model.optimizer.apply_gradients(zip(both, model.trainable_variables, strict=True))
        model._loss_tracker.update_state(loss, sample_weight=tf.shape(words)[0])
        return model.compute_metrics(words, y, said, sample_weight=weight)

    return step
