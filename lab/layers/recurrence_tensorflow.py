"""The loop of an LSTM over time on TensorFlow, with a gradient of its own."""

from __future__ import annotations

import functools
from typing import Any

import tensorflow as tf


@functools.cache
def has_gpu() -> bool:
    """Whether TensorFlow sees a GPU, for which cuDNN has an LSTM."""
    return bool(tf.config.list_physical_devices("GPU"))


def recurrence(gates: Any, kernel: Any, bias: Any, h: Any, c: Any, keep: Any = None) -> tuple[Any, Any, Any]:
    """Runs an LSTM's recurrent half over time.

    Args:
        gates: the inputs' share of the gates before their activation, (steps, batch, 4 * units), in
            the order input, forget, candidate, output.
        kernel: the recurrent kernel, (units, 4 * units).
        bias: of the gates, (4 * units,).
        h, c: the state to begin with, (batch, units) each.
        keep: which steps count, bool (steps, batch, 1); elsewhere the state stays. None: all.

    Returns:
        The states h after each step, (steps, batch, units), and the last h and c.
    """

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def run(gates: Any, kernel: Any, bias: Any, h: Any, c: Any) -> tuple[Any, Any]:
        hs, last_c, cs, opened = _forwards(gates, kernel, bias, h, c, keep)

        def gradient(*upstream: Any) -> tuple[Any, ...]:
            return _backwards(upstream, (gates, hs, last_c, cs, opened), kernel, h, c, keep)

        return (hs, hs[-1], last_c), gradient

    done: tuple[Any, Any, Any] = run(
        *(tf.convert_to_tensor(part) for part in (gates, kernel, bias, h, c))
    )  # no variables
    return done


def look(x: Any, kernel: Any, recurrent_kernel: Any, bias: Any, h: Any, c: Any) -> tuple[Any, Any, Any]:
    """Runs an LSTM over time where no gradient is wanted: as `recurrence`, and nothing is kept from step to step.

    Inputs and state go through one product a step, so that the gates never lie in memory all at once.
    For many rows outside XLA that takes nine tenths of the time; for few rows it takes longer.

    Args:
        x: the inputs, (steps, batch, features).
        kernel, recurrent_kernel: (features, 4 * units), (units, 4 * units).
        bias: of the gates, (4 * units,).
        h, c: the state to begin with, (batch, units) each.
    """
    both, steps = tf.concat([kernel, recurrent_kernel], 0), _steps(x)
    every_h = tf.TensorArray(h.dtype, steps, element_shape=(None, recurrent_kernel.shape[0]))

    def body(step: Any, h: Any, c: Any, every_h: Any) -> tuple[Any, ...]:
        i, f, g, o = tf.split(tf.nn.bias_add(tf.matmul(tf.concat([x[step], h], 1), both), bias), 4, 1)
        c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
        h = tf.sigmoid(o) * tf.tanh(c)
        return step + 1, h, c, every_h.write(step, h)

    _, h, c, every_h = tf.while_loop(lambda step, *_: step < steps, body, (0, h, c, every_h), maximum_iterations=steps)
    return every_h.stack(), h, c


def _sums(dtype: Any) -> Any:
    """The dtype of sums: at least float32."""
    return tf.float32 if dtype in (tf.float16, tf.bfloat16) else dtype


class _Rows:
    """A tensor whose rows a loop writes: in place under XLA, with no second buffer."""

    def __init__(self, row: Any) -> None:
        known = row.shape.is_fully_defined()
        self.shape = tf.constant(row.shape.as_list(), tf.int32) if known else tf.shape(row)
        self.dtype = row.dtype

    def of(self, tensor: Any) -> Any:
        return tf.raw_ops.TensorListFromTensor(tensor=tensor, element_shape=self.shape)

    def empty(self, count: Any) -> Any:
        return tf.raw_ops.TensorListReserve(element_shape=self.shape, num_elements=count, element_dtype=self.dtype)

    def write(self, handle: Any, place: Any, item: Any) -> Any:
        return tf.raw_ops.TensorListSetItem(input_handle=handle, index=place, item=item)

    def stack(self, handle: Any) -> Any:
        return tf.raw_ops.TensorListStack(input_handle=handle, element_shape=self.shape, element_dtype=self.dtype)


