"""Two LSTMs over one sequence, one of them from its end, in one loop (Schuster and Paliwal, 1997)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from lab.layers.lstm import LSTM, looks_at_many_rows, time_first

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

    They are the same to rounding. On TensorFlow and a CPU both directions go through one loop: side by side, so that
    one's matrix product runs beside the other's activations and nothing is turned around; or, from 192 rows on in
    float32, where all sizes are known, both have as many units and nothing is masked, as one array. Keras's own
    code runs around any other layer (a subclass of LSTM, too), on another backend, in a block of
    `many_rows`, and where the LSTM has dropout, a dtype of its own or an activity regularizer, or gets,
    carries or returns a state.
    """

    forward_layer: Any
    backward_layer: Any

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None, training: Any = None) -> Any:
        """Returns what `keras.layers.Bidirectional` does for `sequences` of shape (batch, steps, features)."""
        if initial_state is not None or isinstance(mask, (list, tuple)) or not self._fits_one_loop():
            return super().call(sequences, initial_state=initial_state, mask=mask, training=training)
        from lab.layers.kernels.recurrence_tensorflow import Recurrence, side_by_side

        x, keep = time_first(sequences, mask)
        if self._fits_one_array(x, keep):
            return self._stacked(x)
        both = []
        for layer in (self.forward_layer, self.backward_layer):
            zeros = ops.zeros((ops.shape(x)[1], layer.units), dtype=self.compute_dtype)
            kernel, recurrent_kernel, bias = layer.weights_to_compute_with()
            both.append(Recurrence(ops.matmul(x, kernel), recurrent_kernel, bias, zeros, zeros, layer.go_backwards))
        done = side_by_side(both, keep)
        if not self.return_sequences:
            return _MERGES[self.merge_mode](*(h for _, h, _ in done))
        outputs = [hs if keep is None else ops.where(keep, hs, ops.zeros_like(hs)) for hs, _, _ in done]
        return _MERGES[self.merge_mode](*(ops.transpose(hs, (1, 0, 2)) for hs in outputs))

    def _fits_one_array(self, x: Any, keep: Any) -> bool:
        """Whether both directions can be one array, and are quicker so; x is (steps, batch, features)."""
        from lab.layers.kernels.stacked_tensorflow import FEWEST

        alike = self.forward_layer.units == self.backward_layer.units and self.compute_dtype == "float32"
        return alike and keep is None and None not in x.shape and x.shape[1] >= FEWEST

    def _stacked(self, x: Any) -> Any:
        from lab.layers.kernels.stacked_tensorflow import stacked

        of_both = [layer.weights_to_compute_with() for layer in (self.forward_layer, self.backward_layer)]
        weights = ops.stack([ops.concatenate([kernel, recurrent], axis=0) for kernel, recurrent, _ in of_both])
        bias = ops.stack([ops.expand_dims(bias, 0) for *_, bias in of_both])
        x = ops.cast(x, self.compute_dtype)
        hs = stacked(ops.stack([x, ops.flip(x, axis=0)], axis=1), weights, bias)
        if not self.return_sequences:
            return _MERGES[self.merge_mode](hs[-1, 0], hs[-1, 1])
        outputs = (hs[:, 0], ops.flip(hs[:, 1], axis=0))
        return _MERGES[self.merge_mode](*(ops.transpose(one, (1, 0, 2)) for one in outputs))

    def _fits_one_loop(self) -> bool:
        """Whether both layers are LSTMs that TensorFlow's loop can take, and nobody asks for more."""
        layers = (self.forward_layer, self.backward_layer)
        if keras.backend.backend() != "tensorflow" or looks_at_many_rows() or self.stateful or self.return_state:
            return False
        if not all(type(layer) is LSTM and layer.loops() is not None for layer in layers):
            return False
        return not layers[0].go_backwards and all(
            not layer.dropout and layer.activity_regularizer is None and layer.dtype_policy == self.dtype_policy
            for layer in layers
        )
