"""Exports an account as shards: tars of the audio, text and metadata of items, as WebDataset's are.

DEST/shards/2024-05-000000.tar            KEY.mp3, KEY.txt and KEY.json of each item
DEST/manifest/shards-month=2024-05.jsonl  the size, SHA-256 and items of each shard

The items of a month of UTC go into its shards in the order of time; a shard is closed when it has
the bytes that are wanted, by what the listing tells of its items: the same history gives the same
shards, byte for byte, whatever is cached. A shard never changes: items that come later, or that
could not be had, go into a new one. An item without audio is in none.

The manifest is stored before the shard is written: a shard that it lists and that is not there, as
after a kill, is forgotten, and its items are exported anew.

Threads: one; manifests and result belong to it. `SingleFlight` is a pool of daemon threads, which
fetch the audio of the next items.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import tarfile
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import chain, count
from typing import IO, NamedTuple

from histfs.core.errors import ACCOUNT_WIDE, Missing, NoAudio, NotReady, SourceError
from histfs.core.item import Item
from histfs.core.single_flight import SingleFlight
from histfs.core.times import ALWAYS
from histfs.exporting.destination import Destination, fingerprint, spooled
from histfs.exporting.export import MAX_FAILURES, TRANSIENT, ExportResult
from histfs.exporting.item_export import Order, Recording, order_of
from histfs.exporting.manifest import Shard, ShardManifest
from histfs.exporting.months import month_of, months_of, span_of, state_of
from histfs.exporting.recordings import CachedRecordings
from histfs.mounting import MountedSource

_FOLDER = "shards"
_CHUNK = 1 << 20

log = logging.getLogger(__name__)


class ShardExport:
    """An export of an account as shards.

    Args:
        destination: where.
        sources: of the account.
        size: bytes after which a shard is closed.
        threads: how many clips are fetched at once.
        verify: whether the shards that are there are read back.
    """

    def __init__(
        self,
        destination: Destination,
        sources: Sequence[MountedSource],
        size: int,
        threads: int,
        *,
        verify: bool = False,
    ) -> None:
        self._destination = destination
        self._sources = sources
        self._size = size
        self._threads = threads
        self._verify = verify

    def run(
        self,
        since: int,
        progress: Callable[[ExportResult], None],
        retry: Callable[[SourceError], bool],
    ) -> ExportResult:
        """Export what is not there yet; arguments and errors are those of `Export.run`."""
        result = ExportResult()
        start = span_of(month_of(since)).start if since > ALWAYS.start else since
        there = self._destination.sizes(_FOLDER)
        for month in months_of(self._sources, start):
            # Before the items are read: what changes meanwhile is exported by the next run.
            total, state = state_of(self._sources, month, audio=False)
            manifest = ShardManifest.load(self._destination, month)
            lost = [name for name in manifest.shards if name not in there]
            for name in lost:
                del manifest.shards[name]
            result.kept += len(manifest.shards)
            differing = [
                line for each in manifest.shards.values() if (line := self._differs(each, there))
            ]
            result.differing += differing
            if manifest.state == state and not lost:
                result.items += total
                progress(result)
                continue
            run = _MonthRun(self._destination, manifest, there, result, progress)
            with contextlib.closing(SingleFlight("export", self._threads)) as flights:
                clips = _Clips(self._destination, flights, self._threads, retry)
                with contextlib.closing(clips.of(self._items(month, manifest))) as fetched:
                    run.export(fetched, self._size)
            manifest.state = state if run.complete and not differing else ""
            manifest.store(self._destination)
        return result

    def _items(self, month: str, manifest: ShardManifest) -> Iterator[tuple[MountedSource, Item]]:
        """Yield the items of a month that are in no shard."""
        known = {key for each in manifest.shards.values() for key in each.keys}
        for mounted in self._sources:
            for item in mounted.store.items(span_of(month)):
                if item.key not in known:
                    yield mounted, item

    def _differs(self, shard: Shard, there: Mapping[str, int]) -> str | None:
        """Return a message if a shard is not what was written."""
        size, sha256 = there[shard.name], shard.sha256
        if size == shard.size and self._verify:
            found = fingerprint(self._destination, shard.name)
            size, sha256 = found if found is not None else (0, "")
        if (size, sha256) == (shard.size, shard.sha256):
            return None
        line = (
            f"{self._destination}/{shard.name} is not what was written there"
            f" ({shard.size:,} bytes with SHA-256 {shard.sha256[:12]}…): it is left as it is"
        )
        log.warning("%s", line)
        return line


class _Clip(NamedTuple):
    """An item with its audio, or why it has none.

    Attributes:
        item: the item.
        order: what is known of it; None after an error.
        extension: of the audio.
        file: the audio; None after an error.
        error: why it can't be had.
    """

    item: Item
    order: Order | None = None
    extension: str = ""
    file: IO[bytes] | None = None
    error: SourceError | None = None


class _Clips:
    """Fetches the audio of items, several at once, and gives it in their order.

    Args:
        destination: for whose scratch folder.
        flights: the threads.
        ahead: how many items are fetched at once.
        retry: waits before another attempt at what failed, and returns False for none.
    """

    def __init__(
        self,
        destination: Destination,
        flights: SingleFlight,
        ahead: int,
        retry: Callable[[SourceError], bool],
    ) -> None:
        self._destination = destination
        self._flights = flights
        self._ahead = ahead
        self._retry = retry
        self._pending: deque[tuple[MountedSource, Item, Future[_Fetched]]] = deque()

    def of(self, items: Iterable[tuple[MountedSource, Item]]) -> Generator[_Clip, None, None]:
        """Yield the items with their audio, whose file is closed when the next one is taken."""
        try:
            for mounted, item in items:
                self._pending.append((mounted, item, self._submit(mounted, item)))
                if len(self._pending) >= self._ahead:
                    yield from self._next()
            while self._pending:
                yield from self._next()
        finally:
            for _, _, future in self._pending:
                future.add_done_callback(_close)

    def _next(self) -> Iterator[_Clip]:
        mounted, item, future = self._pending.popleft()
        while True:
            try:
                order, found, stack, file = future.result()
            except TRANSIENT as error:
                if not self._retry(error):
                    yield _Clip(item, error=error)
                    return
                future = self._submit(mounted, item)
            except SourceError as error:
                yield _Clip(item, error=error)
                return
            else:
                with stack:
                    yield _Clip(item, order, found.extension, file)
                return

    def _submit(self, mounted: MountedSource, item: Item) -> Future[_Fetched]:
        return self._flights.submit(object(), partial(self._fetch, mounted, item))

    def _fetch(self, mounted: MountedSource, item: Item) -> _Fetched:
        order = order_of(mounted, item, {}, {})
        if order.lacks_audio:
            raise NoAudio(item.key)
        if not order.final:
            raise NotReady(item.key)
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(spooled(self._destination))
            found = CachedRecordings(mounted).fetch(order.audio, file)
            return _Fetched(order, found, stack.pop_all(), file)


class _Fetched(NamedTuple):
    """An item's audio in a file, which the stack closes."""

    order: Order
    recording: Recording
    stack: contextlib.ExitStack
    file: IO[bytes]


