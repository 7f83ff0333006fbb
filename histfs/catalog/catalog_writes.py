"""What is written to the catalog, each function within a transaction of its caller.

Rows go in by the page: a statement for each would cost more than all the rest of a scan.
"""

from __future__ import annotations

import itertools
import json
import math
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace as replace_fields
from typing import NamedTuple

from histfs.catalog import details_table, erasure, undated_items
from histfs.catalog.compression import Compressor, dictionary_of
from histfs.catalog.coverage import Coverage, CoveredSpan
from histfs.core.item import Item, Record
from histfs.core.times import ALWAYS, Span

#: Seconds for which a page that still shows an item deleted here is not believed: the page may
#: have been on its way when the item was deleted.
DELETED_MEMORY = 120.0

#: Rows that go into one statement: ten values each are well under SQLite's limit of 32,766.
_ROWS = 250

#: Records on a page that are enough to tell what all of them have in common.
_TYPICAL = 20

WINDOWS = 'SELECT start, "end", asked FROM windows'

# A voice that was renamed is shown under its newest name.
_NEW_LABEL = """
    INSERT INTO labels (kind, value, name, dated) VALUES (?1, ?2, ?3, iif(?3 IS NULL, -1, ?4))
    ON CONFLICT (kind, value) DO UPDATE SET
        name = iif(?3 IS NOT NULL AND ?4 >= dated, ?3, coalesce(name, ?3)),
        dated = iif(?3 IS NOT NULL, max(dated, ?4), dated)
    RETURNING label
"""


class _StoredRow(NamedTuple):
    """What is stored of an item, as far as it matters when it is replaced."""

    date: int
    key: str
    n: int
    revision: int
    labels: str


def replace(
    db: sqlite3.Connection,
    span: Span,
    records: Sequence[Record],
    *,
    asked: float,
    now: float,
    outdated: Span | None,
    seen: Set[tuple[int, str]] = frozenset(),
    undated: Set[str] | None = None,
) -> Span | None:
    """Store what an answer says of a span: the span is then known completely.

    Where the catalog holds what was asked for later, by this process or another, that stands: of
    two answers the one that took longer may be the older one.

    Args:
        db: within a transaction.
        span: the span that the answer tells completely.
        records: the answer, newest first; what is older than the span is stored, too.
        asked: when it was asked for, in seconds since the epoch.
        now: in seconds since the epoch.
        outdated: a span that is not known completely any more, taken out first.
        seen: date and key of further items of the span, which are stored already.
        undated: keys of all items without a possible date; None where the answer doesn't tell.

    Returns:
        The span in which something has changed, None when nothing has.
    """
    before = Coverage(CoveredSpan(*row) for row in db.execute(WINDOWS))
    newer = before.asked(math.nextafter(asked, math.inf), now)
    parts = newer.gaps(span)
    deleted = _deleted(db, now)
    records, misplaced = undated_items.placed(db, records, asked)
    listed = {
        (record.item.date, record.item.key): record
        for record in records
        if record.item.key not in deleted
    }
    for known in newer:
        # A newer answer tells nothing of an item that has no date of its own.
        listed = {
            at: record
            for at, record in listed.items()
            if not (record.dated and known.span.holds(at[0]))
        }
    if undated is not None:
        misplaced += undated_items.absent(db, undated, asked)
        db.execute("INSERT OR REPLACE INTO notes VALUES ('whole_read', ?)", (b"%r" % asked,))
    rows = {(row.date, row.key): row for row in _rows(db, "date >= ? AND date < ?", span)}
    for at in (*listed, *misplaced):
        if not span.holds(at[0]):
            rows.update((at, row) for row in _rows(db, "date = ? AND key = ?", at))
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
    kept = undated_items.listed_elsewhere(db, (key for _, key in missing))
    gone = {at for at in missing if at[1] not in kept}.union(misplaced) & rows.keys()
    anew = {(record.item.date, record.item.key) for record in changed}
    removed = [rows[at] for at in gone | anew & rows.keys()]
    _delete(db, removed)
    _insert(db, changed)
    vanished = {key for _, key in gone} - {key for _, key in listed}
    # One that has got another date is still there.
    vanished -= erasure.there(db, vanished)
    erasure.erase(db, vanished, (row.labels for row in removed), now)

    after = before
    for part in newer.gaps(outdated) if outdated else ():
        after = after.remove(part)
    for part in parts:
        after = after.put(part, asked)
    _put_windows(db, before, after)
    if not gone and not changed and before.spans() == after.spans():
        return None
    return _hull([span, *_moments(gone | anew), *([outdated] if outdated else [])])


