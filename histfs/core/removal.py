"""What unlink does: an item is deleted, once, or one of its files is hidden in this mount.

Before an item is deleted a complete copy of it is put into an archive. What waits for the network,
to have all that is to be copied, is done in the thread of the call, which can be interrupted; the
copy and the DELETE belong together and are made by a worker.

``rm -r ITEM`` is several calls: it reads the directory, unlinks each file, removes the directory.
The call that unlinks the audio deletes the item, and what comes after it must still find the rest.
So an item that was deleted here lingers for `LINGER` seconds: no directory lists it, but its paths
resolve, and its other files can be read: `rsync --remove-source-files` unlinks the audio before it
has sent them. The same holds for directories that lost their last item.

Threads: `_lock` guards all state; whether there is any at all is seen without it. The DELETE is
sent by a worker thread, with no lock held.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

from histfs.core.archive import Archive
from histfs.core.errors import (
    BadAnswer,
    CacheFailed,
    DeadlineExceeded,
    HistfsError,
    Interrupted,
    KeyRefused,
    Missing,
    NoAudio,
    NoSpace,
    NotArchived,
    RateLimited,
    Rejected,
)
from histfs.core.files import ItemFile
from histfs.core.flights import Flights
from histfs.core.index import Index
from histfs.core.item import Item
from histfs.core.source import Source
from histfs.core.times import Span
from histfs.core.waiting import Waiter

#: Seconds for which a deleted item's paths go on resolving.
LINGER = 120.0

#: Answers that say for certain that nothing was deleted; after any other it may have been.
_REFUSALS = (KeyRefused, RateLimited, Rejected)
#: Seconds in which a list has to say whether an item is there.
_CONFIRMING = 30.0
_NOTHING: frozenset[str] = frozenset()

log = logging.getLogger(__name__)


class _Deleted(NamedTuple):
    """An item that was deleted in this mount.

    Attributes:
        at: when, on the monotonic clock.
        item: the item.
        directories: the directories that held it; see `Removal.delete`.
    """

    at: float
    item: Item
    directories: Sequence[tuple[str, ...]]


class Removal:
    """Deletes items and remembers what is hidden.

    Args:
        source: sends the DELETE.
        index: forgets what was deleted.
        archive: keeps a copy of each item that is deleted.
        flights: runs the DELETE; one flight for an item, whoever asks.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        source: Source,
        index: Index,
        archive: Archive,
        flights: Flights,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._index = index
        self._archive = archive
        self._flights = flights
        self._clock = clock
        self._lock = threading.Lock()
        self._hidden: dict[str, set[str]] = {}
        self._deleted: dict[str, _Deleted] = {}
        self._emptied: dict[tuple[str, ...], tuple[float, int]] = {}

    def hide(self, item: Item, name: str) -> None:
        """Hide one file of an item, by its lasting name, in this mount."""
        with self._lock:
            self._hidden.setdefault(item.key, set()).add(name)

    def hidden(self, item: Item) -> frozenset[str]:
        """Return the lasting names of an item's files that are hidden."""
        if not self._hidden:
            return _NOTHING  # asked with each stat, and nearly always so
        with self._lock:
            return frozenset(self._hidden.get(item.key, ()))

    def delete(
        self,
        item: Item,
        files: Iterable[ItemFile],
        name: str,
        directories: Iterable[tuple[str, ...]],
        waiter: Waiter,
    ) -> None:
        """Copy an item to the archive, then delete it at the source, with one request.

        When it fails the item is whole again: what was hidden of it is shown.

        Args:
            item: what to delete.
            files: those that may have to be read after the item is gone: the one whose unlinking
                asked for it, and what stands in the item's folders.
            name: the lasting name of the file whose unlinking asked for it; empty when it was the
                directory's.
            directories: paths of the directories that hold the item or a link to it, from the
                root; of those in one view its home comes first.
            waiter: for how long to wait; the request goes on when it gives up.

        Raises:
            NotArchived: it can't be copied; nothing was sent.
            SourceError: the source did not delete it.
            Interrupted, DeadlineExceeded: the wait ended first.
        """
        held = list(directories)
        try:
            missing = self._prepare(item, files, waiter)
        except HistfsError:
            self._show(item)
            raise
        delete = partial(self._delete, item, name, held, missing)
        waiter.result(self._flights.fly(("delete", item.key), delete))

    def lingering(self, key: str) -> Item | None:
        """Return the item with a key that was deleted in this mount a short while ago."""
        if not self._deleted:
            return None
        with self._lock:
            self._expire()
            found = self._deleted.get(key)
            return None if found is None else found.item

    def held(self, key: str) -> Sequence[tuple[str, ...]]:
        """Return the directories that held an item that was deleted a short while ago."""
        with self._lock:
            found = self._deleted.get(key)
            return () if found is None else found.directories

    def remove(self, item: Item) -> None:
        """Let a deleted item's directory go (rmdir)."""
        with self._lock:
            self._deleted.pop(item.key, None)
            self._hidden.pop(item.key, None)

    def emptied(self, path: tuple[str, ...]) -> int | None:
        """Return the mtime of a directory that lost its last item a short while ago."""
        if not self._emptied:
            return None
        with self._lock:
            self._expire()
            found = self._emptied.get(path)
            return None if found is None else found[1]

    def remove_emptied(self, path: tuple[str, ...]) -> None:
        """Let an emptied directory go (rmdir)."""
        with self._lock:
            self._emptied.pop(path, None)

    def _prepare(self, item: Item, files: Iterable[ItemFile], waiter: Waiter) -> Missing | None:
        """Have on this machine what will be needed of an item that is about to be deleted.

        Returns:
            Why a part of it can't be copied; None when all of it can.
        """
        for file in files:
            with contextlib.suppress(Missing, NoAudio):  # where there is none nobody loses any
                file.before_delete(item, waiter)
        try:
            self._archive.prepare(item, waiter)
        except Missing as error:
            return error
        except (Interrupted, DeadlineExceeded):
            raise
        except HistfsError as error:
            raise _not_archived(item, error) from error
        return None

    def _delete(
        self, item: Item, name: str, directories: list[tuple[str, ...]], missing: Missing | None
    ) -> None:
        """Delete an item.

        Args:
            item: what to delete.
            name: the file whose unlinking asked for it.
            directories: see `delete`.
            missing: from `_prepare`.
        """
        if self.lingering(item.key) is not None:
            return  # somebody else was faster
        try:
            if missing is None:
                self._archive_and_delete(item)
            elif not self._gone_elsewhere(item):
                raise _not_archived(item, missing) from missing
        except BaseException:
            self._show(item)
            raise
        self._gone(item, name, directories)

    def _archive_and_delete(self, item: Item) -> None:
        try:
            copy = self._archive.keep(item)
        except HistfsError as error:
            raise _not_archived(item, error) from error
        try:
            self._source.delete(item.id)
        except Missing as error:
            if not self._gone_elsewhere(item):
                copy.discard()
                raise BadAnswer(f"the server lists item {item.key}, but: {error}") from error
        except _REFUSALS:
            copy.discard()
            raise
        copy.deleted()

    def _gone_elsewhere(self, item: Item) -> bool:
        """Say whether the source lists an item no more.

        That it says of one item that it is not there is not enough: so does a server that has lost
        its way of every item.
        """
        self._index.doubt(item)
        self._index.ensure(Span(item.date, item.date + 1), Waiter(_CONFIRMING))
        if self._index.find(item.key, item.date) is not None:
            return False
        log.info("item %s was deleted elsewhere already", item.key)
        return True

    def _show(self, item: Item) -> None:
        with self._lock:
            self._hidden.pop(item.key, None)

    def _gone(self, item: Item, name: str, directories: list[tuple[str, ...]]) -> None:
        now = self._clock()
        with self._lock:
            self._hidden.setdefault(item.key, set()).add(name)
            self._deleted[item.key] = _Deleted(now, item, directories)
            for path in directories:
                for depth in range(2, len(path) + 1):
                    self._emptied.pop(path[:depth], None)
                    self._emptied[path[:depth]] = (now, item.date)
        log.info("deleted item %s", item.key)
        try:
            self._index.forget(item)
        except (NoSpace, CacheFailed) as error:
            log.warning("item %s is deleted, but still in the catalog: %s", item.key, error)

    def _expire(self) -> None:
        """Drop what lingers for too long; the oldest come first in both dicts."""
        limit = self._clock() - LINGER
        while self._deleted:
            key = next(iter(self._deleted))
            if self._deleted[key].at > limit:
                break
            del self._deleted[key]
            self._hidden.pop(key, None)
        while self._emptied:
            path = next(iter(self._emptied))
            if self._emptied[path][0] > limit:
                break
            del self._emptied[path]


def _not_archived(item: Item, error: HistfsError) -> NotArchived:
    return NotArchived(
        f"item {item.key} is not deleted, as no copy of it can be kept: {error}"
        " (--no-trash deletes without one)"
    )
