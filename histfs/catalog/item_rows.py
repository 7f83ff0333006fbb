"""The rows of one item in `items`, `raws`, `labels`, `placed` and `details`: read, put, deleted.

Rows go in by the page: a statement for each would cost more than all the rest of a scan.

Details that were fetched one by one are stored by the item's key, like the sizes of audio: the
item's own row is replaced whenever its listing changes. Their facets are added to those that were
listed.

Each function works within a transaction of its caller.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from histfs.catalog import erasure
from histfs.catalog.compression import Compressor, dictionary_of
from histfs.core.item import Facets, Item, Record
from histfs.core.names import Labelled

#: Rows that go into one statement: eleven values each are well under SQLite's limit of 32,766.
_ROWS = 250

#: Records on a page that are enough to tell what all of them have in common.
_TYPICAL = 20
#: Objects of a page that the dictionary is made of, at most: a whole page would take a second.
_SAMPLE = 100

# A voice that was renamed is shown under its newest name.
_NEW_LABEL = """
    INSERT INTO labels (kind, value, name, dated) VALUES (?1, ?2, ?3, iif(?3 IS NULL, -1, ?4))
    ON CONFLICT (kind, value) DO UPDATE SET
        name = iif(?3 IS NOT NULL AND ?4 >= dated, ?3, coalesce(name, ?3)),
        dated = iif(?3 IS NOT NULL, max(dated, ?4), dated)
    RETURNING label
