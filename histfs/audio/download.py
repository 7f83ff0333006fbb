"""One clip on its way from the source to the disk, and those who wait for it.

Threads: a worker thread runs `run` and is the only one who writes; readers wait for `_changed`,
which guards all state but the file. Bytes that were counted are in the file and never change, so
that they are read without the lock.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

from histfs.audio.file_descriptors import Descriptor, translated
from histfs.audio.partial_file import PartialFile
from histfs.audio.shelf import Clips
from histfs.core import audio_format
from histfs.core.attachments import is_binary
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

#: A download that nobody waits for goes on while it brings so many bytes a second, over so many
#: seconds: the bytes may be wanted again, or were fetched ahead.
_LEAST_RATE, _WINDOW = 1000, 10.0
#: After so many seconds it has to bring more.
_LONG, _LEAST_RATE_THEN = 600.0, 64_000
#: How often a clip is asked for when its body breaks.
_TRIES = 3
#: How a page of a proxy begins, or an error of the API's; no image or recording does.
_PAGE = re.compile(rb'\s*(<!doctype|<html|<head|<body|<\?xml|\{\s*"(detail|error|message)")', re.I)

log = logging.getLogger(__name__)


class DownloadAbandoned(HistfsError):
    """The download was not done, because nobody waited any more; who wants it asks anew."""


class _Progress:
    """How fast bytes come while nobody waits for them."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._began = 0.0
        self._received = self._unpacked = 0

    def goes_on(self, received: int, unpacked: int) -> bool:
        """Note that bytes have come, and say whether they come fast enough to go on."""
        now = time.monotonic()
        if self._since is None:
            self._since = self._began = now
        self._received += received
        self._unpacked += unpacked
        elapsed = now - self._began
        if elapsed < _WINDOW:
            return True
        least = _LEAST_RATE if now - self._since < _LONG else _LEAST_RATE_THEN
        enough = max(self._received, self._unpacked) >= least * elapsed
        self._began, self._received, self._unpacked = now, 0, 0
        return enough


