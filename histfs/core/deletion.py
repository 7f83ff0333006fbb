"""What unlink does: an item is deleted, once, or one of its files is hidden in this mount.

Before an item is deleted a complete copy of it is put into an archive. What waits for the network,
to have all that is to be copied, is done in the thread of the call, which can be interrupted; the
copy and the DELETE belong together and are made by a worker.

``rm -r ITEM`` is several calls: it reads the directory, unlinks each file, removes the directory.
The call that unlinks the audio deletes the item, and what comes after it must still find the rest.
So a tombstone of a deleted item is kept for `TOMBSTONE_TTL` seconds: no directory lists the item,
but its paths resolve, and its other files can be read: `rsync --remove-source-files` unlinks the
audio before it has sent them. The same holds for directories that lost their last item.

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

from histfs.core.archive import Archive, Copy
from histfs.core.errors import (
    BadAnswer,
    CacheFailed,
    DeadlineExceeded,
    DeleteUnconfirmed,
    HistfsError,
    Interrupted,
    KeyRefused,
    Missing,
    NoAudio,
    NoSpace,
    NotArchived,
    NotReady,
    RateLimited,
    Rejected,
)
from histfs.core.files import ItemFile
from histfs.core.index import Index
from histfs.core.item import Item
from histfs.core.presence import Verdict, gather, is_listed
from histfs.core.single_flight import SingleFlight
from histfs.core.source import Source
from histfs.core.waiting import Waiter

#: Seconds for which a deleted item's paths go on resolving.
TOMBSTONE_TTL = 120.0

#: Answers with a 4xx status: the server works on the request no more. After any other failure it
#: may still delete the item, though it has it when it is asked.
_ANSWERED = (KeyRefused, Missing, NotReady, RateLimited, Rejected)
_NOTHING: frozenset[str] = frozenset()

log = logging.getLogger(__name__)


class _Tombstone(NamedTuple):
    """An item that was deleted in this mount.

    Attributes:
        at: when, on the monotonic clock.
        item: the item.
        directories: the directories that held it; see `Deletions.delete`.
    """

    at: float
    item: Item
    directories: Sequence[tuple[str, ...]]


class Deletions:
    """Deletes items and remembers what is hidden.

    Args:
        source: sends the DELETE.
        index: forgets what was deleted.
        archive: keeps a copy of each item that is deleted.
        flights: runs the DELETE; one flight for an item, whoever asks.
        clock: seconds, monotonic.
        wall_clock: seconds since the epoch.
    """

    def __init__(
        self,
        source: Source,
        index: Index,
        archive: Archive,
        flights: SingleFlight,
        clock: Callable[[], float] = time.monotonic,
        *,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._index = index
        self._archive = archive
        self._flights = flights
        self._clock = clock
        self._wall_clock = wall_clock
        self._lock = threading.Lock()
        self._hidden: dict[str, set[str]] = {}
        self._deleted: dict[str, _Tombstone] = {}
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
            DeleteUnconfirmed: whether it is deleted is not known; the archive keeps the copy.
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
        waiter.result(self._flights.submit(("delete", item.key), delete))

    def tombstone(self, key: str) -> Item | None:
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
        if self.tombstone(item.key) is not None:
            return  # somebody else was faster
        try:
            if missing is None:
                self._archive_and_delete(item)
            elif self._verdict(item, missing=True) is not Verdict.GONE:
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
        except HistfsError as error:
            self._conclude(item, copy, error)
        except BaseException:
            copy.undecided()
            raise
        else:
            copy.deleted()

    def _conclude(self, item: Item, copy: Copy, error: HistfsError) -> None:
        """Find out what became of an item whose DELETE was not answered with success.

        The copy goes only where the server has done with the request, and has the item.

        Args:
            item: what was to be deleted.
            copy: of the item.
            error: what the DELETE was answered with.

        Raises:
            DeleteUnconfirmed: whether it is deleted is not known.
            HistfsError: it is not deleted.
        """
        verdict = self._verdict(item, missing=isinstance(error, Missing))
        if verdict is Verdict.GONE:
            log.info("item %s is deleted, though its DELETE failed: %s", item.key, error)
            copy.deleted()
            return
        if verdict is Verdict.THERE and isinstance(error, _ANSWERED):
            copy.discard()
        else:
            place = copy.undecided()
            log.warning(
                "whether item %s is deleted is not known (%s): %s",
                item.key,
                error,
                f"a copy of it is in {place}" if place else "there is no copy of it",
            )
        if verdict is not Verdict.THERE:
            raise DeleteUnconfirmed(
                f"whether item {item.key} is deleted is not known: {error}"
            ) from error
        if isinstance(error, (Missing, NoAudio)):
            # `rm -f` takes their errno for success.
            raise BadAnswer(f"the server has item {item.key}, but: {error}") from error
        raise error

    def _verdict(self, item: Item, *, missing: bool) -> Verdict:
        """Ask the server whether it has an item, by its id and by a new list.

        Args:
            item: the item.
            missing: whether the server has just answered with 404 to another request for it.
        """
        now = self._wall_clock()

        def listed() -> bool:
            return is_listed(self._index, item.key, item.date, after=now, doubted=item)

        return gather(self._source, item.id, listed, missing).verdict

    def _show(self, item: Item) -> None:
        with self._lock:
            self._hidden.pop(item.key, None)

    def _gone(self, item: Item, name: str, directories: list[tuple[str, ...]]) -> None:
        now = self._clock()
        with self._lock:
            self._hidden.setdefault(item.key, set()).add(name)
            self._deleted[item.key] = _Tombstone(now, item, directories)
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
        limit = self._clock() - TOMBSTONE_TTL
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
