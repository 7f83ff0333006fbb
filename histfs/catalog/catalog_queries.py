"""The queries on the catalog's tables, which `CatalogStore` inherits.

Threads: any number at once; `ConnectionPool` guards the file. `_packer_lock` guards the compressor;
no other lock is taken while it is held.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from typing import Any

from histfs.catalog import catalog_writes, directory_names, erasure, item_rows
from histfs.catalog.clip_origins import OriginsOfLabels
from histfs.catalog.compression import Compressor
from histfs.catalog.connection_pool import ConnectionPool
from histfs.catalog.coverage import Coverage, CoveredSpan
from histfs.catalog.item_rows import Fetched
from histfs.core.audio_store import Order
from histfs.core.errors import CacheFailed
from histfs.core.index import FacetValue, Listed
from histfs.core.item import Facets, Item
from histfs.core.names import Labelled
from histfs.core.sizes import Fingerprint, KnownSize, PastClip
from histfs.core.times import ALWAYS, Span

#: Items that one statement reads when all of them are read.
_BATCH = 1000

_ITEM = """
    SELECT i.key, i.id, i.date, i.slug, i.content_type, i.output_format, i.estimate, i.revision,
           i.timed, e.ending
    FROM items AS i LEFT JOIN endings AS e ON e.key = i.key
"""
_SIZES_NEAR = """
    SELECT ?2, (SELECT size FROM audio WHERE key = ?2),
        (SELECT labels FROM items WHERE date = ?1 AND key = ?2)
    UNION ALL SELECT * FROM (
        SELECT i.key, a.size, i.labels FROM items AS i LEFT JOIN audio AS a ON a.key = i.key
        WHERE (i.date, i.key) > (?1, ?2) ORDER BY i.date, i.key LIMIT ?3
    )
    UNION ALL SELECT * FROM (
        SELECT i.key, a.size, i.labels FROM items AS i LEFT JOIN audio AS a ON a.key = i.key
        WHERE (i.date, i.key) < (?1, ?2) ORDER BY i.date DESC, i.key DESC LIMIT ?3
    )
"""
_PAST_CLIPS = """
    SELECT i.content_type, i.output_format, i.estimate, a.size, i.labels FROM (
        SELECT * FROM items ORDER BY date DESC, key DESC LIMIT ?
    ) AS i JOIN audio AS a ON a.key = i.key ORDER BY i.date, i.key
