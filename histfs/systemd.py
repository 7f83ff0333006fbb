"""Messages to the service manager: sd_notify(3) without its library.

Threads: `reporting` has one thread, which ends with its block; there is no lock.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator

from histfs.core.background_thread import running

#: Seconds between two reports.
_INTERVAL = 5.0

log = logging.getLogger(__name__)


def notify(*assignments: str) -> None:
    """Send assignments such as ``READY=1`` to the service manager, if there is one.

    See sd_notify(3): ``$NOTIFY_SOCKET`` is a path, or an abstract name after an ``@``.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = f"\0{address[1:]}"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.connect(address)
            channel.sendall("\n".join(assignments).encode())
    except OSError as error:
        log.warning("the service manager can't be told: %s", error.strerror)


@contextlib.contextmanager
def reporting(text: Callable[[], str]) -> Iterator[None]:
    """Report the state of the service within the block, whenever it has changed.

    Args:
        text: returns one line; called by a thread of its own, each `_INTERVAL` seconds.
    """
    if not os.environ.get("NOTIFY_SOCKET"):
        yield
        return

    def run(ended: threading.Event) -> None:
        last = None
        while not ended.is_set():
            line = text()
            if line != last:
                notify(f"STATUS={line}")
                last = line
            ended.wait(_INTERVAL)

    try:
        with running("systemd", run):
            yield
    finally:
        notify("STOPPING=1")
