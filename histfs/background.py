"""Run a mount in the background; the command returns when the mount can be used."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

Ready = Callable[[], None]


def run_in_background(function: Callable[[Ready], int]) -> int:
    """Run a function in a child process, and return when it is ready.

    Until then the child has this process's terminal and can print messages for the user; afterwards
    its standard streams are ``/dev/null``.

    Args:
        function: takes the callback for "ready", and returns an exit status.

    Returns:
        0 when the function is ready; its exit status if it ended before.
    """
    read_end, write_end = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    # Blocked until the child exists, so that Ctrl-C can be forwarded to it.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    child = os.fork()
    if child == 0:
        os.close(read_end)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        _run_child(function, write_end)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe, _forward_interrupt(child):
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if pipe.read(1):
            return 0
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        print(f"histfs: the mount process was killed by signal {-code}", file=sys.stderr)
        return 1
    return code


def _run_child(function: Callable[[Ready], int], write_end: int) -> NoReturn:
    """Run the function in the child process, and exit."""
    code = 1
    try:
        os.setsid()
        code = function(lambda: _signal_ready(write_end))
        sys.stdout.flush()
        sys.stderr.flush()
    except Exception as error:  # noqa: BLE001 - the last resort: the process ends here
        line = f"histfs: unexpected error, please report it: {error!r}"
        print(line, file=sys.stderr, flush=True)
    finally:
        # Not sys.exit: the stack frames above are a copy of the parent's.
        os._exit(code)


def _signal_ready(write_end: int) -> None:
    """Detach the child from the terminal, and tell the parent that it is ready."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
    with contextlib.suppress(BrokenPipeError):
        os.write(write_end, b"1")
    os.close(write_end)


@contextlib.contextmanager
def _forward_interrupt(child: int) -> Iterator[None]:
    """Forward Ctrl-C to the child, which has left the terminal's process group by setsid(2)."""
    try:
        yield
    except KeyboardInterrupt:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGTERM)
        raise
