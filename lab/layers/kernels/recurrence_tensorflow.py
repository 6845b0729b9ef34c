"""The loop of LSTMs over time on TensorFlow, with a gradient of its own."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf


@functools.cache
def has_gpu() -> bool:
    """Whether TensorFlow sees a GPU, for which cuDNN has an LSTM."""
    return bool(tf.config.list_physical_devices("GPU"))


class Recurrence(NamedTuple):
    """What the recurrent half of one LSTM needs to run over time.

    Attributes:
        gates: the inputs' share of the gates before their activation, (steps, batch, 4 * units), in
            the order input, forget, candidate, output.
        kernel: the recurrent kernel, (units, 4 * units).
        bias: of the gates, (4 * units,).
        h, c: the state to begin with, (batch, units) each.
        backwards: whether it begins with the last step.
    """

    gates: Any
    kernel: Any
    bias: Any
    h: Any
    c: Any
    backwards: bool = False

    def place(self, step: Any, steps: Any) -> Any:
        """Returns where in time a step of the loop is."""
        return steps - 1 - step if self.backwards else step


def recurrence(gates: Any, kernel: Any, bias: Any, h: Any, c: Any, keep: Any = None) -> tuple[Any, Any, Any]:
    """Runs an LSTM's recurrent half over time.

    Args:
        gates, kernel, bias, h, c: as in `Recurrence`.
        keep: which steps count, bool (steps, batch, 1); elsewhere the state stays. None: all.

    Returns:
        The states h after each step, (steps, batch, units), and the last h and c.
    """
    return side_by_side([Recurrence(gates, kernel, bias, h, c)], keep)[0]


def side_by_side(recurrences: Sequence[Recurrence], keep: Any = None) -> list[tuple[Any, Any, Any]]:
    """Runs several LSTMs of as many steps in one loop, so that one's product runs beside another's activations.

    XLA's loops wait for one another, and within one only products and the largest of other
    operations make use of a second core.

    Args:
        recurrences: the LSTMs, whose states do not depend on one another.
        keep: as in `recurrence`, for all of them.

    Returns:
        For each the states h at each time, (steps, batch, units), and the last h and c.
    """
    ways = [one.backwards for one in recurrences]

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def loop(*tensors: Any) -> tuple[Any, Any]:
        fives = zip(_grouped(tensors, 5), ways, strict=True)
        taken = [Recurrence(*five)._replace(backwards=way) for five, way in fives]
        forwards = _forwards(taken, keep)

        def gradient(*upstream: Any) -> tuple[Any, ...]:
            return _backwards(_grouped(upstream, 3), taken, forwards, keep)

        ends = [(hs, hs[0] if way else hs[-1], c) for (hs, c, _, _), way in zip(forwards, ways, strict=True)]
        return sum(ends, ()), gradient

    return _grouped(loop(*(tf.convert_to_tensor(one) for five in recurrences for one in five[:5])), 3)  # no variables


def _grouped(tensors: Sequence[Any], size: int) -> list[Any]:
    return [tuple(tensors[start : start + size]) for start in range(0, len(tensors), size)]


def look(x: Any, kernel: Any, recurrent_kernel: Any, bias: Any, h: Any, c: Any) -> tuple[Any, Any, Any]:
    """Runs an LSTM over time where no gradient is wanted: as `recurrence`, and nothing is kept from step to step.

    Inputs and state go through one product a step, so that the gates never lie in memory all at once; each
    gate has a matrix of its own there, so that none is a slice that would be copied out of rows of four. For
    many rows outside XLA that takes eight tenths of the time; for a few it can take longer.

    Args:
        x: the inputs, (steps, batch, features).
        kernel, recurrent_kernel: (features, 4 * units), (units, 4 * units).
        bias: of the gates, (4 * units,).
        h, c: the state to begin with, (batch, units) each.
    """
    units, steps = recurrent_kernel.shape[0], _steps(x)

    def by_gate(weights: Any) -> Any:  # input, forget and output, which open alike, and the candidate
        i, f, g, o = tf.split(weights, 4, 1)
        return tf.stack([i, f, o, g])

    both, biases = by_gate(tf.concat([kernel, recurrent_kernel], 0)), by_gate(bias[None])
    every_h = tf.TensorArray(h.dtype, steps, element_shape=(None, units))

    def body(step: Any, h: Any, c: Any, every_h: Any) -> tuple[Any, ...]:
        z = tf.matmul(tf.concat([x[step], h], 1)[None], both) + biases
        i, f, o = tf.unstack(tf.sigmoid(z[:3]))
        c = f * c + i * tf.tanh(z[3])
        h = o * tf.tanh(c)
        return step + 1, h, c, every_h.write(step, h)

    _, h, c, every_h = tf.while_loop(lambda step, *_: step < steps, body, (0, h, c, every_h), maximum_iterations=steps)
    return every_h.stack(), h, c


def _sums(dtype: Any) -> Any:
    """The dtype of sums: at least float32."""
    return tf.float32 if dtype in (tf.float16, tf.bfloat16) else dtype


class Rows:
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


def open_gates(z: Any) -> Any:
    """Returns opened gates, (4, ..., units), of what comes before their activation, (..., 4, units)."""
    rank = len(z.shape)
    # sigmoid(z) = tanh(z / 2) / 2 + 1 / 2, so that one operation opens all four.
    half = tf.reshape(tf.constant([0.5, 0.5, 1, 0.5], z.dtype), (4, *[1] * (rank - 1)))
    return tf.tanh(tf.transpose(z, (rank - 2, *range(rank - 2), rank - 1)) * half) * half + (1 - half)


def through_gates(opened: Sequence[Any], before_c: Any, c: Any, d_h: Any, d_c: Any) -> tuple[Any, Any]:
    """Takes gradients one step back through the gates of an LSTM.

    Args:
        opened: input, forget, candidate and output gate, (..., units) each.
        before_c, c: the cell before and after the step.
        d_h, d_c: the gradients of the state and the cell after it.

    Returns:
        The gradients of the gates before their activation, (..., 4 * units), and of the cell before the step.
    """
    i, f, g, o = opened
    squashed = tf.tanh(c)
    through_c = d_c + d_h * o * (1 - squashed * squashed)
    d_z = [
        through_c * g * i * (1 - i),
        through_c * before_c * f * (1 - f),
        through_c * i * (1 - g * g),
        d_h * squashed * o * (1 - o),
    ]
    return tf.concat(d_z, axis=-1), through_c * f


def _forwards(recurrences: Sequence[Recurrence], keep: Any) -> list[tuple[Any, Any, Any, Any]]:
    """Of each: h at each time, the last c, c before each, and the opened gates, (steps, 4, batch, units).

    A gate of all rows lies together: slices of rows of four gates would begin a new page of memory each.
    """
    steps, dtype = _steps(recurrences[0].gates), _sums(recurrences[0].gates.dtype)
    begin = [(one.h, tf.cast(one.c, dtype)) for one in recurrences]
    rows = [(Rows(h), Rows(c), Rows(tf.stack([c] * 4))) for h, c in begin]

    def body(step: Any, states: Any, lists: Any) -> tuple[Any, ...]:
        products = [
            tf.cast(one.gates[one.place(step, steps)], dtype) + tf.cast(tf.matmul(h, one.kernel), dtype)
            for one, (h, _) in zip(recurrences, states, strict=True)
        ]
        after, kept = [], []
        for one, (h, c), z, row, held in zip(recurrences, states, products, rows, lists, strict=True):
            place = one.place(step, steps)
            now = open_gates(tf.reshape(z + tf.cast(one.bias, dtype), (-1, 4, one.kernel.shape[0])))
            i, f, g, o = tf.unstack(now)
            new_c = f * c + i * g
            new_h = tf.cast(o * tf.tanh(new_c), h.dtype)
            if keep is not None:
                new_c, new_h = tf.where(keep[place], new_c, c), tf.where(keep[place], new_h, h)
            after.append((new_h, new_c))
            made = zip(row, held, (new_h, c, now), strict=True)
            kept.append(tuple(into.write(handle, place, item) for into, handle, item in made))
        return step + 1, after, kept

    empty = [tuple(one.empty(steps) for one in row) for row in rows]
    _, states, lists = tf.while_loop(lambda step, *_: step < steps, body, (0, begin, empty), maximum_iterations=steps)
    done = []
    for row, (_, last_c), held in zip(rows, states, lists, strict=True):
        hs, cs, opened = (one.stack(handle) for one, handle in zip(row, held, strict=True))
        done.append((hs, last_c, cs, opened))
    return done


def _backwards(
    upstream: Sequence[Any], recurrences: Sequence[Recurrence], forwards: Sequence[Any], keep: Any
) -> tuple[Any, ...]:
    """The gradients of each one's gates, kernel, bias, h and c; that of the gates takes the gates' place in memory."""
    steps = _steps(recurrences[0].gates)
    ways = [_WayBack(*of_one, keep) for of_one in zip(recurrences, forwards, upstream, strict=True)]

    def body(step: Any, states: Any, lists: Any) -> tuple[Any, ...]:
        made = [
            way.step(way.one.place(step, steps), state, handle)
            for way, state, handle in zip(ways, states, lists, strict=True)
        ]
        return step - 1, [state for state, _ in made], [handle for _, handle in made]

    begin = (steps - 1, [way.begin() for way in ways], [way.rows.of(way.one.gates) for way in ways])
    _, states, lists = tf.while_loop(lambda step, *_: step >= 0, body, begin, maximum_iterations=steps)
    return sum((way.gradients(*of_one) for way, *of_one in zip(ways, states, lists, strict=True)), ())


class _WayBack:
    """One LSTM's way back through time.

    Args:
        one: the LSTM.
        forwards: what `_forwards` kept of it.
        upstream: the gradients of its states h at each time, and of the last h and c.
        keep: as in `recurrence`.
    """

    def __init__(self, one: Recurrence, forwards: Any, upstream: Any, keep: Any) -> None:
        self.one = one
        self.hs, self.last_c, self.cs, self.opened = forwards
        self.dtype = self.cs.dtype
        self.d_hs, self.d_h, self.d_c = (tf.cast(each, self.dtype) for each in upstream)
        self.keep = keep
        self.turned = tf.transpose(one.kernel)  # once, not at every step
        self.rows = Rows(one.gates[0])

    def begin(self) -> tuple[Any, Any, Any]:
        """Returns the gradients of the last h and c, and that c."""
        return self.d_h, self.d_c, self.last_c

    def step(self, place: Any, state: tuple[Any, Any, Any], handle: Any) -> tuple[tuple[Any, Any, Any], Any]:
        """Returns the same of the time before, and the list into which the gradient of the gates went."""
        d_h, d_c, now_c = state
        before_c, d_h = self.cs[place], d_h + self.d_hs[place]
        d_z, past_c = through_gates([self.opened[place, gate] for gate in range(4)], before_c, now_c, d_h, d_c)
        if self.keep is not None:
            d_z = tf.where(self.keep[place], d_z, tf.zeros_like(d_z))
        d_z = tf.cast(d_z, self.turned.dtype)
        past_h = tf.cast(tf.matmul(d_z, self.turned), self.dtype)
        if self.keep is not None:
            past_h, past_c = tf.where(self.keep[place], past_h, d_h), tf.where(self.keep[place], past_c, d_c)
        return (past_h, past_c, before_c), self.rows.write(handle, place, d_z)

    def gradients(self, state: Any, handle: Any) -> tuple[Any, ...]:
        """Returns the gradients of what the LSTM was given, from what is left at the end of the way."""
        one, (d_h, d_c, _), d_gates = self.one, state, self.rows.stack(handle)
        parts = [self.hs[1:], one.h[None]] if one.backwards else [one.h[None], self.hs[:-1]]
        before_h = tf.reshape(tf.concat(parts, axis=0), (-1, one.kernel.shape[0]))
        flat = tf.reshape(d_gates, (-1, one.kernel.shape[1]))
        d_kernel = tf.matmul(before_h, flat, transpose_a=True)
        d_bias = tf.reduce_sum(flat, axis=0)
        return d_gates, d_kernel, d_bias, tf.cast(d_h, one.h.dtype), tf.cast(d_c, one.c.dtype)


def _steps(sequence: Any) -> Any:
    known = sequence.shape[0]
    return tf.shape(sequence)[0] if known is None else known
