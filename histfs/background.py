"""Running a mount in the background, so that the command returns when the mount can be used."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

Ready = Callable[[], None]


def run_in_background(work: Callable[[Ready], int]) -> int:
    """Run some work in a process of its own and return as soon as it says that it is ready.

    Until then it has this process's terminal, and what it prints there is for the user; afterwards
    it has none.

    Args:
        work: gets the function to call when it is ready, and returns an exit status.

    Returns:
        0 when the work is ready; the work's exit status when it ended before.
    """
    readable, writable = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    # Held back until there is somebody to hand it on to.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    child = os.fork()
    if child == 0:
        os.close(readable)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        _become(work, writable)
    os.close(writable)
    with os.fdopen(readable, "rb") as pipe, _interruptible(child):
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if pipe.read(1):
            return 0
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        print(f"histfs: the mount process was killed by signal {-code}", file=sys.stderr)
        return 1
    return code


def _become(work: Callable[[Ready], int], writable: int) -> NoReturn:
    """Be the process in the background; never returns."""
    code = 1
    try:
        os.setsid()
        code = work(lambda: _let_go(writable))
        sys.stdout.flush()
        sys.stderr.flush()
    except Exception as error:  # noqa: BLE001 - the process ends here, with or without a word
        line = f"histfs: unexpected error, please report it: {error!r}"
        print(line, file=sys.stderr, flush=True)
    finally:
        # Not sys.exit: the stack above belongs to the process that was forked.
        os._exit(code)


def _let_go(writable: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
    with contextlib.suppress(BrokenPipeError):
        os.write(writable, b"1")
    os.close(writable)


@contextlib.contextmanager
def _interruptible(child: int) -> Iterator[None]:
    """Hand Ctrl-C on to the process in the background, which has left the terminal's group."""
    try:
        yield
    except KeyboardInterrupt:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGTERM)
        raise
