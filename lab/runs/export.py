"""What a saved model leaves out: layers that act in training only.

A layer whose class attribute `training_only` is true, such as `lab.layers.Noise`, returns its input
outside training. Without it a saved model opens with plain Keras and computes the same.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

log = logging.getLogger("lab")


def without_training_layers(model: keras.Model) -> keras.Model:
    """Returns a model in which `keras.layers.Identity` replaces each training-only layer.

    The layers' names stay, and so do the compiled loss and metrics. All other layers are those of
    `model`, not copies: both have the same weights. A layer that is called with `training=True`
    inside a functional model acts outside training too, and stays.

    Args:
        model: built; the layers to replace stand in functional and `Sequential` models, at any depth.

    Returns:
        The new model; `model` itself if it has no such layer. If Keras cannot clone the model (a subclass,
        or a loss that it cannot serialize), `model` itself, and a warning in the log gives the reason.
    """
    import keras

    if not any(_is_training_only(layer) for layer in _layers(model)):
        return model
    originals: dict[int, keras.layers.Layer] = {}  # by the id of the layer that replaces each

    def replace(layer: keras.layers.Layer) -> keras.layers.Layer:
        if not _is_training_only(layer):
            return layer
        identity = keras.layers.Identity(name=layer.name, dtype=layer.dtype_policy.name)
        originals[id(identity)] = layer
        return identity

    def call(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
        chosen = originals.get(id(layer), layer) if kwargs.get("training") else layer
        return chosen(*args, **kwargs)

    options = {} if isinstance(model, keras.Sequential) else {"call_function": call}  # Keras refuses it there
    try:
        return keras.models.clone_model(model, clone_function=replace, recursive=True, **options)
    except (TypeError, ValueError) as error:
        reason = str(error).partition(". ")[0].partition("\n")[0]
        log.warning("the saved model keeps its training-only layers and opens after `import lab` only: %s", reason)
        return model


def _is_training_only(layer: keras.layers.Layer) -> bool:
    return getattr(type(layer), "training_only", False) is True


def _layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """All layers of a model and of the models inside it."""
    for layer in model.layers:
        yield layer
        if hasattr(layer, "layers"):
            yield from _layers(layer)
