"""The catalog proper: items, sizes and windows in SQLite, read as the core's words.

Threads: any number at once; `ConnectionPool` guards the file. `_lock` guards the compressor, the
changes that were made here and the version last seen, which is one tuple and read without it. No
lock is held while the network is used: nothing here uses it.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from histfs.catalog import catalog_writes, details_table, directory_names, erasure, undated_items
from histfs.catalog.compression import Compressor
from histfs.catalog.connection_pool import ConnectionPool
from histfs.catalog.coverage import Coverage, CoveredSpan
from histfs.catalog.details_table import Fetched
from histfs.core.audio_store import Order
from histfs.core.errors import CacheFailed
from histfs.core.index import FacetValue, Listed
from histfs.core.item import Facets, Item, Record
from histfs.core.names import Labelled
from histfs.core.sizes import Fingerprint
from histfs.core.times import ALWAYS, Span

#: Seconds for which the version that was seen last is taken for the one that is.
_GLANCE = 0.1
#: Items that are read at once when all of them are.
_BATCH = 1000
#: Changes that are remembered, so that what they don't touch needn't be looked up again.
_CHANGES = 256

_ITEM = """
    SELECT i.key, i.id, i.date, i.slug, i.content_type, i.output_format, i.estimate, i.revision,
           e.ending
    FROM items AS i LEFT JOIN endings AS e ON e.key = i.key
"""
_AUDIO = """
    INSERT INTO audio VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET
        size = excluded.size,
        sha256 = coalesce(excluded.sha256, iif(excluded.size = audio.size, audio.sha256, NULL))
"""
_SIZES_NEAR = """
    SELECT ?2, (SELECT size FROM audio WHERE key = ?2)
    UNION ALL SELECT * FROM (
        SELECT i.key, a.size FROM items AS i LEFT JOIN audio AS a ON a.key = i.key
        WHERE (i.date, i.key) > (?1, ?2) ORDER BY i.date, i.key LIMIT ?3
    )
    UNION ALL SELECT * FROM (
        SELECT i.key, a.size FROM items AS i LEFT JOIN audio AS a ON a.key = i.key
        WHERE (i.date, i.key) < (?1, ?2) ORDER BY i.date DESC, i.key DESC LIMIT ?3
    )
