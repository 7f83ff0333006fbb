"""The table of details that were fetched one by one (`histfs.catalog.details_fetcher`).

They are stored by the item's key, like the sizes of audio: the item's own row is replaced whenever
its listing changes. Their facets are added to those that were listed.

Each function works within a transaction of its caller.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from histfs.catalog.compression import Compressor
from histfs.core.item import Facets, Item, Record
from histfs.core.names import Labelled

FETCHED = "SELECT revision, checksum, asked, raw FROM details WHERE key = ?"
_KEYS = "key IN (SELECT value FROM json_each(?))"
_packer = Compressor(b"")


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


def parse_row(row: tuple[int, int, float, bytes]) -> Fetched:
    """Read a row of `FETCHED`; ValueError when it is damaged."""
    revision, checksum, requested_at, packed = row
    return Fetched(revision, checksum, requested_at, _packer.unpack(packed))


def put(db: sqlite3.Connection, item: Item, record: Record, requested_at: float) -> None:
    """Store the fetched details of an item."""
    (raw,) = _packer.pack([record.raw])
    facets = json.dumps(record.facets)
    checksum = zlib.crc32(record.raw)
    db.execute(
        "INSERT OR REPLACE INTO details VALUES (?, ?, ?, ?, ?, ?)",
        (item.key, item.revision, checksum, requested_at, facets, raw),
    )


def drop(db: sqlite3.Connection, keys: Iterable[str]) -> None:
    """Delete the details of items that are gone."""
    db.execute(f"DELETE FROM details WHERE {_KEYS}", (json.dumps(list(keys)),))


def facets_of(db: sqlite3.Connection, keys: Iterable[str]) -> Mapping[str, Facets]:
    """Return the facets that the details of items add, by key; few sources have any."""
    if not db.execute("SELECT EXISTS (SELECT 1 FROM details)").fetchone()[0]:
        return {}
    rows = db.execute(
        f"SELECT key, facets FROM details WHERE {_KEYS}", (json.dumps(list(keys)),)
    ).fetchall()
    return {
        key: {kind: _values(stored) for kind, stored in json.loads(facets).items()}
        for key, facets in rows
    }


def _values(stored: list[Any]) -> tuple[Labelled, ...]:
    """Read the values of one kind; until facets had several, one was stored without a list."""
    values = stored if isinstance(stored[0], list) else [stored]
    return tuple(Labelled(*value) for value in values)