"""
_FROM_START_TO_END = " WHERE date >= ? AND date < ? "


class CatalogQueries:
    """Reads the tables, and returns the classes of the core.

    Args:
        path: the SQLite file; created if missing.

    Raises:
        CacheFailed, NoSpace: the file can't be created or opened. So do all methods.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        #: The connections, for what else is kept in the file.
        self.files = ConnectionPool(path)
        self._packer_lock = threading.Lock()
        self._packer: tuple[bytes | None, Compressor] | None = None
        self._origins = OriginsOfLabels(self.files)

    def coverage(self, span: Span | None = None) -> Coverage:
        """Return which spans are completely known; of a span, those that reach into it."""
        if span is None:
            rows = self.files.rows(catalog_writes.COVERED_SPANS)
        else:
            # They are disjoint: the last one that starts before the span is the only such one that
            # may reach into it.
            rows = self.files.rows(
                catalog_writes.COVERED_SPANS
                + """
                WHERE start < ?2 AND "end" > ?1 AND start >= coalesce(
                    (SELECT max(start) FROM windows WHERE start <= ?1), ?1
                )
                """,
                span,
            )
        return Coverage(CoveredSpan(*row) for row in rows)

    def covers(self, span: Span) -> bool:
        """Say whether all items of a span are known, fresh or not."""
        return self.coverage(span).covers(span)

    def newest(self, span: Span) -> int | None:
        """Return the date of the newest item of a span, None when it has none."""
        rows = self.files.rows("SELECT max(date) FROM items" + _FROM_START_TO_END, span)
        return next((date for (date,) in rows), None)

    def count(self, span: Span, limit: int) -> int:
        """Return the number of items of a span, counted up to a limit."""
        ((count,),) = self.files.rows(
            f"SELECT count(*) FROM (SELECT 1 FROM items {_FROM_START_TO_END} LIMIT ?)",
            (*span, limit),
        )
        return int(count)

    def total(self) -> int:
        """Return the number of all items."""
        ((count,),) = self.files.rows("SELECT items FROM changes")
        return int(count)

    def nth_oldest(self, span: Span, number: int) -> int | None:
        """Return the date of the ``number``-th item (from 0) of a span, the oldest one first."""
        return self._nth(span, number, "ASC")

    def nth_newest(self, span: Span, number: int) -> int | None:
        """Return the date of the ``number``-th item (from 0) of a span, the newest one first."""
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
        return (item_of(row[2:]) for row in rows)

    def newest_first(self) -> Iterator[Item]:
        """Yield all items, newest first.

        Each batch is a statement of its own: a reader that takes hours does not keep the
        write-ahead log from being reset. Items that are added or removed meanwhile may be missed.
        """
        place: tuple[int, str] = (ALWAYS.end, "")
        while rows := self.files.rows(
            _ITEM + "WHERE (i.date, i.key) < (?, ?) ORDER BY i.date DESC, i.key DESC LIMIT ?",
            (*place, _BATCH),
        ):
            items = [item_of(row) for row in rows]
            yield from items
            place = (items[-1].date, items[-1].key)

    def facet_values(self, kind: str) -> Sequence[FacetValue]:
        """Return the values of a facet that items have, in the order of their oldest items."""
        return [FacetValue(*row) for row in self.files.rows(directory_names.VALUES, (kind,))]

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
        rows = self.files.rows(
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

    def find(self, key: str, date: int) -> Item | None:
        """Return the item with a key and a date."""
        rows = self.files.rows(_ITEM + "WHERE i.date = ? AND i.key = ?", (date, key))
        return next((item_of(row) for row in rows), None)

    def with_key(self, key: str) -> list[Item]:
        """Return the items with a key, whatever their dates; scans the whole table."""
        return [item_of(row) for row in self.files.rows(_ITEM + "WHERE i.key = ?", (key,))]

    def following(self, item: Item, order: Order, number: int) -> list[Item]:
        """Return the items that follow one by date.

        Args:
            item: the one.
            order: the kind and the value of the facet that they have; None for all items.
            number: how many at the most.
        """
        return self._beside(item, order, number, ">", "ASC")

    def preceding(self, item: Item, order: Order, number: int) -> list[Item]:
        """Return the items that precede one by date, the last one first; see `following`."""
        return self._beside(item, order, number, "<", "DESC")

    def _beside(
        self, item: Item, order: Order, number: int, is_beyond: str, direction: str
    ) -> list[Item]:
        if order is None:
            rows = self.files.rows(
                f"""
                {_ITEM} WHERE (i.date, i.key) {is_beyond} (?, ?)
                ORDER BY i.date {direction}, i.key {direction} LIMIT ?
                """,
                (item.date, item.key, number),
            )
            return list(map(item_of, rows))
        rows = self.files.rows(
            f"""
            {_ITEM} JOIN placed AS p ON p.date = i.date AND p.key = i.key
            WHERE p.label = (SELECT label FROM labels WHERE kind = ? AND value = ?)
                AND (p.date, p.key) {is_beyond} (?, ?)
            ORDER BY p.date {direction}, p.key {direction} LIMIT ?
            """,
            (*order, item.date, item.key, number),
        )
        return list(map(item_of, rows))

    def undated(self, span: Span, checked_before: float, limit: int) -> list[Item]:
        """Return items of a span without a possible date, those checked longest ago first.

        Args:
            span: in which they are shown.
            checked_before: only those that the server last had before this moment.
            limit: how many at the most.
        """
        rows = self.files.rows(
            f"""
            {_ITEM} JOIN undated AS u ON u.key = i.key AND u.date = i.date
            WHERE u.date >= ? AND u.date < ? AND u.checked < ? ORDER BY u.checked LIMIT ?
            """,
            (*span, checked_before, limit),
        )
        return list(map(item_of, rows))

    def shown_date(self, key: str) -> int | None:
        """Return the date under which an undated item is shown; None for others."""
        rows = self.files.rows("SELECT date FROM undated WHERE key = ?", (key,))
        return next((date for (date,) in rows), None)

    def facets(self, key: str, date: int) -> Facets:
        """Return the facets of the item with a key and a date."""
        rows = self.files.rows(
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

    def orders(self, kinds: Sequence[str], item: Item) -> list[Order]:
        """Return the orders in which clients may read an item: one for each value of a facet.

        Args:
            kinds: the kinds of facets.
            item: the item.
        """
        facets = self.facets(item.key, item.date)
        return [(kind, has.value) for kind in kinds for has in facets.get(kind, ())]

    def raw(self, key: str, date: int) -> bytes | None:
        """Return the raw object of the item with a key and a date."""
        statement = f"""
            SELECT raw, {erasure.STRUCTURE} FROM raws
            WHERE n = (SELECT n FROM items WHERE date = ? AND key = ?)
            """
        while rows := self.files.rows(statement, (date, key)):
            raw = self.unpack(*rows[0])
            if raw is not None:
                return raw
        return None

    def fetched(self, key: str) -> Fetched | None:
        """Return the fetched details of an item; None before `store_details`."""
        rows = self.files.rows(item_rows.FETCHED, (key,))
        with self.damage():
            return next(map(item_rows.parse_fetched, rows), None)

    def unpack(self, packed: bytes, structure: bytes | None) -> bytes | None:
        """Return a raw object from its row.

        Args:
            packed: what the row holds.
            structure: `erasure.STRUCTURE` of the same moment.

        Returns:
            The object; None when all objects were packed anew meanwhile: read the row again.
        """
        with self._packer_lock:
            known = self._packer
        if known is None or known[0] != structure:
            found = self.files.rows(f"SELECT {erasure.STRUCTURE}, ({erasure.DICTIONARY})")[0]
            if found[0] != structure:
                return None
            known = (structure, Compressor(found[1] or b""))
            with self._packer_lock:
                # One without a dictionary is not kept: the file may get one.
                self._packer = None if found[1] is None else known
        with self.damage():
            return known[1].unpack(packed)

    def fingerprint(self, key: str) -> Fingerprint | None:
        """Return the exact size and the checksum of an item's audio, also of a removed item."""
        rows = self.files.rows("SELECT size, sha256 FROM audio WHERE key = ?", (key,))
        return next((Fingerprint(*row) for row in rows), None)

    def sizes_near(self, item: Item, number: int) -> list[KnownSize]:
        """Return the sizes of an item's clip and of the clips next to it (`SizeTable`)."""
        rows = self.files.rows(_SIZES_NEAR, (item.date, item.key, number))
        return [KnownSize(key, size, *self._origins.of(labels)) for key, size, labels in rows]

    def past_clips(self, number: int) -> list[PastClip]:
        """Return those of the newest items whose clips have a known size (`SizeTable`)."""
        rows = self.files.rows(_PAST_CLIPS, (number,))
        return [
            PastClip(content_type, output_format, estimate, size, *self._origins.of(labels))
            for content_type, output_format, estimate, size, labels in rows
        ]

    def attachments_of(self, key: str) -> list[str]:
        """Return the keys under which the audio store has the attachments of an item."""
        with self.files.transaction() as db:
            return erasure.attachment_keys(db, [key])

    def _nth(self, span: Span, number: int, order: str) -> int | None:
        rows = self.files.rows(
            f"SELECT date FROM items {_FROM_START_TO_END} ORDER BY date {order} LIMIT 1 OFFSET ?",
            (*span, number),
        )
        return next((date for (date,) in rows), None)

    def _in_batches(
        self, statement: str, values: tuple[object, ...], since: int = ALWAYS.start
    ) -> Iterator[Any]:
        """Yield the rows of a statement, of which there may be a million, batch by batch.

        Each batch is a statement of its own: between two of them no transaction is open, so that a
        reader that takes hours does not keep the write-ahead log from being reset. As the rows are
        in the order of a key, no row comes twice, and each that is there all the time comes once.

        Args:
            statement: selects rows that begin with date and key, in this order; its last three
                parameters are the date and the key behind which the batch begins, and its length.
            values: its other parameters.
            since: the first date, in seconds since the epoch.
        """
        place: tuple[int, str] = (since, "")  # before any key of this date
        while rows := self.files.rows(statement, (*values, *place, _BATCH)):
            yield from rows
            if len(rows) < _BATCH:
                return
            place = rows[-1][:2]

    @contextlib.contextmanager
    def damage(self) -> Iterator[None]:
        """Turn the error of a damaged row into `CacheFailed`."""
        try:
            yield
        except ValueError as error:
            raise CacheFailed(f"the catalog {self._path} is damaged: {error}") from error


def item_of(row: Sequence[Any]) -> Item:
    """Return the item of a row with the columns of `_ITEM`."""
    key, odd, *rest = row
    return Item(key if odd is None else odd.decode("utf-8", "surrogatepass"), key, *rest)