class Download:
    """The flight of one clip.

    Args:
        item: whose audio to fetch, or which attachment.
        source: where to fetch it.
        disk: where to put it.
        most: bytes that it may have.
        recognized: called with the first bytes once they are known to be audio, before any reader
            gets them.
        landed: called with the exact size in bytes and the SHA-256 once the clip is whole and in
            its place.
        left: called when the last one who waited has given up.
        ended: called once it has run.
    """

    def __init__(
        self,
        item: Item,
        source: Source,
        disk: Clips,
        *,
        most: int,
        recognized: Callable[[bytes], None],
        landed: Callable[[int, bytes], None],
        left: Callable[[Download], None],
        ended: Callable[[Download], None],
    ) -> None:
        self._item = item
        self._source = source
        self._disk = disk
        self._most = most
        self._recognized = recognized
        self._landed = landed
        self._left = left
        self._ended = ended
        self._waiting = 0
        self._progress = _Progress()
        self._given_up = False
        self._stopped = False
        self._changed = threading.Condition()
        self._file: Descriptor | None = None
        self._received = 0
        self._done = False
        self._kept = False
        self._error: BaseException | None = None
        self._size: int | None = None

    @property
    def error(self) -> BaseException | None:
        """Why the download failed; None while it hasn't."""
        with self._changed:
            return self._error

    @property
    def size(self) -> int | None:
        """The exact size in bytes, as soon as it is known."""
        with self._changed:
            return self._size

    @property
    def has_come(self) -> bool:
        """Whether readers can have all of it; it may still be on its way to its place."""
        with self._changed:
            return self._size is not None and self._received >= self._size

    @property
    def failed_or_preempted(self) -> bool:
        """Whether it has failed, or ends before it has its clip."""
        return self.error is not None or self._makes_room

    @property
    def _makes_room(self) -> bool:
        return self._stopped and not self._waiting

    def run(self) -> None:
        """Fetch the clip; it is kept only when it came whole."""
        try:
            if self._given_up and not self._waiting:
                raise DownloadAbandoned("nobody waits for the audio any more")
            with prioritised(lambda: self._waiting > 0), supervised(self._supervise):
                self._fetch()
        except HistfsError as error:
            self._fail(error)
        except BaseException as error:
            log.exception("the audio of %s can't be fetched", self._item.key)
            self._fail(error)
        finally:
            self._ended(self)

    def stop(self) -> None:
        """Come to an end soon, unless somebody waits; takes no lock."""
        self._stopped = True

    def cancel(self) -> None:
        """Fail, without having run."""
        self._fail(Interrupted("the filesystem is being unmounted"))

    def wait_for_size(self, waiter: Waiter) -> int:
        """Wait until the exact size is known.

        A server that gives no Content-Length leaves no other way than to wait for the last byte.

        Raises:
            SourceError, NoSpace, CacheFailed: the download failed.
            GivenUp: it was not done, for want of anybody who waited.
            Interrupted, DeadlineExceeded: the wait ended first; the download goes on.
        """
        with self._changed:
            self._wait(waiter, lambda: self._size is not None)
            if self._size is None:
                raise self._failure()
            return self._size

    def wait_for_end(self, waiter: Waiter) -> int:
        """Wait until the clip is in its place, and return its size.

        Raises:
            As `wait_for_size`; NoSpace also when it is whole, but could not be kept.
        """
        with self._changed:
            self._wait(waiter, lambda: self._done)
            if not self._done:
                raise self._failure()
            if not self._kept:
                raise NoSpace("no space left for audio: it can be read, and is not kept")
            return self._received

    def read(self, offset: int, size: int, waiter: Waiter) -> bytes:
        """Return bytes as soon as they have arrived; the rest of the clip may be on its way.

        Raises:
            As `wait_for_size`.
        """
        end = offset + size
        with self._changed:
            self._wait(waiter, lambda: self._done or self._received >= end)
            if self._file is None or (not self._done and self._received < end):
                raise self._failure()
            file = self._file
        with translated("can't be read", self._disk.root):
            return os.pread(file.number, size, offset)

    def _supervise(self, received: int, unpacked: int = 0) -> None:
        """End the download when nobody waits for it and it makes too little progress.

        Args:
            received: bytes that the source has just received, if it reports them.
            unpacked: bytes that have just come from the source.

        Raises:
            GivenUp: it does.
        """
        if self._waiting:
            self._progress = _Progress()
        elif self._makes_room:
            raise DownloadAbandoned("another download needs the place")
        elif not (received or unpacked or self._given_up):
            pass  # it is fetched ahead, and the answer has its own deadline
        elif not self._progress.goes_on(received, unpacked):
            raise DownloadAbandoned("nobody waits for the audio any more, and it comes too slowly")

    def _failure(self) -> BaseException:
        return without_traceback(self._error or BadAnswer("the download ended without a reason"))

    def _wait(self, waiter: Waiter, arrived: Callable[[], bool]) -> None:
        """Wait, with `_changed` held, until something has arrived or the download has failed."""
        self._waiting += 1
        try:
            waiter.until(self._changed, lambda: arrived() or self._error is not None)
        except (Interrupted, DeadlineExceeded, TooManyWaiting):
            if self._waiting == 1:
                self._given_up = True
                self._left(self)
            raise
        finally:
            self._waiting -= 1

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._error = error
            self._file = None
            self._changed.notify_all()

    def _fetch(self) -> None:
        part = self._disk.create()
        try:
            sha256 = self._receive(part)
            # All has come: who waits for the size, or the end, needn't wait for the disk.
            self._told(self._received)
            self._kept = self._disk.keep(part, self._item.key)
        except BaseException:
            part.discard()
            raise
        self._landed(self._received, sha256)
        with self._changed:
            self._file = part.file
            self._done = True
            self._changed.notify_all()

    def _told(self, size: int | None) -> None:
        with self._changed:
            self._size = size
            self._changed.notify_all()

    def _receive(self, part: PartialFile) -> bytes:
        """Receive the whole clip, and return its SHA-256.

        One that breaks on the way is asked for again from its start.
        """
        tries = 0
        while True:
            tries += 1
            with self._open() as stream:
                try:
                    size, hashed = 0, hashlib.sha256()
                    if stream.length == 0:
                        raise BadAnswer("nothing came: what was asked for is empty")
                    self._bound(stream.length or 0)
                    for chunk in self._checked(stream.chunks()):
                        self._bound(size + len(chunk))
                        if not size:
                            self._begin(part, stream.length)
                        self._supervise(0, len(chunk))
                        self._put(part, size, chunk)
                        hashed.update(chunk)
                        size += len(chunk)
                    self._check(size)
                    return hashed.digest()
                except (Unreachable, BadAnswer) as error:
                    if tries == _TRIES or (self._given_up and not self._waiting):
                        raise
                    log.info("the audio of %s broke (%s): trying again", self._item.key, error)

    def _bound(self, size: int) -> None:
        if size > self._most:
            raise ClipTooLarge(
                f"the audio of {self._item.key} has more than {self._most} bytes: it is not fetched"
                " (--max-clip-size sets the limit)"
            )

    def _open(self) -> AbstractContextManager[AudioStream]:
        item = self._item
        if item.attachment is not None:
            return attachment_of(self._source, item.id, item.attachment)
        return self._source.audio(item.id)

    def _checked(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Hold the first chunks back until it is known what they are, then yield all of them.

        Raises:
            BadAnswer: they are not what was asked for, whatever their type says.
        """
        rest = iter(chunks)
        head, whole = b"", True
        for chunk in rest:
            head += chunk
            if audio_format.is_decided(head):
                whole = False
                break
        item = self._item
        if item.attachment is not None:
            # An attachment may well be a web page, or text.
            if is_binary(item.content_type) and _PAGE.match(head):
                raise BadAnswer("what came is a web page, or an error message")
        else:
            raw = audio_format.is_raw(item.content_type, item.output_format)
            refused = audio_format.refusal(head, whole=whole, raw=raw)
            if refused is not None:
                raise BadAnswer(f"the answer is not audio but {refused}")
        if head:
            if item.attachment is None:
                self._recognized(head)
            yield head
        yield from rest

    def _begin(self, part: PartialFile, length: int | None) -> None:
        if length is not None:
            part.reserve(length)
        with self._changed:
            self._file = part.file
        self._told(length)

    def _put(self, part: PartialFile, offset: int, chunk: bytes) -> None:
        """Put a chunk into the file; what readers may have seen already must come the same again.

        Raises:
            CacheFailed, NoSpace: the disk failed, or is full, and so is memory.
            Rejected: it did not come the same.
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
            self._changed.notify_all()

    def _check(self, size: int) -> None:
        if size < self._received:
            raise Rejected("the audio changed while it was fetched")
        if not size:
            raise BadAnswer("nothing came: what was asked for is empty")
