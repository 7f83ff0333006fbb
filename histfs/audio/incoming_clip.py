"""What readers have of a clip that is being downloaded: its bytes as they come, its size, its end.

Threads: the download's worker thread alone changes what has come. Any number of readers wait for
`_changed`, which guards all state. Bytes that are counted in `_received` are in the file and never
change: they are read without the lock. `LinkShare._changed` may be taken while `_changed` is held.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from histfs.audio.file_descriptors import Descriptor, translated
from histfs.audio.link_share import LinkShare
from histfs.core.errors import (
    BadAnswer,
    DeadlineExceeded,
    Interrupted,
    NoSpace,
    TooManyWaiting,
    without_traceback,
)
from histfs.core.waiting import Waiter

#: Bytes by which a download has made progress: those that wait for it have their deadline renewed.
#: A server that drips renews none, so that calls end.
PROGRESS = 10_000


class IncomingClip:
    """A clip as readers have it while it comes; `Download` is one.

    Args:
        root: the directory of the cache, which errors name.
        link: is told when the first reader waits.
    """

    def __init__(self, root: Path, link: LinkShare) -> None:
        self._root = root
        self._link = link
        self._waiters = 0
        self._was_abandoned = False
        self._changed = threading.Condition()
        self._file: Descriptor | None = None
        self._received = 0
        # All that has come, also what comes once more after a download broke.
        self._arrived = 0
        self._done = False
        self._is_stored = False
        self._error: BaseException | None = None
        self._size: int | None = None
        # As it is known, or told, before the answer: what comes may be of another size.
        self._expected: int | None = None

    @property
    def error(self) -> BaseException | None:
        """Why the download failed; None while it hasn't."""
        with self._changed:
            return self._error

    @property
    def has_come(self) -> bool:
        """Whether readers can have all of it; it need not be in its place yet."""
        return self.whole_size is not None

    @property
    def is_kept(self) -> bool:
        """Whether it has ended, and its file was put in its place."""
        with self._changed:
            return self._done and self._is_stored

    @property
    def whole_size(self) -> int | None:
        """The exact size once readers can have all of it; None before."""
        with self._changed:
            return self._size if self._is_whole else None

    @property
    def awaited(self) -> bool:
        """Whether a reader waits for it now; takes no lock."""
        return self._waiters > 0

    @property
    def received(self) -> int:
        """The number of bytes from the start that readers can have."""
        with self._changed:
            return self._received

    @property
    def _is_whole(self) -> bool:
        return self._size is not None and self._received >= self._size

    @property
    def size(self) -> int | None:
        """The exact size, if it is known, or is expected."""
        with self._changed:
            return self._known_size

    @property
    def _known_size(self) -> int | None:
        return self._expected if self._size is None else self._size

    def expect(self, size: int) -> None:
        """Let readers know the exact size that the clip will have, unless they know it already."""
        with self._changed:
            self._expected = size
            self._changed.notify_all()

    def wait_for_size(self, waiter: Waiter) -> int:
        """Wait until the exact size is known, or is expected.

        Without either, and without a Content-Length, that is when the last byte has come.

        Raises:
            SourceError, NoSpace, CacheFailed: the download failed.
            DownloadAbandoned: it ended because no reader waited.
            Interrupted, DeadlineExceeded: the wait ended first; the download goes on.
        """
        with self._changed:
            self._wait_until(waiter, lambda: self._known_size is not None)
            size = self._known_size
            if size is None or (self._size is None and self._error is not None):
                raise self._failure()
            return size

    def wait_until_whole(self, waiter: Waiter) -> int:
        """Wait until readers can have all of it, and return its size.

        Raises:
            As `wait_for_size`.
        """
        with self._changed:
            self._wait_until(waiter, lambda: self._is_whole)
            if self._size is None or not self._is_whole:
                raise self._failure()
            return self._size

    def wait_for_end(self, waiter: Waiter) -> int:
        """Wait until the clip is in its place, and return its size.

        Raises:
            As `wait_for_size`; NoSpace also when it is complete, but could not be kept.
        """
        with self._changed:
            self._wait_until(waiter, lambda: self._done)
            if not self._done:
                raise self._failure()
            if not self._is_stored:
                raise NoSpace("no space left for audio: it can be read, and is not kept")
            return self._received

    def read(self, offset: int, size: int, waiter: Waiter) -> bytes:
        """Return bytes as soon as they have come; the rest of the clip may follow later.

        Raises:
            As `wait_for_size`.
        """
        end = offset + size
        return self._read(offset, size, lambda: self._done or self._received >= end, waiter)

    def read_available(self, offset: int, size: int, waiter: Waiter) -> bytes:
        """Return what has come of the bytes at an offset, at least one; none only at the end.

        Raises:
            As `wait_for_size`.
        """
        return self._read(offset, size, lambda: self._is_whole or self._received > offset, waiter)

    def _read(self, offset: int, size: int, ready: Callable[[], bool], waiter: Waiter) -> bytes:
        with self._changed:
            self._wait_until(waiter, ready)
            if self._file is None or not ready():
                raise self._failure()
            file, size = self._file, max(0, min(size, self._received - offset))
        with translated("can't be read", self._root):
            return os.pread(file.number, size, offset)

    def _failure(self) -> BaseException:
        return without_traceback(self._error or BadAnswer("the download ended without a reason"))

    def _wait_until(self, waiter: Waiter, condition: Callable[[], bool]) -> None:
        """Wait, with `_changed` held, until a condition is true or the download has failed.

        The waiter's deadline is renewed as long as bytes come.
        """
        self._waiters += 1
        if self._waiters == 1:
            self._link.waiters_changed()
        begun = self._arrived
        try:
            waiter.until(
                self._changed,
                lambda: condition() or self._error is not None,
                progress=lambda: (self._arrived - begun) // PROGRESS,
            )
        except (Interrupted, DeadlineExceeded, TooManyWaiting):
            if self._waiters == 1:
                self._was_abandoned = True
            raise
        finally:
            self._waiters -= 1

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._error = error
            self._file = None
            self._changed.notify_all()

    def _note_arrived(self, size: int) -> None:
        """Note bytes that have come here, or to another process."""
        with self._changed:
            self._arrived += size
            self._changed.notify_all()

    def _finish(self, file: Descriptor, size: int) -> None:
        with self._changed:
            self._file, self._received = file, size
            self._done = True
            self._changed.notify_all()

    def _set_size(self, size: int | None) -> None:
        with self._changed:
            self._size = size
            self._changed.notify_all()

    def _extend(self, file: Descriptor, size: int, arrived: int) -> None:
        """Let readers have more bytes.

        Args:
            file: where they are.
            size: all bytes from the start that are there now.
            arrived: how many have just come.
        """
        with self._changed:
            self._file = file
            self._received = max(self._received, size)
            self._arrived += arrived
            self._changed.notify_all()
