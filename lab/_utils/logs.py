"""What the lab says while it works, on the console of the run that is under way."""

from __future__ import annotations

import contextlib
import contextvars
import logging
from collections.abc import Iterator

from rich.console import Console

from lab.errors import printable

_console: contextvars.ContextVar[Console | None] = contextvars.ContextVar("lab_console", default=None)


def current_console() -> Console | None:
    """Returns the console of the run under way, if there is one."""
    return _console.get()


@contextlib.contextmanager
def log_to(console: Console) -> Iterator[None]:
    """Shows what the lab logs, such as where data comes from, on a console for the length of a block."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            style = "yellow" if record.levelno >= logging.WARNING else "dim"
            console.print(printable(record.getMessage()), style=style, markup=False, highlight=False, soft_wrap=True)

    if _console.get() is console:  # a run inside a run: its lines are shown already
        yield
        return
    logger, handler = logging.getLogger("lab"), Handler()
    before, token = logger.level, _console.set(console)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
        _console.reset(token)
