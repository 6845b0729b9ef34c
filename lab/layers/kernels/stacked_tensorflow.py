"""LSTMs over many rows on TensorFlow: stacked in one array, with all matrix products in the loop over time.

Names are those of `gates_tensorflow`.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from lab.layers.kernels.gates_tensorflow import ListWriter, activate_gates, gates_gradient

# With fewer rows `side_by_side` is faster, which takes the inputs' products for all steps at once. The time of this
# loop relative to that one (two LSTMs of 64 units over 50 steps of 128 features, a compiled training step): 1.4 for
# 64 rows, 1.0 for 192, 0.91 for 384, 0.87 for 832. An epoch of the sentiment classifier is faster from 192 on.
MIN_ROWS = 192


def stacked(x: Any, weights: Any, bias: Any) -> Any:
    """Runs LSTMs over time, each over its own sequences and from a state of zeros; with a custom gradient.

    One product per step takes inputs and state, another their gradients, and each step adds to the
    gradients of the kernels. So the gradient of z, four times as large as the state, is used where it
    was computed, and not written and read again for all steps. One operation serves all LSTMs.

    Args:
        x: the inputs, (steps, LSTMs, rows, features), every size static.
        weights: for each LSTM the kernel above the recurrent kernel, (LSTMs, features + units, 4 * units),
            in the order input, forget, candidate, output.
        bias: of the gates, (LSTMs, 1, 4 * units).

    Returns:
        The states h after each step, (steps, LSTMs, rows, units).
    """
    result: Any = _loop(x, weights, bias)
    return result


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _loop(x: Any, weights: Any, bias: Any) -> tuple[Any, Any]:
    hs, cs, last_c, gates = _forward(x, weights, bias)

    def gradient(d_hs: Any) -> tuple[Any, Any, Any]:
        return _backward(d_hs, x, weights, hs, cs, last_c, gates)

    return hs[1:], gradient


def _forward(x: Any, weights: Any, bias: Any) -> tuple[Any, Any, Any, Any]:
    """Returns h and c before each step and after the last, the last c, and the gates, (steps, 4, LSTMs, ...)."""
    steps, lstms, rows, _ = x.shape
    units = weights.shape[2] // 4
    zeros = tf.zeros((lstms, rows, units), x.dtype)
    state_writer, gate_writer = ListWriter(zeros), ListWriter(tf.stack([zeros] * 4))

    def body(step: Any, h: Any, c: Any, hs: Any, cs: Any, all_gates: Any) -> tuple[Any, ...]:
        z = tf.matmul(tf.concat([x[step], h], 2), weights) + bias
        gates = activate_gates(tf.reshape(z, (lstms, rows, 4, units)))
        i, f, g, o = tf.unstack(gates)
        c = f * c + i * g
        h = o * tf.tanh(c)
        hs, cs = state_writer.write(hs, step + 1, h), state_writer.write(cs, step + 1, c)
        return step + 1, h, c, hs, cs, gate_writer.write(all_gates, step, gates)

    lists = [state_writer.write(state_writer.empty(steps + 1), 0, zeros) for _ in range(2)]
    _, _, last_c, hs, cs, all_gates = tf.while_loop(
        lambda step, *_: step < steps,
        body,
        (0, zeros, zeros, *lists, gate_writer.empty(steps)),
        maximum_iterations=steps,
    )
    return state_writer.stack(hs), state_writer.stack(cs), last_c, gate_writer.stack(all_gates)


def _backward(d_hs: Any, x: Any, weights: Any, hs: Any, cs: Any, last_c: Any, gates: Any) -> tuple[Any, Any, Any]:
    """Returns the gradients of inputs, weights and bias."""
    steps, _, _, features = x.shape
    transposed = tf.transpose(weights, (0, 2, 1))  # once, not at every step
    input_writer = ListWriter(x[0])

    def body(step: Any, d_h: Any, d_c: Any, c: Any, d_weights: Any, d_bias: Any, d_x: Any) -> tuple[Any, ...]:
        previous_c, step_gates = cs[step], [gates[step, gate] for gate in range(4)]
        d_z, d_c = gates_gradient(step_gates, previous_c, c, d_h + d_hs[step], d_c)
        d_inputs = tf.matmul(d_z, transposed)
        d_weights += tf.matmul(tf.concat([x[step], hs[step]], 2), d_z, transpose_a=True)
        d_bias += tf.reduce_sum(d_z, axis=1, keepdims=True)
        d_x = input_writer.write(d_x, step, d_inputs[:, :, :features])
        return step - 1, d_inputs[:, :, features:], d_c, previous_c, d_weights, d_bias, d_x

    zeros = tf.zeros_like(last_c)
    sums = tf.zeros_like(weights), tf.zeros_like(weights[:, :1])
    *_, d_weights, d_bias, d_x = tf.while_loop(
        lambda step, *_: step >= 0,
        body,
        (steps - 1, zeros, zeros, last_c, *sums, input_writer.empty(steps)),
        maximum_iterations=steps,
    )
    return input_writer.stack(d_x), d_weights, d_bias
