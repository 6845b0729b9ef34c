"""Adversarial training of text models (TensorFlow only)."""

from __future__ import annotations

from typing import Any

import keras

from lab.data.io.words import PADDING
from lab.errors import UsageError
from lab.layers.words import WordEmbedding


@keras.saving.register_keras_serializable("lab")
class AdversarialModel(keras.Model):  # type: ignore[misc]  # Keras has no types
    """A functional model that trains on each batch twice: unchanged, and with its word vectors perturbed.

    The perturbation follows the gradient of the loss, so it is the direction that hurts the model most. All
    words of a text are moved together, by a fraction of the norm of the text's vectors (Miyato, Dai and
    Goodfellow, 2017, https://arxiv.org/abs/1605.07725, who normalise the vectors instead), separately in each
    `WordEmbedding`. The two gradients are added, so a step takes twice the time. Loss and metrics are those of
    the unchanged batch.

    Only training differs from a `keras.Model`. `save` therefore writes a `keras.Model`, which trains without
    perturbations when it is loaded.

    Args:
        inputs: word numbers, (batch, steps) of int32, where 0 is padding.
        outputs: the output tensors, as for `keras.Model`.
        strength: norm of the perturbation as a fraction of the norm of the text's vectors.

    Raises:
        UsageError: the backend is not TensorFlow, or no layer is a `WordEmbedding`.
    """

    def __init__(self, inputs: Any, outputs: Any, *, strength: float, **options: Any) -> None:
        if keras.backend.backend() != "tensorflow":
            raise UsageError(
                f"adversarial training: expected the tensorflow backend, got {keras.backend.backend()}; "
                "set KERAS_BACKEND=tensorflow or adversarial=0"
            )
        super().__init__(inputs, outputs, **options)
        self.strength = float(strength)
        embeddings = [layer for layer in self.layers if isinstance(layer, WordEmbedding)]
        if not embeddings:
            raise UsageError("adversarial training: expected a model with a WordEmbedding layer, got none")
        vectors = [layer.output for layer in embeddings]
        embed, classify = keras.Model(inputs, vectors), keras.Model([inputs, *vectors], outputs)
        # Functions, because Keras would track a model that is an attribute as one more layer.
        self._embed = lambda words: keras.tree.flatten(embed(words, training=True))
        self._classify = lambda words, moved: classify([words, *moved], training=True)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Takes one optimizer step on a batch; returns the metrics so far."""
        import tensorflow as tf

        words, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        y_pred, loss, vectors, slopes, clean = self._gradients(words, y, sample_weight)
        is_word = tf.cast(words != PADDING, tf.float32)[..., None]  # (batch, steps, 1)
        shifts = []
        for vector, slope in zip(vectors, slopes, strict=True):
            vector, slope = (tf.cast(value, tf.float32) * is_word for value in (vector, slope))
            shifts.append(self.strength * _norms(vector) * slope / (_norms(slope) + 1e-12))
        *_, perturbed = self._gradients(words, y, sample_weight, shifts)
        gradients = [one + other for one, other in zip(clean, perturbed, strict=True)]
        self.optimizer.apply(gradients, self.trainable_variables)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss, sample_weight=tf.shape(words)[0])
        results: dict[str, Any] = self.compute_metrics(words, y, y_pred, sample_weight=sample_weight)
        return results

    def _gradients(
        self, words: Any, y: Any, sample_weight: Any, shifts: list[Any] | None = None
    ) -> tuple[Any, Any, list[Any], list[Any], list[Any]]:
        """Returns predictions, loss, word vectors, and the loss's gradients by vectors and by weights."""
        import tensorflow as tf

        weights = [variable.value for variable in self.trainable_variables]
        with tf.GradientTape() as tape:
            vectors = self._embed(words)
            tape.watch(vectors)
            moved = vectors
            if shifts is not None:
                moved = [vector + tf.cast(shift, vector.dtype) for vector, shift in zip(vectors, shifts, strict=True)]
            y_pred = self._classify(words, moved)
            loss = self.compute_loss(words, y, y_pred, sample_weight=sample_weight, training=True)
            scaled = self.optimizer.scale_loss(loss)
        by_vector, by_weight = tape.gradient(scaled, [vectors, weights])
        return y_pred, loss, vectors, by_vector, [tf.convert_to_tensor(gradient) for gradient in by_weight]

    def _plain(self) -> keras.Model:
        """Returns a `keras.Model` with the same layers."""
        return keras.Model(self.input, self.output, name=self.name)

    def save(self, filepath: Any, *args: Any, **options: Any) -> None:
        """Saves as a `keras.Model`, as `keras.Model.save` does."""
        model = self._plain()
        if self.compiled:
            model.compile_from_config(self.get_compile_config())
            model.optimizer = self.optimizer
        model.save(filepath, *args, **options)

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration of the functional model, and `strength`."""
        return {**self._plain().get_config(), "strength": self.strength}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> AdversarialModel:
        """Returns a model with new weights."""
        config = dict(config)
        strength = config.pop("strength")
        model = keras.Model.from_config(config, custom_objects)
        return cls(model.input, model.output, strength=strength, name=model.name)


def _norms(x: Any) -> Any:
    """Returns the norm of each example's values, shape (batch, 1, 1)."""
    import tensorflow as tf

    return tf.sqrt(tf.reduce_sum(tf.square(x), axis=(1, 2), keepdims=True))
