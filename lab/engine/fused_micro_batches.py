"""A training step of a small dense network in micro-batches, on TensorFlow.

A step of such a network is a few dozen operations of some ten microseconds each, over which the
processor's cores divide every one of them: they wait for one another as long as they compute, and pass
each layer's numbers around. Micro-batches have nothing to do with one another until their gradients are
added. One core can be in the midst of one while another core is in the next, and what each has in hand is
small enough to stay near. What it costs is compiling: some 0.2 s for two, 0.5 s for four.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from lab.data.batches import Batches

if TYPE_CHECKING:
    import keras

# Where it pays, as measured on two cores with autoencoders and classifiers of one and two hidden layers: two
# micro-batches take 0.66 to 1.0 of the time of the whole batch, four take less than two in the middle only.
# Smaller batches and shorter steps take longer in parts, larger networks keep the cores busy as they are.
ROWS = range(128, 1025)  # examples in a batch
TINY, SHORT, MIDDLING, LONG = 4e6, 5e7, 1e8, 4e8  # floating point operations in a step


def micro_batched(model: keras.Model, batches: Batches) -> Callable[[Any], Any] | None:
    """Returns Keras's training step as one of micro-batches, or None where it would be another or no sooner.

    The loss is the mean of the micro-batches' losses, so that the gradient is that of the batch, to rounding.
    That is so for layers that see each example by itself and draw no random numbers, and for a loss that is
    a mean over examples without weights. A batch of another size or with weights, and one whose inputs,
    targets or outputs are several, is left to the model's own step.

    Args:
        model: compiled, with Keras's own training step.
        batches: what it is trained on.
    """
    import keras

    if keras.backend.backend() != "tensorflow" or type(batches) is not Batches or not _is_a_mean(model.loss):
        return None
    own = {"train_step", "compute_loss", "compute_metrics"} & vars(model).keys()
    if own or not model.trainable_weights or not all(map(_by_example, _operations(model))):
        return None
    import tensorflow as tf

    size, count = batches.batch_size, pieces(model.count_params(), batches.batch_size)
    if count < 2 or size % count or tf.config.list_logical_devices("GPU"):
        return None

    def step(data: Any) -> Any:
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        if weight is not None or not (tf.is_tensor(x) and tf.is_tensor(y)) or x.shape[0] != size:
            return model.train_step(data)
        said, losses, each = [], [], size // count
        with tf.GradientTape() as tape:
            for start in range(0, size, each):
                some, target = (part[start : start + each] for part in (x, y))
                said.append(model(some, training=True))
                losses.append(model.compute_loss(x=some, y=target, y_pred=said[-1], training=True))
            loss = sum(losses[1:], losses[0]) / count
            scaled = model.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, model.trainable_weights)
        model.optimizer.apply_gradients(zip(gradients, model.trainable_weights, strict=True))
        model._loss_tracker.update_state(loss, sample_weight=size)
        return model.compute_metrics(x, y, _joined(said))

    return step


def pieces(weights: int, batch_size: int) -> int:
    """Returns into how many micro-batches a dense network's batch is divided; 1: it stays whole."""
    operations = 6 * weights * batch_size  # two forwards and four backwards for each weight and example
    if batch_size not in ROWS or not TINY < operations < LONG:
        return 1
    return 4 if SHORT < operations < MIDDLING else 2


def _joined(said: list[Any]) -> Any:
    """Joins what the model said, with the logits that Keras's sigmoid and softmax leave on it for the metrics."""
    import tensorflow as tf

    whole, logits = tf.concat(said, axis=0), [getattr(one, "_keras_logits", None) for one in said]
    if logits[0] is not None:
        whole._keras_logits = tf.concat(logits, axis=0)
    return whole


def _is_a_mean(loss: Any) -> bool:
    import keras

    losses = keras.losses
    kinds = (losses.BinaryCrossentropy, losses.CategoricalCrossentropy, losses.SparseCategoricalCrossentropy)
    if type(loss) not in (*kinds, losses.MeanSquaredError, losses.MeanAbsoluteError):
        return False
    usual = {"reduction": "sum_over_batch_size", "axis": -1, "ignore_class": None}
    return all(getattr(loss, name, value) == value for name, value in usual.items())


def _operations(model: Any) -> Iterator[Any]:
    """All that a model computes with, or the model itself where it is none of Keras's kinds or has several outputs."""
    import keras
    from keras.src.models.functional import Functional

    if type(model) not in (Functional, keras.Sequential) or not model.built or "call" in vars(model):
        yield model
        return
    if type(model) is Functional and not isinstance(model.output, keras.KerasTensor):
        yield model
        return
    for one in model.operations if type(model) is Functional else model.layers:
        yield from _operations(one) if isinstance(one, keras.Model) else (one,)


def _by_example(one: Any) -> bool:
    """Whether a layer sees each example by itself, and draws no random numbers.

    A layer that is not Keras's says so by `by_example = True` in its own class.
    """
    import keras

    layers = keras.layers
    keras_s = (layers.InputLayer, layers.Dense, layers.Activation, layers.Flatten, layers.Reshape)
    if type(one) not in keras_s and not vars(type(one)).get("by_example"):  # a subclass may do anything
        return False
    activation = getattr(one, "activation", None)
    known = activation is None or getattr(activation, "__module__", "").startswith("keras.src.activations")
    return known and "call" not in vars(one) and getattr(one, "activity_regularizer", None) is None