def add(
    db: sqlite3.Connection, records: Sequence[Record], *, asked: float, now: float
) -> Span | None:
    """Store items that an answer shows without telling all of any span.

    What was asked for later stands, as in `replace`. An item that is missing where all is known
    shows that this is outdated: what lies between its neighbours is then not known completely.

    Args:
        db: within a transaction.
        records: in any order.
        asked: when they were asked for, in seconds since the epoch.
        now: in seconds since the epoch.

    Returns:
        The span in which something has changed, None when nothing has.
    """
    before = Coverage(CoveredSpan(*row) for row in db.execute(WINDOWS))
    newer = before.asked(math.nextafter(asked, math.inf), now)
    deleted = _deleted(db, now)
    records, misplaced = undated_items.placed(db, records, asked)
    changed: dict[tuple[int, str], Record] = {}
    outdated: list[_StoredRow] = []
    doubtful: set[Span] = set()
    for record in sorted(records, key=lambda record: -record.item.date):
        date, key = record.item.date, record.item.key
        known = (date, key) in changed or newer.cover(Span(date, date + 1))
        if (known and record.dated) or key in deleted:
            continue
        rows = _rows(db, "date = ? AND key = ?", (date, key))
        if not rows and record.dated:
            doubtful.add(_between_neighbours(db, date))
        elif rows and rows[0].revision == record.item.revision:
            continue
        changed[date, key] = record
        outdated += rows
    for date, key in misplaced:
        outdated += _rows(db, "date = ? AND key = ?", (date, key))
    if not changed and not outdated:
        return None
    _delete(db, outdated)
    _insert(db, list(changed.values()))
    erasure.drop_labels(db, (row.labels for row in outdated))
    after = before
    for span in doubtful:
        for part in newer.gaps(span):
            after = after.remove(part)
    _put_windows(db, before, after)
    return _hull([*doubtful, *_moments([*changed, *misplaced])])


def discard(db: sqlite3.Connection, key: str, date: int, now: float) -> Span | None:
    """Take an item out with all that is known of it.

    Returns:
        The span in which something has changed, None when there was no such item.
    """
    rows = _rows(db, "date = ? AND key = ?", (date, key))
    _delete(db, rows)
    erasure.erase(db, [key], (row.labels for row in rows), now)
    return Span(date, date + 1) if rows else None


def forget(db: sqlite3.Connection, key: str, date: int, now: float) -> Span | None:
    """Take a deleted item out, and remember for a while that it was.

    Returns:
        The span in which something has changed, None when there was no such item.
    """
    db.execute("DELETE FROM deleted WHERE at NOT BETWEEN ? AND ?", (now - DELETED_MEMORY, now))
    db.execute("INSERT OR REPLACE INTO deleted VALUES (?, ?)", (key, now))
    return discard(db, key, date, now)


