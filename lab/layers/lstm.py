"""An LSTM that does for the whole sequence at once what need not be done step by step.

Of the four products that a step of an LSTM takes forwards and backwards, only two depend on the step
before: `h @ recurrent_kernel`, and its gradient. Keras's layer runs all of them inside its loop on a
CPU, and adds up the gradients of both kernels there as well. Here the input's product is one product
for the whole sequence, and a gradient of its own (Hochreiter and Schmidhuber, 1997, in the form of
Gers et al., 2000) gathers the gates' gradients and takes one product for each kernel at the end; it
is what cuDNN does on a GPU (Appleyard, Kocisky and Blunsom, 2016).
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import keras
from keras import ops

_MANY_ROWS = contextvars.ContextVar("many rows", default=False)


@contextlib.contextmanager
def many_rows() -> Iterator[None]:
    """Says, for the length of a block, that layers look at hundreds of rows at once outside XLA.

    Nothing is learnt from these rows. Layers that have a shorter way for that take it in a program that is traced
    in the block, and keep it there.
    """
    before = _MANY_ROWS.set(True)
    try:
        yield
    finally:
        _MANY_ROWS.reset(before)


def looks_at_many_rows() -> bool:
    """Whether this is inside such a block."""
    return _MANY_ROWS.get()


def time_first(sequences: Any, mask: Any) -> tuple[Any, Any]:
    """Returns sequences as (steps, batch, features), and a mask of (batch, steps) as bool (steps, batch, 1)."""
    keep = None if mask is None else ops.expand_dims(ops.transpose(ops.cast(mask, "bool")), -1)
    return ops.transpose(sequences, (1, 0, 2)), keep


@keras.saving.register_keras_serializable("lab")
class LSTM(keras.layers.LSTM):  # type: ignore[misc]  # Keras has no types
    """`keras.layers.LSTM`, faster on a CPU: the same arguments, weights and results to rounding.

    On a GPU, on a backend without an implementation here, and with arguments that it does not speed
    up (other activations, `recurrent_dropout`, `unroll`) Keras's own code runs. Sums inside a step
    are in float32 also where the layer computes in half precision.

    `stateful=True` needs no batch size beforehand: the first batch says it, and the state is a
    variable of the model, so that a checkpoint has it. A batch of another size begins from zeros and
    leaves the carried state alone. `reset_state()` begins a new text.
    """

    states: Any
    stateful: bool

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        """Makes the weights, and the carried state where the batch size is known already."""
        stateful, self.stateful = self.stateful, False  # Keras insists on a batch size here
        super().build(sequences_shape, initial_state_shape)
        self.stateful = stateful
        if stateful and sequences_shape[0] is not None:
            self._make_states(sequences_shape[0])

    def _make_states(self, batch: int) -> None:
        if self.states is not None:
            return
        self._tracker.unlock()  # a layer that is built takes no more variables, otherwise
        try:
            kept = [
                self.add_weight(shape=(batch, self.units), initializer="zeros", trainable=False, name=name)
                for name in ("carried_h", "carried_c")
            ]
        finally:
            self._tracker.lock()
        self._expected_batch_size = batch
        self.states = kept

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False) -> Any:
        """Returns what `keras.layers.LSTM` does for `sequences` of shape (batch, steps, features)."""
        if not self.stateful:
            return super().call(sequences, initial_state=initial_state, mask=mask, training=training)
        batch = sequences.shape[0]
        if batch is not None and self.states is None and not isinstance(sequences, keras.KerasTensor):
            self._make_states(batch)
        if self.states is not None and batch == self._expected_batch_size:
            return super().call(sequences, initial_state=initial_state, mask=mask, training=training)
        self.stateful = False
        try:
            return super().call(sequences, initial_state=initial_state, mask=mask, training=training)
        finally:
            self.stateful = True

    def inner_loop(self, sequences: Any, initial_state: Any, mask: Any, training: bool = False) -> Any:
        """Runs over time; `sequences` (batch, steps, features) and `mask` (batch, steps) as Keras has them."""
        loops = self.loops()
        if loops is None:
            return super().inner_loop(sequences, initial_state, mask=mask, training=training)
        if isinstance(mask, (list, tuple)):
            mask = mask[0]
        cell = self.cell
        if training and 0.0 < cell.dropout < 1.0:  # one mask for all steps, as in Keras
            sequences = sequences * ops.expand_dims(cell.get_dropout_mask(sequences[:, 0, :]), 1)
        x, keep = time_first(sequences, mask)
        if self.go_backwards:
            x = ops.flip(x, axis=0)
            keep = None if keep is None else ops.flip(keep, axis=0)
        kernel, recurrent_kernel, bias = self.weights_to_compute_with()
        h, c = initial_state[:2]
        if (
            looks_at_many_rows()
            and hasattr(loops, "look")
            and not training
            and keep is None
            and self.compute_dtype == "float32"
        ):
            outputs, h, c = loops.look(x, kernel, recurrent_kernel, bias, h, c)
        else:
            gates = ops.matmul(x, kernel)  # (steps, batch, 4 * units): input, forget, candidate, output
            outputs, h, c = loops.recurrence(gates, recurrent_kernel, bias, h, c, keep)
        if keep is not None:
            outputs = self._masked(outputs, keep)
        last = outputs[-1]
        return last, ops.transpose(outputs, (1, 0, 2)), [h, c]

    def _masked(self, outputs: Any, keep: Any) -> Any:
        """A masked step is zero or repeats the output before it; before the first step that counts, Keras
        repeats zeros on TensorFlow and the initial state on JAX."""
        if self.zero_output_for_mask:
            return ops.where(keep, outputs, ops.zeros_like(outputs))
        if keras.backend.backend() == "jax":
            return outputs
        return ops.where(ops.cumsum(ops.cast(keep, "int32"), axis=0) > 0, outputs, ops.zeros_like(outputs))

    def weights_to_compute_with(self) -> tuple[Any, Any, Any]:
        """Returns kernel, recurrent kernel and bias in the layer's compute dtype; called within a layer's `call`."""
        cell = self.cell
        bias = cell.bias if cell.use_bias else ops.zeros((4 * self.units,))
        kernel, recurrent_kernel, bias = (
            ops.convert_to_tensor(one, dtype=self.compute_dtype) for one in (cell.kernel, cell.recurrent_kernel, bias)
        )
        return kernel, recurrent_kernel, bias

    def loops(self) -> ModuleType | None:
        """Returns the backend's loops, or None where Keras's own code should run."""
        usual = self.activation is keras.activations.tanh and self.recurrent_activation is keras.activations.sigmoid
        if not usual or self.recurrent_dropout or self.unroll or self.use_cudnn is True:
            return None
        backend = keras.backend.backend()
        if backend == "tensorflow":
            from lab.layers.kernels import recurrence_tensorflow as chosen
        elif backend == "jax":
            from lab.layers.kernels import recurrence_jax as chosen  # type: ignore[no-redef]
        else:
            return None
        return None if chosen.has_gpu() else chosen

    def save_own_variables(self, store: Any) -> None:
        """Saves nothing of its own: the weights are the cell's, the carried state a training's and not a model's."""

    def load_own_variables(self, store: Any) -> None:
        """Loads nothing of its own."""

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments, for `model.keras`."""
        return dict(super().get_config())
