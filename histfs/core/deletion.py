"""Deletion: unlink deletes an item, once, or hides one of its files in this mount.

A complete copy of an item is put into an archive before its DELETE is sent. The thread of the call,
which can be interrupted, fetches what the copy needs. One worker job then makes the copy and sends
the DELETE.

``rm -r ITEM`` is several calls: readdir, an unlink for each file, rmdir. The unlink of the audio
deletes the item, and the later calls must still find the rest. So a deleted item leaves a tombstone
for `TOMBSTONE_TTL` seconds: no directory lists the item, but its paths resolve, and its other files
can be read (`rsync --remove-source-files` may unlink the audio before it has sent them). A
directory that lost its last item leaves a tombstone, too.

Threads: `_lock` guards `_hidden`, `_tombstones` and `_directory_tombstones`; whether one of them is
empty is read without it. The lock is not held while the index, the archive or the source is called.
The DELETE is sent by a worker thread.
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

#: Seconds for which the paths of a deleted item go on resolving.
TOMBSTONE_TTL = 120.0

#: Answers with a 4xx status: the server has finished with the request. After any other failure it
#: may delete the item later, even if it still has the item when asked.
_ANSWERED = (KeyRefused, Missing, NotReady, RateLimited, Rejected)
_NOTHING: frozenset[str] = frozenset()

log = logging.getLogger(__name__)


class Tombstone(NamedTuple):
    """What is left of an item that was deleted in this mount.

    Attributes:
        created: when, in seconds of the monotonic clock.
        item: the item.
        directories: the directories that held it; see `Deletions.delete`.
    """

    created: float
    item: Item
    directories: Sequence[tuple[str, ...]]


class DirectoryTombstone(NamedTuple):
    """What is left of a directory whose last item was deleted in this mount.

    Attributes:
        created: when, in seconds of the monotonic clock.
        mtime: of the directory, in seconds since the epoch.
    """

    created: float
    mtime: int


class Deletions:
    """Deletes items, and keeps their tombstones and the names of hidden files.

    Args:
        source: sends the DELETE.
        index: drops deleted items.
        archive: keeps a copy of each deleted item.
        flights: runs the DELETE, one job for each item however many callers wait for it.
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
        #: Is called with an item before it is dropped from the index; what it returns, after that.
        self.before_forget: Callable[[Item], Callable[[], None]] = lambda _: lambda: None
        self._lock = threading.Lock()
        self._hidden: dict[str, set[str]] = {}
        self._tombstones: dict[str, Tombstone] = {}
        self._directory_tombstones: dict[tuple[str, ...], DirectoryTombstone] = {}

    def hide(self, item: Item, name: str) -> None:
        """Hide one file of an item, by its lasting name, in this mount."""
        with self._lock:
            self._hidden.setdefault(item.key, set()).add(name)

    def hidden(self, item: Item) -> frozenset[str]:
        """Return the lasting names of an item's files that are hidden."""
        if not self._hidden:
            return _NOTHING  # the fast path: each stat asks
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

        If that fails, the item's hidden files are shown again.

        Args:
            item: the item to delete.
            files: files that may be read after the item is deleted: the one whose unlink deletes
                the item, and those in the item's folders.
            name: the lasting name of the file whose unlink deletes the item; empty for a rmdir.
            directories: paths, from the root, of the directories that hold the item or a link to
                it; within one view its home comes first.
            waiter: limits the wait; the request goes on after it.

        Raises:
            NotArchived: the item can't be copied; nothing was sent.
            DeleteUnconfirmed: whether the item is deleted is not known; the archive keeps the copy.
            SourceError: the source did not delete it.
            Interrupted, DeadlineExceeded: the wait ended first.
        """
        paths = list(directories)
        try:
            missing = self._prepare(item, files, waiter)
        except HistfsError:
            self._unhide(item)
            raise
        delete = partial(self._delete, item, name, paths, missing)
        waiter.result(self._flights.submit(("delete", item.key), delete))

    def tombstone(self, key: str) -> Tombstone | None:
        """Return the tombstone of an item; None when there is none, or it has expired."""
        if not self._tombstones:
            return None
        with self._lock:
            self._expire()
            return self._tombstones.get(key)

    def drop_tombstone(self, item: Item) -> None:
        """Drop an item's tombstone, and with it the item's paths (rmdir)."""
        with self._lock:
            self._tombstones.pop(item.key, None)
            self._hidden.pop(item.key, None)

    def directory_tombstone(self, path: tuple[str, ...]) -> DirectoryTombstone | None:
        """Return the tombstone of a directory; None when there is none, or it has expired."""
        if not self._directory_tombstones:
            return None
        with self._lock:
            self._expire()
            return self._directory_tombstones.get(path)

    def drop_directory_tombstone(self, path: tuple[str, ...]) -> None:
        """Drop a directory's tombstone, and with it the directory (rmdir)."""
        with self._lock:
            self._directory_tombstones.pop(path, None)

    def _prepare(self, item: Item, files: Iterable[ItemFile], waiter: Waiter) -> Missing | None:
        """Fetch what the copy, and open files, need of an item that is about to be deleted.

        Returns:
            Why a part of it can't be copied; None when all of it can.
        """
        for file in files:
            with contextlib.suppress(Missing, NoAudio):  # there are no bytes to lose
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
        """Delete an item, in a worker thread.

        Args:
            item: see `delete`.
            name: see `delete`.
            directories: see `delete`.
            missing: from `_prepare`.
        """
        if self.tombstone(item.key) is not None:
            return  # another call has deleted it
        try:
            if missing is None:
                self._archive_and_delete(item)
            elif self._verify(item, missing=True) is not Verdict.GONE:
                raise _not_archived(item, missing) from missing
        except BaseException:
            self._unhide(item)
            raise
        self._create_tombstones(item, name, directories)

    def _archive_and_delete(self, item: Item) -> None:
        try:
            copy = self._archive.keep(item)
        except HistfsError as error:
            raise _not_archived(item, error) from error
        try:
            self._source.delete(item.id)
        except HistfsError as error:
            self._resolve_failure(item, copy, error)
        except BaseException:
            copy.undecided()
            raise
        else:
            copy.deleted()

    def _resolve_failure(self, item: Item, copy: Copy, error: HistfsError) -> None:
        """Find out whether an item is deleted whose DELETE did not succeed.

        The copy is discarded only if the server has finished with the request and has the item.

        Args:
            item: the item.
            copy: of the item.
            error: how the DELETE failed.

        Raises:
            DeleteUnconfirmed: whether the item is deleted is not known.
            HistfsError: the item is not deleted.
        """
        verdict = self._verify(item, missing=isinstance(error, Missing))
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
            # `rm -f` takes their errno (ENOENT) for success.
            raise BadAnswer(f"the server has item {item.key}, but: {error}") from error
        raise error

    def _verify(self, item: Item, *, missing: bool) -> Verdict:
        """Ask the server whether it has an item, by its id and by a new list.

        Args:
            item: the item.
            missing: whether the server has just answered another request for the item with 404.
        """
        now = self._wall_clock()

        def listed() -> bool:
            return is_listed(self._index, item.key, item.date, after=now, stale=item)

        return gather(self._source, item.id, listed, missing).verdict

    def _unhide(self, item: Item) -> None:
        with self._lock:
            self._hidden.pop(item.key, None)

    def _create_tombstones(self, item: Item, name: str, directories: list[tuple[str, ...]]) -> None:
        """Create the tombstones of a deleted item, and drop the item from the index."""
        now, forgotten = self._clock(), self.before_forget(item)
        with self._lock:
            self._hidden.setdefault(item.key, set()).add(name)
            self._tombstones[item.key] = Tombstone(now, item, directories)
            for path in directories:
                for depth in range(2, len(path) + 1):
                    self._directory_tombstones.pop(path[:depth], None)
                    self._directory_tombstones[path[:depth]] = DirectoryTombstone(now, item.date)
        log.info("deleted item %s", item.key)
        try:
            self._index.forget(item)
        except (NoSpace, CacheFailed) as error:
            log.warning("item %s is deleted, but still in the catalog: %s", item.key, error)
        forgotten()

    def _expire(self) -> None:
        """Drop expired tombstones; both dicts are in the order of creation."""
        limit = self._clock() - TOMBSTONE_TTL
        while self._tombstones:
            key = next(iter(self._tombstones))
            if self._tombstones[key].created > limit:
                break
            del self._tombstones[key]
            self._hidden.pop(key, None)
        while self._directory_tombstones:
            path = next(iter(self._directory_tombstones))
            if self._directory_tombstones[path].created > limit:
                break
            del self._directory_tombstones[path]


def _not_archived(item: Item, error: HistfsError) -> NotArchived:
    return NotArchived(
        f"item {item.key} is not deleted, as no copy of it can be kept: {error}"
        " (--no-trash deletes without one)"
    )
