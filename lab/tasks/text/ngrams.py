"""Counting as a language model: n-grams of symbols, the honest baseline of a network that writes."""

from __future__ import annotations

import dataclasses

import numpy as np

from lab.data import Array
from lab.errors import UsageError


@dataclasses.dataclass(frozen=True)
class _Order:
    """What one length of context has seen: contexts, how often, and what followed how often."""

    contexts: Array  # codes, sorted
    seen: Array  # how often each occurred
    kinds: Array  # how many different symbols followed it
    followers: Array  # codes of context and symbol, sorted
    counts: Array  # how often each


class WittenBell:
    """Interpolated n-gram models of every order up to a highest one (Witten and Bell, 1991).

    The probability of a symbol after a context mixes what followed that context with the model of the
    context that is one symbol shorter, by how many different symbols followed it; below the single
    symbols every symbol is as likely. See Chen and Goodman (1999), section 2.6.

    Args:
        symbols: the training text, whole numbers from 0, shape (n,).
        size: how many symbols there are.
        order: the longest n-gram, 1 or more.

    Raises:
        UsageError: there is no text or no order.
    """

    def __init__(self, symbols: Array, size: int, order: int = 6) -> None:
        if order < 1 or not len(symbols):
            raise UsageError(f"order={order}: expected 1 or more, and a text of at least one symbol")
        self.size = size
        self.order = order
        self._orders: list[_Order] = []
        symbols = np.asarray(symbols, np.int64)
        contexts = np.zeros(len(symbols), np.int64)  # the place of each symbol's context among those seen
        for length in range(order):
            if length >= len(symbols):
                break  # the text has no longer contexts
            if length:
                contexts = contexts[1:]  # the symbols that have so long a past
                past = symbols[: len(symbols) - length]
                codes = contexts * size + past
                known, contexts = np.unique(codes, return_inverse=True)
            else:
                known = np.zeros(1, np.int64)
            followers, counts = np.unique(contexts * size + symbols[length:], return_counts=True)
            seen = np.bincount(contexts, minlength=len(known))
            kinds = np.bincount(followers // size, minlength=len(known))
            self._orders.append(_Order(known, seen, kinds, followers, counts))

    def log_probabilities(self, symbols: Array) -> Array:
        """Returns the natural logarithm of each symbol's probability after those before it, (order, n).

        Row `k` is the model of n-grams of up to `k + 1` symbols; a text's first symbols have shorter contexts.
        """
        symbols = np.asarray(symbols, np.int64)
        probability = np.full(len(symbols), 1 / self.size)
        context = np.zeros(len(symbols), np.int64)
        rows: list[Array] = []
        for length, order in enumerate(self._orders):
            if length >= max(len(symbols), 1):
                break
            if length:
                longer = np.full(len(symbols), -1, np.int64)
                shorter, past = context[length:], symbols[: len(symbols) - length]
                place, found = _look_up(order.contexts, shorter * self.size + past)
                longer[length:] = np.where(found & (shorter >= 0), place, -1)
                context = longer
            known = context >= 0
            where = context[known]
            place, found = _look_up(order.followers, where * self.size + symbols[known])
            counts = np.where(found, order.counts[place], 0)
            kinds, seen = order.kinds[where], order.seen[where]
            probability = probability.copy()
            probability[known] = (counts + kinds * probability[known]) / (seen + kinds)
            rows.append(np.log(probability))
        rows += rows[-1:] * (self.order - len(rows))  # longer contexts than there are change nothing
        return np.stack(rows)


def _look_up(codes: Array, wanted: Array) -> tuple[Array, Array]:
    """Where each wanted code stands among sorted ones, and whether it is there."""
    place = np.minimum(np.searchsorted(codes, wanted), len(codes) - 1)
    return place, codes[place] == wanted
