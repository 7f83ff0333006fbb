"""Exit statuses (sysexits.h), and the one line that the user is told.

1  a path that isn't there, or can't be listed, read or deleted; an output that nobody takes
2  the command line, a mountpoint that can't be used, or what the trash doesn't hold
65  damaged clips in the cache, or files in the trash
69  the server, a mount, or FUSE, is not to be had
70  a bug
75  try again later
77  the key, or a permission that it lacks
78  the configuration
"""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
from collections.abc import Iterator
from typing import NoReturn

import click

from histfs.audio.verification import CacheDamaged
from histfs.core.errors import (
    CacheFailed,
    DeadlineExceeded,
    HistfsError,
    Interrupted,
    KeyRefused,
    MissingPermission,
    NoSpace,
    NotArchived,
    NotComplete,
    NotReady,
    PathError,
    RateLimited,
    SourceError,
    Unreachable,
)
from histfs.core.terminal_text import shown
from histfs.fuse.binding import FuseUnavailable
from histfs.fuse.mountpoint import MountpointBusy, MountpointError
from histfs.plugins import UnknownPlugin
from histfs.settings import NoKey, OptionError, SettingsError
from histfs.status import NoStatus
from histfs.trash import NotInTrash, TrashDamaged, TrashFailed


class Refused(HistfsError):
    """What a command doesn't do; the message says why, and what to do."""


STATUS: dict[type[BaseException], int] = {
    MountpointBusy: 75,
    MountpointError: 2,
    FuseUnavailable: 69,
    NoStatus: 69,
    KeyRefused: 77,
    NoKey: 77,
    OptionError: 2,
    SettingsError: 78,
    CacheFailed: 78,
    CacheDamaged: 65,
    TrashDamaged: 65,
    TrashFailed: 78,
    NotInTrash: 2,
    RateLimited: 75,
    NotReady: 75,
    UnknownPlugin: 2,
    DeadlineExceeded: 75,
    NotComplete: 75,
    Interrupted: 75,
    NoSpace: 75,
    SourceError: 69,
    PathError: 1,
    Refused: 1,
}

_ADVICE: dict[type[BaseException], str] = {
    MissingPermission: "give the key this permission",
    KeyRefused: "check the key",
    Unreachable: "check the network, --region and --base-url",
    RateLimited: "try again in a minute",
    DeadlineExceeded: "try again, or give a longer --timeout",
}

BUG = 70

log = logging.getLogger(__name__)


def status_of(error: BaseException) -> int:
    """Return the exit status for an exception."""
    if isinstance(error, NotArchived) and error.__cause__ is not None:
        return status_of(error.__cause__)  # the trash, the cache, the server or the key
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), BUG)


def advised(error: BaseException) -> str:
    """Return what an exception says, and what to do."""
    own = error.advice if isinstance(error, HistfsError) else ""
    advice = own or next((_ADVICE[kind] for kind in type(error).__mro__ if kind in _ADVICE), None)
    return f"{error}; {advice}" if advice else str(error)


def line_of(error: BaseException) -> str:
    """Return what the user is told of an exception, in one line."""
    return f"histfs: {advised(error)}"


def tell(error: BaseException, about: str = "") -> int:
    """Tell the user of an exception, and return its exit status.

    Args:
        error: the exception.
        about: what it concerns, where it is one of several.
    """
    _print(line_of(error) if not about else f"histfs: {about}: {advised(error)}")
    return status_of(error)


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """Tell the user of an error that was foreseen, and exit with its status."""
    try:
        yield
    except HistfsError as error:
        sys.exit(tell(error))
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        sys.exit(error.exit_code)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "histfs"
        _end(f"histfs: {error.format_message()} See {path} --help.", error.exit_code)
    except click.ClickException as error:
        _end(f"histfs: {error.format_message()}", error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _end("histfs: interrupted", 128 + signal.SIGINT)
    except Exception as error:  # the last resort before the user sees a traceback
        log.debug("unexpected error", exc_info=True)
        _end(f"histfs: unexpected error, please report it: {error!r}", BUG)


def _end(line: str, status: int) -> NoReturn:
    _print(line)
    sys.exit(status)


def warn(line: str) -> None:
    """Tell the user of something that nothing fails for."""
    _print(f"histfs: {line}")


def _print(line: str) -> None:
    print(shown(" ".join(line.split())), file=sys.stderr)