def _forwards(gates: Any, kernel: Any, bias: Any, h: Any, c: Any, keep: Any) -> tuple[Any, ...]:
    """States h after each step, the last c, each step's c before it, and the opened gates, (steps, 4, batch, units).

    A gate of all rows lies together: slices of rows of four gates would begin a new page of memory each.
    """
    steps, dtype, units = _steps(gates), _sums(gates.dtype), kernel.shape[0]
    wide_bias, first_c = tf.cast(bias, dtype), tf.cast(c, dtype)
    hs, cs, opened = _Rows(h), _Rows(first_c), _Rows(tf.stack([first_c] * 4))
    # sigmoid(z) = tanh(z / 2) / 2 + 1 / 2, so that one operation opens all four.
    half = tf.constant([0.5, 0.5, 1, 0.5], dtype)[:, None, None]

    def body(step: Any, h: Any, c: Any, every_gate: Any, every_h: Any, every_c: Any) -> tuple[Any, ...]:
        z = tf.cast(gates[step], dtype) + tf.cast(tf.matmul(h, kernel), dtype) + wide_bias
        z = tf.transpose(tf.reshape(z, (-1, 4, units)), (1, 0, 2))
        now = tf.tanh(z * half) * half + (1 - half)
        i, f, g, o = tf.unstack(now)
        new_c = f * c + i * g
        new_h = tf.cast(o * tf.tanh(new_c), h.dtype)
        if keep is not None:
            new_c, new_h = tf.where(keep[step], new_c, c), tf.where(keep[step], new_h, h)
        every_gate = opened.write(every_gate, step, now)
        return step + 1, new_h, new_c, every_gate, hs.write(every_h, step, new_h), cs.write(every_c, step, c)

    state = (0, h, first_c, opened.empty(steps), hs.empty(steps), cs.empty(steps))
    _, _, last_c, every_gate, every_h, every_c = tf.while_loop(
        lambda step, *_: step < steps, body, state, maximum_iterations=steps
    )
    return hs.stack(every_h), last_c, cs.stack(every_c), opened.stack(every_gate)


def _backwards(
    upstream: tuple[Any, ...], forwards: tuple[Any, ...], kernel: Any, h: Any, c: Any, keep: Any
) -> tuple[Any, Any, Any, Any, Any]:
    """The gradients of gates, kernel, bias, h and c; that of the gates takes the gates' place in memory."""
    gates, hs, last_c, cs, opened = forwards
    steps, dtype = _steps(hs), cs.dtype
    d_hs, d_h, d_c = (tf.cast(part, dtype) for part in upstream)
    before_h = tf.concat([h[None], hs[:-1]], axis=0)
    turned = tf.transpose(kernel)  # once, not at every step
    rows = _Rows(gates[0])

    def body(step: Any, d_h: Any, d_c: Any, now_c: Any, every_gate: Any) -> tuple[Any, ...]:
        i, f, g, o = (opened[step, gate] for gate in range(4))
        squashed = tf.tanh(now_c)
        before_c = cs[step]
        d_h = d_h + d_hs[step]
        through_c = d_c + d_h * o * (1 - squashed * squashed)
        d_z = tf.concat(
            [
                through_c * g * i * (1 - i),
                through_c * before_c * f * (1 - f),
                through_c * i * (1 - g * g),
                d_h * squashed * o * (1 - o),
            ],
            axis=1,
        )
        past_c = through_c * f
        if keep is not None:
            d_z = tf.where(keep[step], d_z, tf.zeros_like(d_z))
        d_z = tf.cast(d_z, kernel.dtype)
        past_h = tf.cast(tf.matmul(d_z, turned), dtype)
        if keep is not None:
            past_h, past_c = tf.where(keep[step], past_h, d_h), tf.where(keep[step], past_c, d_c)
        return step - 1, past_h, past_c, before_c, rows.write(every_gate, step, d_z)

    state = (steps - 1, d_h, d_c, last_c, rows.of(gates))
    _, d_h, d_c, _, every_gate = tf.while_loop(lambda step, *_: step >= 0, body, state, maximum_iterations=steps)
    d_gates = rows.stack(every_gate)
    flat = tf.reshape(d_gates, (-1, kernel.shape[1]))
    d_kernel = tf.matmul(tf.reshape(before_h, (-1, kernel.shape[0])), flat, transpose_a=True)
    d_bias = tf.reduce_sum(flat, axis=0)
    return d_gates, d_kernel, d_bias, tf.cast(d_h, h.dtype), tf.cast(d_c, c.dtype)


def _steps(sequence: Any) -> Any:
    known = sequence.shape[0]
    return tf.shape(sequence)[0] if known is None else known
