"""N-gram language models of symbols: the baseline of a network that predicts the next one."""

from __future__ import annotations

import dataclasses

import numpy as np

from lab.data import Array
from lab.errors import UsageError


@dataclasses.dataclass(frozen=True)
class _Order:
    """The counts of one length of context."""

    contexts: Array  # codes, sorted
    seen: Array  # occurrences of each context
    kinds: Array  # different symbols that follow each context
    followers: Array  # codes of a context and the symbol after it, sorted
    counts: Array  # occurrences of each follower


class WittenBell:
    """Interpolated n-gram models of every order up to a highest one (Witten and Bell, 1991).

    The probability of a symbol after a context mixes the counts of what follows that context with the model of
    the context that is one symbol shorter; the more different symbols follow the context, the more weight the
    shorter one gets. Below single symbols, all symbols are equally likely. See Chen and Goodman (1999), section 2.6.

    Args:
        symbols: the training text, whole numbers from 0, shape (n,).
        size: number of different symbols.
        order: length of the longest n-gram, 1 or more.

    Raises:
        UsageError: the text is empty or the order is below 1.
    """

    def __init__(self, symbols: Array, size: int, order: int = 6) -> None:
        if order < 1 or not len(symbols):
            raise UsageError(f"order={order}: expected 1 or more, and a text of at least one symbol")
        self.size = size
        self.order = order
        self._orders: list[_Order] = []
        symbols = np.asarray(symbols, np.int64)
        contexts = np.zeros(len(symbols), np.int64)  # for each symbol, the index of the context before it
        for length in range(order):
            if length >= len(symbols):
                break  # the text is too short for longer contexts
            if length:
                contexts = contexts[1:]  # of the symbols with enough symbols before them
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
        """Returns the natural logarithm of each symbol's probability, given the symbols before it.

        Args:
            symbols: a text, whole numbers below `size`, shape (n,).

        Returns:
            Shape (order, n). Row `k` is the model of n-grams of up to `k + 1` symbols; the text's first symbols have
            shorter contexts.
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
        rows += rows[-1:] * (self.order - len(rows))  # the text has no longer contexts
        return np.stack(rows)


def _look_up(codes: Array, wanted: Array) -> tuple[Array, Array]:
    """Returns the index of each wanted code in sorted codes, and whether it is one of them."""
    place = np.minimum(np.searchsorted(codes, wanted), len(codes) - 1)
    return place, codes[place] == wanted
