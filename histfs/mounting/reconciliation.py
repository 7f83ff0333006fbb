"""Deciding later about copies in the trash whose items are not known to be deleted.

Such a copy is left where a DELETE failed in a way that doesn't tell, or where the process was
killed around it. It goes once the server has the item again, and is marked as the last one once
the item is gone; `histfs.core.presence` says what it takes to know. Until then it stays.

Threads: `run` is for one thread, which `start` makes; `_ended` stops it.
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
from histfs.trash import Stored, Trash, TrashEntry

#: Seconds for which a copy is left alone after it was made: a server may still be working on a
#: DELETE that it gave no answer to.
GRACE = 600.0
#: Seconds from one look at the trash to the next one, while copies are undecided or may come.
_AGAIN = 300.0

log = logging.getLogger(__name__)


class ServerUnavailable(SourceError):
    """The server can't be asked about any item for the moment."""


class SourceItems(NamedTuple):
    """The items of one source.

    Attributes:
        source: has them.
        catalog: lists them.
    """

    source: Source
    catalog: Index


class Reconciled(NamedTuple):
    """What became of the undecided copies.

    Attributes:
        removed: their items are still at the server.
        deleted: their items are gone.
        undecided: the rest.
    """

    removed: int
    deleted: int
    undecided: int


class DeleteReconciler:
    """Decides about the undecided copies of one account.

    Args:
        trash: holds them.
        account: what `TrashEntry.account` is of its items.
        base_url: the server, for entries that don't tell the account.
        items: the account's items by the name of their source.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        trash: Trash,
        account: str,
        base_url: str,
        items: Mapping[str, SourceItems],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._trash = trash
        self._account = account
        self._base_url = base_url
        self._items = items
        self._clock = clock
        #: Names of entries that needn't be looked at again.
        self._passed: set[str] = set()
        self._ended = threading.Event()

    def start(self) -> None:
        """Decide from time to time, in a thread of its own, until `close`."""
        threading.Thread(target=self._run, name="reconcile", daemon=True).start()

    def close(self) -> None:
        """Let the thread end."""
        self._ended.set()

    def reconcile(self) -> Reconciled:
        """Decide about each copy that is old enough, as far as the server's answers tell.

        It stops asking when the server can't be reached, or refuses the key or any more requests.

        Raises:
            TrashFailed: the trash can't be read.
        """
        removed = deleted = undecided = 0
        asking = True
        for stored in self._trash.stored(self._passed):
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
                log.warning("the undecided copies in the trash can't be looked at: %s", error)
            except Exception:
                log.exception("the undecided copies in the trash can't be looked at")
            if self._ended.wait(_AGAIN):
                return

    def _is_ours(self, entry: TrashEntry) -> bool:
        if not entry.account:
            return entry.base_url == self._base_url
        return entry.account == self._account and entry.source in self._items

    def _decide(self, stored: Stored, entry: TrashEntry) -> Verdict:
        """Decide about one copy, and do with it what follows.

        Raises:
            Unanswered: the server can't be asked.
            TrashFailed: the trash can't be written.
        """
        if self._clock() - entry.archived < GRACE:
            return Verdict.UNKNOWN
        with self._trash.claimed(stored) as claimed:
            if not claimed:
                return Verdict.UNKNOWN
            verdict = self._verdict(entry)
            if verdict is Verdict.THERE:
                log.info("the server has item %s: its copy %s goes", entry.key, stored.path)
                self._trash.remove(stored)
            elif verdict is Verdict.GONE:
                log.info("item %s is deleted: %s is a copy of it", entry.key, stored.path)
                self._trash.mark_deleted(stored, int(self._clock()))
        return verdict

    def _verdict(self, entry: TrashEntry) -> Verdict:
        if entry.source:
            return self._ask(self._items[entry.source], entry)
        # An old entry tells neither the source nor the key: that its item isn't here says nothing.
        found = [self._ask(items, entry) for items in self._items.values()]
        return Verdict.THERE if Verdict.THERE in found else Verdict.UNKNOWN

    def _ask(self, items: SourceItems, entry: TrashEntry) -> Verdict:
        def listed() -> bool:
            return is_listed(items.catalog, entry.key, entry.date, after=entry.archived + GRACE)

        evidence = gather(items.source, entry.id, listed)
        if isinstance(evidence.error, ACCOUNT_WIDE):
            raise ServerUnavailable(str(evidence.error)) from evidence.error
        return evidence.verdict
