"""The download of one clip to the disk, which readers read while it runs.

Threads: one worker thread runs `run`, and it alone writes; it needs no lock for what it has written
itself. What readers wait for is in `IncomingClip`, whose `_changed` guards it. `_supervise` takes
`DownloadScheduler._lock`.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from histfs.audio.body_check import checked
from histfs.audio.clip_claim import ClipClaim
from histfs.audio.disk_cache import DiskCache
from histfs.audio.download_rate import DownloadRate, FirstBytes, Stillness
from histfs.audio.file_descriptors import Descriptor, translated
from histfs.audio.incoming_clip import PROGRESS, IncomingClip
from histfs.audio.link_share import LinkShare
from histfs.audio.partial_file import PartialFile
from histfs.core.errors import (
    BadAnswer,
    ClipTooLarge,
    HistfsError,
    Interrupted,
    Rejected,
    Unreachable,
)
from histfs.core.item import Item
from histfs.core.limiter import prioritised
from histfs.core.source import AudioStream, Source, attachment_of
from histfs.core.supervision import supervised

#: Requests for a clip whose body breaks.
_MAX_TRIES = 3
#: Bytes of a clip on the disk that are read at once.
_CHUNK = 1 << 20

log = logging.getLogger(__name__)


class DownloadStopped(HistfsError):
    """The download has made way for another one, and is to run once more."""


class DownloadAbandoned(HistfsError):
    """The download ended because no reader waited any more; another one can be started."""


class Download(IncomingClip):
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
        on_no_length: called when the clip comes without its length.
        on_stored: called with the exact size in bytes and the SHA-256 once the clip is complete and
            in its place.
        on_received: called when all has come, and the request has ended.
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
        on_no_length: Callable[[], None],
        on_stored: Callable[[int, bytes], None],
        on_received: Callable[[Download], None],
        may_stop: Callable[[Download], bool],
        link: LinkShare,
        first_bytes: FirstBytes,
        on_end: Callable[[Download], None],
    ) -> None:
        super().__init__(disk.root, link)
        self._item = item
        self._source = source
        self._disk = disk
        self._old = old
        self._claim: ClipClaim = disk.claim(item.key)
        self._max_size = max_size
        self._on_head = on_head
        self._on_size = on_size
        self._on_no_length = on_no_length
        self._on_stored = on_stored
        self._on_received = on_received
        self._may_stop = may_stop
        self._first_bytes = first_bytes
        self._on_end = on_end
        self._progress = DownloadRate()
        self._stillness = Stillness(first_bytes)
        # Kept where the download was stopped after readers may have seen bytes of it.
        self._part: PartialFile | None = None

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

    def _fetched_elsewhere(self) -> bool:
        """Wait while another process fetches the clip; return whether it is on the disk then."""
        if not self._claim.wait(lambda: self._supervise(0), lambda: self._note_arrived(PROGRESS)):
            return False
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

    def _fetch(self) -> None:
        part = self._part = self._part or self._disk.create()
        try:
            sha256 = self._receive(part)
            # All has come: those that wait for the size needn't wait for the disk.
            self._set_size(self._received)
            self._on_received(self)
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
        super()._set_size(size)

    def _receive(self, part: PartialFile) -> bytes:
        """Receive the complete clip, and return its SHA-256.

        One that breaks is requested again from its start.
        """
        tries = 0
        while True:
            tries, was_stopped = tries + 1, False
            with self._link.flow(lambda: self._waiters > 0) as flow, self._open() as stream:
                flow.answered()
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
                        # Its server closed the connection while others went first: no failure.
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
        if length is None:
            self._on_no_length()
        else:
            part.reserve(length)
        self._extend(part.file, 0, 0)
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
        # The disk may have become full just now: the file is another one then.
        self._extend(part.file, offset + len(chunk), len(chunk))

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