def store_details(db: sqlite3.Connection, item: Item, record: Record, asked: float) -> Span | None:
    """Keep all details of an item that was listed with less of them.

    Facets of kinds that were not listed are added to the item; its words are to be read anew.

    Args:
        db: within a transaction.
        item: as it was listed.
        record: as it was fetched.
        asked: when, in seconds since the epoch.

    Returns:
        The span in which something has changed, None when the item is gone.
    """
    rows = _rows(db, "date = ? AND key = ?", (item.date, item.key))
    if not rows:
        return None
    (row,) = rows
    details_table.put(db, item, record, asked)
    kinds = {
        kind
        for (kind,) in db.execute(
            "SELECT kind FROM labels WHERE label IN (SELECT value FROM json_each(?))", (row.labels,)
        )
    }
    facets = {kind: has for kind, has in record.facets.items() if kind not in kinds}
    added = replace_fields(record, facets=facets)
    new = _labels_of(added, _put_labels(db, [added]))
    labels = json.dumps([*json.loads(row.labels), *new])
    n = _numbers(db, 1)
    db.execute("UPDATE raws SET n = ? WHERE n = ?", (n, row.n))
    db.execute(
        "UPDATE items SET n = ?, labels = ? WHERE date = ? AND key = ?",
        (n, labels, row.date, row.key),
    )
    places = [(label, row.date, row.key) for label in new]
    db.executemany("INSERT INTO placed VALUES (?, ?, ?)", places)
    return Span(item.date, item.date + 1)


def rewrite(
    db: sqlite3.Connection, records: Sequence[tuple[int, Record]], progress: bytes
) -> Span | None:
    """Write items anew, of which something else is read than before; all else stays as it is.

    Args:
        db: within a transaction.
        records: in the order of their dates; each with the number that its item had when it was
            read: one that was written since then is left alone.
        progress: how far all items are read anew.

    Returns:
        The span in which something has changed, None when nothing has.
    """
    db.execute("INSERT OR REPLACE INTO notes VALUES ('reading', ?)", (progress,))
    rows, current = [], []
    for n, record in records:
        found = _rows(db, "date = ? AND key = ?", (record.item.date, record.item.key))
        if found and found[0].n == n:
            rows += found
            current.append(record)
    if not rows:
        return None
    _delete(db, rows)
    _insert(db, current[::-1])
    return Span(rows[0].date, rows[-1].date + 1)


def invalidate(db: sqlite3.Connection, span: Span) -> Span | None:
    """Let a span be no longer known completely.

    Returns:
        The span in which something has changed, None when it wasn't known before.
    """
    before = Coverage(CoveredSpan(*row) for row in db.execute(WINDOWS))
    after = before.remove(span)
    _put_windows(db, before, after)
    # The list need not tell of those without a possible date: they are asked for by their ids.
    db.execute("UPDATE undated SET checked = 0 WHERE date >= ? AND date < ?", span)
    return span if before.spans() != after.spans() else None


def _deleted(db: sqlite3.Connection, now: float) -> set[str]:
    since = (now - DELETED_MEMORY, now)
    return {key for (key,) in db.execute("SELECT key FROM deleted WHERE at BETWEEN ? AND ?", since)}


def _rows(db: sqlite3.Connection, condition: str, values: Sequence[object]) -> list[_StoredRow]:
    statement = f"SELECT date, key, n, revision, labels FROM items WHERE {condition}"
    return [_StoredRow(*row) for row in db.execute(statement, values)]


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


def _delete(db: sqlite3.Connection, rows: Sequence[_StoredRow]) -> None:
    if not rows:
        return
    db.executemany(
        """
        DELETE FROM placed
        WHERE label IN (SELECT value FROM json_each(?)) AND date = ? AND key = ?
        """,
        [(row.labels, row.date, row.key) for row in rows],
    )
    db.executemany("DELETE FROM raws WHERE n = ?", [(row.n,) for row in rows])
    places = [(row.date, row.key) for row in rows]
    db.executemany("DELETE FROM items WHERE date = ? AND key = ?", places)
    db.execute("UPDATE changes SET items = items - ?", (len(rows),))


def _insert(db: sqlite3.Connection, records: Sequence[Record]) -> None:
    if not records:
        return
    # Oldest first: rows that come in their order fill the pages of the file.
    erasure.listed(db, (record.item.key for record in records))
    fetched = details_table.facets_of(db, (record.item.key for record in records))
    records = [
        replace_fields(record, facets={**fetched[record.item.key], **record.facets})
        if record.item.key in fetched
        else record
        for record in reversed(records)
    ]
    labels = _put_labels(db, records)
    first = _numbers(db, len(records))
    items, placed = [], []
    for n, record in enumerate(records, first):
        item = record.item
        odd = None if item.id == item.key else item.id.encode("utf-8", "surrogatepass")
        has = _labels_of(record, labels)
        items.append((
            item.date, item.key, odd, n, item.slug, item.content_type, item.output_format,
            item.estimate, item.revision, f"[{','.join(map(str, has))}]",
        ))  # fmt: skip
        placed += [(label, item.date, item.key) for label in has]
    packed = _packer(db, records).pack(record.raw for record in records)
    put_rows(db, "items", items)
    put_rows(db, "raws", list(enumerate(packed, first)))
    put_rows(db, "placed", sorted(placed))
    db.execute("UPDATE changes SET items = items + ?", (len(items),))


