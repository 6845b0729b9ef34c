"""What runs the steps of an epoch, as the epoch loop sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple, Protocol

Logs = dict[str, Any]
Mode = Literal["train", "test"]


class Call(NamedTuple):
    """One call of the backend.

    Attributes:
        first, last: the steps that it runs, counted from 0 in each epoch.
        run: runs them and returns the logs of the last.
    """

    first: int
    last: int
    run: Callable[[], Logs]


class Steps(Protocol):
    """Runs the steps of an epoch."""

    def calls(self, epoch: int, start: int = 0) -> Iterator[Call]:
        """Yields the calls of an epoch, from the step `start` on, in order; each must be run before the next."""