class _MonthRun:
    """Writes the shards of a month.

    Args:
        destination: where.
        manifest: gets the shards.
        there: the sizes of the shards that are there, by name.
        result: counts.
        progress: called after each item.

    Attributes:
        complete: whether all items that have audio are in a shard.
    """

    def __init__(
        self,
        destination: Destination,
        manifest: ShardManifest,
        there: Mapping[str, int],
        result: ExportResult,
        progress: Callable[[ExportResult], None],
    ) -> None:
        self.complete = True
        self._destination = destination
        self._manifest = manifest
        self._there = there
        self._result = result
        self._progress = progress
        self._in_a_row = 0
        self._result.items += sum(len(each.keys) for each in manifest.shards.values())

    def export(self, clips: Iterator[_Clip], size: int) -> None:
        """Write clips to shards of about a size in bytes."""
        for first in clips:
            with spooled(self._destination) as file:
                keys: list[str] = []
                with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                    room = size
                    for clip in chain([first], clips):
                        if self._collect(clip) and clip.order and clip.file:
                            _add(tar, clip.order, clip.extension, clip.file)
                            keys.append(clip.item.key)
                            texts = clip.order.contents.values()
                            room -= clip.item.estimate + sum(map(len, texts))
                        if room <= 0:
                            break
                if keys:
                    self._put(file, keys)

    def _collect(self, clip: _Clip) -> bool:
        """Count an item; return whether its audio is there."""
        result, error = self._result, clip.error
        if isinstance(error, NoAudio):
            result.without_audio += 1
        elif isinstance(error, NotReady):
            result.not_ready += 1
            self.complete = False
        elif isinstance(error, Missing):
            log.info("%s is not exported: it is gone", clip.item.key)
        elif error is not None:
            log.warning("%s can't be exported: %s", clip.item.key, error)
            result.failed[clip.item.id] = error
            self.complete = False
            self._in_a_row = self._in_a_row + 1 if isinstance(error, ACCOUNT_WIDE) else 0
            if self._in_a_row >= MAX_FAILURES:
                raise error
        else:
            self._in_a_row = 0
        result.items += 1
        self._progress(result)
        return error is None

    def _put(self, file: IO[bytes], keys: Sequence[str]) -> None:
        size, digest = file.tell(), hashlib.sha256()
        file.seek(0)
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
        name, manifest = self._free_name(), self._manifest
        shard = Shard(name, size, digest.hexdigest(), keys)
        if name in self._there:
            # Written before the manifest was lost, perhaps.
            if fingerprint(self._destination, name) != (size, shard.sha256):
                self.complete = False
                self._result.differing.append(
                    f"{self._destination}/{name} is no shard of this export, which would write"
                    f" {size:,} bytes there: it is left as it is"
                )
                return
            manifest.shards[name] = shard
            self._result.kept += 1
            return
        manifest.shards[name] = shard
        manifest.store(self._destination)
        self._destination.put(name, file)
        self._result.written += 1
        self._result.bytes += size

    def _free_name(self) -> str:
        for number in count():
            name = f"{_FOLDER}/{self._manifest.month}-{number:06}.tar"
            if name not in self._manifest.shards:
                return name
        raise AssertionError("count() does not end")


def _add(tar: tarfile.TarFile, order: Order, extension: str, audio: IO[bytes]) -> None:
    """Add the members of an item, which follow each other: a sample of WebDataset."""
    contents = order.contents
    size = audio.seek(0, io.SEEK_END)
    audio.seek(0)
    _member(tar, order.item, extension, audio, size)
    _member(tar, order.item, "txt", io.BytesIO(contents["text"]), len(contents["text"]))
    _member(tar, order.item, "json", io.BytesIO(contents["meta"]), len(contents["meta"]))


def _member(
    tar: tarfile.TarFile, item: Item, extension: str, content: IO[bytes], size: int
) -> None:
    # Owner, mode and all else are the defaults of `TarInfo`, the same on all machines.
    member = tarfile.TarInfo(f"{item.key}.{extension}")
    member.size, member.mtime = size, item.date
    tar.addfile(member, content)


def _close(future: Future[_Fetched]) -> None:
    if not future.cancelled() and future.exception() is None:
        future.result().stack.close()