def _numbers(db: sqlite3.Connection, count: int) -> int:
    """Return the first of some numbers that no item ever had: words are found under them."""
    ((last,),) = db.execute(
        """
        UPDATE numbers SET given = ? + max(given, (SELECT coalesce(max(n), 0) FROM raws))
        RETURNING given
        """,
        (count,),
    ).fetchall()
    return int(last) - count + 1


def put_rows(db: sqlite3.Connection, table: str, rows: Sequence[tuple[object, ...]]) -> None:
    """Insert many rows with few statements.

    executemany() takes the interpreter's lock back after each row, half of what a row costs; and
    while another thread reads the next page it would have to wait for it each time.
    """
    for start in range(0, len(rows), _ROWS):
        some = rows[start : start + _ROWS]
        row = f"({', '.join('?' * len(some[0]))})"
        statement = f"INSERT INTO {table} VALUES {', '.join([row] * len(some))}"
        db.execute(statement, list(itertools.chain.from_iterable(some)))


def _put_labels(db: sqlite3.Connection, records: Sequence[Record]) -> dict[tuple[str, str], int]:
    """Store the labels that records have, and return their numbers by kind and value."""
    newest: dict[tuple[str, str], tuple[str | None, int]] = {}
    for record in records:
        date = record.item.date
        for kind, values in record.facets.items():
            for value, name in values:
                named = newest.get((kind, value))
                if named is None or (name is not None and (named[0] is None or date > named[1])):
                    newest[kind, value] = (name, date)
    numbers = {}
    for (kind, value), (name, dated) in newest.items():
        row = (kind, _storable(value), _storable(name), dated)
        ((numbers[kind, value],),) = db.execute(_NEW_LABEL, row).fetchall()
    return numbers


def _labels_of(record: Record, labels: Mapping[tuple[str, str], int]) -> list[int]:
    """Return the numbers of the labels that a record has, in the order of its values."""
    found = [labels[kind, has.value] for kind, values in record.facets.items() for has in values]
    # Each once: two values may be the same to SQLite.
    return found if len(set(found)) == len(found) else list(dict.fromkeys(found))


def _packer(db: sqlite3.Connection, records: Sequence[Record]) -> Compressor:
    """Return what compresses, with the file's dictionary: the first typical page becomes it."""
    found = db.execute(erasure.DICTIONARY).fetchall()
    if found:
        return Compressor(found[0][0])
    if len(records) < _TYPICAL:
        return Compressor(b"")
    dictionary = dictionary_of([record.raw for record in records])
    erasure.put_dictionary(db, dictionary)
    return Compressor(dictionary)


def _put_windows(db: sqlite3.Connection, before: Coverage, after: Coverage) -> None:
    old, new = set(before), set(after)
    db.executemany("DELETE FROM windows WHERE start = ?", [(w.start,) for w in old - new])
    db.executemany("INSERT INTO windows VALUES (?, ?, ?)", new - old)


def _moments(places: Iterable[tuple[int, str]]) -> Iterator[Span]:
    """Yield the second of each place, a date and a key."""
    return (Span(date, date + 1) for date, _ in places)


def _hull(spans: Collection[Span]) -> Span:
    """Return the span from the start of the first one to the end of the last one."""
    return Span(min(span.start for span in spans), max(span.end for span in spans))


def _storable(text: str | None) -> str | None:
    """Replace lone surrogates, which JSON can carry and SQLite's text can't."""
    return None if text is None else text.encode("utf-8", "replace").decode()
