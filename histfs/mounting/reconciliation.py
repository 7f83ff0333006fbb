"""Reconcile copies in the trash with the server where the outcome of a DELETE is not known.

Such a copy is left by a DELETE that failed without a clear answer, or by a process that was killed.
It is removed once the server has the item, and marked as deleted once the server has not;
`histfs.core.presence` says what evidence that takes. Until then it stays.

Threads: one thread, made by `start`, reconciles; the event `_ended` stops it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from histfs.core.errors import ACCOUNT_WIDE, HistfsError, SourceError
from histfs.core.index import Index
from histfs.core.presence import Verdict, gather, is_listed
from histfs.core.source import Source
from histfs.trash import Trash, TrashEntry, TrashItem

#: Seconds for which a new copy is left alone: the server may still work on the DELETE.
GRACE = 600.0
#: Seconds between two runs.
_INTERVAL = 300.0

log = logging.getLogger(__name__)


class ServerUnavailable(SourceError):
    """The server answers about no item at the moment."""


class SourceItems(NamedTuple):
    """The items of one source.

    Attributes:
        source: has them.
        catalog: lists them.
    """

    source: Source
    catalog: Index


class Reconciled(NamedTuple):
    """The outcome of a run, in numbers of copies.

    Attributes:
        removed: the server has the item.
        deleted: the server has deleted the item.
        undecided: not known yet.
    """

    removed: int
    deleted: int
    undecided: int


class DeleteReconciler:
    """Reconciles the copies of the accounts of a mount.

    Args:
        trash: holds them.
        base_url: of the server, for old entries that don't name their account.
        items: the items of each source, by `TrashEntry.account` and `TrashEntry.source`.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        trash: Trash,
        base_url: str,
        items: Mapping[tuple[str, str], SourceItems],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._trash = trash
        self._base_url = base_url
        self._items = items
        self._clock = clock
        #: Names of entries that need no further look.
        self._passed: set[str] = set()
        self._ended = threading.Event()

    def start(self) -> None:
        """Reconcile every `_INTERVAL` seconds in a thread of its own, until `close`."""
        threading.Thread(target=self._run, name="reconcile", daemon=True).start()

    def close(self) -> None:
        """End the thread."""
        self._ended.set()

    def reconcile(self) -> Reconciled:
        """Reconcile each copy that is old enough, as far as the server's answers allow.

        Stops asking when the server can't be reached, refuses the key, or limits the rate.

        Raises:
            TrashFailed: the trash can't be read.
        """
        removed = deleted = undecided = 0
        asking = True
        for stored in self._trash.items(self._passed):
            entry = stored.entry
            if entry is None or entry.deleted is not None or not self._is_ours(entry):
                self._passed.add(stored.path.name)
                continue
            verdict = Verdict.UNKNOWN
            if asking and not self._ended.is_set():
                try:
                    verdict = self._decide(stored, entry)
                except ServerUnavailable:
                    asking = False
            removed += verdict is Verdict.THERE
            deleted += verdict is Verdict.GONE
            undecided += verdict is Verdict.UNKNOWN
        return Reconciled(removed, deleted, undecided)

    def _run(self) -> None:
        while True:
            try:
                self.reconcile()
            except HistfsError as error:
                log.warning("the undecided copies in the trash can't be checked: %s", error)
            except Exception:
                log.exception("the undecided copies in the trash can't be checked")
            if self._ended.wait(_INTERVAL):
                return

    def _is_ours(self, entry: TrashEntry) -> bool:
        if not entry.account:
            is_known = not entry.source or any(source == entry.source for _, source in self._items)
            return is_known and entry.base_url == self._base_url
        return (entry.account, entry.source) in self._items

    def _decide(self, stored: TrashItem, entry: TrashEntry) -> Verdict:
        """Decide about one copy, and remove it or mark it as deleted.

        Raises:
            ServerUnavailable: the server does not answer.
            TrashFailed: the trash can't be written.
        """
        if self._clock() - entry.archived < GRACE:
            return Verdict.UNKNOWN
        with self._trash.try_lock(stored) as locked:
            if not locked:
                return Verdict.UNKNOWN
            verdict = self._verdict(entry)
            if verdict is Verdict.THERE:
                log.info(
                    "item %s still exists at the server: its copy %s is removed",
                    entry.key,
                    stored.path,
                )
                self._trash.remove(stored)
            elif verdict is Verdict.GONE:
                log.info("item %s is deleted: %s is a copy of it", entry.key, stored.path)
                self._trash.mark_deleted(stored, int(self._clock()))
        return verdict

    def _verdict(self, entry: TrashEntry) -> Verdict:
        named = [
            items
            for (account, source), items in self._items.items()
            if entry.account in ("", account) and entry.source in ("", source)
        ]
        found = [self._ask(items, entry) for items in named]
        if entry.source:
            return found[0]
        # An old entry names neither source nor account: its item may be in another account.
        return Verdict.THERE if Verdict.THERE in found else Verdict.UNKNOWN

    def _ask(self, items: SourceItems, entry: TrashEntry) -> Verdict:
        def listed() -> bool:
            return is_listed(items.catalog, entry.key, entry.date, after=entry.archived + GRACE)

        evidence = gather(items.source, entry.id, listed)
        if isinstance(evidence.error, ACCOUNT_WIDE):
            raise ServerUnavailable(str(evidence.error)) from evidence.error
        return evidence.verdict
