"""The loop of LSTMs over time on TensorFlow, with a custom gradient; names as in `gates_tensorflow`."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from lab.layers.kernels.gates_tensorflow import ListWriter, activate_gates, gates_gradient


@functools.cache
def has_gpu() -> bool:
    """Whether TensorFlow sees a GPU, for which cuDNN has an LSTM."""
    return bool(tf.config.list_physical_devices("GPU"))


class Recurrence(NamedTuple):
    """The recurrent half of one LSTM: what it needs to run over time.

    Attributes:
        gates: the inputs' contribution to the gates before activation, (steps, batch, 4 * units), in
            the order input, forget, candidate, output.
        kernel: the recurrent kernel, (units, 4 * units).
        bias: of the gates, (4 * units,).
        h, c: the initial state, (batch, units) each.
        backwards: whether it starts at the last step.
    """

    gates: Any
    kernel: Any
    bias: Any
    h: Any
    c: Any
    backwards: bool = False

    def position(self, step: Any, steps: Any) -> Any:
        """Returns the position in time of a step of the loop."""
        return steps - 1 - step if self.backwards else step


def recurrence(gates: Any, kernel: Any, bias: Any, h: Any, c: Any, keep: Any = None) -> tuple[Any, Any, Any]:
    """Runs the recurrent half of an LSTM over time.

    Args:
        gates, kernel, bias, h, c: as in `Recurrence`.
        keep: the mask, bool (steps, batch, 1); the state does not change where it is False. None keeps
            all steps.

    Returns:
        The states h after each step, (steps, batch, units), and the last h and c.
    """
    return side_by_side([Recurrence(gates, kernel, bias, h, c)], keep)[0]


def side_by_side(recurrences: Sequence[Recurrence], keep: Any = None) -> list[tuple[Any, Any, Any]]:
    """Runs several LSTMs with the same number of steps in one loop.

    XLA runs loops one after the other, and within a loop only matrix products and the largest of
    the other operations use a second core. In one loop the product of one LSTM overlaps with the
    activations of another.

    Args:
        recurrences: LSTMs that do not depend on one another.
        keep: the mask for all of them, as in `recurrence`.

    Returns:
        For each LSTM the states h at each position in time, (steps, batch, units), and the last h and c.
    """
    directions = [lstm.backwards for lstm in recurrences]

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def loop(*tensors: Any) -> tuple[Any, Any]:
        parts = zip(_grouped(tensors, 5), directions, strict=True)
        lstms = [Recurrence(*(*arguments, backwards)) for arguments, backwards in parts]
        saved = _forward(lstms, keep)

        def gradient(*upstream: Any) -> tuple[Any, ...]:
            return _backward(_grouped(upstream, 3), lstms, saved, keep)

        parts = zip(saved, directions, strict=True)
        results = [(hs, hs[0] if backwards else hs[-1], c) for (hs, c, _, _), backwards in parts]
        return sum(results, ()), gradient

    # Tensors, because `custom_gradient` demands another signature of `gradient` where a variable is used.
    return _grouped(loop(*(tf.convert_to_tensor(part) for lstm in recurrences for part in lstm[:5])), 3)


def _grouped(tensors: Sequence[Any], size: int) -> list[Any]:
    return [tuple(tensors[start : start + size]) for start in range(0, len(tensors), size)]


def infer(x: Any, kernel: Any, recurrent_kernel: Any, bias: Any, h: Any, c: Any) -> tuple[Any, Any, Any]:
    """Runs an LSTM over time without a gradient: the results of `recurrence`, with nothing saved between steps.

    One product per step takes inputs and state, so that the gates are never in memory for all steps
    at once. Each gate has its own matrix, so that no gate is copied out of rows of four. For many
    rows outside XLA this takes 0.8 times as long; for few rows it can take longer.

    Args:
        x: the inputs, (steps, batch, features).
        kernel, recurrent_kernel: (features, 4 * units), (units, 4 * units).
        bias: of the gates, (4 * units,).
        h, c: the initial state, (batch, units) each.
    """
    units, steps = recurrent_kernel.shape[0], _steps(x)

    def by_gate(weights: Any) -> Any:  # i, f and o, which share the sigmoid, and g
        i, f, g, o = tf.split(weights, 4, 1)
        return tf.stack([i, f, o, g])

    weights, biases = by_gate(tf.concat([kernel, recurrent_kernel], 0)), by_gate(bias[None])
    all_h = tf.TensorArray(h.dtype, steps, element_shape=(None, units))

    def body(step: Any, h: Any, c: Any, all_h: Any) -> tuple[Any, ...]:
        z = tf.matmul(tf.concat([x[step], h], 1)[None], weights) + biases
        i, f, o = tf.unstack(tf.sigmoid(z[:3]))
        c = f * c + i * tf.tanh(z[3])
        h = o * tf.tanh(c)
        return step + 1, h, c, all_h.write(step, h)

    _, h, c, all_h = tf.while_loop(lambda step, *_: step < steps, body, (0, h, c, all_h), maximum_iterations=steps)
    return all_h.stack(), h, c


def _sum_dtype(dtype: Any) -> Any:
    return tf.float32 if dtype in (tf.float16, tf.bfloat16) else dtype


def _forward(lstms: Sequence[Recurrence], keep: Any) -> list[tuple[Any, Any, Any, Any]]:
    """Returns for each LSTM h at each position, the last c, c before each step, and the gates.

    The gates are (steps, 4, batch, units): in rows of four, each gate would be a strided slice that
    starts a new page of memory for every row.
    """
    steps, dtype = _steps(lstms[0].gates), _sum_dtype(lstms[0].gates.dtype)
    initial = [(lstm.h, tf.cast(lstm.c, dtype)) for lstm in lstms]
    writers_of = [(ListWriter(h), ListWriter(c), ListWriter(tf.stack([c] * 4))) for h, c in initial]

    def body(step: Any, states: Any, lists: Any) -> tuple[Any, ...]:
        z_of = [
            tf.cast(lstm.gates[lstm.position(step, steps)], dtype) + tf.cast(tf.matmul(h, lstm.kernel), dtype)
            for lstm, (h, _) in zip(lstms, states, strict=True)
        ]
        new_states, new_lists = [], []
        for lstm, (h, c), z, writers, handles in zip(lstms, states, z_of, writers_of, lists, strict=True):
            position = lstm.position(step, steps)
            gates = activate_gates(tf.reshape(z + tf.cast(lstm.bias, dtype), (-1, 4, lstm.kernel.shape[0])))
            i, f, g, o = tf.unstack(gates)
            new_c = f * c + i * g
            new_h = tf.cast(o * tf.tanh(new_c), h.dtype)
            if keep is not None:
                new_c, new_h = tf.where(keep[position], new_c, c), tf.where(keep[position], new_h, h)
            new_states.append((new_h, new_c))
            parts = zip(writers, handles, (new_h, c, gates), strict=True)
            new_lists.append(tuple(writer.write(handle, position, item) for writer, handle, item in parts))
        return step + 1, new_states, new_lists

    empty = [tuple(writer.empty(steps) for writer in writers) for writers in writers_of]
    _, states, lists = tf.while_loop(lambda step, *_: step < steps, body, (0, initial, empty), maximum_iterations=steps)
    results = []
    for writers, (_, last_c), handles in zip(writers_of, states, lists, strict=True):
        hs, cs, gates = (writer.stack(handle) for writer, handle in zip(writers, handles, strict=True))
        results.append((hs, last_c, cs, gates))
    return results


def _backward(upstream: Sequence[Any], lstms: Sequence[Recurrence], saved: Sequence[Any], keep: Any) -> tuple[Any, ...]:
    """Returns the gradients of the gates, kernel, bias, h and c of each LSTM.

    The gradient of the gates reuses the memory of the gates.
    """
    steps = _steps(lstms[0].gates)
    passes = [_BackwardPass(*arguments, keep) for arguments in zip(lstms, saved, upstream, strict=True)]

    def body(step: Any, states: Any, lists: Any) -> tuple[Any, ...]:
        results = [
            one_pass.step(one_pass.lstm.position(step, steps), state, handle)
            for one_pass, state, handle in zip(passes, states, lists, strict=True)
        ]
        return step - 1, [state for state, _ in results], [handle for _, handle in results]

    initial = [one_pass.initial() for one_pass in passes]
    lists = [one_pass.writer.from_tensor(one_pass.lstm.gates) for one_pass in passes]
    _, states, lists = tf.while_loop(
        lambda step, *_: step >= 0, body, (steps - 1, initial, lists), maximum_iterations=steps
    )
    return sum((one_pass.gradients(*rest) for one_pass, *rest in zip(passes, states, lists, strict=True)), ())


class _BackwardPass:
    """Backpropagation through time for one LSTM.

    Args:
        lstm: the LSTM.
        saved: its result of `_forward`.
        upstream: the gradients of h at each position, and of the last h and c.
        keep: as in `recurrence`.
    """

    def __init__(self, lstm: Recurrence, saved: Any, upstream: Any, keep: Any) -> None:
        self.lstm = lstm
        self.hs, self.last_c, self.cs, self.gates = saved
        self.dtype = self.cs.dtype
        self.d_hs, self.d_h, self.d_c = (tf.cast(part, self.dtype) for part in upstream)
        self.keep = keep
        self.transposed = tf.transpose(lstm.kernel)  # once, not at every step
        self.writer = ListWriter(lstm.gates[0])

    def initial(self) -> tuple[Any, Any, Any]:
        """Returns the gradients of the last h and c, and the last c."""
        return self.d_h, self.d_c, self.last_c

    def step(self, position: Any, state: tuple[Any, Any, Any], handle: Any) -> tuple[tuple[Any, Any, Any], Any]:
        """Returns the same three one step earlier, and the list with the gradient of z at this position."""
        d_h, d_c, c = state
        previous_c, d_h = self.cs[position], d_h + self.d_hs[position]
        gates = [self.gates[position, gate] for gate in range(4)]
        d_z, d_previous_c = gates_gradient(gates, previous_c, c, d_h, d_c)
        if self.keep is not None:
            d_z = tf.where(self.keep[position], d_z, tf.zeros_like(d_z))
        d_z = tf.cast(d_z, self.transposed.dtype)
        d_previous_h = tf.cast(tf.matmul(d_z, self.transposed), self.dtype)
        if self.keep is not None:
            d_previous_h = tf.where(self.keep[position], d_previous_h, d_h)
            d_previous_c = tf.where(self.keep[position], d_previous_c, d_c)
        return (d_previous_h, d_previous_c, previous_c), self.writer.write(handle, position, d_z)

    def gradients(self, state: Any, handle: Any) -> tuple[Any, ...]:
        """Returns the gradients of the tensors of the LSTM, given the state before its first step."""
        lstm, (d_h, d_c, _), d_gates = self.lstm, state, self.writer.stack(handle)
        parts = [self.hs[1:], lstm.h[None]] if lstm.backwards else [lstm.h[None], self.hs[:-1]]
        previous_h = tf.reshape(tf.concat(parts, axis=0), (-1, lstm.kernel.shape[0]))
        flat = tf.reshape(d_gates, (-1, lstm.kernel.shape[1]))
        d_kernel = tf.matmul(previous_h, flat, transpose_a=True)
        d_bias = tf.reduce_sum(flat, axis=0)
        return d_gates, d_kernel, d_bias, tf.cast(d_h, lstm.h.dtype), tf.cast(d_c, lstm.c.dtype)


def _steps(sequence: Any) -> Any:
    known = sequence.shape[0]
    return tf.shape(sequence)[0] if known is None else known
