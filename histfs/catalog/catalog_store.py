"""The catalog's SQLite file: items, audio sizes, coverage, notes, and the log of changes.

Each method that writes is one transaction (`catalog_writes`). The file counts its changes; the
changes of this process are remembered with their spans, so that an answer about another span needs
no second lookup.

Threads: any number at once; `ConnectionPool` guards the file. `_lock` guards the log of changes and
the version last seen, which is one tuple and read without it; no other lock is taken while it is
held. No method uses the network.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from histfs.catalog import catalog_writes, directory_names, erasure, undated_items
from histfs.catalog.catalog_queries import CatalogQueries
from histfs.catalog.connection_pool import ConnectionPool
from histfs.core.index import FacetValue, Listed
from histfs.core.item import Item, Record
from histfs.core.times import ALWAYS, Span

#: Seconds for which the version that was seen last is taken for the current one.
_GLANCE = 0.1
#: Changes that are remembered.
_CHANGES = 256

_AUDIO = """
    INSERT INTO audio VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET
        size = excluded.size,
        sha256 = coalesce(excluded.sha256, iif(excluded.size = audio.size, audio.sha256, NULL))
"""


class _Flag:
    """A fact that is so, or not: there is a row of its name, or there is none.

    Args:
        name: the row's.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, notes: CatalogNotes, _: type[CatalogNotes]) -> bool:
        return bool(notes.files.rows("SELECT 1 FROM notes WHERE name = ?", (self._name,)))

    def __set__(self, notes: CatalogNotes, is_so: bool) -> None:
        if is_so != self.__get__(notes, CatalogNotes):
            with notes.files.transaction() as db:
                db.execute("DELETE FROM notes WHERE name = ?", (self._name,))
                db.executemany("INSERT INTO notes VALUES (?, x'01')", [(self._name,)] * is_so)


class CatalogNotes:
    """The notes that are read and set one by one.

    Args:
        files: connections to the catalog's file.

    Attributes:
        full_scan_wanted: whether a caller has asked for the whole history, and it is not complete.
        undated_fetched: whether items whose dates lie in the future have been requested.
        folder_shown: whether a mount has ever shown the source's folder, or its list ever came.
        list_absent: whether the server has said twice that it has no such list.
    """

    full_scan_wanted = _Flag("wanted")
    undated_fetched = _Flag("undated_sought")
    folder_shown = _Flag("folder_shown")
    list_absent = _Flag("said_absent")

    def __init__(self, files: ConnectionPool) -> None:
        self.files = files

    @property
    def full_list_at(self) -> float | None:
        """When an unfiltered list of the whole history was requested that was read to its end.

        In seconds since the epoch; None when there was none. `catalog_writes.replace` sets it.
        """
        rows = self.files.rows("SELECT value FROM notes WHERE name = 'whole_read'")
        return next((float(value) for (value,) in rows), None)


