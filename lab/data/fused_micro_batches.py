"""A training step of a small dense network in micro-batches, on TensorFlow.

A step of such a network is a few dozen operations of some ten microseconds each, over which the
processor's cores divide every one of them: they wait for one another as long as they compute, and pass
each layer's numbers around. Micro-batches have nothing to do with one another until their gradients are
added. One core can be in the midst of one while another core is in the next, and what each has in hand is
small enough to stay near.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from lab.data.batches import Batches

if TYPE_CHECKING:
    import keras

# Floating point operations in a step. Measured on two cores with autoencoders and classifiers of a hidden layer
# or two: two micro-batches take 0.66 to 1.0 of the time of one, four less than two only in the middle.
SHORT, MIDDLING, LONG = 5e7, 1e8, 4e8


def micro_batched(model: keras.Model, batches: Batches) -> Callable[[Any], Any] | None:
    """Returns Keras's training step as one of micro-batches, or None where it would be another or no sooner.

    The loss is the mean of the micro-batches' losses, so that the gradient is that of the batch, to rounding.
    That is so for layers that see each example by itself and draw no random numbers, and for a loss that is
    a mean over examples without weights.

    Args:
        model: compiled, with Keras's own training step.
        batches: what it is trained on.
    """
    import keras

    count = pieces(model, batches.batch_size)
    if keras.backend.backend() != "tensorflow" or count < 2 or batches.batch_size % count:
        return None
    if type(batches) is not Batches or len(batches.split.parts()) != 2 or not _is_a_mean(model.loss):
        return None
    own = {"train_step", "compute_loss", "compute_metrics", "call"} & vars(model).keys()
    if own or not model.trainable_weights or not all(map(_by_example, _operations(model))):
        return None
    import tensorflow as tf

    if tf.config.list_logical_devices("GPU"):
        return None

    def step(data: Any) -> Any:
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        if x.shape[0] is None:  # an epoch's last batch, of any size
            return model.train_step(data)
        each, said, losses = x.shape[0] // count, [], []
        with tf.GradientTape() as tape:
            for start in range(0, x.shape[0], each):
                some, target = (part[start : start + each] for part in (x, y))
                said.append(model(some, training=True))
                losses.append(model.compute_loss(x=some, y=target, y_pred=said[-1], training=True))
            loss = sum(losses[1:], losses[0]) / count
            scaled = model.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, model.trainable_weights)
        model.optimizer.apply_gradients(zip(gradients, model.trainable_weights, strict=True))
        model._loss_tracker.update_state(loss, sample_weight=x.shape[0])
        return model.compute_metrics(x, y, tf.concat(said, axis=0))

    return step


def pieces(model: keras.Model, batch_size: int) -> int:
    """Returns into how many micro-batches a batch is divided; 1: it stays whole."""
    operations = 6 * model.count_params() * batch_size  # two forwards and four backwards for each weight and example
    if operations > LONG:
        return 1
    return 4 if SHORT < operations < MIDDLING else 2


def _is_a_mean(loss: Any) -> bool:
    import keras

    losses = keras.losses
    kinds = (losses.BinaryCrossentropy, losses.CategoricalCrossentropy, losses.SparseCategoricalCrossentropy)
    if type(loss) not in (*kinds, losses.MeanSquaredError, losses.MeanAbsoluteError):
        return False
    return loss.reduction == "sum_over_batch_size" and getattr(loss, "ignore_class", None) is None


def _operations(model: Any) -> Iterator[Any]:
    """All that a model computes with, or the model itself where it is none of Keras's kinds."""
    import keras
    from keras.src.models.functional import Functional

    if type(model) not in (Functional, keras.Sequential) or not model.built:
        yield model
        return
    for one in model.operations if type(model) is Functional else model.layers:
        yield from _operations(one) if isinstance(one, keras.Model) else (one,)


def _by_example(one: Any) -> bool:
    """Whether a layer sees each example by itself, and draws no random numbers."""
    import keras

    layers = keras.layers
    if type(one) not in (layers.InputLayer, layers.Dense, layers.Activation, layers.Flatten, layers.Reshape):
        return False
    activation = getattr(one, "activation", None)
    known = activation is None or getattr(activation, "__module__", "").startswith("keras.src.activations")
    return known and getattr(one, "activity_regularizer", None) is None
