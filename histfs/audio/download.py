"""The download of one clip to the disk, which readers read while it runs.

Threads: one worker thread runs `run`, and it alone writes. Any number of readers wait for
`_changed`, which guards all state but the file. Bytes that are counted in `_received` are in the
file and never change: they are read without the lock. `LinkShare._changed` may be taken while
`_changed` is held; `_supervise` takes `DownloadScheduler._lock`.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from histfs.audio.body_check import checked
from histfs.audio.clip_claim import ClipClaim
from histfs.audio.disk_cache import DiskCache
from histfs.audio.download_rate import DownloadRate, FirstBytes, Stillness
from histfs.audio.file_descriptors import Descriptor, translated
from histfs.audio.link_share import LinkShare
from histfs.audio.partial_file import PartialFile
from histfs.core.errors import (
    BadAnswer,
    ClipTooLarge,
    DeadlineExceeded,
    HistfsError,
    Interrupted,
    NoSpace,
    Rejected,
    TooManyWaiting,
    Unreachable,
    without_traceback,
)
from histfs.core.item import Item
from histfs.core.limiter import prioritised
from histfs.core.source import AudioStream, Source, attachment_of
from histfs.core.supervision import supervised
from histfs.core.waiting import Waiter

#: Bytes by which a download has made progress: those that wait for it have their deadline renewed.
#: A server that drips renews none, so that calls end.
_PROGRESS = 10_000
#: Requests for a clip whose body breaks.
_MAX_TRIES = 3
#: Seconds between two looks whether another process still fetches a clip, and seconds without
#: progress there after which it is fetched here, too.
_CLAIM_POLL, _CLAIM_PATIENCE = 0.02, 10.0
#: Bytes of a clip on the disk that are read at once.
_CHUNK = 1 << 20

log = logging.getLogger(__name__)


class DownloadStopped(HistfsError):
    """The download has made way for another one, and is to run once more."""


class DownloadAbandoned(HistfsError):
    """The download ended because no reader waited any more; another one can be started."""


class Download:
    """The download of one clip.

    Args:
        item: whose audio to download, or which attachment.
        source: where from.
        disk: where to keep it.
        old: the identity of the clip's file that is to be replaced, if any; another one comes from
            a process that shares the cache, and is not fetched again.
        max_size: bytes; a larger clip is an error.
        on_head: called with the first bytes once they are known to be audio, before any reader gets
            them.
        on_size: called with the size in bytes as soon as the server announces it, or all has come.
        on_stored: called with the exact size in bytes and the SHA-256 once the clip is complete and
            in its place.
        may_stop: says whether the download should make way for another one, which then runs; called
            when it stands still and no reader waits.
        link: lets others go first where readers wait for them.
        first_bytes: how long downloads wait for their first byte.
        on_end: called once it has ended.
    """

    def __init__(
        self,
        item: Item,
        source: Source,
        disk: DiskCache,
        *,
        old: object | None,
        max_size: int,
        on_head: Callable[[bytes], None],
        on_size: Callable[[int], None],
        on_stored: Callable[[int, bytes], None],
        may_stop: Callable[[Download], bool],
        link: LinkShare,
        first_bytes: FirstBytes,
        on_end: Callable[[Download], None],
    ) -> None:
        self._item = item
        self._source = source
        self._disk = disk
        self._old = old
        self._claim: ClipClaim = disk.claim(item.key)
        self._max_size = max_size
        self._on_head = on_head
        self._on_size = on_size
        self._on_stored = on_stored
        self._may_stop = may_stop
        self._link = link
        self._first_bytes = first_bytes
        self._on_end = on_end
        self._waiters = 0
        self._progress = DownloadRate()
        self._was_abandoned = False
        self._stillness = Stillness(first_bytes)
        # Kept where the download was stopped after readers may have seen bytes of it.
        self._part: PartialFile | None = None
        self._changed = threading.Condition()
        self._file: Descriptor | None = None
        self._received = 0
        # All that has come, also what comes once more after a download broke.
        self._arrived = 0
        self._done = False
        self._is_stored = False
        self._error: BaseException | None = None
        self._size: int | None = None

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

    def run(self) -> bool:
        """Download the clip; only a complete one is kept.

        Returns:
            Whether it has ended; else it was stopped, and is to run once more.
        """
        try:
            if self._was_abandoned and not self._waiters:
                raise DownloadAbandoned("no reader waits for the audio any more")
            self._stillness = Stillness(self._first_bytes)
            with prioritised(lambda: self._waiters > 0), supervised(self._supervise):
                try:
                    if not self._fetched_elsewhere():
                        self._fetch()
                finally:
                    self._claim.release()
        except DownloadStopped:
            return False
        except HistfsError as error:
            self._fail(error)
        except BaseException as error:
            log.exception("the audio of %s can't be fetched", self._item.key)
            self._fail(error)
        self._on_end(self)
        return True

    def cancel(self) -> None:
        """Fail without having run to the end."""
        self._discard_part()
        self._fail(Interrupted("the filesystem is being unmounted"))

    def wait_for_size(self, waiter: Waiter) -> int:
        """Wait until the exact size is known.

        Without a Content-Length that is when the last byte has come.

        Raises:
            SourceError, NoSpace, CacheFailed: the download failed.
            DownloadAbandoned: it ended because no reader waited.
            Interrupted, DeadlineExceeded: the wait ended first; the download goes on.
        """
        with self._changed:
            self._wait_until(waiter, lambda: self._size is not None)
            if self._size is None:
                raise self._failure()
            return self._size

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
        with translated("can't be read", self._disk.root):
            return os.pread(file.number, size, offset)

    def _supervise(self, received: int, unpacked: int = 0) -> None:
        """End the download when no reader waits for it and it is too slow.

        Args:
            received: bytes that the source has just received, if it reports them.
            unpacked: bytes that the source has just given.

        Raises:
            DownloadAbandoned: it ends.
            DownloadStopped: it ends for now.
        """
        stands_still = self._stillness.note(max(received, unpacked))
        if self._waiters:
            self._progress = DownloadRate()
            # Counted from when the last reader has left: its deadline is about that of the request,
            # whose own timeout must come first, as it tells the breaker that the server is silent.
            self._stillness.resumed()
        elif stands_still and self._may_stop(self):
            if self._was_abandoned:
                raise DownloadAbandoned("no reader waits for the audio any more")
            raise DownloadStopped("it stands still, and another download needs the place")
        elif not (received or unpacked or self._was_abandoned):
            pass  # a prefetch, and the answer has its own deadline
        elif not self._progress.is_fast_enough(received, unpacked):
            raise DownloadAbandoned("no reader waits for the audio any more, and it is too slow")

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
                progress=lambda: (self._arrived - begun) // _PROGRESS,
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

    def _fetched_elsewhere(self) -> bool:
        """Wait while another process fetches the clip; return whether it is on the disk then."""
        patient_until, progress = time.monotonic() + _CLAIM_PATIENCE, 0
        while not self._claim.take():
            self._supervise(0)
            noted = self._claim.last_progress()
            if noted != progress:
                progress = noted
                patient_until = time.monotonic() + _CLAIM_PATIENCE
                self._note_arrived(_PROGRESS)
            if time.monotonic() >= patient_until:
                return False
            time.sleep(_CLAIM_POLL)
        # What readers have seen must stay: it is compared with what comes.
        if self._received or self._disk.identity(self._item.key) in (None, self._old):
            return False
        file = self._disk.open(self._item.key)
        if file is None:
            return False
        hashed = hashlib.sha256()
        with translated("can't be read", self._disk.root):
            for chunk in checked(self._item, _chunks(file), self._on_head):
                hashed.update(chunk)
        self._discard_part()
        self._claim.release()
        size = os.fstat(file.number).st_size
        self._set_size(size)
        self._is_stored = True
        self._on_stored(size, hashed.digest())
        self._finish(file, size)
        return True

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

    def _fetch(self) -> None:
        part = self._part = self._part or self._disk.create()
        try:
            sha256 = self._receive(part)
            # All has come: those that wait for the size needn't wait for the disk.
            self._set_size(self._received)
            self._is_stored = self._disk.keep(part, self._item.key)
        except BaseException as error:
            if not (isinstance(error, DownloadStopped) and self._received):
                self._discard_part()
            raise
        self._part = None
        # Before readers go on: they may ask for the clip again.
        self._claim.release()
        self._on_stored(self._received, sha256)
        self._finish(part.file, self._received)

    def _discard_part(self) -> None:
        part, self._part = self._part, None
        if part is not None:
            part.discard()

    def _set_size(self, size: int | None) -> None:
        if size is not None:
            self._on_size(size)
        with self._changed:
            self._size = size
            self._changed.notify_all()

    def _receive(self, part: PartialFile) -> bytes:
        """Receive the complete clip, and return its SHA-256.

        One that breaks is requested again from its start.
        """
        tries = 0
        while True:
            tries, was_stopped = tries + 1, False
            with self._open() as stream, self._link.flow(lambda: self._waiters > 0) as flow:
                try:
                    size, hashed = 0, hashlib.sha256()
                    if stream.length == 0:
                        raise BadAnswer("nothing came: what was asked for is empty")
                    self._check_limit(stream.length or 0)
                    for chunk in checked(self._item, stream.chunks(), self._on_head):
                        self._check_limit(size + len(chunk))
                        if not size:
                            self._begin_file(part, stream.length)
                        self._supervise(0, len(chunk))
                        self._write(part, size, chunk)
                        hashed.update(chunk)
                        size += len(chunk)
                        self._claim.note_progress()
                        if flow.received(len(chunk)):
                            was_stopped = True
                            self._stillness.resumed()
                            self._progress = DownloadRate()
                    self._check_end(size)
                    return hashed.digest()
                except (Unreachable, BadAnswer) as error:
                    if tries == _MAX_TRIES or (self._was_abandoned and not self._waiters):
                        raise
                    if was_stopped and not self._waiters:
                        # Its server had no patience while others went first: no failure.
                        raise DownloadAbandoned("the server has closed the connection") from error
                    log.info("the audio of %s broke (%s): trying again", self._item.key, error)

    def _check_limit(self, size: int) -> None:
        if size > self._max_size:
            raise ClipTooLarge(
                f"the audio of {self._item.key} has more than {self._max_size} bytes:"
                " it is not fetched (--max-clip-size sets the limit)"
            )

    def _open(self) -> AbstractContextManager[AudioStream]:
        item = self._item
        if item.attachment is not None:
            return attachment_of(self._source, item.id, item.attachment)
        return self._source.audio(item.id)

    def _begin_file(self, part: PartialFile, length: int | None) -> None:
        if length is not None:
            part.reserve(length)
        with self._changed:
            self._file = part.file
        self._set_size(length)

    def _write(self, part: PartialFile, offset: int, chunk: bytes) -> None:
        """Write a chunk to the file; bytes that readers may have seen must be the same again.

        Raises:
            CacheFailed, NoSpace: the disk failed, or is full, and so is memory.
            Rejected: they are not the same.
        """
        seen = max(0, min(len(chunk), self._received - offset))
        with translated("can't be read", self._disk.root):
            if seen and os.pread(part.file.number, seen, offset) != chunk[:seen]:
                raise Rejected("the audio changed while it was fetched")
        part.write(memoryview(chunk)[seen:], offset + seen)
        with self._changed:
            # The disk may have become full just now.
            self._file = part.file
            self._received = max(self._received, offset + len(chunk))
            self._arrived += len(chunk)
            self._changed.notify_all()

    def _check_end(self, size: int) -> None:
        if size < self._received:
            raise Rejected("the audio changed while it was fetched")
        if not size:
            raise BadAnswer("nothing came: what was asked for is empty")


def _chunks(file: Descriptor) -> Iterator[bytes]:
    offset = 0
    while chunk := os.pread(file.number, _CHUNK, offset):
        yield chunk
        offset += len(chunk)
