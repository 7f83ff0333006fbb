"""Erases what is kept of deleted items beside the catalog's rows.

The thread that finds that items are gone drops their clips at once. A thread of its own cleans the
catalog's file of traces a moment later: once for all the items that ``rm -r`` deletes.

Threads: any number at once. `_changed` guards the thread and its flags; it is held while the thread
is started and while one row of the catalog is read. Clips are dropped, and the file is cleaned,
without it: two threads may do so at once. The thread ends by itself.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path

from histfs.catalog import erasure
from histfs.catalog.connection_pool import ConnectionPool, mapped_errors
from histfs.core.errors import CacheFailed, HistfsError

#: Seconds without a deletion after which the file is cleaned; and until the next try.
_QUIET, _AGAIN = 0.5, 2.0
#: Tries; each fails only while the file is being read or written.
_TRIES = 100
#: The same for `clean`; and seconds between its tries.
_TRIES_AT_ONCE, _PAUSE = 15, 1.0
#: The share of the time that cleaning may take.
_SHARE = 0.02

log = logging.getLogger(__name__)


class ErasureWorker:
    """Erases what is kept of deleted items.

    Args:
        path: the catalog's file.
        files: connections to it.
        drop: drops the clip of an item from the audio cache, if there is one; takes the key.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        path: Path,
        files: ConnectionPool,
        drop: Callable[[str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._files = files
        self._drop = drop
        self._clock = clock
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._unclean = False
        self._signalled = False
        self._closed = False

    def start(self) -> None:
        """Finish what an earlier process left undone.

        All clips of deleted items are dropped again: one may have been stored after its item was
        deleted. Where the disk can't be written, this is left to the next start.
        """
        self._try_to_sweep("")
        with self._changed:
            self._unclean = bool(self._files.rows(erasure.UNCLEAN))

    def erased(self) -> None:
        """Drop the clips of deleted items, and clean the file soon."""
        self._try_to_sweep("WHERE NOT swept")
        with self._changed:
            self._unclean = self._signalled = True
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="erase", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def close(self) -> None:
        """Clean the file now, unless it is in use."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            thread, unclean = self._thread, self._unclean
        if thread is not None:
            thread.join()
        if unclean:
            self._clean()

    def clean(self) -> None:
        """Clean the file now, however large it is.

        Raises:
            CacheFailed, NoSpace: it can't be written, or is in use all the time.
        """
        for _ in range(_TRIES_AT_ONCE):
            if self._cleaned(math.inf):
                return
            time.sleep(_PAUSE)
        raise CacheFailed(f"the catalog {self._path} is in use: try again")

    def _try_to_sweep(self, which: str) -> None:
        try:
            self._sweep(which)
        except HistfsError as error:
            log.warning("the audio of deleted items is still in the cache: %s", error)

    def _sweep(self, which: str) -> None:
        keys = [key for (key,) in self._files.rows(f"SELECT key FROM gone {which}")]
        for key in keys:
            self._drop(key)
        if keys:
            with self._files.transaction() as db:
                erasure.mark_swept(db, keys, self._clock())

    def _run(self) -> None:
        pause = _QUIET
        for _ in range(_TRIES):
            with self._changed:
                # Each further deletion starts the pause anew.
                while self._signalled and not self._closed:
                    self._signalled = False
                    self._changed.wait(pause)
                if self._closed:
                    break
            began = time.monotonic()
            done = self._clean()
            pause = _AGAIN + (time.monotonic() - began) / _SHARE
            with self._changed:
                self._unclean = self._signalled or not done
                if not self._unclean:
                    self._thread = None
                    return
                self._signalled = True
        with self._changed:
            self._thread = None

    def _clean(self) -> bool:
        """Clean the file; return whether it is done, or can't be done."""
        try:
            return self._cleaned(erasure.SMALL)
        except HistfsError as error:
            log.warning("traces of deleted items stay in the catalog %s: %s", self._path, error)
            return True

    def _cleaned(self, largest: float) -> bool:
        try:
            with mapped_errors(self._path):
                return erasure.clean(self._path, largest)
        except ValueError as error:
            raise CacheFailed(f"the catalog {self._path} is damaged: {error}") from error
