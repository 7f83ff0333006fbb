"""Exports an account: its audio, texts and metadata as objects, by month of UTC.

DEST/audio/month=2024-05/KEY.mp3     as the server sent it
DEST/text/month=2024-05/KEY.txt      as ``text.txt``
DEST/meta/month=2024-05/KEY.json     as ``meta.json``
DEST/manifest/month=2024-05.jsonl    what was written, see `histfs.exporting.manifest`

Each object is written as a whole, after its bytes were compared with the SHA-256 in the catalog.
One that is there is kept if it has the size of the manifest; without a line in the manifest, as
after a kill, it is read back and compared. An object that differs is reported, and never replaced.

Threads: workers fetch and write the objects of one item each; `SingleFlight` is their pool of
daemon threads. Manifest and result belong to the calling thread.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import IO, NamedTuple

from histfs.core.errors import (
    ACCOUNT_WIDE,
    BadAnswer,
    Missing,
    NoAudio,
    NoSpace,
    NotReady,
    RateLimited,
    ServerFailed,
    SourceError,
    Unreachable,
)
from histfs.core.files import meta_bytes, text_bytes
from histfs.core.item import Item
from histfs.core.single_flight import SingleFlight
from histfs.core.times import ALWAYS
from histfs.core.waiting import Waiter
from histfs.exporting.destination import Destination, fingerprint, spooled
from histfs.exporting.errors import DestinationFailed, ObjectDiffers
from histfs.exporting.manifest import FOLDERS, Manifest, Written
from histfs.exporting.months import month_of, months_of, span_of, state_of
from histfs.mounting import MountedSource
from histfs.mounting.account_rows import export_name

#: Consecutive failures of the server or the network after which the run ends.
_MAX_FAILURES = 20
#: Seconds after which the manifest of a month that is being exported is stored again.
_CHECKPOINT = 20.0
#: The errors that a later attempt may not have.
TRANSIENT = (RateLimited, ServerFailed, Unreachable)
_CHUNK = 1 << 20

log = logging.getLogger(__name__)


@dataclass(slots=True)
class ExportResult:
    """What a run did.

    Attributes:
        items: that were looked at.
        written: objects that were written.
        bytes: of those.
        kept: objects that were there already.
        not_ready: items whose audio is still being made, and conversations that go on.
        without_audio: items that have none, as far as they were looked at.
        failed: the errors of single items, by id.
        differing: the messages about objects that differ.
    """

    items: int = 0
    written: int = 0
    bytes: int = 0
    kept: int = 0
    not_ready: int = 0
    without_audio: int = 0
    failed: dict[str, SourceError] = field(default_factory=dict)
    differing: list[str] = field(default_factory=list)


class _ItemResult(NamedTuple):
    """What was done for one item."""

    objects: dict[str, Written]
    written: int
    bytes: int
    differing: list[str]
    not_ready: bool = False
    without_audio: bool = False


class Export:
    """An export of an account to a destination.

    Args:
        destination: where.
        sources: of the account.
        threads: how many items are exported at once.
        verify: whether all objects that are there are read back and compared.
    """

    def __init__(
        self,
        destination: Destination,
        sources: Sequence[MountedSource],
        threads: int,
        *,
        verify: bool = False,
    ) -> None:
        self._destination = destination
        self._sources = sources
        self._threads = threads
        self._verify = verify

    def run(
        self,
        since: int,
        progress: Callable[[ExportResult], None],
        retry: Callable[[SourceError], bool],
    ) -> ExportResult:
        """Export what is not there yet.

        Args:
            since: the months before that of this moment are left alone.
            progress: called after each item.
            retry: waits before another attempt at what failed, and returns False for none.

        Raises:
            DestinationFailed, NoSpace: the destination can't be used.
            TableDamaged: a manifest can't be read.
            SourceError: the server or the network fails, not a single item.
            CacheFailed: the catalog can't be read.
        """
        result = ExportResult()
        start = span_of(month_of(since)).start if since > ALWAYS.start else since
        for month in months_of(self._sources, start):
            self._export_month(month, result, progress, retry)
        return result

    def _export_month(
        self,
        month: str,
        result: ExportResult,
        progress: Callable[[ExportResult], None],
        retry: Callable[[SourceError], bool],
    ) -> None:
        # Before the items are read: what changes meanwhile is exported by the next run.
        count, state = state_of(self._sources, month, audio=False)
        manifest = Manifest.load(self._destination, month)
        there: dict[str, int] = {}
        for folder in FOLDERS:
            there.update(self._destination.sizes(f"{folder}/month={month}"))
        known = manifest.objects()
        intact = all(there.get(name) == each.size for name, each in known.items())
        if manifest.state == state and intact and not self._verify:
            result.items += count
            result.kept += len(known)
            progress(result)
            return
        manifest.state = ""
        worker = _Worker(self._destination, there, self._verify)
        run = _MonthRun(self._destination, manifest, worker, result, progress)
        failed = run.attempt(self._items(month), self._threads)
        while transient := [each for each in failed if isinstance(each.error, TRANSIENT)]:
            if not retry(transient[0].error):
                break
            for each in transient:
                del result.failed[each.item.id]
            result.items -= len(transient)
            others = [each for each in failed if each not in transient]
            again = run.attempt(((each.mounted, each.item) for each in transient), self._threads)
            failed = [*others, *again]
        if not failed and not run.incomplete:
            manifest.state = state
        manifest.store(self._destination)

    def _items(self, month: str) -> Iterator[tuple[MountedSource, Item]]:
        for mounted in self._sources:
            for item in mounted.store.items(span_of(month)):
                yield mounted, item


class _Failure(NamedTuple):
    """An item that could not be exported."""

    mounted: MountedSource
    item: Item
    error: SourceError


class _MonthRun:
    """Exports items of a month, several at once.

    Args:
        destination: where.
        manifest: gets their objects.
        worker: exports an item.
        result: counts.
        progress: called after each item.

    Attributes:
        incomplete: whether the audio of an item is not ready, or an object differs.
    """

    def __init__(
        self,
        destination: Destination,
        manifest: Manifest,
        worker: _Worker,
        result: ExportResult,
        progress: Callable[[ExportResult], None],
    ) -> None:
        self.incomplete = False
        self._destination = destination
        self._manifest = manifest
        self._worker = worker
        self._result = result
        self._progress = progress
        self._stored = time.monotonic()
        self._in_a_row = 0
        self._failed: list[_Failure] = []
        self._in_flight: dict[Future[_ItemResult], tuple[MountedSource, Item]] = {}
        self._done: SimpleQueue[Future[_ItemResult]] = SimpleQueue()

    def attempt(self, items: Iterable[tuple[MountedSource, Item]], threads: int) -> list[_Failure]:
        """Export items, and return those that failed.

        Raises:
            As `Export.run`.
        """
        self._failed = []
        with contextlib.closing(SingleFlight("export", threads)) as flights:
            try:
                for mounted, item in items:
                    while len(self._in_flight) >= threads:
                        self._collect()
                    old = self._manifest.items.get(item.key, {})
                    work = partial(self._worker.export, mounted, item, old)
                    future = flights.submit(object(), work)
                    self._in_flight[future] = (mounted, item)
                    future.add_done_callback(self._done.put)
                while self._in_flight:
                    self._collect()
            except BaseException:
                # What was written need not be read back by the next run.
                with contextlib.suppress(DestinationFailed, NoSpace):
                    self._manifest.store(self._destination)
                raise
        return self._failed

    def _collect(self) -> None:
        """Wait for the next item that ends."""
        future = self._done.get()
        mounted, item = self._in_flight.pop(future)
        result = self._result
        try:
            found = future.result()
        except Missing:
            log.info("%s is not exported: it is gone", item.key)
        except SourceError as error:
            log.warning("%s can't be exported: %s", item.key, error)
            self._failed.append(_Failure(mounted, item, error))
            result.failed[item.id] = error
            self._in_a_row = self._in_a_row + 1 if isinstance(error, ACCOUNT_WIDE) else 0
            if self._in_a_row >= _MAX_FAILURES:
                raise
        else:
            self._in_a_row = 0
            self._manifest.items[item.key] = found.objects
            result.written += found.written
            result.bytes += found.bytes
            result.kept += len(found.objects) - found.written
            result.differing += found.differing
            result.not_ready += found.not_ready
            result.without_audio += found.without_audio
            self.incomplete |= found.not_ready or bool(found.differing)
        result.items += 1
        self._progress(result)
        if time.monotonic() - self._stored > _CHECKPOINT:
            self._manifest.store(self._destination)
            self._stored = time.monotonic()


class _Worker:
    """Exports single items.

    Args:
        destination: where.
        there: the sizes of the objects that are there, by name.
        verify: whether they are read back.
    """

    def __init__(self, destination: Destination, there: Mapping[str, int], verify: bool) -> None:
        self._destination = destination
        self._there = there
        self._verify = verify

    def export(self, mounted: MountedSource, item: Item, old: dict[str, Written]) -> _ItemResult:
        """Write the objects of an item that are not there.

        Args:
            mounted: its source.
            item: the item.
            old: the objects of an earlier run, by folder.

        Raises:
            SourceError: it can't be fetched.
            DestinationFailed, NoSpace: it can't be written.
        """
        waiter = Waiter(math.inf)
        details = mounted.catalog.full(item, waiter)
        contents = {"text": text_bytes(details), "meta": meta_bytes(details)}
        result = _ItemResult({}, 0, 0, [])
        for folder, content in contents.items():
            name = export_name(item, folder, "txt" if folder == "text" else "json")
            digest = hashlib.sha256(content).hexdigest()
            new = Written(name, len(content), digest)
            with self._differing(result.differing):
                if not self._is_there(new, old.get(folder)):
                    self._destination.put(name, io.BytesIO(content))
                    result = result._replace(
                        written=result.written + 1, bytes=result.bytes + len(content)
                    )
                result.objects[folder] = new
        if details.lacks_audio:
            return result._replace(without_audio=True)
        if not details.final:
            return result._replace(not_ready=True)  # a conversation that goes on
        try:
            with self._differing(result.differing), _checked(mounted, item):
                audio, written = self._audio(mounted, item, old.get("audio"), waiter)
                result.objects["audio"] = audio
                if written:
                    result = result._replace(
                        written=result.written + 1, bytes=result.bytes + audio.size
                    )
        except NoAudio:
            return result._replace(without_audio=True)
        except NotReady:
            return result._replace(not_ready=True)
        return result

    def _audio(
        self, mounted: MountedSource, item: Item, old: Written | None, waiter: Waiter
    ) -> tuple[Written, bool]:
        """Return the object of an item's audio, and whether it was written just now."""
        if old is not None and old.name in self._there and self._is_there(old, old):
            return old, False
        known = mounted.audio.sizes.fingerprint(item.key)
        if known is not None and known.sha256 is not None:
            extension = mounted.audio.extension(item)
            expected = Written(
                export_name(item, "audio", extension), known.size, known.sha256.hex()
            )
            if expected.name in self._there and self._is_there(expected, None):
                return expected, False
        with spooled(self._destination) as file:
            size, digest = _fetch(mounted, item, file, waiter)
            name = export_name(item, "audio", mounted.audio.extension(item))
            new = Written(name, size, digest)
            if self._is_there(new, None):
                return new, False
            self._destination.put(name, file)
            return new, True

    def _is_there(self, new: Written, old: Written | None) -> bool:
        """Say whether an object is there; False if it is to be written.

        Args:
            new: as it should be.
            old: as an earlier run has written it; None if none has.

        Raises:
            ObjectDiffers: there is another one, which no run has written.
        """
        size = self._there.get(new.name)
        if size is None:
            return False
        if old is not None and old.name == new.name and old.size == size:
            if old == new and not self._verify:
                return True
            # One that an earlier run has written of other details is replaced.
            found = fingerprint(self._destination, new.name)
            if found == (old.size, old.sha256):
                return old == new
        else:
            found = fingerprint(self._destination, new.name)
        if found is None:
            return False
        if found != (new.size, new.sha256):
            raise ObjectDiffers(
                f"{self._destination}/{new.name} has {found[0]:,} bytes with SHA-256"
                f" {found[1][:12]}…, and not {new.size:,} with {new.sha256[:12]}…: it is left as"
                " it is"
            )
        return True

    @contextlib.contextmanager
    def _differing(self, messages: list[str]) -> Iterator[None]:
        try:
            yield
        except ObjectDiffers as error:
            log.warning("%s", error)
            messages.append(str(error))


