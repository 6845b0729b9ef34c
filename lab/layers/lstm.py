"""An LSTM that takes everything that does not depend on the previous step out of the loop over time.

Two of the four matrix products of an LSTM step, in the forward and the backward pass, depend on the
previous step: `h @ recurrent_kernel` and its gradient. On a CPU, Keras's layer runs all four inside its loop over
time, and sums the gradients of both kernels there. This layer multiplies the inputs by their kernel
once for all steps. Its custom gradient (Hochreiter and Schmidhuber, 1997, in the form of
Gers et al., 2000) collects the gradients of the gates and takes one product per kernel after the
loop. cuDNN does the same on a GPU (Appleyard, Kocisky and Blunsom, 2016).
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import keras
from keras import ops

_LARGE_BATCH_INFERENCE = contextvars.ContextVar("large batch inference", default=False)


@contextlib.contextmanager
def large_batch_inference() -> Iterator[None]:
    """Marks the block as inference on batches of hundreds of rows, outside XLA.

    A layer with a faster implementation for this case, which has no gradients, uses it in every
    function that is traced in the block.
    """
    before = _LARGE_BATCH_INFERENCE.set(True)
    try:
        yield
    finally:
        _LARGE_BATCH_INFERENCE.reset(before)


def is_large_batch_inference() -> bool:
    """Whether the caller runs within `large_batch_inference`."""
    return _LARGE_BATCH_INFERENCE.get()


def time_first(sequences: Any, mask: Any) -> tuple[Any, Any]:
    """Returns sequences as (steps, batch, features), and a mask of (batch, steps) as bool (steps, batch, 1)."""
    keep = None if mask is None else ops.expand_dims(ops.transpose(ops.cast(mask, "bool")), -1)
    return ops.transpose(sequences, (1, 0, 2)), keep


class CarriedState(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """The state h and c of a stateful LSTM between two batches.

    It is a layer because Keras adds no variables to a built layer, and the batch size may be unknown
    when the LSTM is built.
    """

    def build(self, state_shape: tuple[int, int]) -> None:
        """Creates h and c as zeros of shape (batch, units)."""
        for name in ("h", "c"):
            self.add_weight(shape=state_shape, initializer="zeros", trainable=False, name=name)

    def save_own_variables(self, store: Any) -> None:
        """Saves nothing: the carried state belongs to a training, not to a model."""

    def load_own_variables(self, store: Any) -> None:
        """Loads nothing."""


@keras.saving.register_keras_serializable("lab")
class LSTM(keras.layers.LSTM):  # type: ignore[misc]  # Keras has no types
    """`keras.layers.LSTM`, faster on a CPU: same arguments and weights; results equal up to rounding.

    Keras's code runs on a GPU, on a backend without an implementation here, and with arguments that
    this layer does not speed up: other activations, `recurrent_dropout`, `unroll`. Sums inside a
    step are float32 where the layer computes in half precision.

    `stateful=True` does not need a fixed batch size: the first batch sets it. The carried state is a
    variable of the model, so a checkpoint holds it. A batch of another size starts from zeros and
    does not change the carried state. `reset_state()` sets it to zeros.
    """

    stateful: bool
    carried: Any = None  # a CarriedState once built, if stateful

    @property
    def states(self) -> Any:
        """The carried h and c, (batch, units) each; None if stateless, or before the first batch."""
        return self.carried.weights if self.carried is not None and self.carried.built else None

    @states.setter
    def states(self, value: None) -> None:  # assigned by Keras's constructor
        if value is not None:
            raise AttributeError(
                "LSTM.states: expected no assignment, got one; call `assign` of each variable in it instead"
            )

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        """Creates the weights, and the carried state if the batch size is known."""
        if not self.stateful:
            super().build(sequences_shape, initial_state_shape)
            return
        if not self.cell.built:  # Keras's `build` rejects an unknown batch size
            self.cell.build((sequences_shape[0], *sequences_shape[2:]))
        if self.carried is None:
            self.carried = CarriedState(name="carried", dtype=self.dtype_policy)
        if sequences_shape[0] is not None and not self.carried.built:
            self.carried.build((sequences_shape[0], self.units))

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False) -> Any:
        """Returns what `keras.layers.LSTM` returns for `sequences` of shape (batch, steps, features)."""
        if not self.stateful:
            return super().call(sequences, initial_state=initial_state, mask=mask, training=training)
        batch = sequences.shape[0]
        if batch is not None and not self.carried.built and not isinstance(sequences, keras.KerasTensor):
            self.carried.build((batch, self.units))
        if self.states is not None and batch == self.states[0].shape[0]:
            return super().call(sequences, initial_state=initial_state, mask=mask, training=training)
        self.stateful = False  # Keras's `call` would start this batch from the carried state, and overwrite it
        try:
            return super().call(sequences, initial_state=initial_state, mask=mask, training=training)
        finally:
            self.stateful = True

    def inner_loop(self, sequences: Any, initial_state: Any, mask: Any, training: bool = False) -> Any:
        """Runs over time; `sequences` (batch, steps, features) and `mask` (batch, steps) are those of Keras."""
        kernels = self.kernels()
        if kernels is None:
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
        kernel, recurrent_kernel, bias = self.compute_weights()
        h, c = initial_state[:2]
        float32_inference = not training and keep is None and self.compute_dtype == "float32"
        if float32_inference and is_large_batch_inference() and hasattr(kernels, "infer"):
            outputs, h, c = kernels.infer(x, kernel, recurrent_kernel, bias, h, c)
        else:
            gates = ops.matmul(x, kernel)  # (steps, batch, 4 * units): input, forget, candidate, output
            outputs, h, c = kernels.recurrence(gates, recurrent_kernel, bias, h, c, keep)
        if keep is not None:
            outputs = self._masked(outputs, keep)
        last = outputs[-1]
        return last, ops.transpose(outputs, (1, 0, 2)), [h, c]

    def _masked(self, outputs: Any, keep: Any) -> Any:
        """Sets the outputs of masked steps to zero, or to the previous output.

        Before the first unmasked step, Keras outputs zeros on TensorFlow and the initial
        state on JAX.
        """
        if self.zero_output_for_mask:
            return ops.where(keep, outputs, ops.zeros_like(outputs))
        if keras.backend.backend() == "jax":
            return outputs
        return ops.where(ops.cumsum(ops.cast(keep, "int32"), axis=0) > 0, outputs, ops.zeros_like(outputs))

    def compute_weights(self) -> tuple[Any, Any, Any]:
        """Returns kernel, recurrent kernel and bias in the layer's compute dtype; for use within `call`."""
        cell = self.cell
        bias = cell.bias if cell.use_bias else ops.zeros((4 * self.units,))
        kernel, recurrent_kernel, bias = (
            ops.convert_to_tensor(weight, dtype=self.compute_dtype)
            for weight in (cell.kernel, cell.recurrent_kernel, bias)
        )
        return kernel, recurrent_kernel, bias

    def kernels(self) -> ModuleType | None:
        """Returns the backend's implementation of the loop over time, or None where Keras's code runs."""
        standard = self.activation is keras.activations.tanh and self.recurrent_activation is keras.activations.sigmoid
        if not standard or self.recurrent_dropout or self.unroll or self.use_cudnn is True:
            return None
        backend = keras.backend.backend()
        if backend == "tensorflow":
            from lab.layers.kernels import recurrence_tensorflow as kernels
        elif backend == "jax":
            from lab.layers.kernels import recurrence_jax as kernels  # type: ignore[no-redef]
        else:
            return None
        return None if kernels.has_gpu() else kernels
