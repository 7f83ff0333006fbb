"""The translation of exceptions of the callbacks into the error numbers that the bindings take.

Threads: any number at once; there is no state.
"""

from __future__ import annotations

import errno
import functools
import logging
import threading
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from histfs.core.errors import (
    CacheFailed,
    DeadlineExceeded,
    HistfsError,
    NoSpace,
    SourceError,
    errno_of,
)
from histfs.core.names import without_words
from histfs.core.waiting import set_current_waiter

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")

#: Errors that are logged; the others are ordinary answers such as ENOENT.
_LOGGED = (SourceError, NoSpace, CacheFailed, DeadlineExceeded)

log = logging.getLogger(__name__)


def map_errno(
    method: Callable[Concatenate[S, P], R],
) -> Callable[Concatenate[S, P], R]:
    """Translate each exception of a callback into the OSError that the bindings take."""

    @functools.wraps(method)
    def mapped(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(self, *args, **kwargs)
        except HistfsError as error:
            if isinstance(error, _LOGGED):
                log.warning("%s %r: %s", method.__name__, _logged(args), error)
            raise OSError(errno_of(error), str(error)) from None
        except OSError:
            raise
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and _is_main_thread():
                raise
            # The bindings end the mount for a BaseException such as SystemExit.
            log.exception("%s %r failed unexpectedly", method.__name__, _logged(args))
            raise OSError(errno.EIO, "unexpected error") from None
        finally:
            set_current_waiter(None)

    return mapped


def _is_main_thread() -> bool:
    """Say whether this thread is the one that Python interrupts at Ctrl-C."""
    return threading.get_ident() == threading.main_thread().ident


def _logged(args: tuple[object, ...]) -> str:
    """Return the path of a call, without the words of a text, which no log may hold."""
    return without_words(args[0]) if args and isinstance(args[0], str) else ""