@contextlib.contextmanager
def _checked(mounted: MountedSource, item: Item) -> Iterator[None]:
    """Tell an item that is gone from one whose audio alone can't be had.

    Raises:
        Missing: the item is gone.
        BadAnswer: it is there, and its audio is not.
    """
    try:
        yield
    except Missing as error:
        mounted.source.get(item.id)
        raise BadAnswer(f"the server has the item, and not its audio ({error})") from error


def _fetch(mounted: MountedSource, item: Item, file: IO[bytes], waiter: Waiter) -> tuple[int, str]:
    """Copy an item's audio to a file; return its size and SHA-256, which are those of the catalog.

    Raises:
        BadAnswer: the bytes are not those that came first, and can't be had again.
    """
    for attempt in range(2):
        known = mounted.audio.sizes.fingerprint(item.key)
        file.seek(0)
        file.truncate()
        try:
            size, digest = _copy(mounted, item, file, waiter)
        except BadAnswer:
            # Cut short, perhaps: the next answer may be whole.
            if attempt:
                raise
            continue
        if known is None or known.sha256 in (None, digest):
            return size, digest.hex()
        if attempt == 0:
            # The copy in the cache is damaged.
            mounted.audio.ensure_verified(item, waiter)
    raise BadAnswer(f"the audio of {item.key} is not what it was")


def _copy(mounted: MountedSource, item: Item, file: IO[bytes], waiter: Waiter) -> tuple[int, bytes]:
    """Copy an item's audio to a file; return its size and SHA-256."""
    digest = hashlib.sha256()
    clip = mounted.audio.open(item, waiter)
    try:
        place, size = 0, clip.size
        while place < size:
            chunk = clip.read(place, _CHUNK, waiter)
            if not chunk:
                raise BadAnswer(f"the audio of {item.key} ends after {place} of {size} bytes")
            digest.update(chunk)
            file.write(chunk)
            place += len(chunk)
    finally:
        clip.close()
    return size, digest.digest()
