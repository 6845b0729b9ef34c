"""How well a recurrent model predicts a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lab.data import Array
from lab.tasks.text.generation import Generator

if TYPE_CHECKING:
    import keras

STREAMS = 16  # parts of the text that are read in parallel
WARM_UP = 512  # symbols that each part reads before its own
ROWS = 2048  # windows that are read in parallel


def carried_log_probabilities(model: keras.Model, symbols: Array) -> Array:
    """Returns the log-probability of every symbol but the first, in nats, with the state carried along the text.

    The text is read in `STREAMS` parts in parallel. Each part first reads the `WARM_UP` symbols before it.

    Args:
        model: one that `Generator` accepts.
        symbols: shape (n,).

    Returns:
        Shape (n - 1,).
    """
    count = len(symbols)
    share = -(-(count - 1) // STREAMS)
    firsts = 1 + share * np.arange(STREAMS)
    starts = np.maximum(firsts - 1 - WARM_UP, 0)
    places = starts[:, None] + np.arange(WARM_UP + 1 + share)  # (STREAMS, steps), some beyond a part or the text
    steps = Generator(model, STREAMS).read(symbols[np.minimum(places, count - 1)])
    own = (places >= firsts[:, None]) & (places < np.minimum(firsts + share, count)[:, None])
    log_probabilities = np.zeros(count)
    log_probabilities[places[own]] = steps.log_probability[own]
    return log_probabilities[1:]


def windowed_log_probabilities(model: keras.Model, symbols: Array, window: int) -> Array:
    """Returns the same if each window of `window` symbols is read separately, from the initial state."""
    count = len(symbols) - 1
    places = np.arange(0, count, window)[:, None] + np.arange(window + 1)
    parts = []
    for some in np.array_split(places, -(-len(places) // ROWS)):
        steps = Generator(model, len(some)).read(symbols[np.minimum(some, count)])
        parts.append(steps.log_probability[:, 1:][some[:, 1:] <= count])
    return np.concatenate(parts)
