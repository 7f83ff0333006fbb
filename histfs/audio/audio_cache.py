"""The audio store: what is on disk, what is on its way, and what is yet to be fetched.

It keeps attachments in the same way as clips: `histfs.core.attachments.part_of` makes an `Item` of
each, which says by `Item.attachment` what is to be fetched.

Threads: any number at once. `_lock` guards the tables of downloads and of handles and the sizes
learnt lately; a handle's own `_lock` guards which file it reads. Neither is held while anybody
waits.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable

from cachetools import LRUCache

from histfs.audio.download import Download, DownloadAbandoned
from histfs.audio.download_scheduler import DownloadScheduler
from histfs.audio.file_descriptors import Descriptor, translated
from histfs.audio.file_extensions import FileExtensions
from histfs.audio.negative_cache import NegativeCache
from histfs.audio.read_ahead import Orders, ReadAhead, by_date_alone
from histfs.audio.shelf import Clips
from histfs.audio.verification import CheckOutcome, beginning, check, digest, refused_as
from histfs.core.audio_format import is_raw
from histfs.core.audio_store import Fingerprint, Following
from histfs.core.errors import BadAnswer, HistfsError, Missing, NotForCrawlers, SourceError
from histfs.core.item import Item
from histfs.core.nodes import OpenFile
from histfs.core.path_resolver import PATHS
from histfs.core.source import Source
from histfs.core.waiting import Waiter

#: Sizes learnt lately that are remembered beside the catalog: of every item of which the tree
#: remembers what it was before.
_LEARNT = 2 * PATHS
#: Sizes told of clips that may have broken since.
_ANNOUNCED = 4096
#: Copies of a clip that are compared with what it was: one on the disk, and one from the server.
_COPIES = 2

log = logging.getLogger(__name__)


class AudioCache:
    """Implements `histfs.core.audio_store.AudioStore` on a disk.

    Args:
        source: where audio is fetched.
        disk: where it is kept.
        schedule: runs the downloads.
        largest: bytes that a clip may have; a larger one is not fetched.
        following: tells which clips are likely to be read after one.
        ahead: clips that are fetched before they are asked for, at the most; 0 for none.
        room: bytes that these may take.
        orders: gives the orders in which a clip may be read; see `ReadAhead`.
        set_audio: keeps the exact size of a clip, and its SHA-256 where it is known, by key, for
            ever.
        set_extension: keeps the extension of a clip's name, by key, for ever.
        fingerprint: tells what a clip was when it came, by key.
        doubt: is told of an item that seems to be deleted elsewhere.
        silent: says whether an item is known to have no audio; it isn't fetched ahead.
        exact: whether `size` fetches a clip whose exact size isn't known.
    """

    def __init__(
        self,
        source: Source,
        disk: Clips,
        schedule: DownloadScheduler,
        *,
        largest: int,
        following: Following,
        ahead: int,
        room: int,
        orders: Orders = by_date_alone,
        set_audio: Callable[[str, int, bytes | None], None],
        set_extension: Callable[[str, str], None],
        fingerprint: Callable[[str], Fingerprint | None],
        invalidate: Callable[[Item], None],
        silent: Callable[[Item], bool] = lambda _: False,
        exact: bool = False,
    ) -> None:
        self._source = source
        self.disk = disk
        self._schedule = schedule
        self._largest = largest
        self._ahead = ReadAhead(following, self._fetch_ahead, ahead, room, orders)
        self._set_audio = set_audio
        self._extensions = FileExtensions(set_extension)
        self._fingerprint = fingerprint
        self._invalidate = invalidate
        self._silent = silent
        self._exact = exact
        self._lock = threading.Lock()
        self._downloads: dict[str, Download] = {}
        self._handles: dict[str, set[_OpenClip]] = {}
        # None where what was known before is known to be wrong.
        self._learnt: LRUCache[str, int | None] = LRUCache(_LEARNT)
        self._announced: LRUCache[str, int] = LRUCache(_ANNOUNCED)
        self._refusals = NegativeCache()

    def size(self, item: Item, waiter: Waiter) -> int:
        """Return the exact size where it is known, else an estimate, or fetch to know it.

        A crawler gets the estimate: its look must neither fetch nor fail.
        """
        # `item` was read a moment ago. Whoever got the size by opening the clip since then must not
        # be told an estimate now: the kernel would cut the file to it. Not even when the clip broke
        # after the server had told its size.
        with self._lock:
            download = self._downloads.get(item.key)
            size, announced = self._exact_size(item), self._announced.get(item.key)
        if size is None and download is not None:
            size = download.size
        if size is None and self._exact:
            with contextlib.suppress(NotForCrawlers):
                file = self.open(item, waiter)
                file.close()
                return file.size
        return next(known for known in (size, announced, item.estimate) if known is not None)

    def extension(self, item: Item) -> str:
        """Return the extension of a clip's name: once the clip has begun to come, by its bytes."""
        return self._extensions.of(item)

    def open(self, item: Item, waiter: Waiter) -> OpenFile:
        """Open a clip: from disk, or on its way, or to be fetched when it is first read.

        Only a clip whose exact size isn't known yet is fetched here: a program that opened it will
        believe the size that fstat gives. A clip that isn't on disk is for no crawler, not even one
        on its way: should that fail, the crawler's next read would fetch it anew.
        """
        with self._lock:
            content: Descriptor | Download | None = self._on_disk(item)
            size = self._exact_size(item)
        if content is None and not waiter.may_fetch():
            raise NotForCrawlers(f"the audio of {item.key} isn't here, and is for no crawler")
        if size is None and content is None:
            content = self.content(item)
            self.reading(item, waiter)
        while content is not None or size is None:
            content = content or self.content(item)
            if isinstance(content, Descriptor):
                found = os.fstat(content.number).st_size
                if size is None:
                    self._learn(item.key, found, None)
                self._extensions.keep(item.key)
                return self._handle(item, found, content)
            try:
                return self._handle(item, self._told(item, content.wait_for_size(waiter)), content)
            except DownloadAbandoned:
                content = None
        return self._handle(item, size, None)

    def ensure(self, item: Item, waiter: Waiter) -> None:
        """Have the whole of a clip on the disk, as it was when it first came from the server.

        Its bytes are compared, as it may be about to become the last copy: a disk that forgets, or
        a server that sends something else by now, would only be found out by who reads it. A clip
        whose checksum is not known is fetched anew: what is on the disk proves nothing.

        Raises:
            BadAnswer: the server sends something else by now.
        """
        with self._lock:
            # What is no audio is removed, and with it goes what was known of it.
            self._on_disk(item)
            void = self._learnt.get(item.key, 0) is None
            coming = self._under_way(item, wanted=True)
        was = None if void else self._fingerprint(item.key)
        self.reading(item, waiter)
        if (was is None or was.sha256 is None) and coming is not None:
            with contextlib.suppress(DownloadAbandoned):
                coming.wait_for_end(waiter)
                was = self._fingerprint(item.key)
        if was is None or was.sha256 is None:
            was = self._renew(item, waiter)
        why = ""
        for _ in range(_COPIES):
            self.fetch(item, waiter)
            found = check(self.disk, item.key, lambda key: was or self._fingerprint(key))
            if found is None or found.kind is not CheckOutcome.DAMAGED:
                return
            why = found.why
        if was is not None:
            # What came has taken its place: whoever tries again must not compare with that.
            self._learn(item.key, was.size, was.sha256)
        raise BadAnswer(f"the audio is not what it was: {why}")

    def _renew(self, item: Item, waiter: Waiter) -> Fingerprint | None:
        """Fetch a clip, whether it is on the disk or not; twice where it is not what was there.

        Until it has come whole, what was there stays.

        Returns:
            What came first; None where the catalog could not keep that.

        Raises:
            As `fetch`.
        """
        before = digest(self.disk, item.key)
        self._fetch_anew(item, waiter)
        came = self._fingerprint(item.key)
        if before is not None and before != came:
            log.warning(
                "the cached audio of %s is not what the server sends, and no checksum of it is"
                " known: fetching it once more",
                item.key,
            )
            self._fetch_anew(item, waiter)
        return came

    def _fetch_anew(self, item: Item, waiter: Waiter) -> None:
        """Fetch a clip, whether it is on the disk or not."""
        while True:
            with self._lock:
                download = self._under_way(item, wanted=True)
                if download is None or download.has_come:
                    download = self._begin(item, wanted=True)
            with contextlib.suppress(DownloadAbandoned):
                download.wait_for_end(waiter)
                return

    def secure(self, item: Item, waiter: Waiter) -> None:
        """Fetch what those who have a clip open have yet to read: it is about to be deleted."""
        with self._lock:
            handles = list(self._handles.get(item.key, ()))
        for handle in handles:
            handle.secure(waiter)

    def fetch(self, item: Item, waiter: Waiter) -> int:
        """Have the whole of a clip in the cache, and return its size in bytes.

        Raises:
            SourceError: it can't be had.
            NoSpace, CacheFailed: it can't be kept.
            Interrupted, DeadlineExceeded: the wait ended first.
        """
        while True:
            # For a copy, or for good: what was said a moment ago is not enough.
            content = self.content(item, anew=True)
            if isinstance(content, Descriptor):
                return os.fstat(content.number).st_size
            with contextlib.suppress(DownloadAbandoned):
                return content.wait_for_end(waiter)

    def kept(self, item: Item) -> int | None:
        """Return the size of a clip that is in the cache, as whole as can be told; else None.

        It is not thereby used, as far as the choice goes of what makes room for others.
        """
        size = self.disk.size(item.key)
        if size is None:
            return None
        with self._lock:
            fits = self._fits(item, size)
        return size if fits and not self._is_refused(item, size) else None

    def _is_refused(self, item: Item, size: int) -> bool:
        """Say whether a cached clip is no audio; what can't be read is its reader's error."""
        with contextlib.suppress(OSError):
            found = self.disk.look(item.key)
            return found is not None and _refusal(item, beginning(found), size) is not None
        return False

    def flush(self, waiter: Waiter) -> None:
        """Wait until what readers had all of is in its place: the process is about to end."""
        with self._lock:
            downloads = list(self._downloads.values())
        for download in downloads:
            if download.has_come:
                # Whether it can be kept concerns nobody who has read it.
                with contextlib.suppress(HistfsError):
                    download.wait_for_end(waiter)

    @property
    def fetching(self) -> frozenset[str]:
        """The keys of the clips that are on their way, or wait for their turn."""
        with self._lock:
            return frozenset(self._downloads)

    def content(
        self, item: Item, wanted: bool = True, *, anew: bool = False
    ) -> Descriptor | Download:
        """Return a clip's file, or its download: the one under way, or a new one.

        Args:
            item: whose clip.
            wanted: whether somebody waits for it.
            anew: whether the server is asked even if it said a moment ago that it has no such clip.

        Raises:
            Missing, NoAudio, NoAttachment, NotReady: it said so, and is not asked.
        """
        with self._lock:
            download = self._under_way(item, wanted)
            if download is not None:
                return download
            # A download is put on disk before it leaves the table: here it is in one of them.
            found = self._on_disk(item)
            if found is not None:
                return found
            if not anew:
                self._refusals.check(item)
            return self._begin(item, wanted)

    def _under_way(self, item: Item, wanted: bool) -> Download | None:
        """Return the download of a clip that is under way; called with `_lock` held."""
        download = self._downloads.get(item.key)
        if download is None or download.failed_or_preempted:
            return None
        if wanted:
            self._schedule.want(download)
        return download

    def _begin(self, item: Item, wanted: bool) -> Download:
        """Start a download; called with `_lock` held."""
        download = Download(
            item,
            self._source,
            self.disk,
            most=self._largest,
            recognized=lambda head: self._extensions.found(item, head),
            landed=lambda size, sha256: self._landed(item, size, sha256),
            left=self._schedule.leave,
            ended=lambda ended: self._ended(item, ended),
        )
        self._schedule.add(download, wanted)
        self._downloads[item.key] = download
        return download

    def reading(self, item: Item, waiter: Waiter) -> None:
        """Note that somebody begins to read a clip; the next ones are fetched."""
        # Attachments have no order in which they are read.
        if item.attachment is None:
            self._ahead.used(item, waiter.may_fetch)

    def closed(self, key: str, handle: _OpenClip) -> None:
        """Forget a handle."""
        with self._lock:
            handles = self._handles.get(key, set())
            handles.discard(handle)
            if not handles:
                self._handles.pop(key, None)

    def _handle(self, item: Item, size: int, content: Descriptor | Download | None) -> _OpenClip:
        handle = _OpenClip(self, item, size, content)
        with self._lock:
            self._handles.setdefault(item.key, set()).add(handle)
        return handle

    def _exact_size(self, item: Item) -> int | None:
        """Return the newest size that is known; called with `_lock` held."""
        size = self._learnt.get(item.key, item.size)
        if size is None and item.attachment is not None:
            # No row of a listing tells the size of an attachment, as it does for a clip.
            was = self._fingerprint(item.key)
            if was is not None:
                size = self._learnt[item.key] = was.size
        return size

    def _told(self, item: Item, size: int) -> int:
        """Remember, and return, the size that whoever opens a clip is told before it is whole."""
        with self._lock:
            self._announced[item.key] = size
        return size

    def _fits(self, item: Item, size: int) -> bool:
        """Say whether a clip may be whole, by its size; called with `_lock` held."""
        return size > 0 and self._exact_size(item) in (None, size)

    def _on_disk(self, item: Item) -> Descriptor | None:
        """Open a clip that is on disk; called with `_lock` held.

        One that is empty, or has not the size it must have, is removed; so is one that is not
        audio, as an earlier version may have kept it.
        """
        found = self.disk.open(item.key)
        if found is None:
            return None
        size = os.fstat(found.number).st_size
        head = beginning(found)
        refused = _refusal(item, head, size)
        if refused is None and self._fits(item, size):
            if head and item.attachment is None:
                self._extensions.found(item, head)
            return found
        why = f"not audio but {refused}" if refused else "damaged"
        log.warning("the cached audio of %s is %s: fetching it again", item.key, why)
        self.disk.drop(item.key)
        if refused is not None:
            self._learnt[item.key] = None
        return None

    def _fetch_ahead(self, item: Item) -> None:
        # On a full disk it would be fetched for nobody.
        wanted = not (self.disk.full or self._refusals.include(item) or self._silent(item))
        if wanted and self.kept(item) is None:
            self.content(item, wanted=False)

    def _ended(self, item: Item, download: Download) -> None:
        self._refusals.note(item, download.error)
        with self._lock:
            if self._downloads.get(item.key) is download:
                del self._downloads[item.key]
        if isinstance(download.error, Missing):
            self._confirm(item)

    def _confirm(self, item: Item) -> None:
        """See whether an item is still there; without audio, but there, it stays as it is."""
        try:
            self._source.get(item.id)
        except Missing:
            self._invalidate(item)
        except SourceError as error:
            log.info("whether %s is still there can't be told: %s", item.key, error)

    def _landed(self, item: Item, size: int, sha256: bytes) -> None:
        if item.size not in (None, size):
            log.warning("the audio of %s has %d bytes, not %d", item.key, size, item.size)
        self._learn(item.key, size, sha256)
        self._extensions.keep(item.key)

    def _learn(self, key: str, size: int, sha256: bytes | None) -> None:
        """Keep what was learnt; the catalog's disk may be full, and the clip is good all the same.

        Args:
            key: the item's key.
            size: the exact size in bytes.
            sha256: of the clip as it came; None when it was found, and not looked through.
        """
        with self._lock:
            self._learnt[key] = size
        try:
            self._set_audio(key, size, sha256)
        except HistfsError as error:
            log.warning("the size of %s can't be kept: %s", key, error)


