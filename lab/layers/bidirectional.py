"""Two LSTMs over one sequence, one from its start and one from its end, in one loop (Schuster and Paliwal, 1997)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from lab.layers.lstm import LSTM, is_large_batch_inference, time_first

_MERGES: dict[str | None, Callable[[Any, Any], Any]] = {
    "concat": lambda forward, backward: ops.concatenate([forward, backward], axis=-1),
    "sum": lambda forward, backward: forward + backward,
    "ave": lambda forward, backward: (forward + backward) / 2,
    "mul": lambda forward, backward: forward * backward,
    None: lambda forward, backward: (forward, backward),
}


@keras.saving.register_keras_serializable("lab")
class Bidirectional(keras.layers.Bidirectional):  # type: ignore[misc]  # Keras has no types
    """`keras.layers.Bidirectional`, faster around `lab.layers.LSTM`: same arguments and weights.

    Results are equal up to rounding. On TensorFlow and a CPU one loop runs both directions:

    - side by side, so that the matrix product of one direction overlaps with the activations of the
      other, and no sequence is reversed;
    - or as one stacked array, for at least 192 rows in float32, if all sizes are known, both
      directions have the same number of units and nothing is masked.

    Keras's code runs around any other layer (including subclasses of LSTM), on other backends, within
    `large_batch_inference`, and if the LSTM has dropout, another dtype or an activity regularizer, or
    receives, carries or returns a state.
    """

    forward_layer: Any
    backward_layer: Any

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None, training: Any = None) -> Any:
        """Returns what `keras.layers.Bidirectional` returns for `sequences` of shape (batch, steps, features)."""
        if initial_state is not None or isinstance(mask, (list, tuple)) or not self._fits_one_loop():
            return super().call(sequences, initial_state=initial_state, mask=mask, training=training)
        from lab.layers.kernels.recurrence_tensorflow import Recurrence, side_by_side

        x, keep = time_first(sequences, mask)
        if self._fits_one_array(x, keep):
            return self._stacked(x)
        recurrences = []
        for layer in (self.forward_layer, self.backward_layer):
            zeros = ops.zeros((ops.shape(x)[1], layer.units), dtype=self.compute_dtype)
            kernel, recurrent_kernel, bias = layer.compute_weights()
            gates = ops.matmul(x, kernel)
            recurrences.append(Recurrence(gates, recurrent_kernel, bias, zeros, zeros, layer.go_backwards))
        results = side_by_side(recurrences, keep)
        if not self.return_sequences:
            return _MERGES[self.merge_mode](*(h for _, h, _ in results))
        outputs = [hs if keep is None else ops.where(keep, hs, ops.zeros_like(hs)) for hs, _, _ in results]
        return _MERGES[self.merge_mode](*(ops.transpose(hs, (1, 0, 2)) for hs in outputs))

    def _fits_one_array(self, x: Any, keep: Any) -> bool:
        """Whether both directions fit one array and run faster in it; x is (steps, batch, features)."""
        from lab.layers.kernels.stacked_tensorflow import MIN_ROWS

        stackable = self.forward_layer.units == self.backward_layer.units and self.compute_dtype == "float32"
        return stackable and keep is None and None not in x.shape and x.shape[1] >= MIN_ROWS

    def _stacked(self, x: Any) -> Any:
        from lab.layers.kernels.stacked_tensorflow import stacked

        weights_of = [layer.compute_weights() for layer in (self.forward_layer, self.backward_layer)]
        weights = ops.stack([ops.concatenate([kernel, recurrent], axis=0) for kernel, recurrent, _ in weights_of])
        bias = ops.stack([ops.expand_dims(bias, 0) for *_, bias in weights_of])
        x = ops.cast(x, self.compute_dtype)
        hs = stacked(ops.stack([x, ops.flip(x, axis=0)], axis=1), weights, bias)
        if not self.return_sequences:
            return _MERGES[self.merge_mode](hs[-1, 0], hs[-1, 1])
        outputs = (hs[:, 0], ops.flip(hs[:, 1], axis=0))
        return _MERGES[self.merge_mode](*(ops.transpose(output, (1, 0, 2)) for output in outputs))

    def _fits_one_loop(self) -> bool:
        """Whether both layers are LSTMs without options that the loop on TensorFlow lacks."""
        layers = (self.forward_layer, self.backward_layer)
        if keras.backend.backend() != "tensorflow" or is_large_batch_inference() or self.stateful or self.return_state:
            return False
        if not all(type(layer) is LSTM and layer.kernels() is not None for layer in layers):
            return False
        return not layers[0].go_backwards and all(
            not layer.dropout and layer.activity_regularizer is None and layer.dtype_policy == self.dtype_policy
            for layer in layers
        )
