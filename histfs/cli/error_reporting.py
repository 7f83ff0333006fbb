"""Errors as the user sees them: one line on standard error, then the exit status.

`histfs.cli.exit_codes` has the table of statuses. It imports the errors of every package, so it is
imported when an error is reported, and not when a command starts.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Iterator
from typing import NoReturn

import click

from histfs.core.errors import HistfsError
from histfs.core.terminal_text import shown

log = logging.getLogger(__name__)


class Refused(HistfsError):
    """A command refuses to act; the message says why and what to do."""


class PortBusy(HistfsError):
    """Another process listens on the port."""


class NoPlayer(HistfsError):
    """There is no program that could play clips."""


class MountFailed(HistfsError):
    """A mount does not give what is read of it; the message says why."""


class MountDied(MountFailed):
    """The process of a mount has died."""


@contextlib.contextmanager
def exit_on_error() -> Iterator[None]:
    """Report an exception in one line and exit with its status."""
    try:
        yield
    except HistfsError as error:
        sys.exit(report_error(error))
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        sys.exit(error.exit_code)
    except click.BadParameter as error:
        _exit(_bad_value(error), error.exit_code)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "histfs"
        _exit(f"{error.format_message()} See {path} --help.", error.exit_code)
    except click.ClickException as error:
        _exit(error.format_message(), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _exit("interrupted", 128 + signal.SIGINT)
    except Exception as error:  # the last resort before the user sees a traceback
        from histfs.cli.exit_codes import BUG  # noqa: PLC0415

        log.debug("unexpected error", exc_info=True)
        _exit(f"unexpected error, please report it: {error!r}", BUG)


def _bad_value(error: click.BadParameter) -> str:
    """Return the line about a value that can't be used; click would name each way to give it."""
    path = error.ctx.command_path if error.ctx else "histfs"
    if isinstance(error, click.MissingParameter) or error.param is None:
        return f"{error.format_message()} See {path} --help."
    option = max(error.param.opts, key=len)
    if not option.startswith("-"):
        option = error.param.human_readable_name
    variable = error.param.envvar
    if isinstance(variable, str) and error.ctx is not None and variable in os.environ:
        option += f" ({variable})"
    return f"{option}: {error.message} See {path} --help."


def report_error(error: HistfsError, subject: str = "") -> int:
    """Print an error in one line, and return its exit status.

    Args:
        error: the error.
        subject: the path or id it concerns, if the command has several.
    """
    from histfs.cli.exit_codes import exit_status, with_advice  # noqa: PLC0415

    line = with_advice(error)
    warn(f"{subject}: {line}" if subject else line)
    return exit_status(error)


def warn(line: str) -> None:
    """Print one line on standard error; the command goes on."""
    print(shown(" ".join(f"histfs: {line}".split())), file=sys.stderr)


def _exit(line: str, status: int) -> NoReturn:
    warn(line)
    sys.exit(status)
