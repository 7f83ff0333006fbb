"""What unlink does: an item is deleted, once, or one of its files is hidden in this mount.

``rm -r ITEM`` is several calls: it reads the directory, unlinks each file, removes the directory.
The call that unlinks the audio deletes the item, and what comes after it must still find the rest.
So an item that was deleted here lingers for `LINGER` seconds: no directory lists it, but its paths
resolve. The same holds for directories that lost their last item.

Threads: `_lock` guards all state; whether there is any at all is seen without it. The DELETE is
sent by a worker thread, with no lock held.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

from histfs.core.errors import CacheFailed, Missing, NoSpace
from histfs.core.flights import Flights
from histfs.core.index import Index
from histfs.core.item import Item
from histfs.core.source import Source
from histfs.core.waiting import Waiter

#: Seconds for which a deleted item's paths go on resolving.
LINGER = 120.0

_NOTHING: frozenset[str] = frozenset()

log = logging.getLogger(__name__)


class Removal:
    """Deletes items and remembers what is hidden.

    Args:
        source: sends the DELETE.
        index: forgets what was deleted.
        flights: runs the DELETE; one flight for an item, whoever asks.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        source: Source,
        index: Index,
        flights: Flights,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._index = index
        self._flights = flights
        self._clock = clock
        self._lock = threading.Lock()
        self._hidden: dict[str, set[str]] = {}
        self._deleted: dict[str, tuple[float, Item]] = {}
        self._emptied: dict[tuple[str, ...], tuple[float, int]] = {}

    def hide(self, item: Item, name: str) -> None:
        """Hide one file of an item in this mount."""
        with self._lock:
            self._hidden.setdefault(item.key, set()).add(name)

    def hidden(self, item: Item) -> frozenset[str]:
        """Return the names of an item's files that are hidden."""
        if not self._hidden:
            return _NOTHING  # asked with each stat, and nearly always so
        with self._lock:
            return frozenset(self._hidden.get(item.key, ()))

    def delete(
        self, item: Item, name: str, directories: Iterable[tuple[str, ...]], waiter: Waiter
    ) -> None:
        """Delete an item at the source, with one request.

        When it fails the item is whole again: what was hidden of it is shown.

        Args:
            item: what to delete.
            name: the file whose unlinking asked for it.
            directories: paths of the directories that hold the item, from the root.
            waiter: for how long to wait; the request goes on when it gives up.

        Raises:
            SourceError: the source did not delete it.
        """
        held = list(directories)
        waiter.result(
            self._flights.fly(("delete", item.key), lambda: self._delete(item, name, held))
        )

    def lingering(self, key: str) -> Item | None:
        """Return the item with a key that was deleted in this mount a short while ago."""
        if not self._deleted:
            return None
        with self._lock:
            self._expire()
            found = self._deleted.get(key)
            return None if found is None else found[1]

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

    def _delete(self, item: Item, name: str, directories: list[tuple[str, ...]]) -> None:
        if self.lingering(item.key) is not None:
            return  # somebody else was faster
        try:
            self._source.delete(item.id)
        except Missing:
            log.info("item %s was deleted elsewhere already", item.key)
        except Exception:
            with self._lock:
                self._hidden.pop(item.key, None)
            raise
        now = self._clock()
        with self._lock:
            self._hidden.setdefault(item.key, set()).add(name)
            self._deleted[item.key] = (now, item)
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
            if self._deleted[key][0] > limit:
                break
            del self._deleted[key]
            self._hidden.pop(key, None)
        while self._emptied:
            path = next(iter(self._emptied))
            if self._emptied[path][0] > limit:
                break
            del self._emptied[path]