"""
_FROM_START_TO_END = " WHERE date >= ? AND date < ? "


class CatalogStore:
    """One account's catalog file.

    Args:
        path: the SQLite file; made when it isn't there.
        clock: seconds since the epoch.

    Raises:
        CacheFailed, NoSpace: the file can't be made or opened. So do all methods.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._files = ConnectionPool(path)
        self._lock = threading.Lock()
        self._packer: tuple[bytes | None, Compressor] | None = None
        #: Called when items are gone whose audio is to be dropped.
        self.erased: Callable[[], None] = _nothing_to_drop
        self._seen = (-1, float("-inf"))
        self._changes: deque[tuple[int, Span]] = deque(maxlen=_CHANGES)

    @property
    def version(self) -> int:
        """A number that grows whenever anybody, another process too, has changed what is known."""
        ((version,),) = self._files.rows("SELECT version FROM changes")
        self._saw(version)
        return int(version)

    @property
    def recent_version(self) -> int:
        """The same, without asking the file: another process's change may be `_GLANCE` late."""
        version, seen = self._seen
        return version if time.monotonic() - seen < _GLANCE else self.version

    def unchanged(self, span: Span, since: int) -> bool:
        """Say whether what is known of a span is for certain what it was at an earlier version."""
        version = self.recent_version
        if version == since:
            return True
        with self._lock:
            changes = [changed for number, changed in self._changes if since < number <= version]
        # Fewer than there were: some are forgotten, or another process's.
        return len(changes) == version - since and not any(
            changed.start < span.end and span.start < changed.end for changed in changes
        )

    @property
    def files(self) -> ConnectionPool:
        """The connections, for what else is kept in the file."""
        return self._files

    def close(self) -> None:
        """Close the connections."""
        self._files.close()

    # Reading

    def windows(self, span: Span | None = None) -> Coverage:
        """Return what is completely known, or those windows of it that reach into a span."""
        if span is None:
            rows = self._files.rows(catalog_writes.WINDOWS)
        else:
            # They are disjoint: the last one that starts before the span is the only such one that
            # may reach into it.
            rows = self._files.rows(
                catalog_writes.WINDOWS
                + """
                WHERE start < ?2 AND "end" > ?1 AND start >= coalesce(
                    (SELECT max(start) FROM windows WHERE start <= ?1), ?1
                )
                """,
                span,
            )
        return Coverage(CoveredSpan(*row) for row in rows)

    def newest(self, span: Span) -> int | None:
        """Return the date of the newest item of a span, None when it has none."""
        rows = self._files.rows("SELECT max(date) FROM items" + _FROM_START_TO_END, span)
        return next((date for (date,) in rows), None)

    def count(self, span: Span, limit: int) -> int:
        """Return the number of items of a span, counted up to a limit."""
        ((count,),) = self._files.rows(
            f"SELECT count(*) FROM (SELECT 1 FROM items {_FROM_START_TO_END} LIMIT ?)",
            (*span, limit),
        )
        return int(count)

    def counted_up(self, span: Span, number: int) -> int | None:
        """Return the date of the ``number``-th item (from 0) of a span, from its start on."""
        return self._nth(span, number, "ASC")

    def counted_down(self, span: Span, number: int) -> int | None:
        """Return the date of the ``number``-th item (from 0) of a span, from its end back."""
        return self._nth(span, number, "DESC")

    def between(self, span: Span) -> Iterator[Listed]:
        """Yield the items of a span, oldest first."""
        rows = self._in_batches(
            """
            SELECT date, key, slug FROM items
            WHERE date < ?1 AND (date, key) > (?2, ?3) ORDER BY date, key LIMIT ?4
            """,
            (span.end,),
            since=span.start,
        )
        return map(Listed._make, rows)

    def facet_values(self, kind: str) -> Sequence[FacetValue]:
        """Return the values of a facet that items have, in the order of their oldest items."""
        return [FacetValue(*row) for row in self._files.rows(directory_names.VALUES, (kind,))]

    def named_values(
        self, view: str, kind: str, nothing: str, *, rename: bool = False
    ) -> Mapping[str, FacetValue]:
        """Return the values of a facet by the names of their directories (`Index.named_values`)."""
        values = self.facet_values(kind)
        names = dict(self._files.rows(directory_names.NAMES, (view, kind)))
        if not directory_names.unnamed(values, names, nothing, rename=rename):
            return {names[value.value]: value for value in values}
        found: Mapping[str, FacetValue] = {}

        def change(db: Any, _: float) -> Span | None:  # noqa: ANN401 - as `_write` has it
            nonlocal found
            found, renamed = directory_names.give(db, view, kind, nothing, rename=rename)
            # Other mounts are to look again.
            return ALWAYS if renamed else None

        self._write(change)
        return found

    def release_names(self) -> None:
        """Forget which directory names were given to values that no item has any more."""
        with self._files.transaction() as db:
            directory_names.release(db)

    def having(self, kind: str, value: str) -> Iterator[Listed]:
        """Yield the items that have a value of a facet, oldest first."""
        rows = self._in_batches(
            """
            SELECT i.date, i.key, i.slug FROM placed AS p JOIN items AS i USING (date, key)
            WHERE p.label = (SELECT label FROM labels WHERE kind = ?1 AND value = ?2)
                AND (p.date, p.key) > (?3, ?4)
            ORDER BY p.date, p.key LIMIT ?5
            """,
            (kind, value),
        )
        return map(Listed._make, rows)

    def secondary(self, kind: str, value: str) -> Set[str]:
        """Return the keys of the items that have a value of a facet, but not as the first one."""
        rows = self._files.rows(
            """
            SELECT p.key FROM placed AS p JOIN items AS i USING (date, key)
            WHERE p.label = (SELECT label FROM labels WHERE kind = ?1 AND value = ?2)
                AND p.label <> (
                    SELECT l.label FROM json_each(i.labels) AS has
                        CROSS JOIN labels AS l ON l.label = has.value
                    WHERE l.kind = ?1 ORDER BY has.key LIMIT 1
                )
            """,
            (kind, value),
        )
        return {key for (key,) in rows}

    def items(self, span: Span) -> Iterator[Item]:
        """Yield the items of a span with all that listings need of them, oldest first."""
        rows = self._in_batches(
            f"""
            SELECT found.date, found.key, found.* FROM (
                {_ITEM} WHERE i.date < ?1 AND (i.date, i.key) > (?2, ?3)
                ORDER BY i.date, i.key LIMIT ?4
            ) AS found
            """,
            (span.end,),
            since=span.start,
        )
        return (_item(row[2:]) for row in rows)

    def find(self, key: str, date: int) -> Item | None:
        """Return the item with a key and a date."""
        rows = self._files.rows(_ITEM + "WHERE i.date = ? AND i.key = ?", (date, key))
        return next((_item(row) for row in rows), None)

    def following(self, item: Item, order: Order, number: int) -> list[Item]:
        """Return the items that come after one by date.

        Args:
            item: the one.
            order: the kind and the value of the facet that they have; None for all items.
            number: how many at the most.
        """
        if order is None:
            rows = self._files.rows(
                _ITEM + "WHERE (i.date, i.key) > (?, ?) ORDER BY i.date, i.key LIMIT ?",
                (item.date, item.key, number),
            )
            return list(map(_item, rows))
        rows = self._files.rows(
            f"""
            {_ITEM} JOIN placed AS p ON p.date = i.date AND p.key = i.key
            WHERE p.label = (SELECT label FROM labels WHERE kind = ? AND value = ?)
                AND (p.date, p.key) > (?, ?)
            ORDER BY p.date, p.key LIMIT ?
            """,
            (*order, item.date, item.key, number),
        )
        return list(map(_item, rows))

    def newest_first(self) -> Iterator[Item]:
        """Yield all items, newest first.

        Each batch is read by itself: a reader that takes hours keeps nobody's changes in the
        journal. What comes or goes meanwhile may be missed.
        """
        place: tuple[int, str] = (ALWAYS.end, "")
        while rows := self._files.rows(
            _ITEM + "WHERE (i.date, i.key) < (?, ?) ORDER BY i.date DESC, i.key DESC LIMIT ?",
            (*place, _BATCH),
        ):
            items = [_item(row) for row in rows]
            yield from items
            place = (items[-1].date, items[-1].key)

    def with_key(self, key: str) -> list[Item]:
        """Return the items with a key, whatever their dates; all items are looked at."""
        return [_item(row) for row in self._files.rows(_ITEM + "WHERE i.key = ?", (key,))]

    def facets(self, key: str, date: int) -> Facets:
        """Return the facets of the item with a key and a date."""
        rows = self._files.rows(
            """
            SELECT l.kind, l.value, l.name
            FROM json_each((SELECT labels FROM items WHERE date = ? AND key = ?)) AS has
                CROSS JOIN labels AS l ON l.label = has.value
            ORDER BY has.key
            """,
            (date, key),
        )
        facets: dict[str, tuple[Labelled, ...]] = {}
        for kind, value, name in rows:
            facets[kind] = (*facets.get(kind, ()), Labelled(value, name))
        return facets

    def raw(self, key: str, date: int) -> bytes | None:
        """Return the raw object of the item with a key and a date."""
        statement = f"""
            SELECT raw, {erasure.STRUCTURE} FROM raws
            WHERE n = (SELECT n FROM items WHERE date = ? AND key = ?)
            """
        while rows := self._files.rows(statement, (date, key)):
            raw = self.unpack(*rows[0])
            if raw is not None:
                return raw
        return None

    def fetched(self, key: str) -> Fetched | None:
        """Return the fetched details of an item; None before `store_details`."""
        rows = self._files.rows(details_table.FETCHED, (key,))
        with self._damage():
            return next(map(details_table.unpacked, rows), None)

    def unpack(self, packed: bytes, structure: bytes | None) -> bytes | None:
        """Return a raw object from what is stored of it.

        Args:
            packed: the object's row.
            structure: `erasing.STRUCTURE` of the same moment.

        Returns:
            The object; None when all objects were packed anew meanwhile: the row is another one.
        """
        with self._lock:
            known = self._packer
        if known is None or known[0] != structure:
            found = self._files.rows(f"SELECT {erasure.STRUCTURE}, ({erasure.DICTIONARY})")[0]
            if found[0] != structure:
                return None
            known = (structure, Compressor(found[1] or b""))
            with self._lock:
                # One without a dictionary is not kept: the file may get one.
                self._packer = None if found[1] is None else known
        with self._damage():
            return known[1].unpack(packed)

    def fingerprint(self, key: str) -> Fingerprint | None:
        """Return what is known of an item's audio, whether the item is still known or not."""
        rows = self._files.rows("SELECT size, sha256 FROM audio WHERE key = ?", (key,))
        return next((Fingerprint(*row) for row in rows), None)

    def sizes_near(self, item: Item, number: int) -> list[tuple[str, int | None]]:
        """Return the sizes of an item's clip and of the clips next to it (`SizeTable`)."""
        return self._files.rows(_SIZES_NEAR, (item.date, item.key, number))

    def attachments_of(self, key: str) -> list[str]:
        """Return the keys under which the audio store has the attachments of an item."""
        with self._files.transaction() as db:
            return erasure.attachments(db, [key])

    def total(self) -> int:
        """Return the number of all items."""
        ((count,),) = self._files.rows("SELECT items FROM changes")
        return int(count)

    # Writing

    @property
    def wanted(self) -> bool:
        """Whether somebody has asked for the whole history, and hasn't got it yet."""
        return self._noted("wanted")

    @wanted.setter
    def wanted(self, wanted: bool) -> None:
        self._note("wanted", wanted)

    @property
    def undated_sought(self) -> bool:
        """Whether items whose dates lie in the future have been asked for."""
        return self._noted("undated_sought")

    @undated_sought.setter
    def undated_sought(self, sought: bool) -> None:
        self._note("undated_sought", sought)

    @property
    def whole_read(self) -> float | None:
        """When a list of the whole history, without a filter, was read; None when none was."""
        rows = self._files.rows("SELECT value FROM notes WHERE name = 'whole_read'")
        return next((float(value) for (value,) in rows), None)

    @property
    def folder_shown(self) -> bool:
        """Whether a mount has ever shown the source's folder, or its list was ever had."""
        return self._noted("folder_shown")

    @folder_shown.setter
    def folder_shown(self, shown: bool) -> None:
        self._note("folder_shown", shown)

    @property
    def said_absent(self) -> bool:
        """Whether the server has said twice that it has no such list."""
        return self._noted("said_absent")

    @said_absent.setter
    def said_absent(self, absent: bool) -> None:
        self._note("said_absent", absent)

    def _noted(self, name: str) -> bool:
        return bool(self._files.rows("SELECT 1 FROM notes WHERE name = ?", (name,)))

    def _note(self, name: str, is_so: bool) -> None:
        if is_so != self._noted(name):
            with self._files.transaction() as db:
                db.execute("DELETE FROM notes WHERE name = ?", (name,))
                db.executemany("INSERT INTO notes VALUES (?, x'01')", [(name,)] * is_so)

    def replace(
        self,
        span: Span,
        records: Sequence[Record],
        asked: float | None = None,
        outdated: Span | None = None,
        *,
        seen: Set[tuple[int, str]] = frozenset(),
        undated: Set[str] | None = None,
    ) -> None:
        """Store what an answer says of a span, in one transaction: it is then known completely.

        Args:
            span: the span that the answer tells completely.
            records: the answer, newest first.
            asked: when it was asked for, in seconds since the epoch; None for now.
            outdated: a span that is not known completely any more, taken out first.
            seen: date and key of further items of the span, which are stored already.
            undated: keys of all items without a possible date; None where the answer doesn't tell.
        """
        then = self._clock() if asked is None else asked
        self._write(
            lambda db, now: catalog_writes.replace(
                db,
                span,
                records,
                asked=then,
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
        asked: float,
        *,
        seen: Set[tuple[int, str]] = frozenset(),
        undated: Set[str] | None = None,
    ) -> list[Item]:
        """Return the known items that an answer lacks, and that `replace` would take out.

        Args:
            span: as of `replace`; so are the others.
            records: those of the answer.
            asked: when it was asked for, in seconds since the epoch.
            seen: date and key of further items that it holds.
            undated: keys of all items without a possible date; None where it doesn't tell.
        """
        listed = {record.item.key for record in records} | {key for _, key in seen}
        newer = self.windows(span).asked(math.nextafter(asked, math.inf), self._clock())
        missing = [
            item
            for item in self.items(span)
            if item.key not in listed and not newer.cover(Span(item.date, item.date + 1))
        ]
        if missing or undated is not None:
            unchecked = "SELECT key, date FROM undated WHERE checked < ?"
            shown = dict(self._files.rows(unchecked, (asked,)))
            missing = [item for item in missing if item.key not in shown]
            gone = shown.keys() - undated if undated is not None else ()
            found = (self.find(key, shown[key]) for key in gone)
            missing += [item for item in found if item is not None]
        return missing

    def add(self, records: Sequence[Record], asked: float | None = None) -> list[Listed]:
        """Store items that were found one by one: of their spans nothing else is known by that.

        Args:
            records: in any order.
            asked: when they were asked for, in seconds since the epoch; None for now.

        Returns:
            Those that are there then, oldest first: not those that were deleted here lately, or
            that are known to be gone by a later answer.
        """
        then = self._clock() if asked is None else asked
        self._write(lambda db, now: catalog_writes.add(db, records, asked=then, now=now))
        placed = [
            (self.shown_date(record.item.key) if not record.dated else None, record.item)
            for record in records
        ]
        places = sorted({(item.date if date is None else date, item.key) for date, item in placed})
        found = (self.find(key, date) for date, key in places)
        return [Listed(item.date, item.key, item.slug) for item in found if item]

    def store_details(self, item: Item, record: Record, asked: float) -> None:
        """Keep all details of an item that was listed with less of them.

        Args:
            item: as it was listed.
            record: as it was fetched.
            asked: when, in seconds since the epoch.
        """
        self._write(lambda db, _: catalog_writes.store_details(db, item, record, asked))

    def shown_date(self, key: str) -> int | None:
        """Return the date under which an item without a possible date is shown; None for others."""
        rows = self._files.rows("SELECT date FROM undated WHERE key = ?", (key,))
        return next((date for (date,) in rows), None)

    def undated(self, span: Span, checked_before: float, limit: int) -> list[Item]:
        """Return items of a span that have no possible date, those checked longest ago first.

        Args:
            span: in which they are shown.
            checked_before: only those that the server last had before this moment.
            limit: how many at the most.
        """
        rows = self._files.rows(
            f"""
            {_ITEM} JOIN undated AS u ON u.key = i.key AND u.date = i.date
            WHERE u.date >= ? AND u.date < ? AND u.checked < ? ORDER BY u.checked LIMIT ?
            """,
            (*span, checked_before, limit),
        )
        return list(map(_item, rows))

    def keep_unlisted(self, items: Sequence[Item]) -> None:
        """Keep items that the server has, and whose lists it need not have them in."""
        places = [(item.date, item.key) for item in items]
        with self._files.transaction() as db:
            undated_items.keep(db, places, self._clock())

    def set_checked(self, key: str, moment: float) -> None:
        """Keep when the server last had an item without a possible date."""
        with self._files.transaction() as db:
            db.execute("UPDATE undated SET checked = ? WHERE key = ?", (moment, key))

    def rewrite(self, records: Sequence[tuple[int, Record]], progress: bytes) -> None:
        """Write items anew, of which something else is read than before.

        Args:
            records: in the order of their dates; each with the number that its item had when it was
                read: one that was written since then is left alone.
            progress: how far all items are read anew, for `histfs.catalog.reparse`.
        """
        self._write(lambda db, _: catalog_writes.rewrite(db, records, progress))

    def forget(self, key: str, date: int) -> None:
        """Take a deleted item out."""
        self._write(lambda db, now: catalog_writes.forget(db, key, date, now))

    def discard(self, key: str, date: int) -> None:
        """Take an item out that may still be there; its time is to be asked for again."""
        self._write(lambda db, now: catalog_writes.discard(db, key, date, now))
        self.invalidate(Span(date, date + 1))

    def invalidate(self, span: Span) -> None:
        """Let a span be no longer known completely; its items stay."""
        self._write(lambda db, _: catalog_writes.invalidate(db, span))

    def set_audio(self, key: str, size: int, sha256: bytes | None) -> None:
        """Keep the exact size and the checksum of an item's audio.

        Args:
            key: the item's key.
            size: in bytes.
            sha256: of the whole; None where it isn't known: one that is kept already stays if the
                size is still the same.
        """
        with self._files.transaction() as db:
            late = erasure.landed(db, key)
            if not late:
                db.execute(_AUDIO, (key, size, sha256))
        if late:
            self.erased()

    def set_extension(self, key: str, extension: str) -> None:
        """Keep the extension of an item's audio file."""
        with self._files.transaction() as db:
            db.execute(
                """
                INSERT OR REPLACE INTO endings SELECT ?1, ?2
                WHERE NOT EXISTS (SELECT 1 FROM gone WHERE key = ?1)
                """,
                (key, extension),
            )

    def _write(self, change: Callable[[Any, float], Span | None]) -> None:
        """Make a change, and count it when it was one.

        Args:
            change: gets the connection, within a transaction, and the time in seconds since the
                epoch. The clock is read after the wait for the lock: what other transactions wrote
                during that wait must not seem to lie in the future.
        """
        with self._files.transaction() as db:
            changed = change(db, self._clock())
            if changed is not None:
                db.execute("UPDATE changes SET version = version + 1")
            ((version,),) = db.execute("SELECT version FROM changes").fetchall()
            erased = erasure.unswept(db)
        if changed is not None:
            with self._lock:
                self._changes.append((version, changed))
        self._saw(version)
        if erased:
            self.erased()

    def _nth(self, span: Span, number: int, order: str) -> int | None:
        rows = self._files.rows(
            f"SELECT date FROM items {_FROM_START_TO_END} ORDER BY date {order} LIMIT 1 OFFSET ?",
            (*span, number),
        )
        return next((date for (date,) in rows), None)

    def _in_batches(
        self, statement: str, values: tuple[object, ...], since: int = ALWAYS.start
    ) -> Iterator[Any]:
        """Yield the rows of a statement, of which there may be a million, batch by batch.

        Each batch is read by itself: between two of them no transaction is open, so that a reader
        that takes hours doesn't keep the write-ahead log from being reset. As the rows are in the
        order of a key, no row comes twice, and each that is there all the time comes once.

        Args:
            statement: selects rows that begin with date and key, in this order; its last three
                parameters are the date and the key behind which the batch begins, and its length.
            values: its other parameters.
            since: the first date, in seconds since the epoch.
        """
        place: tuple[int, str] = (since, "")  # before any key of this date
        while rows := self._files.rows(statement, (*values, *place, _BATCH)):
            yield from rows
            if len(rows) < _BATCH:
                return
            place = rows[-1][:2]

    @contextlib.contextmanager
    def _damage(self) -> Iterator[None]:
        """Translate what is said of a damaged row."""
        try:
            yield
        except ValueError as error:
            raise CacheFailed(f"the catalog {self._path} is damaged: {error}") from error

    def _saw(self, version: int) -> None:
        """Remember the newest version that was seen, and when."""
        with self._lock:
            self._seen = (max(version, self._seen[0]), time.monotonic())


def _nothing_to_drop() -> None:
    """Leave the audio where it is: the store is used alone."""


def _item(row: tuple[Any, ...]) -> Item:
    key, odd, *rest = row
    return Item(key if odd is None else odd.decode("utf-8", "surrogatepass"), key, *rest)
