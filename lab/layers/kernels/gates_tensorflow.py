"""Shared by the loops of LSTMs on TensorFlow: the gates of a step, their gradient, and lists of results.

Names: i, f, g and o are the input, forget, candidate and output gate; z holds their values before
activation; h is the state and c the cell; `d_x` is the gradient of x.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf


class ListWriter:
    """Writes tensor lists item by item within a loop: in place under XLA, without a second buffer.

    Args:
        item: a tensor of the shape and dtype of an item.
    """

    def __init__(self, item: Any) -> None:
        known = item.shape.is_fully_defined()
        self.shape = tf.constant(item.shape.as_list(), tf.int32) if known else tf.shape(item)
        self.dtype = item.dtype

    def from_tensor(self, tensor: Any) -> Any:
        """Returns a list of the rows of a tensor."""
        return tf.raw_ops.TensorListFromTensor(tensor=tensor, element_shape=self.shape)

    def empty(self, count: Any) -> Any:
        """Returns a list of `count` items, not yet written."""
        return tf.raw_ops.TensorListReserve(element_shape=self.shape, num_elements=count, element_dtype=self.dtype)

    def write(self, handle: Any, position: Any, item: Any) -> Any:
        """Returns the list with the item at the position."""
        return tf.raw_ops.TensorListSetItem(input_handle=handle, index=position, item=item)

    def stack(self, handle: Any) -> Any:
        """Returns the items as one tensor, (items, ...)."""
        return tf.raw_ops.TensorListStack(input_handle=handle, element_shape=self.shape, element_dtype=self.dtype)


def activate_gates(z: Any) -> Any:
    """Returns the gates after activation, (4, ..., units), for z of (..., 4, units)."""
    rank = len(z.shape)
    # sigmoid(z) = tanh(z / 2) / 2 + 1 / 2, so that one operation activates all four.
    half = tf.reshape(tf.constant([0.5, 0.5, 1, 0.5], z.dtype), (4, *[1] * (rank - 1)))
    return tf.tanh(tf.transpose(z, (rank - 2, *range(rank - 2), rank - 1)) * half) * half + (1 - half)


def gates_gradient(gates: Sequence[Any], previous_c: Any, c: Any, d_h: Any, d_c: Any) -> tuple[Any, Any]:
    """Propagates gradients one step back through the gates of an LSTM.

    Args:
        gates: i, f, g and o after activation, (..., units) each.
        previous_c, c: the cell before and after the step.
        d_h, d_c: the gradients of the state and the cell after the step.

    Returns:
        The gradient of z, (..., 4 * units), and that of the cell before the step.
    """
    i, f, g, o = gates
    tanh_c = tf.tanh(c)
    total_d_c = d_c + d_h * o * (1 - tanh_c * tanh_c)
    d_z = [
        total_d_c * g * i * (1 - i),
        total_d_c * previous_c * f * (1 - f),
        total_d_c * i * (1 - g * g),
        d_h * tanh_c * o * (1 - o),
    ]
    return tf.concat(d_z, axis=-1), total_d_c * f
