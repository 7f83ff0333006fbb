"""The catalog proper: items, sizes and windows in SQLite, read as the core's words.

Threads: any number at once. Readers take a connection out of a pool (`_idle`) for one statement.
`_writing` lets one thread of this process write at a time; another process is held off by SQLite's
own lock. `_lock` guards the pool, the deleted keys and the version last seen. No lock is held while
the network is used: nothing here uses it.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from histfs.catalog import schema
from histfs.catalog.windows import Windows
from histfs.core.errors import CacheFailed, NoSpace
from histfs.core.index import FacetValue
from histfs.core.item import Facets, Item, Record
from histfs.core.names import Labelled
from histfs.core.times import Span

#: Seconds for which a page that still shows an item deleted here is not believed: the page may
#: have been on its way when the item was deleted.
_DELETED_MEMORY = 120.0

#: Seconds for which the version that was seen last is taken for the one that is.
_GLANCE = 0.1

_ITEM = """
    SELECT i.key, i.id, i.date, i.slug, i.content_type, i.output_format, i.estimate, i.revision,
           a.size
    FROM items AS i LEFT JOIN audio AS a ON a.key = i.key
"""

_CHANGED = "UPDATE changes SET version = version + 1"
_WINDOWS = 'SELECT start, "end" FROM windows'


class Store:
    """One account's catalog file.

    Args:
        path: the SQLite file; made when it isn't there.

    Raises:
        CacheFailed, NoSpace: the file can't be made or opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._deleted: dict[str, float] = {}
        self._seen = (-1, float("-inf"))
        with _translated(path):
            schema.prepare(path)

    @property
    def version(self) -> int:
        """A number that grows whenever anybody, another process too, has changed what is known."""
        ((version,),) = self._rows("SELECT version FROM changes")
        self._saw(version)
        return int(version)

    @property
    def recent_version(self) -> int:
        """The same, without asking the file: another process's change may be `_GLANCE` late."""
        with self._lock:
            version, seen = self._seen
        return version if time.monotonic() - seen < _GLANCE else self.version

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for db in idle:
            db.close()

    # Reading

    def windows(self) -> Windows:
        """Return the spans that are completely known."""
        return Windows(Span(*row) for row in self._rows(_WINDOWS))

    def newest(self, span: Span) -> int | None:
        """Return the date of the newest item of a span, None when it has none."""
        rows = self._rows("SELECT max(date) FROM items WHERE date >= ? AND date < ?", span)
        return next((date for (date,) in rows), None)

    def between(self, span: Span) -> Sequence[Item]:
        """Return the items of a span, oldest first."""
        rows = self._rows(_ITEM + "WHERE i.date >= ? AND i.date < ? ORDER BY i.date, i.key", span)
        return [_item(row) for row in rows]

    def facet_values(self, kind: str) -> Sequence[FacetValue]:
        """Return the values of a facet that items have, in the order of their oldest items."""
        rows = self._rows(
            """
            SELECT value, name,
                   (SELECT min(date) FROM placed WHERE placed.label = labels.label) AS oldest,
                   (SELECT max(date) FROM placed WHERE placed.label = labels.label)
            FROM labels WHERE kind = ? AND oldest IS NOT NULL ORDER BY oldest, value
            """,
            (kind,),
        )
        return [FacetValue(*row) for row in rows]

    def having(self, kind: str, value: str) -> Sequence[Item]:
        """Return the items that have a value of a facet, oldest first."""
        rows = self._rows(
            _ITEM
            + """
            JOIN placed AS p ON p.n = i.n
            WHERE p.label = (SELECT label FROM labels WHERE kind = ? AND value = ?)
            ORDER BY p.date, i.key
            """,
            (kind, value),
        )
        return [_item(row) for row in rows]

    def find(self, key: str) -> Item | None:
        """Return the item with a key."""
        rows = self._rows(_ITEM + "WHERE i.key = ?", (key,))
        return next((_item(row) for row in rows), None)

    def facets(self, key: str) -> Facets:
        """Return the facets of the item with a key."""
        rows = self._rows(
            """
            SELECT kind, value, name FROM labels WHERE label IN (
                SELECT label FROM placed WHERE n = (SELECT n FROM items WHERE key = ?)
            )
            """,
            (key,),
        )
        return {kind: Labelled(value, name) for kind, value, name in rows}

    def raw(self, key: str) -> Mapping[str, Any] | None:
        """Return the raw object of the item with a key."""
        rows = self._rows("SELECT raw FROM items WHERE key = ?", (key,))
        return next((_unpack(raw) for (raw,) in rows), None)

    def count(self) -> int:
        """Return the number of items."""
        ((count,),) = self._rows("SELECT count(*) FROM items")
        return int(count)

    # Writing

    def replace(
        self, span: Span, records: Sequence[Record], keep: Collection[str], outdated: Span | None
    ) -> None:
        """Store what a page says of a span, in one transaction: the span is then known completely.

        Args:
            span: the span that the page holds completely.
            records: the page.
            keep: keys of items of the span that came with pages before.
            outdated: a span that is not known completely any more, taken out first.
        """
        now = time.monotonic()
        with self._lock:
            self._deleted = {k: t for k, t in self._deleted.items() if t > now - _DELETED_MEMORY}
            deleted = set(self._deleted)
        listed = {r.item.key: r for r in records if r.item.key not in deleted}
        with self._transaction() as db:
            reach = min([span.start, *(record.item.date for record in records)])
            known = {
                key: (date, revision)
                for key, date, revision in db.execute(
                    "SELECT key, date, revision FROM items WHERE date >= ? AND date < ?",
                    (reach, span.end),
                )
            }
            gone = [
                key
                for key, (date, _) in known.items()
                if date >= span.start and key not in listed and key not in keep
            ]
            changed = [
                record
                for key, record in listed.items()
                if key not in known or known[key][1] != record.item.revision
            ]
            _delete(db, gone)
            for record in changed:
                _insert(db, record)
            before = Windows(Span(*row) for row in db.execute(_WINDOWS))
            after = (before.remove(outdated) if outdated else before).add(span)
            if after != before:
                db.execute("DELETE FROM windows")
                db.executemany("INSERT INTO windows VALUES (?, ?)", after)
            if gone or changed or after != before:
                db.execute(_CHANGED)

    def set_size(self, key: str, size: int) -> None:
        """Keep the exact size of an item's audio, in bytes."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO audio VALUES (?, ?) ON CONFLICT DO UPDATE SET size = excluded.size",
                (key, size),
            )

    def forget(self, key: str) -> None:
        """Take a deleted item out."""
        with self._lock:
            self._deleted[key] = time.monotonic()
        with self._transaction() as db:
            _delete(db, [key])
            db.execute(_CHANGED)

    # Connections

    def _rows(self, statement: str, values: Sequence[object] = ()) -> list[Any]:
        with self._connection() as db:
            try:
                return db.execute(statement, values).fetchall()
            except UnicodeEncodeError:
                return []  # a path with bytes that no stored text holds

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection. FUSE's threads are too short-lived to have one each."""
        with _translated(self._path):
            with self._lock:
                db = self._idle.pop() if self._idle else None
            db = db or schema.connect(self._path)
            try:
                yield db
            except BaseException:
                db.close()
                raise
            with self._lock:
                self._idle.append(db)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._writing, self._connection() as db:
            db.execute("BEGIN IMMEDIATE")
            yield db
            ((version,),) = db.execute("SELECT version FROM changes").fetchall()
            db.execute("COMMIT")
            self._saw(version)

    def _saw(self, version: int) -> None:
        """Remember the newest version that was seen, and when."""
        with self._lock:
            self._seen = (max(version, self._seen[0]), time.monotonic())


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors, and the disk's under it, into the core's."""
    try:
        yield
    except sqlite3.Error as error:
        if "full" in str(error):
            raise NoSpace(f"no space left for the catalog {path}") from error
        raise CacheFailed(f"the catalog {path} failed: {error}") from error
    except OSError as error:
        raise CacheFailed(f"the catalog {path} failed: {error.strerror}") from error


def _insert(db: sqlite3.Connection, record: Record) -> None:
    item = record.item
    odd = None if item.id == item.key else item.id.encode("utf-8", "surrogatepass")
    ((n,),) = db.execute(
        """
        INSERT INTO items (
            key, id, date, slug, content_type, output_format, estimate, revision, raw
        ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (key) DO UPDATE SET
            date = excluded.date, slug = excluded.slug, content_type = excluded.content_type,
            output_format = excluded.output_format, estimate = excluded.estimate,
            revision = excluded.revision, raw = excluded.raw
        RETURNING n
        """,
        (
            item.key,
            odd,
            item.date,
            item.slug,
            item.content_type,
            item.output_format,
            item.estimate,
            item.revision,
            _pack(record.raw),
        ),
    ).fetchall()
    db.execute("DELETE FROM placed WHERE n = ?", (n,))
    for kind, labelled in record.facets.items():
        # A voice that was renamed is shown under its newest name.
        ((label,),) = db.execute(
            """
            INSERT INTO labels (kind, value, name, dated)
            VALUES (?1, ?2, ?3, iif(?3 IS NULL, -1, ?4))
            ON CONFLICT (kind, value) DO UPDATE SET
                name = iif(?3 IS NOT NULL AND ?4 >= dated, ?3, coalesce(name, ?3)),
                dated = iif(?3 IS NOT NULL, max(dated, ?4), dated)
            RETURNING label
            """,
            (kind, _storable(labelled.value), _storable(labelled.label), item.date),
        ).fetchall()
        db.execute("INSERT INTO placed VALUES (?, ?, ?)", (label, item.date, n))


def _delete(db: sqlite3.Connection, keys: Sequence[str]) -> None:
    for key in keys:
        db.execute("DELETE FROM placed WHERE n = (SELECT n FROM items WHERE key = ?)", (key,))
        db.execute("DELETE FROM items WHERE key = ?", (key,))


def _item(row: tuple[Any, ...]) -> Item:
    key, odd, *rest = row
    return Item(key if odd is None else odd.decode("utf-8", "surrogatepass"), key, *rest)


def _pack(raw: Mapping[str, Any]) -> bytes:
    return zlib.compress(json.dumps(raw, separators=(",", ":")).encode(), level=1)


def _unpack(raw: bytes) -> Mapping[str, Any]:
    unpacked: Mapping[str, Any] = json.loads(zlib.decompress(raw))
    return unpacked


def _storable(text: str | None) -> str | None:
    """Replace lone surrogates, which JSON can carry and SQLite's text can't."""
    return None if text is None else text.encode("utf-8", "replace").decode()
