"""The cache of audio: what is on disk, what is being downloaded, and what is yet to be fetched.

Attachments are cached like clips: `histfs.core.attachments.part_of` makes an `Item` of each, and
`Item.attachment` says what to fetch.

This is the one place where concurrent requests for a clip share a download.
`histfs.core.single_flight` can't do it: its callers get a result at the end, while readers here get
bytes as they arrive, and raise the priority of a prefetch.

Threads: any number at once. `_lock` guards the table of downloads, and the step from that table to
the disk. It is held while a file is opened, a size is read from the catalog and a download is
queued, and never while anything waits for the network. While it is held these locks may be taken:
`Download._changed`, `DownloadScheduler._lock`, and those of the disk, the catalog and the caches in
memory.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable

from histfs.audio.cached_clips import CachedClips
from histfs.audio.disk_cache import DiskCache
from histfs.audio.download import Download, DownloadAbandoned
from histfs.audio.download_scheduler import DownloadScheduler
from histfs.audio.file_descriptors import Descriptor
from histfs.audio.file_extensions import FileExtensions
from histfs.audio.negative_cache import NegativeCache
from histfs.audio.open_clip import OpenClip, OpenClips, StreamedClip
from histfs.audio.played_clip import PlayedClip
from histfs.audio.read_ahead import ReadAhead
from histfs.audio.reading_orders import ReadingOrders
from histfs.audio.size_registry import SizeRegistry
from histfs.audio.told_sizes import ToldSizes
from histfs.audio.verification import LastCopy
from histfs.core.errors import HistfsError, Missing, NotForCrawlers, SourceError
from histfs.core.item import Item
from histfs.core.nodes import FileStream, OpenFile
from histfs.core.size_estimate import size_in_header
from histfs.core.sizes import FileSize
from histfs.core.source import Source
from histfs.core.waiting import Waiter

log = logging.getLogger(__name__)


class AudioCache:
    """Implements `histfs.core.audio_store.AudioStore` on a disk.

    Args:
        source: where audio is downloaded from.
        disk: where it is kept.
        scheduler: runs the downloads.
        sizes: the exact sizes and checksums of clips.
        told: asks the server for sizes.
        max_clip_size: bytes; a larger clip is not downloaded.
        orders: in which the clips may be read.
        prefetch_clips: how many clips are prefetched at most; 0 for none.
        prefetch_bytes: bytes that prefetched clips may take together.
        set_extension: keeps the extension of a clip's name, by key, for ever.
        invalidate: is called with an item that seems to be deleted elsewhere.
        has_no_audio: says whether an item is known to have no audio; it isn't prefetched.
        exact: whether `size` gives any client the exact size, and downloads a clip to know it.

    Attributes:
        disk: as given.
        sizes: as given.
        has_no_audio: as given.
        told: as given.
    """

    def __init__(
        self,
        source: Source,
        disk: DiskCache,
        scheduler: DownloadScheduler,
        sizes: SizeRegistry,
        told: ToldSizes,
        *,
        max_clip_size: int,
        orders: ReadingOrders,
        prefetch_clips: int,
        prefetch_bytes: int,
        set_extension: Callable[[str, str], None],
        invalidate: Callable[[Item], None],
        has_no_audio: Callable[[Item], bool] = lambda _: False,
        exact: bool = False,
    ) -> None:
        self.disk = disk
        self.sizes = sizes
        self._source = source
        self._scheduler = scheduler
        self._max_clip_size = max_clip_size
        self._read_ahead = ReadAhead(
            orders,
            self._prefetch,
            size_of=sizes.expected,
            max_clips=prefetch_clips,
            max_bytes=prefetch_bytes,
        )
        self._extensions = FileExtensions(set_extension)
        self._cached = CachedClips(disk, sizes, self._extensions)
        self._invalidate = invalidate
        self.has_no_audio = has_no_audio
        self._exact = exact
        self.told = told
        self._lock = threading.Lock()
        self._downloads: dict[str, Download] = {}
        self._open_clips = OpenClips()
        self._refusals = NegativeCache()
        self._last_copy = LastCopy(disk, sizes, self.fetch, self._fetch_again)

    def size(self, item: Item, waiter: Waiter) -> FileSize:
        """Return the best known size; a client that needs the exact one gets it.

        The server is asked for it, or the clip is downloaded if any client is to get exact sizes. A
        crawler gets the estimate: its stat must neither download nor fail.
        """
        size = self.sizes.size(item, waiter.thread())
        if size.is_exact or not (self._exact or waiter.needs_size()):
            return size
        if waiter.may_fetch():
            told = self.told.size(item, waiter)
            if told is not None:
                return FileSize(told, is_exact=True)
        if self._exact:
            with contextlib.suppress(NotForCrawlers):
                file = self.open(item, waiter)
                file.close()
                return FileSize(file.size, is_exact=True)
        return size

    def extension(self, item: Item) -> str:
        """Return the extension of a clip's name: once its download has begun, by its bytes."""
        return self._extensions.of(item)

    def open(self, item: Item, waiter: Waiter, *, read_ahead: bool = True) -> OpenFile:
        """Open a clip: its cached file, its running download, or to be fetched when first read.

        A clip is downloaded here only while its exact size isn't known: the program that opened it
        will believe the size that fstat gives. A crawler gets cached clips alone, and none that is
        being downloaded: should that fail, its next read would start another download. A player
        gets the others as they come, unless all sizes have to be exact.

        Args:
            item: whose clip.
            waiter: of the call.
            read_ahead: whether the next clips may be prefetched; a caller that fetches them itself,
                several at once, needs no guess.
        """
        with self._lock:
            content: Descriptor | Download | None = self._cached.open(item)
            size = self.sizes.exact(item)
        if content is None and not waiter.may_fetch():
            raise NotForCrawlers(f"the audio of {item.key} isn't here, and is for no crawler")
        if content is None and self._can_be_played(item) and waiter.plays():
            return self._played(item, waiter)
        if size is None and content is None:
            content = self.content(item)
            if read_ahead:
                self.note_use(item, waiter)
        while content is not None or size is None:
            content = content or self.content(item)
            try:
                size = self._size_of(item, content, waiter)
            except DownloadAbandoned:
                content = None
            else:
                break
        return OpenClip(self, self._open_clips, item, size, content, noted=not read_ahead)

    def stream(self, item: Item, waiter: Waiter) -> FileStream:
        """Open a clip to be read as it comes, once its first bytes are here.

        No size is waited for, and none is promised.
        """
        with self._lock:
            found = self._cached.open(item)
        if found is not None:
            self._learn(item, found)
        elif not waiter.may_fetch():
            raise NotForCrawlers(f"the audio of {item.key} isn't here, and is for no crawler")
        clip = StreamedClip(self, self._open_clips, item, found)
        clip.begin(waiter)
        return clip

    def ensure_verified(self, item: Item, waiter: Waiter) -> None:
        """Have the complete clip on the disk, with the bytes that first came from the server.

        Raises:
            As `LastCopy.ensure`.
        """
        with self._lock:
            # A file that is no audio is removed, and its recorded size is discarded.
            self._cached.open(item)
            running = self._running(item, on_demand=True)
        self.note_use(item, waiter)
        self._last_copy.ensure(item, running, waiter)

    def fetch_for_open_files(self, item: Item, waiter: Waiter) -> None:
        """Download what clients that have a clip open have yet to read: it will be deleted."""
        for clip in self._open_clips.of(item.key):
            clip.fetch_all(waiter)

    def fetch(self, item: Item, waiter: Waiter) -> int:
        """Have the complete clip in the cache, and return its size in bytes.

        Raises:
            SourceError: the source can't give it.
            NoSpace, CacheFailed: the disk can't keep it.
            Interrupted, DeadlineExceeded: the wait ended first.
        """
        while True:
            # The copy is for a backup or the trash: the negative cache is not enough.
            content = self.content(item, ask_again=True)
            if isinstance(content, Descriptor):
                return os.fstat(content.number).st_size
            with contextlib.suppress(DownloadAbandoned):
                return content.wait_for_end(waiter)

    def cached_size(self, item: Item) -> int | None:
        """Return the size of a cached clip that looks complete; None if there is none.

        Its time of last use stays as it is.
        """
        return self._cached.size(item)

    def flush(self, waiter: Waiter) -> None:
        """Wait until completed downloads are in their places: the process is about to end."""
        with self._lock:
            downloads = list(self._downloads.values())
        for download in downloads:
            if download.has_come:
                # A clip that was read need not be kept.
                with contextlib.suppress(HistfsError):
                    download.wait_for_end(waiter)

    @property
    def fetching(self) -> frozenset[str]:
        """The keys of the clips that are being downloaded, or are queued."""
        with self._lock:
            return frozenset(self._downloads)

    def content(
        self, item: Item, on_demand: bool = True, *, ask_again: bool = False
    ) -> Descriptor | Download:
        """Return a clip's file, or its download: the running one, or a new one.

        Args:
            item: whose clip.
            on_demand: whether a client waits for it; else it is a prefetch.
            ask_again: whether the server is asked even if it refused a moment ago.

        Raises:
            Missing, NoAudio, NoAttachment, NotReady: it refused, and is not asked.
        """
        with self._lock:
            download = self._running(item, on_demand)
            if download is not None:
                return download
            # A download is put on disk before it leaves the table: here it is in one of them.
            found = self._cached.open(item)
            if found is not None:
                return found
            if not ask_again:
                self._refusals.check(item)
            return self._start(item, on_demand)

    def note_use(self, item: Item, waiter: Waiter) -> None:
        """Note that a client begins to read a clip; the next ones may be prefetched."""
        # Attachments have no order in which they are read.
        if item.attachment is None:
            self._read_ahead.used(item, waiter.may_fetch)

    def discard_size(self, item: Item, size: int) -> None:
        """Note that a clip has another size in bytes than was known: it is learnt anew."""
        if self.sizes.exact(item) == size:
            self.told.distrust()
            self.sizes.discard(item.key)

    def _fetch_again(self, item: Item, waiter: Waiter) -> None:
        """Download a clip, whether it is on the disk or not."""
        while True:
            with self._lock:
                download = self._running(item, on_demand=True)
                if download is None or download.has_come:
                    old = self.disk.identity(item.key)
                    download = self._start(item, on_demand=True, old=old)
            with contextlib.suppress(DownloadAbandoned):
                download.wait_for_end(waiter)
                return

    def _running(self, item: Item, on_demand: bool) -> Download | None:
        """Return the running download of a clip; called with `_lock` held.

        One that is kept may still be in the table: the disk tells whether its file is there.
        """
        download = self._downloads.get(item.key)
        if download is None or download.error is not None or download.is_kept:
            return None
        if on_demand:
            self._scheduler.promote(download)
        return download

    def _size_of(self, item: Item, content: Descriptor | Download, waiter: Waiter) -> int:
        """Return the exact size of a clip; wait for that of a download, or until it is told."""
        if isinstance(content, Descriptor):
            return self._learn(item, content)
        if content.size is None:
            self.told.when_told(item, content.expect)
        return content.wait_for_size(waiter)

    def _start(self, item: Item, on_demand: bool, old: object | None = None) -> Download:
        """Queue a download; called with `_lock` held."""
        download = Download(
            item,
            self._source,
            self.disk,
            old=old,
            max_size=self._max_clip_size,
            on_head=lambda head: self._examine(item, head),
            on_size=lambda size: self.sizes.announce(item.key, size),
            on_no_length=lambda: self.told.note_no_length(item),
            on_stored=lambda size, sha256: self._stored(item, size, sha256),
            on_received=self._scheduler.received,
            may_stop=self._scheduler.may_stop,
            link=self._scheduler.link,
            first_bytes=self._scheduler.first_bytes,
            on_end=lambda download: self._ended(item, download),
        )
        expected = self.sizes.exact(item)
        if expected is not None:
            download.expect(expected)
        self._scheduler.add(download, on_demand)
        self._downloads[item.key] = download
        return download

    def _learn(self, item: Item, file: Descriptor) -> int:
        """Note the size of a cached clip, where that is new, and return it."""
        size = os.fstat(file.number).st_size
        if self.sizes.exact(item) is None:
            self.sizes.learn(item, size, None)
        self._extensions.store(item.key)
        return size

    def _examine(self, item: Item, head: bytes) -> None:
        """Note what the first bytes of a clip tell: its format, and perhaps its size."""
        self._extensions.detect(item, head)
        size = size_in_header(head)
        if size is not None and size <= self._max_clip_size:
            self.sizes.announce_by_header(item.key, size)

    def _can_be_played(self, item: Item) -> bool:
        return item.attachment is None and not self._exact

    def _played(self, item: Item, waiter: Waiter) -> PlayedClip:
        """Open a clip for a player, once its first bytes have come."""
        clip = PlayedClip(self, self._open_clips, item, lambda: self.sizes.size(item).size)
        clip.begin(waiter)
        return clip

    def _prefetch(self, item: Item) -> None:
        # What a full disk can't keep would be downloaded in vain.
        if self.disk.full or self._refusals.include(item) or self.has_no_audio(item):
            return
        if self.cached_size(item) is None:
            self.content(item, on_demand=False)

    def _ended(self, item: Item, download: Download) -> None:
        self._refusals.note(item, download.error)
        with self._lock:
            if self._downloads.get(item.key) is download:
                del self._downloads[item.key]
        if isinstance(download.error, Missing):
            self._confirm_missing(item)

    def _confirm_missing(self, item: Item) -> None:
        """Ask whether an item is still there; one that merely lacks audio stays as it is."""
        try:
            self._source.get(item.id)
        except Missing:
            self._invalidate(item)
        except SourceError as error:
            log.info("whether %s is still there can't be told: %s", item.key, error)

    def _stored(self, item: Item, size: int, sha256: bytes) -> None:
        before = self.sizes.learn(item, size, sha256)
        if before not in (None, size):
            log.warning("the audio of %s has %d bytes, not %d", item.key, size, before)
        self.told.came(item, size, before)
        self._extensions.store(item.key)