"""

#: Details that were fetched, for `parse_fetched`.
FETCHED = "SELECT revision, checksum, asked, raw FROM details WHERE key = ?"
# Details come one by one: there is no page of which a dictionary could be made.
_packer = Compressor(b"")


class StoredRow(NamedTuple):
    """The columns of an item that matter when it is replaced."""

    date: int
    key: str
    n: int
    revision: int
    labels: str


class Fetched(NamedTuple):
    """Details as they were fetched.

    Attributes:
        revision: the item's, as it was listed then.
        checksum: the CRC-32 of the raw object.
        requested_at: when they were requested, in seconds since the epoch.
        raw: the object as it was sent.
    """

    revision: int
    checksum: int
    requested_at: float
    raw: bytes


def find(db: sqlite3.Connection, condition: str, values: Sequence[object]) -> list[StoredRow]:
    """Return the rows of the items for which a condition holds."""
    statement = f"SELECT date, key, n, revision, labels FROM items WHERE {condition}"
    return [StoredRow(*row) for row in db.execute(statement, values)]


def at(db: sqlite3.Connection, date: int, key: str) -> list[StoredRow]:
    """Return the row of the item with a date and a key, or nothing."""
    return find(db, "date = ? AND key = ?", (date, key))


def delete(db: sqlite3.Connection, rows: Sequence[StoredRow]) -> None:
    """Delete items, and count them; labels that no item has any more stay (`erasure`)."""
    if not rows:
        return
    db.executemany(
        """
        DELETE FROM placed
        WHERE label IN (SELECT value FROM json_each(?)) AND date = ? AND key = ?
        """,
        [(row.labels, row.date, row.key) for row in rows],
    )
    numbers = [(row.n,) for row in rows]
    db.executemany("DELETE FROM raws WHERE n = ?", numbers)
    db.executemany("DELETE FROM rendered WHERE n = ?", numbers)
    places = [(row.date, row.key) for row in rows]
    db.executemany("DELETE FROM items WHERE date = ? AND key = ?", places)
    db.execute("UPDATE changes SET items = items - ?", (len(rows),))


def insert(db: sqlite3.Connection, records: Sequence[Record]) -> None:
    """Insert items, newest first, with the facets that their fetched details add."""
    if not records:
        return
    erasure.mark_listed(db, (record.item.key for record in records))
    fetched = _fetched_facets(db, (record.item.key for record in records))
    # Oldest first: rows that come in their order fill the pages of the file.
    records = [
        replace(record, facets={**fetched[record.item.key], **record.facets})
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
            item.estimate, item.revision, f"[{','.join(map(str, has))}]", item.timed,
        ))  # fmt: skip
        placed += [(label, item.date, item.key) for label in has]
    packed = _compressor(db, records).pack(record.raw for record in records)
    put_rows(db, "items", items)
    put_rows(db, "raws", list(enumerate(packed, first)))
    put_rows(db, "placed", sorted(placed))
    db.execute("UPDATE changes SET items = items + ?", (len(items),))


def add_facets(db: sqlite3.Connection, item: Item, row: StoredRow, record: Record) -> None:
    """Add the facets of a record whose kinds an item lacks, and give the item a new number."""
    kinds = {
        kind
        for (kind,) in db.execute(
            "SELECT kind FROM labels WHERE label IN (SELECT value FROM json_each(?))", (row.labels,)
        )
    }
    facets = {kind: has for kind, has in record.facets.items() if kind not in kinds}
    added = replace(record, facets=facets)
    new = _labels_of(added, _put_labels(db, [added]))
    labels = json.dumps([*json.loads(row.labels), *new])
    n = _numbers(db, 1)
    db.execute("UPDATE raws SET n = ? WHERE n = ?", (n, row.n))
    db.execute("DELETE FROM rendered WHERE n = ?", (row.n,))
    db.execute(
        "UPDATE items SET n = ?, labels = ? WHERE date = ? AND key = ?",
        (n, labels, item.date, item.key),
    )
    places = [(label, item.date, item.key) for label in new]
    db.executemany("INSERT INTO placed VALUES (?, ?, ?)", places)


def put_details(db: sqlite3.Connection, item: Item, record: Record, requested_at: float) -> None:
    """Store the fetched details of an item (`histfs.catalog.details_fetcher`)."""
    (raw,) = _packer.pack([record.raw])
    facets = json.dumps(record.facets)
    checksum = zlib.crc32(record.raw)
    db.execute(
        "INSERT OR REPLACE INTO details VALUES (?, ?, ?, ?, ?, ?)",
        (item.key, item.revision, checksum, requested_at, facets, raw),
    )


def parse_fetched(row: tuple[int, int, float, bytes]) -> Fetched:
    """Read a row of `FETCHED`; ValueError when it is damaged."""
    revision, checksum, requested_at, packed = row
    return Fetched(revision, checksum, requested_at, _packer.unpack(packed))


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


def _compressor(db: sqlite3.Connection, records: Sequence[Record]) -> Compressor:
    """Return a compressor with the file's dictionary, which the first typical page becomes."""
    found = db.execute(erasure.DICTIONARY).fetchall()
    if found:
        return Compressor(found[0][0])
    if len(records) < _TYPICAL:
        return Compressor(b"")
    # Of the whole page: it may begin with many that are of one kind.
    some = records[:: -(-len(records) // _SAMPLE)]
    dictionary = dictionary_of([record.raw for record in some])
    erasure.put_dictionary(db, dictionary)
    return Compressor(dictionary)


def _storable(text: str | None) -> str | None:
    """Replace lone surrogates, which JSON can carry and SQLite's text can't."""
    return None if text is None else text.encode("utf-8", "replace").decode()


def _fetched_facets(db: sqlite3.Connection, keys: Iterable[str]) -> Mapping[str, Facets]:
    """Return the facets that the details of items add, by key; few sources have any."""
    if not db.execute("SELECT EXISTS (SELECT 1 FROM details)").fetchone()[0]:
        return {}
    rows = db.execute(
        "SELECT key, facets FROM details WHERE key IN (SELECT value FROM json_each(?))",
        (json.dumps(list(keys)),),
    ).fetchall()
    return {
        key: {kind: _facet_values(stored) for kind, stored in json.loads(facets).items()}
        for key, facets in rows
    }


def _facet_values(stored: list[Any]) -> tuple[Labelled, ...]:
    """Read the values of one kind; until facets had several, one was stored without a list."""
    values = stored if isinstance(stored[0], list) else [stored]
    return tuple(Labelled(*value) for value in values)
