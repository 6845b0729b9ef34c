"""Models with a `train_step` of their own, as Keras's examples have them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from lab.data import Split

ON_JAX = keras.backend.backend() == "jax"


def digits(count: int = 50, seed: int = 0) -> Split:
    x = np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)
    return Split("train", x)


@keras.saving.register_keras_serializable("tests")
class VAE(keras.Model):  # type: ignore[misc]  # Keras has no types
    """A variational autoencoder without a `call`: https://keras.io/examples/generative/vae/.

    It draws a random number and multiplies it by zero, as TensorFlow draws others with XLA than without.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
        self.decoder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
        self.seed = keras.random.SeedGenerator(1)
        self.trackers = [keras.metrics.Mean(name=name) for name in ("loss", "reconstruction_loss", "kl_loss")]

    @property
    def metrics(self) -> list[keras.Metric]:
        return self.trackers

    def losses_of(self, x: Any) -> tuple[Any, Any, Any]:
        mean, log_variance = keras.ops.split(self.encoder(x), 2, axis=1)
        noise = 0.1 + 0.0 * keras.random.normal(keras.ops.shape(mean), seed=self.seed)
        z = mean + keras.ops.exp(0.5 * log_variance) * noise
        reconstruction = keras.ops.mean(keras.ops.square(x - self.decoder(z)))
        kl = -0.5 * keras.ops.mean(1 + log_variance - mean**2 - keras.ops.exp(log_variance))
        return reconstruction + kl, reconstruction, kl

    def track(self, losses: tuple[Any, ...]) -> dict[str, Any]:
        for tracker, loss in zip(self.trackers, losses, strict=True):
            tracker.update_state(loss)
        return {tracker.name: tracker.result() for tracker in self.trackers}

    def train_step(self, *arguments: Any) -> Any:
        if ON_JAX:
            return self._jax_step(*arguments, training=True)
        import tensorflow as tf

        (x,) = arguments[0]
        with tf.GradientTape() as tape:
            losses = self.losses_of(x)
        self.optimizer.apply_gradients(
            zip(tape.gradient(losses[0], self.trainable_weights), self.trainable_weights, strict=True)
        )
        return self.track(losses)

    def test_step(self, *arguments: Any) -> Any:
        if ON_JAX:
            return self._jax_step(*arguments, training=False)
        return self.track(self.losses_of(arguments[0][0]))

    def _jax_step(self, state: Any, data: Any, *, training: bool) -> Any:
        import jax

        trainable, others, *optimizer, metrics = state

        def total(trainable: Any, others: Any) -> Any:
            mapping = [
                *zip(self.trainable_variables, trainable, strict=True),
                *zip(self.non_trainable_variables, others, strict=True),
            ]
            with keras.StatelessScope(state_mapping=mapping) as scope:
                losses = self.losses_of(data[0])
            return losses[0], (losses, [scope.get_current_value(one) for one in self.non_trainable_variables])

        if training:
            (_, (losses, others)), gradients = jax.value_and_grad(total, has_aux=True)(trainable, others)
            trainable, optimizer[0] = self.optimizer.stateless_apply(optimizer[0], gradients, trainable)
        else:
            _, (losses, others) = total(trainable, others)
        with keras.StatelessScope(state_mapping=list(zip(self.metrics_variables, metrics, strict=True))) as scope:
            logs = self.track(losses)
        metrics = [scope.get_current_value(one) for one in self.metrics_variables]
        return logs, (trainable, others, *optimizer, metrics)


@keras.saving.register_keras_serializable("tests")
class GAN(keras.Model):  # type: ignore[misc]  # Keras has no types
    """A generator and a discriminator, an optimizer each: https://keras.io/guides/custom_train_step_in_tensorflow/."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
        self.discriminator = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(1)])
        self.d_loss = keras.metrics.Mean(name="d_loss")
        self.g_loss = keras.metrics.Mean(name="g_loss")
        self.loss_function = keras.losses.BinaryCrossentropy(from_logits=True)

    @property
    def metrics(self) -> list[keras.Metric]:
        return [self.d_loss, self.g_loss]

    def compile_with(self, d_optimizer: Any, g_optimizer: Any, **compiled: Any) -> GAN:
        self.compile(**compiled)
        self.d_optimizer, self.g_optimizer = d_optimizer, g_optimizer
        return self

    def losses_of(self, x: Any) -> tuple[Any, Any]:
        made = self.generator(keras.ops.sin(x[:, :2] * 7))
        real, fake = self.discriminator(x), self.discriminator(made)
        ones, zeros = keras.ops.ones_like(real), keras.ops.zeros_like(fake)
        return self.loss_function(ones, real) + self.loss_function(zeros, fake), self.loss_function(ones, fake)

    def train_step(self, data: Any) -> dict[str, Any]:
        import tensorflow as tf

        with tf.GradientTape(persistent=True) as tape:
            d_loss, g_loss = self.losses_of(data[0])
        for loss, part, optimizer in (
            (d_loss, self.discriminator, self.d_optimizer),
            (g_loss, self.generator, self.g_optimizer),
        ):
            optimizer.apply_gradients(
                zip(tape.gradient(loss, part.trainable_weights), part.trainable_weights, strict=True)
            )
        return self._track(d_loss, g_loss)

    def test_step(self, data: Any) -> dict[str, Any]:
        return self._track(*self.losses_of(data[0]))

    def _track(self, d_loss: Any, g_loss: Any) -> dict[str, Any]:
        self.d_loss.update_state(d_loss)
        self.g_loss.update_state(g_loss)
        return {"d_loss": self.d_loss.result(), "g_loss": self.g_loss.result()}
