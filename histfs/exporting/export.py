"""Exports an account: its audio, texts and metadata as objects, by month of UTC.

DEST/audio/month=2024-05/KEY.mp3     as the server sent it
DEST/text/month=2024-05/KEY.txt      as ``text.txt``
DEST/meta/month=2024-05/KEY.json     as ``meta.json``
DEST/attachments/month=2024-05/KEY/NAME    of a conversation
DEST/manifest/month=2024-05.jsonl    what was written, see `histfs.exporting.manifest`

Each object is written as a whole, after its bytes were compared with the SHA-256 in the catalog.
One that is there is kept if it has the size of the manifest; without a line in the manifest, as
after a kill, it is read back and compared. An object that differs is reported, and never replaced.

A crew (`histfs.exporting.crew`) exports the items, those of several months at once. A month is
closed, and its manifest stored, when the last of its items has ended.

Threads: one; manifests and result belong to it. The crew has its own.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from histfs.core.errors import (
    ACCOUNT_WIDE,
    Missing,
    NoSpace,
    RateLimited,
    ServerFailed,
    SourceError,
    Unreachable,
)
from histfs.core.times import ALWAYS
from histfs.exporting.crew import Crew, Outcome, Work
from histfs.exporting.destination import Destination
from histfs.exporting.errors import DestinationFailed, WorkersDied
from histfs.exporting.item_export import ItemResult
from histfs.exporting.manifest import FOLDERS, Manifest
from histfs.exporting.months import month_of, months_of, span_of, state_of
from histfs.mounting import MountedSource

#: Consecutive failures of the server or the network after which the run ends.
MAX_FAILURES = 20
#: Seconds after which the manifest of a month that is being exported is stored again, and how often
#: the time that this took the last time: that of a million items takes some seconds.
_CHECKPOINT, _SHARE = 20.0, 20
#: The errors that a later attempt may not have.
TRANSIENT = (RateLimited, ServerFailed, Unreachable, WorkersDied)

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
        crew: exports the items.
        verify: whether all objects that are there are read back and compared.
    """

    def __init__(
        self,
        destination: Destination,
        sources: Sequence[MountedSource],
        crew: Crew,
        *,
        verify: bool = False,
    ) -> None:
        self._destination = destination
        self._sources = sources
        self._crew = crew
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
            ClusterFailed: there is no cluster any more.
        """
        start = span_of(month_of(since)).start if since > ALWAYS.start else since
        run = _Run(self._destination, self._crew, progress)
        failed = run.attempt(self._works(run, start))
        while transient := [each for each in failed if isinstance(each.error, TRANSIENT)]:
            if not retry(transient[0].error):
                break
            others = [each for each in failed if each not in transient]
            failed = others + run.attempt(run.again(transient))
        return run.result

    def _works(self, run: _Run, start: int) -> Iterator[_MonthWork]:
        for name in months_of(self._sources, start):
            # Before the items are read: what changes meanwhile is exported by the next run.
            count, state = state_of(self._sources, name, audio=False)
            manifest = Manifest.load(self._destination, name)
            there: dict[str, int] = {}
            for folder in FOLDERS:
                there.update(self._destination.sizes(f"{folder}/month={name}"))
            known = manifest.objects()
            intact = all(there.get(each.name) == each.size for each in known.values())
            complete = manifest.state == state and not self._lacks_attachments(manifest)
            if complete and intact and not self._verify:
                run.keep(count, len(known))
                continue
            month = run.open(manifest, state)
            for mounted in self._sources:
                for item in mounted.store.items(span_of(name)):
                    month.pending += 1
                    old = manifest.items.get(item.key, {})
                    yield _MonthWork(mounted, item, old, there, month)
            run.listed(month)

    def _lacks_attachments(self, manifest: Manifest) -> bool:
        """Say whether a month was exported when attachments were not, and may have some."""
        span = span_of(manifest.month)
        return manifest.version < Manifest.VERSION and any(
            each.source.traits.attachments and any(True for _ in each.store.items(span))
            for each in self._sources
        )


@dataclass(slots=True, eq=False)
class _Month:
    """A month that is being exported.

    Attributes:
        manifest: gets the objects.
        state: the checksum of the catalog, which the manifest gets when all is there.
        next_store: when the manifest is to be stored again, on the monotonic clock.
        pending: items that were given to the crew, and have not ended.
        failed: items that could not be exported.
        listed: whether all its items were given to the crew.
        incomplete: whether the audio of an item is not ready, or an object differs.
    """

    manifest: Manifest
    state: str
    next_store: float
    pending: int = 0
    failed: int = 0
    listed: bool = False
    incomplete: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class _MonthWork(Work):
    """An item that is to be exported, and its month."""

    month: _Month


@dataclass(frozen=True, slots=True, eq=False)
class _Failure:
    """An item that could not be exported."""

    work: _MonthWork
    error: SourceError


class _Run:
    """One run of an export.

    Args:
        destination: where.
        crew: exports the items.
        progress: called after each item.

    Attributes:
        result: what was done so far.
    """

    def __init__(
        self, destination: Destination, crew: Crew, progress: Callable[[ExportResult], None]
    ) -> None:
        self.result = ExportResult()
        self._destination = destination
        self._crew = crew
        self._progress = progress
        self._in_a_row = 0
        self._open: list[_Month] = []

    def keep(self, items: int, objects: int) -> None:
        """Count a month of which all is there."""
        self.result.items += items
        self.result.kept += objects
        self._progress(self.result)

    def open(self, manifest: Manifest, state: str) -> _Month:
        """Begin a month."""
        manifest.state = ""
        month = _Month(manifest, state, time.monotonic() + _CHECKPOINT)
        self._open.append(month)
        return month

    def listed(self, month: _Month) -> None:
        """Note that all items of a month were given to the crew."""
        month.listed = True
        self._close_if_done(month)

    def again(self, failures: Sequence[_Failure]) -> Iterable[_MonthWork]:
        """Forget failures, and return their items for another attempt."""
        for each in failures:
            month = each.work.month
            del self.result.failed[each.work.item.id]
            self.result.items -= 1
            month.failed -= 1
            month.pending += 1
            if month not in self._open:
                self._open.append(month)
        return [each.work for each in failures]

    def attempt(self, works: Iterable[_MonthWork]) -> list[_Failure]:
        """Export items, and return those that failed.

        Raises:
            As `Export.run`.
        """
        failed: list[_Failure] = []
        try:
            with contextlib.closing(self._crew.outcomes(works)) as outcomes:
                for work, outcome in outcomes:
                    if failure := self._collect(work, outcome):
                        failed.append(failure)
        except BaseException:
            # What was written need not be read back by the next run.
            with contextlib.suppress(DestinationFailed, NoSpace):
                for month in self._open:
                    month.manifest.store(self._destination)
            raise
        return failed

    def _collect(self, work: _MonthWork, outcome: Outcome) -> _Failure | None:
        """Note the end of an item; return it if it failed."""
        month, failure = work.month, None
        if isinstance(outcome, ItemResult):
            self._in_a_row = 0
            self._note(work, outcome)
        elif isinstance(outcome, Missing):
            log.info("%s is not exported: it is gone", work.item.key)
        else:
            log.warning("%s can't be exported: %s", work.item.key, outcome)
            failure = _Failure(work, outcome)
            self.result.failed[work.item.id] = outcome
            month.failed += 1
            self._in_a_row = self._in_a_row + 1 if isinstance(outcome, ACCOUNT_WIDE) else 0
            if self._in_a_row >= MAX_FAILURES:
                raise outcome
        month.pending -= 1
        self.result.items += 1
        self._progress(self.result)
        if not self._close_if_done(month) and time.monotonic() >= month.next_store:
            began = time.monotonic()
            month.manifest.store(self._destination)
            took = time.monotonic() - began
            month.next_store = began + took + max(_CHECKPOINT, _SHARE * took)
        return failure

    def _note(self, work: _MonthWork, found: ItemResult) -> None:
        result, month = self.result, work.month
        month.manifest.items[work.item.key] = dict(found.objects)
        result.written += found.written
        result.bytes += found.bytes
        result.kept += len(found.objects) - found.written
        result.differing += found.differing
        result.not_ready += found.not_ready
        result.without_audio += found.without_audio
        month.incomplete |= found.not_ready or bool(found.differing)

    def _close_if_done(self, month: _Month) -> bool:
        if not month.listed or month.pending:
            return False
        if not month.failed and not month.incomplete:
            month.manifest.state = month.state
        month.manifest.store(self._destination)
        self._open.remove(month)
        return True