def _refusal(item: Item, head: bytes, size: int) -> str | None:
    """Return what a clip is in place of audio; None where it may be audio, and for attachments."""
    if item.attachment is not None:
        return None
    return refused_as(head, size, is_raw(item.content_type, item.output_format))


class _OpenClip:
    """An open clip."""

    def __init__(
        self, store: AudioCache, item: Item, size: int, content: Descriptor | Download | None
    ) -> None:
        self._store = store
        self._item = item
        self._size = size
        self._lock = threading.Lock()
        self._content = content
        self._begun = False

    @property
    def size(self) -> int:
        """The exact size in bytes."""
        return self._size

    def read(self, offset: int, size: int, waiter: Waiter) -> bytes:
        """Return the bytes at an offset; the first read of a clip that isn't here fetches it."""
        size = min(size, self._size - offset)
        if size <= 0:
            return b""
        while True:
            content = self._take()
            if not self._begun:
                self._begun = True
                self._store.reading(self._item, waiter)
            if isinstance(content, Descriptor):
                with translated("can't be read", self._store.disk.root):
                    return os.pread(content.number, size, offset)
            try:
                if content.wait_for_size(waiter) != self._size:
                    raise BadAnswer(f"the audio of {self._item.key} has changed: open it again")
                return content.read(offset, size, waiter)
            except DownloadAbandoned:
                self._drop(content)
            except HistfsError:
                # Whoever reads on after an error, or a signal, asks anew.
                self._drop(content)
                raise

    def secure(self, waiter: Waiter) -> None:
        """Have all of the clip on this machine: its last byte comes when the rest has come."""
        self.read(self._size - 1, 1, waiter)

    def close(self) -> None:
        """Let go of the file."""
        self._store.closed(self._item.key, self)
        with self._lock:
            self._content = None

    def _take(self) -> Descriptor | Download:
        with self._lock:
            if self._content is None:
                self._content = self._store.content(self._item)
            return self._content

    def _drop(self, content: Download) -> None:
        with self._lock:
            if self._content is content:
                self._content = None
