"""Early cancellation of requests: a supervisor receives progress reports and may end the request.

A request without a waiting caller should free its connection, its slot and its thread soon, in any
phase. The layers that wait for the network or for a slot therefore report to the supervisor of the
current context at least each `INTERVAL` seconds.

Threads: the supervisor is a context variable, so each thread has its own; there is no lock.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

#: Maximum seconds between two reports.
INTERVAL = 1.0

#: Takes the number of bytes that have just arrived, perhaps 0; raises a `HistfsError` to end the
#: request.
Supervisor = Callable[[int], None]

_supervisor: ContextVar[Supervisor | None] = ContextVar("supervisor", default=None)


@contextlib.contextmanager
def supervised(supervisor: Supervisor) -> Iterator[None]:
    """Set the supervisor of the requests of this thread within the block."""
    token = _supervisor.set(supervisor)
    try:
        yield
    finally:
        _supervisor.reset(token)


@contextlib.contextmanager
def overheard(listener: Supervisor) -> Iterator[None]:
    """Report the progress of the requests within the block to a listener, and to the supervisor."""
    outer = _supervisor.get()

    def both(received: int) -> None:
        listener(received)
        if outer is not None:
            outer(received)

    with supervised(both):
        yield


def report(received: int) -> None:
    """Report progress to the supervisor of this context, if there is one.

    Args:
        received: bytes that have arrived since the last report.

    Raises:
        HistfsError: the supervisor ended the request.
    """
    supervisor = _supervisor.get()
    if supervisor is not None:
        supervisor(received)


def is_supervised() -> bool:
    """Return whether this context has a supervisor, which needs regular reports."""
    return _supervisor.get() is not None
