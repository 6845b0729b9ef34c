"""Two LSTMs over one sequence, one of them from its end, in one loop (Schuster and Paliwal, 1997)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from lab.layers.lstm import LSTM, looks_at_many_rows

_MERGES: dict[str | None, Callable[[Any, Any], Any]] = {
    "concat": lambda one, other: ops.concatenate([one, other], axis=-1),
    "sum": lambda one, other: one + other,
    "ave": lambda one, other: (one + other) / 2,
    "mul": lambda one, other: one * other,
    None: lambda one, other: (one, other),
}


@keras.saving.register_keras_serializable("lab")
class Bidirectional(keras.layers.Bidirectional):  # type: ignore[misc]  # Keras has no types
    """`keras.layers.Bidirectional`, faster around `lab.layers.LSTM`: the same arguments, weights and results.

    They are the same to rounding. On TensorFlow and a CPU both directions go through one loop, so that
    one's matrix product runs beside the other's activations, and nothing is turned around. Around any
    other layer, on another backend, and with states that are given, carried or returned, or dropout
    inside the LSTM, Keras's own code runs one direction after the other.
    """

    forward_layer: Any
    backward_layer: Any

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None, training: Any = None) -> Any:
        """Returns what `keras.layers.Bidirectional` does for `sequences` of shape (batch, steps, features)."""
        layers = (self.forward_layer, self.backward_layer)
        plain = initial_state is None and not (self.stateful or self.return_state or isinstance(mask, (list, tuple)))
        if not plain or layers[0].go_backwards or looks_at_many_rows() or not all(map(_is_simple, layers)):
            return super().call(sequences, initial_state=initial_state, mask=mask, training=training)
        from lab.layers.recurrence_tensorflow import Run, recurrences

        x = ops.transpose(sequences, (1, 0, 2))
        runs = []
        for layer in layers:
            kernel, recurrent_kernel, bias = layer.weights_to_compute_with()
            zeros = ops.zeros((ops.shape(x)[1], layer.units), dtype=kernel.dtype)
            gates = ops.matmul(ops.cast(x, kernel.dtype), kernel)
            runs.append(Run(gates, recurrent_kernel, bias, zeros, zeros, layer.go_backwards))
        keep = None if mask is None else ops.expand_dims(ops.transpose(ops.cast(mask, "bool")), -1)
        done = recurrences(runs, keep)
        found = [ops.cast(hs if self.return_sequences else h, self.compute_dtype) for hs, h, _ in done]
        if self.return_sequences:
            counted = found if keep is None else [ops.where(keep, hs, ops.zeros_like(hs)) for hs in found]
            found = [ops.transpose(hs, (1, 0, 2)) for hs in counted]
        return _MERGES[self.merge_mode](*found)


def _is_simple(layer: Any) -> bool:
    """Whether a layer is an LSTM that TensorFlow's loop can take, without dropout."""
    if not isinstance(layer, LSTM) or layer.dropout or layer.return_state:
        return False
    return keras.backend.backend() == "tensorflow" and layer.loops() is not None