class CatalogStore(CatalogQueries):
    """The catalog file of one source of an account.

    Args:
        path: the SQLite file; created if missing.
        clock: seconds since the epoch.

    Attributes:
        notes: single facts.
        on_erased: called when items are gone whose audio is to be dropped.

    Raises:
        CacheFailed, NoSpace: the file can't be created or opened. So do all methods.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        super().__init__(path)
        self._clock = clock
        self.notes = CatalogNotes(self.files)
        self.on_erased: Callable[[], None] = _keep_audio
        self._lock = threading.Lock()
        self._seen = (-1, float("-inf"))
        self._changes: deque[tuple[int, Span]] = deque(maxlen=_CHANGES)

    def close(self) -> None:
        """Close the connections."""
        self.files.close()

    # Versions

    @property
    def version(self) -> int:
        """A number that grows with each change, also by another process."""
        ((version,),) = self.files.rows("SELECT version FROM changes")
        self._saw(version)
        return int(version)

    @property
    def recent_version(self) -> int:
        """The same, mostly from memory: another process's change may be `_GLANCE` late."""
        version, seen = self._seen
        return version if time.monotonic() - seen < _GLANCE else self.version

    def unchanged(self, span: Span, since: int) -> bool:
        """Say whether a span has certainly not changed since an earlier version."""
        version = self.recent_version
        if version == since:
            return True
        with self._lock:
            changes = [changed for number, changed in self._changes if since < number <= version]
        # Fewer than there were: some are forgotten, or another process's.
        return len(changes) == version - since and not any(
            changed.start < span.end and span.start < changed.end for changed in changes
        )

    # Items

    def replace(
        self,
        span: Span,
        records: Sequence[Record],
        requested_at: float | None = None,
        outdated: Span | None = None,
        *,
        seen: Set[tuple[int, str]] = frozenset(),
        undated: Set[str] | None = None,
    ) -> None:
        """Store an answer that is complete for a span, which is covered then.

        For the arguments see `catalog_writes.replace`; ``requested_at`` None stands for now.
        """
        then = self._clock() if requested_at is None else requested_at
        self._write(
            lambda db, now: catalog_writes.replace(
                db,
                span,
                records,
                requested_at=then,
                now=now,
                outdated=outdated,
                seen=seen,
                undated=undated,
            )
        )

    def missing(
        self,
        span: Span,
        records: Sequence[Record],
        requested_at: float,
        *,
        seen: Set[tuple[int, str]] = frozenset(),
        undated: Set[str] | None = None,
    ) -> list[Item]:
        """Return the known items that an answer lacks, and that `replace` would remove.

        For the arguments see `catalog_writes.replace`.
        """
        listed = {record.item.key for record in records} | {key for _, key in seen}
        newer = self.coverage(span).requested_between(
            math.nextafter(requested_at, math.inf), self._clock()
        )
        missing = [
            item
            for item in self.items(span)
            if item.key not in listed and not newer.covers(Span(item.date, item.date + 1))
        ]
        if missing or undated is not None:
            unchecked = "SELECT key, date FROM undated WHERE checked < ?"
            shown = dict(self.files.rows(unchecked, (requested_at,)))
            missing = [item for item in missing if item.key not in shown]
            gone = shown.keys() - undated if undated is not None else ()
            found = (self.find(key, shown[key]) for key in gone)
            missing += [item for item in found if item is not None]
        return missing

    def add(self, records: Sequence[Record], requested_at: float | None = None) -> list[Listed]:
        """Store items that were found one by one; they cover no span.

        Args:
            records: in any order.
            requested_at: when they were requested, in seconds since the epoch; None for now.

        Returns:
            Those that are there then, oldest first: not those that were deleted here lately, or
            that a later answer has shown to be gone.
        """
        then = self._clock() if requested_at is None else requested_at
        self._write(lambda db, now: catalog_writes.add(db, records, requested_at=then, now=now))
        placed = [
            (self.shown_date(record.item.key) if not record.dated else None, record.item)
            for record in records
        ]
        places = sorted({(item.date if date is None else date, item.key) for date, item in placed})
        found = (self.find(key, date) for date, key in places)
        return [Listed(item.date, item.key, item.slug) for item in found if item]

    def store_details(self, item: Item, record: Record, requested_at: float) -> None:
        """Keep all details of an item whose source listed only a summary.

        For the arguments see `catalog_writes.store_details`.
        """
        self._write(lambda db, _: catalog_writes.store_details(db, item, record, requested_at))

    def rewrite(self, records: Sequence[tuple[int, Record]], progress: bytes) -> None:
        """Write items again whose source parses their objects differently now.

        For the arguments see `catalog_writes.rewrite`.
        """
        self._write(lambda db, _: catalog_writes.rewrite(db, records, progress))

    def forget(self, key: str, date: int) -> None:
        """Remove a deleted item."""
        self._write(lambda db, now: catalog_writes.forget(db, key, date, now))

    def discard(self, key: str, date: int) -> None:
        """Remove an item that may still be there; its second is not covered any more."""
        self._write(lambda db, now: catalog_writes.discard(db, key, date, now))
        self.invalidate(Span(date, date + 1))

    def invalidate(self, span: Span) -> None:
        """Remove a span from the coverage; its items stay."""
        self._write(lambda db, _: catalog_writes.invalidate(db, span))

    def mark_stale(self, span: Span) -> None:
        """Have a span requested again when it is next needed; what is known of it stays."""
        self._write(lambda db, _: catalog_writes.mark_stale(db, span))

    # Undated items, which lists of their time need not hold

    def mark_unlisted(self, items: Sequence[Item]) -> None:
        """Keep items that the server has, and whose lists it need not have them in."""
        places = [(item.date, item.key) for item in items]
        with self.files.transaction() as db:
            undated_items.put(db, places, self._clock())

    def set_checked(self, key: str, moment: float) -> None:
        """Keep when the server last had an undated item."""
        with self.files.transaction() as db:
            db.execute("UPDATE undated SET checked = ? WHERE key = ?", (moment, key))

    # Directories of facets' values

    def named_values(
        self, view: str, kind: str, nothing: str, *, rename: bool = False
    ) -> Mapping[str, FacetValue]:
        """Return the values of a facet by the names of their directories (`Index.named_values`)."""
        values = self.facet_values(kind)
        names = dict(self.files.rows(directory_names.NAMES, (view, kind)))
        if not directory_names.unnamed(values, names, nothing, rename=rename):
            return {names[value.value]: value for value in values}
        found: Mapping[str, FacetValue] = {}

        def change(db: Any, _: float) -> Span | None:  # noqa: ANN401 - as `_write` has it
            nonlocal found
            found, renamed = directory_names.assign(db, view, kind, nothing, rename=rename)
            # Other mounts are to look again.
            return ALWAYS if renamed else None

        self._write(change)
        return found

    def release_names(self) -> None:
        """Forget which directory names were given to values that no item has any more."""
        with self.files.transaction() as db:
            directory_names.release(db)

    # Audio

    def set_audio(self, key: str, size: int, sha256: bytes | None) -> None:
        """Keep the exact size and the checksum of an item's audio.

        Args:
            key: the item's key.
            size: in bytes.
            sha256: of the whole; None where it isn't known: one that is kept already stays if the
                size is still the same.
        """
        with self.files.transaction() as db:
            late = erasure.mark_late_clip(db, key)
            if not late:
                db.execute(_AUDIO, (key, size, sha256))
        if late:
            self.on_erased()

    def forget_unverified(self) -> None:
        """Forget the sizes of audio whose checksum isn't known (`SizeTable`)."""
        with self.files.transaction() as db:
            db.execute("DELETE FROM audio WHERE sha256 IS NULL")

    def set_extension(self, key: str, extension: str) -> None:
        """Store the extension of an item's audio file."""
        with self.files.transaction() as db:
            db.execute(
                """
                INSERT OR REPLACE INTO endings SELECT ?1, ?2
                WHERE NOT EXISTS (SELECT 1 FROM gone WHERE key = ?1)
                """,
                (key, extension),
            )

    def _write(self, change: Callable[[Any, float], Span | None]) -> None:
        """Make a change in a transaction, and count it if anything has changed.

        Args:
            change: gets the connection and the time in seconds since the epoch; returns the span
                in which something has changed. The clock is read after the wait for the write lock:
                what other transactions wrote during that wait must not seem to lie in the future.
        """
        with self.files.transaction() as db:
            changed = change(db, self._clock())
            if changed is not None:
                db.execute("UPDATE changes SET version = version + 1")
            ((version,),) = db.execute("SELECT version FROM changes").fetchall()
            erased = erasure.has_unswept(db)
        if changed is not None:
            with self._lock:
                self._changes.append((version, changed))
        self._saw(version)
        if erased:
            self.on_erased()

    def _saw(self, version: int) -> None:
        """Remember the newest version that was seen, and when."""
        with self._lock:
            self._seen = (max(version, self._seen[0]), time.monotonic())


def _keep_audio() -> None:
    """Do nothing: a store that is used alone has no audio beside it."""
