"""The writes of `CatalogStore`, each within a transaction of its caller.

Each returns the span in which something has changed, None when nothing has.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence, Set

from histfs.catalog import erasure, item_rows, undated_items
from histfs.catalog.coverage import Coverage, CoveredSpan
from histfs.catalog.item_rows import StoredRow
from histfs.core.deletion import TOMBSTONE_TTL
from histfs.core.item import Item, Record
from histfs.core.times import ALWAYS, Span

#: Seconds for which a page that still shows an item deleted here is not believed: the page may
#: have been under way when the item was deleted.
DELETED_MEMORY = TOMBSTONE_TTL

COVERED_SPANS = 'SELECT start, "end", asked FROM windows'


def replace(
    db: sqlite3.Connection,
    span: Span,
    records: Sequence[Record],
    *,
    requested_at: float,
    now: float,
    outdated: Span | None,
    seen: Set[tuple[int, str]] = frozenset(),
    undated: Set[str] | None = None,
) -> Span | None:
    """Store an answer that is complete for a span, which is covered then.

    Where the catalog holds the answer to a later request, by this process or another, that one
    stands: of two answers the one that took longer may be the older one.

    Args:
        db: within a transaction.
        span: the span for which the answer is complete.
        records: the answer, newest first; what is older than the span is stored, too.
        requested_at: when it was requested, in seconds since the epoch.
        now: in seconds since the epoch.
        outdated: a span that is not covered any more, removed first.
        seen: date and key of further items of the span, which are stored already.
        undated: keys of all undated items; None where the answer need not hold all of them.
    """
    before = _coverage(db)
    newer = before.requested_between(math.nextafter(requested_at, math.inf), now)
    parts = newer.gaps(span)
    deleted = _deleted(db, now)
    records, misplaced = undated_items.assign_dates(db, records, requested_at)
    listed = {
        (record.item.date, record.item.key): record
        for record in records
        if record.item.key not in deleted
    }
    for known in newer:
        # A newer answer need not hold an item that has no date of its own.
        listed = {
            at: record
            for at, record in listed.items()
            if not (record.dated and known.span.holds(at[0]))
        }
    if undated is not None:
        misplaced += undated_items.absent(db, undated, requested_at)
        db.execute("INSERT OR REPLACE INTO notes VALUES ('whole_read', ?)", (b"%r" % requested_at,))
    found = item_rows.find(db, "date >= ? AND date < ?", span)
    rows = {(row.date, row.key): row for row in found}
    for at in (*listed, *misplaced):
        if not span.holds(at[0]):
            rows.update((at, row) for row in item_rows.at(db, *at))
    changed = [
        record
        for at, record in listed.items()
        if at not in rows or rows[at].revision != record.item.revision
    ]
    missing = [
        at
        for at in rows
        if at not in listed and at not in seen and any(part.holds(at[0]) for part in parts)
    ]
    kept = undated_items.exempt(db, (key for _, key in missing))
    gone = {at for at in missing if at[1] not in kept}.union(misplaced) & rows.keys()
    written = {(record.item.date, record.item.key) for record in changed}
    removed = [rows[at] for at in gone | written & rows.keys()]
    item_rows.delete(db, removed)
    item_rows.insert(db, changed)
    vanished = {key for _, key in gone} - {key for _, key in listed}
    # One that has got another date is still there.
    vanished -= erasure.existing(db, vanished)
    erasure.erase(db, vanished, (row.labels for row in removed), now)

    after = before
    for part in newer.gaps(outdated) if outdated else ():
        after = after.remove(part)
    for part in parts:
        after = after.put(part, requested_at)
    _put_coverage(db, before, after)
    if not gone and not changed and before.spans() == after.spans():
        return None
    return _hull([span, *_moments(gone | written), *([outdated] if outdated else [])])


def add(
    db: sqlite3.Connection, records: Sequence[Record], *, requested_at: float, now: float
) -> Span | None:
    """Store items of an answer that is complete for no span.

    The answer to a later request stands, as in `replace`. An item that is missing within the
    coverage shows that this is outdated: the span between its neighbours is then not covered.

    Args:
        db: within a transaction.
        records: in any order.
        requested_at: when they were requested, in seconds since the epoch.
        now: in seconds since the epoch.
    """
    before = _coverage(db)
    newer = before.requested_between(math.nextafter(requested_at, math.inf), now)
    deleted = _deleted(db, now)
    records, misplaced = undated_items.assign_dates(db, records, requested_at)
    changed: dict[tuple[int, str], Record] = {}
    replaced: list[StoredRow] = []
    outdated: set[Span] = set()
    for record in sorted(records, key=lambda record: -record.item.date):
        date, key = record.item.date, record.item.key
        known = (date, key) in changed or newer.covers(Span(date, date + 1))
        if (known and record.dated) or key in deleted:
            continue
        rows = item_rows.at(db, date, key)
        if not rows and record.dated:
            outdated.add(_between_neighbours(db, date))
        elif rows and rows[0].revision == record.item.revision:
            continue
        changed[date, key] = record
        replaced += rows
    for at in misplaced:
        replaced += item_rows.at(db, *at)
    if not changed and not replaced:
        return None
    item_rows.delete(db, replaced)
    item_rows.insert(db, list(changed.values()))
    erasure.drop_labels(db, (row.labels for row in replaced))
    after = before
    for span in outdated:
        for part in newer.gaps(span):
            after = after.remove(part)
    _put_coverage(db, before, after)
    return _hull([*outdated, *_moments([*changed, *misplaced])])


def discard(db: sqlite3.Connection, key: str, date: int, now: float) -> Span | None:
    """Remove an item with all that is known of it."""
    rows = item_rows.at(db, date, key)
    item_rows.delete(db, rows)
    erasure.erase(db, [key], (row.labels for row in rows), now)
    return Span(date, date + 1) if rows else None


def forget(db: sqlite3.Connection, key: str, date: int, now: float) -> Span | None:
    """Remove a deleted item, and remember for `DELETED_MEMORY` that it was deleted."""
    db.execute("DELETE FROM deleted WHERE at NOT BETWEEN ? AND ?", (now - DELETED_MEMORY, now))
    db.execute("INSERT OR REPLACE INTO deleted VALUES (?, ?)", (key, now))
    return discard(db, key, date, now)


def store_details(
    db: sqlite3.Connection, item: Item, record: Record, requested_at: float
) -> Span | None:
    """Keep all details of an item whose source listed only a summary.

    Facets of kinds that were not listed are added to the item; its words are to be indexed again.

    Args:
        db: within a transaction.
        item: as it was listed.
        record: as it was fetched.
        requested_at: when it was requested, in seconds since the epoch.
    """
    rows = item_rows.at(db, item.date, item.key)
    if not rows:
        return None
    item_rows.put_details(db, item, record, requested_at)
    item_rows.add_facets(db, item, rows[0], record)
    return Span(item.date, item.date + 1)


def rewrite(
    db: sqlite3.Connection, records: Sequence[tuple[int, Record]], progress: bytes
) -> Span | None:
    """Write items again whose source parses their objects differently now; all else stays.

    Args:
        db: within a transaction.
        records: in the order of their dates; each with the number that its item had when it was
            read: one that was written since then is left alone.
        progress: how far all items are parsed again, for `histfs.catalog.reparse`.
    """
    db.execute("INSERT OR REPLACE INTO notes VALUES ('reading', ?)", (progress,))
    rows, current = [], []
    for n, record in records:
        found = item_rows.at(db, record.item.date, record.item.key)
        if found and found[0].n == n:
            rows += found
            current.append(record)
    if not rows:
        return None
    item_rows.delete(db, rows)
    item_rows.insert(db, current[::-1])
    return Span(rows[0].date, rows[-1].date + 1)


def invalidate(db: sqlite3.Connection, span: Span) -> Span | None:
    """Remove a span from the coverage."""
    before = _coverage(db)
    after = before.remove(span)
    _put_coverage(db, before, after)
    # The list need not hold undated items: they are requested by their ids.
    db.execute("UPDATE undated SET checked = 0 WHERE date >= ? AND date < ?", span)
    return span if before.spans() != after.spans() else None


def mark_stale(db: sqlite3.Connection, span: Span) -> Span | None:
    """Have a span requested again when it is next needed; what is known of it stays."""
    before = _coverage(db)
    after = before
    for known in before:
        part = Span(max(known.start, span.start), min(known.end, span.end))
        if part.start < part.end and known.requested_at:
            after = after.put(part, 0)
    _put_coverage(db, before, after)
    db.execute("UPDATE undated SET checked = 0 WHERE date >= ? AND date < ?", span)
    return span if before != after else None


def _coverage(db: sqlite3.Connection) -> Coverage:
    return Coverage(CoveredSpan(*row) for row in db.execute(COVERED_SPANS))


def _put_coverage(db: sqlite3.Connection, before: Coverage, after: Coverage) -> None:
    old, new = set(before), set(after)
    db.executemany("DELETE FROM windows WHERE start = ?", [(each.start,) for each in old - new])
    db.executemany("INSERT INTO windows VALUES (?, ?, ?)", new - old)


def _deleted(db: sqlite3.Connection, now: float) -> set[str]:
    since = (now - DELETED_MEMORY, now)
    return {key for (key,) in db.execute("SELECT key FROM deleted WHERE at BETWEEN ? AND ?", since)}


def _between_neighbours(db: sqlite3.Connection, date: int) -> Span:
    """Return the span around a date in which no item is known but at its start."""
    ((start, end),) = db.execute(
        """
        SELECT coalesce((SELECT max(date) FROM items WHERE date <= ?1), ?2),
               coalesce((SELECT min(date) FROM items WHERE date > ?1), ?3)
        """,
        (date, *ALWAYS),
    ).fetchall()
    return Span(start, end)


def _moments(places: Iterable[tuple[int, str]]) -> Iterator[Span]:
    """Yield the second of each place, a date and a key."""
    return (Span(date, date + 1) for date, _ in places)


def _hull(spans: Collection[Span]) -> Span:
    """Return the span from the start of the first one to the end of the last one."""
    return Span(min(span.start for span in spans), max(span.end for span in spans))
