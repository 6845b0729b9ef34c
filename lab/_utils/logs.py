"""The console of the run in progress: what the lab logs, and what it is doing."""

from __future__ import annotations

import contextlib
import contextvars
import logging
from collections.abc import Iterator

from rich.console import Console
from rich.status import Status
from rich.text import Text

from lab.errors import printable

_console: contextvars.ContextVar[Console | None] = contextvars.ContextVar("lab_console", default=None)
_status: contextvars.ContextVar[Status | None] = contextvars.ContextVar("lab_status", default=None)


def current_console() -> Console | None:
    """Returns the console of the run in progress, or None."""
    return _console.get()


@contextlib.contextmanager
def log_to(console: Console) -> Iterator[None]:
    """Shows what the lab logs, such as where data comes from, on a console for the length of a block."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            style = "yellow" if record.levelno >= logging.WARNING else "dim"
            console.print(printable(record.getMessage()), style=style, markup=False, highlight=False, soft_wrap=True)

    if _console.get() is console:  # a run inside a run: its lines are shown already
        with _paused():
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


@contextlib.contextmanager
def busy(text: str) -> Iterator[None]:
    """Shows on the current console's terminal, while a block runs, what it does; nothing in a file or a pipe.

    Args:
        text: what it does; `progress` changes it.
    """
    console = _console.get()
    if console is None or not console.is_terminal or console.is_dumb_terminal:
        yield
        return
    with console.status(Text(printable(text))) as status:
        token = _status.set(status)
        try:
            yield
        finally:
            _status.reset(token)


def progress(text: str) -> None:
    """Changes the text that the `busy` block around shows; does nothing outside one."""
    status = _status.get()
    if status is not None:
        status.update(Text(printable(text)))


@contextlib.contextmanager
def _paused() -> Iterator[None]:
    """Hides the status for a block that has a live display, such as the progress of a training."""
    status, token = _status.get(), _status.set(None)
    if status is not None:
        status.stop()
    try:
        yield
    finally:
        _status.reset(token)
        if status is not None:
            status.start()
