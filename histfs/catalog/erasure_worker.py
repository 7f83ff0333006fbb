"""What erases, beside the catalog's rows, all else that is kept of items that are gone.

Their clips are dropped at once, by whoever finds that they are gone. The catalog's file is cleaned
of traces a moment later, in a thread: one time for all the items that ``rm -r`` deletes.

Threads: any number at once. `_changed` guards the thread and what it is told; dropping clips and
cleaning are done without it, and do no harm when two do so at once. The thread ends by itself.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path

from histfs.catalog import erasure
from histfs.catalog.connection_pool import ConnectionPool, translated
from histfs.core.errors import CacheFailed, HistfsError

#: Seconds of quiet after which the file is cleaned, and after which that is tried again.
_QUIET, _AGAIN = 0.5, 2.0
#: Tries, of which each fails only while somebody reads or writes.
_TRIES = 100
#: The same for who waits until the file is clean; and seconds between these tries.
_TRIES_AT_ONCE, _PAUSE = 15, 1.0
#: The part of the time that cleaning may take.
_SHARE = 0.02

log = logging.getLogger(__name__)


class ErasureWorker:
    """Erases what is gone.

    Args:
        path: the catalog's file.
        files: connections to it.
        drop: drops the clip of an item, by its key; there may be none.
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
        self._told = False
        self._closed = False

    def start(self) -> None:
        """Go on with what a process that has ended left undone.

        Clips are looked for again: one may have come when its item was gone already. A disk that
        can't be written leaves that to the next time: what is there can be read all the same.
        """
        self._try_to_sweep("")
        with self._changed:
            self._unclean = bool(self._files.rows(erasure.UNCLEAN))

    def erased(self) -> None:
        """Drop the clips of items that are gone, and clean the file soon."""
        self._try_to_sweep("WHERE NOT swept")
        with self._changed:
            self._unclean = self._told = True
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="erase", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def close(self) -> None:
        """Clean the file now, unless others use it."""
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
            CacheFailed, NoSpace: it can't be written, or others use it all the time.
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
                erasure.swept(db, keys, self._clock())

    def _run(self) -> None:
        pause = _QUIET
        for _ in range(_TRIES):
            with self._changed:
                # Each further item that is gone begins the quiet anew.
                while self._told and not self._closed:
                    self._told = False
                    self._changed.wait(pause)
                if self._closed:
                    break
            began = time.monotonic()
            done = self._clean()
            pause = _AGAIN + (time.monotonic() - began) / _SHARE
            with self._changed:
                self._unclean = self._told or not done
                if not self._unclean:
                    self._thread = None
                    return
                self._told = True
        with self._changed:
            self._thread = None

    def _clean(self) -> bool:
        """Clean the file, and say whether it is done or can't be."""
        try:
            return self._cleaned(erasure.SMALL)
        except HistfsError as error:
            log.warning("traces of deleted items stay in the catalog %s: %s", self._path, error)
            return True

    def _cleaned(self, largest: float) -> bool:
        try:
            with translated(self._path):
                return erasure.clean(self._path, largest)
        except ValueError as error:
            raise CacheFailed(f"the catalog {self._path} is damaged: {error}") from error
