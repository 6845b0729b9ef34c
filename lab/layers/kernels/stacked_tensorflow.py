"""LSTMs over many rows on TensorFlow: stacked in one array, with all products in the loop over time."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from lab.layers.kernels.recurrence_tensorflow import Rows, open_gates, through_gates

# With fewer rows it is quicker to take the inputs' products for the whole sequence at once, as `side_by_side` has them.
# The time of this over that, two LSTMs of 64 units over 50 steps of 128 features, a compiled step of training: 1.4 for
# 64 rows, 1.0 for 192, 0.91 for 384, 0.87 for 832; an epoch of the sentiment classifier gains from 192 on.
FEWEST = 192


def stacked(x: Any, weights: Any, bias: Any) -> Any:
    """Runs LSTMs that begin with zeros over time, each over sequences of its own; with its own gradient.

    Inputs and state go through one product a step, as do their gradients, and each step adds to those of the kernels.
    So the gates' gradients, four times as large as the states, are used where they were made, and need not be written
    for a whole sequence and read again. And an operation does for all of the LSTMs what it would do for one.

    Args:
        x: the inputs, (steps, LSTMs, rows, features), every dimension static.
        weights: of each LSTM the kernel above the recurrent kernel, (LSTMs, features + units, 4 * units), in the
            order input, forget, candidate, output.
        bias: of the gates, (LSTMs, 1, 4 * units).

    Returns:
        The states h after each step, (steps, LSTMs, rows, units).
    """
    result: Any = _loop(x, weights, bias)
    return result


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _loop(x: Any, weights: Any, bias: Any) -> tuple[Any, Any]:
    before_h, before_c, last_c, opened = _forwards(x, weights, bias)

    def gradient(d_hs: Any) -> tuple[Any, Any, Any]:
        return _backwards(d_hs, x, weights, before_h, before_c, last_c, opened)

    return before_h[1:], gradient


def _forwards(x: Any, weights: Any, bias: Any) -> tuple[Any, Any, Any, Any]:
    """The states h and c before each step and after the last, that c, and the opened gates, (steps, 4, LSTMs, ...)."""
    steps, lstms, rows, _ = x.shape
    units = weights.shape[2] // 4
    zeros = tf.zeros((lstms, rows, units), x.dtype)
    states, gates = Rows(zeros), Rows(tf.stack([zeros] * 4))

    def body(step: Any, h: Any, c: Any, hs: Any, cs: Any, opened: Any) -> tuple[Any, ...]:
        z = tf.matmul(tf.concat([x[step], h], 2), weights) + bias
        now = open_gates(tf.reshape(z, (lstms, rows, 4, units)))
        i, f, g, o = tf.unstack(now)
        c = f * c + i * g
        h = o * tf.tanh(c)
        after = states.write(hs, step + 1, h), states.write(cs, step + 1, c), gates.write(opened, step, now)
        return step + 1, h, c, *after

    begin = [states.write(states.empty(steps + 1), 0, zeros) for _ in range(2)]
    made = tf.while_loop(
        lambda step, *_: step < steps,
        body,
        (0, zeros, zeros, *begin, gates.empty(steps)),
        maximum_iterations=steps,
    )
    _, _, last_c, hs, cs, opened = made
    return states.stack(hs), states.stack(cs), last_c, gates.stack(opened)


def _backwards(
    d_hs: Any, x: Any, weights: Any, before_h: Any, before_c: Any, last_c: Any, opened: Any
) -> tuple[Any, Any, Any]:
    """The gradients of inputs, weights and bias."""
    steps, _, _, features = x.shape
    turned = tf.transpose(weights, (0, 2, 1))  # once, not at every step
    inputs = Rows(x[0])

    def body(step: Any, d_h: Any, d_c: Any, c: Any, d_weights: Any, d_bias: Any, d_x: Any) -> tuple[Any, ...]:
        past_c, gates = before_c[step], [opened[step, gate] for gate in range(4)]
        d_z, d_c = through_gates(gates, past_c, c, d_h + d_hs[step], d_c)
        d_both = tf.matmul(d_z, turned)
        d_weights += tf.matmul(tf.concat([x[step], before_h[step]], 2), d_z, transpose_a=True)
        d_bias += tf.reduce_sum(d_z, axis=1, keepdims=True)
        d_x = inputs.write(d_x, step, d_both[:, :, :features])
        return step - 1, d_both[:, :, features:], d_c, past_c, d_weights, d_bias, d_x

    none = tf.zeros_like(last_c)
    sums = tf.zeros_like(weights), tf.zeros_like(weights[:, :1])
    begin = (steps - 1, none, none, last_c, *sums, inputs.empty(steps))
    made = tf.while_loop(lambda step, *_: step >= 0, body, begin, maximum_iterations=steps)
    *_, d_weights, d_bias, d_x = made
    return inputs.stack(d_x), d_weights, d_bias
