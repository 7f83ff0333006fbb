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
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import NamedTuple

from histfs.core.errors import (
    ACCOUNT_WIDE,
    Missing,
    NoSpace,
    RateLimited,
    ServerFailed,
    SourceError,
    Unreachable,
)
from histfs.core.item import Item
from histfs.core.single_flight import SingleFlight
from histfs.core.times import ALWAYS
from histfs.exporting.destination import Destination
from histfs.exporting.errors import DestinationFailed
from histfs.exporting.item_export import ItemResult, Worker
from histfs.exporting.manifest import FOLDERS, Manifest
from histfs.exporting.months import month_of, months_of, span_of, state_of
from histfs.mounting import MountedSource

#: Consecutive failures of the server or the network after which the run ends.
_MAX_FAILURES = 20
#: Seconds after which the manifest of a month that is being exported is stored again.
_CHECKPOINT = 20.0
#: The errors that a later attempt may not have.
TRANSIENT = (RateLimited, ServerFailed, Unreachable)

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
        worker = Worker(self._destination, there, self._verify)
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
        worker: Worker,
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
        self._in_flight: dict[Future[ItemResult], tuple[MountedSource, Item]] = {}
        self._done: SimpleQueue[Future[ItemResult]] = SimpleQueue()

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
