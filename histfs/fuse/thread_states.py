"""Python's state of libfuse's threads, kept from one call to the next.

libfuse calls from threads of its own. Python makes a thread state for such a call and drops it at
its end, with the memory that its frames stand in: two system calls (mmap, munmap) and a flush of
every processor's page tables for each call, which took two fifths of the time of a walk. One more
PyGILState_Ensure, which is never released, keeps the state (Python/C API, "Non-Python created
threads").

Threads: `keep` is called by each of libfuse's threads; `_lock` guards the count.
"""

from __future__ import annotations

import ctypes
import threading

#: States that are kept at the most, some 20 KB each: one for each thread of libfuse 3. They outlive
#: their threads, and libfuse 2 ends and starts threads as it likes.
_MOST = 1024


class ThreadStates:
    """The states that are kept."""

    def __init__(self) -> None:
        self._here = threading.local()
        self._lock = threading.Lock()
        self._kept = 0

    def keep(self) -> None:
        """Keep the state of the calling thread; costs nothing the next time."""
        if hasattr(self._here, "kept"):
            return
        with self._lock:
            if self._kept >= _MOST:
                return
            self._kept += 1
        self._here.kept = True
        ctypes.pythonapi.PyGILState_Ensure()
