"""How a command ends: an error is one line on the standard error and an exit code."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Iterator

import click

from lab.errors import FAILURE, INTERRUPTED, USAGE, LabError, printable


@contextlib.contextmanager
def one_line(*, show_traceback: bool = False) -> Iterator[None]:
    """Turns an error that a user can cause into one line and an exit code; any other keeps its traceback.

    Raises:
        SystemExit: with the exit code.
    """
    try:
        yield
    except click.exceptions.Exit as error:
        raise SystemExit(error.exit_code) from None
    except click.exceptions.NoArgsIsHelpError as error:
        expected = getattr(error.ctx.command, "expected", "a command")
        _end(f"expected {expected}; see `{error.ctx.command_path} --help`", USAGE)
    except click.ClickException as error:
        _end(printable(error.format_message()), USAGE)
    except (KeyboardInterrupt, click.Abort) as error:
        _trace(show_traceback)
        _end(str(error.__cause__ or error) or "interrupted", INTERRUPTED)  # click wraps KeyboardInterrupt in Abort
    except LabError as error:
        _trace(show_traceback)
        _end(str(error), error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of the output has gone; Python would print this error on exit
        raise SystemExit(FAILURE) from None


def _end(message: str, code: int) -> None:
    click.echo(f"lab: {message}", err=True)
    raise SystemExit(code) from None


def _trace(wanted: bool) -> None:
    if wanted:
        traceback.print_exc()
