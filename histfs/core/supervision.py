"""Ending a request early: a supervisor is told how a thread's request gets on, and may end it.

A request that nobody waits for any more should free its connection, its slot and its thread soon,
in whichever phase it is. The layers that wait for the network or for a slot therefore report to
the supervisor of the current context, at least each `INTERVAL` seconds.

Threads: the supervisor is kept in a context variable, so each thread has its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

#: Seconds between two reports, at the most.
INTERVAL = 1.0

#: Takes the number of bytes that have just arrived, 0 when none have; ends the request by raising
#: a `HistfsError`.
Supervisor = Callable[[int], None]

_supervisor: ContextVar[Supervisor | None] = ContextVar("supervisor", default=None)


@contextlib.contextmanager
def supervised(supervisor: Supervisor) -> Iterator[None]:
    """Let a supervisor watch the requests that this thread makes within the block."""
    token = _supervisor.set(supervisor)
    try:
        yield
    finally:
        _supervisor.reset(token)


def report(received: int) -> None:
    """Tell the supervisor of this context how the request gets on; without one, do nothing.

    Args:
        received: bytes that have arrived since the last report.

    Raises:
        HistfsError: the supervisor ends the request.
    """
    supervisor = _supervisor.get()
    if supervisor is not None:
        supervisor(received)


def is_supervised() -> bool:
    """Say whether this context has a supervisor, which wants to be told regularly."""
    return _supervisor.get() is not None
