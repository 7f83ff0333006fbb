"""Parses stored objects again, once, after an update of the source's parser.

An object that has not changed at the server is never written again: its revision is the same. So
what an earlier version parsed from it, such as its name and its voices, would stay. Its raw object
is stored, too, and is parsed again here, without a request.

The progress is kept in the catalog's notes, in the same transaction as the items: after an
interruption it is resumed from there, and two processes may do it at once.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from histfs.catalog.catalog_store import CatalogStore
from histfs.catalog.erasure import STRUCTURE
from histfs.core.item import Record
from histfs.core.source import ObjectParser
from histfs.core.times import ALWAYS

#: Items that are written in one transaction; others write in between.
_BATCH = 500

_NOTE = "SELECT value FROM notes WHERE name = 'reading'"
_NEXT = f"""
    SELECT i.date, i.key, i.n, i.revision, i.slug, i.content_type, i.output_format, i.estimate,
           i.timed, i.labels, r.raw, {STRUCTURE}
    FROM items AS i JOIN raws AS r USING (n)
    WHERE (i.date, i.key) > (?, ?) ORDER BY i.date, i.key LIMIT ?
"""

log = logging.getLogger(__name__)

_Labels = Mapping[int, tuple[str, str]]


class _StoredItem(NamedTuple):
    """An item as it is stored."""

    date: int
    key: str
    n: int
    revision: int
    slug: str
    content_type: str
    output_format: str
    estimate: int
    timed: int
    labels: str
    packed: bytes
    structure: bytes | None


def reparse(store: CatalogStore, parser: ObjectParser) -> int:
    """Parse all stored objects again, unless this version of the parser, or a newer one, has.

    Args:
        store: the objects and their items.
        parser: the source's.

    Returns:
        The number of items that are shown differently now.

    Raises:
        CacheFailed, NoSpace: the catalog can't be read or written.
    """
    changed = 0
    while (after := _place(store, parser.version)) is not None:
        rows = [_StoredItem(*row) for row in store.files.rows(_NEXT, (*after, _BATCH))]
        raws = [store.unpack(row.packed, row.structure) for row in rows]
        if None in raws:
            continue  # another process has packed them anew in between
        labels = {
            label: (kind, value)
            for label, kind, value in store.files.rows("SELECT label, kind, value FROM labels")
        }
        records = [
            (row.n, record)
            for row, raw in zip(rows, raws, strict=True)
            if raw is not None
            and (record := _parse(parser, row, raw)) is not None
            and _differs(row, record, labels)
        ]
        place = (rows[-1].date, rows[-1].key) if len(rows) == _BATCH else None
        progress = json.dumps({"version": parser.version, "after": place}).encode()
        store.rewrite(records, progress)
        changed += len(records)
    if changed:
        log.info("%d items were parsed again, and are shown differently now", changed)
    return changed


def _place(store: CatalogStore, version: int) -> tuple[int, str] | None:
    """Return the place of the last item that was parsed again; None when all were."""
    rows = store.files.rows(_NOTE)
    note: dict[str, Any] = json.loads(rows[0][0]) if rows else {"version": 0}
    if note["version"] < version:
        return ALWAYS.start - 1, ""
    if note["version"] > version or note["after"] is None:
        return None
    date, key = note["after"]
    return date, key


def _parse(parser: ObjectParser, row: _StoredItem, raw: bytes) -> Record | None:
    """Parse an item again; None when it can't be parsed, and stays as it is."""
    try:
        record = parser.parse(raw)
    except Exception as error:  # noqa: BLE001 - of a plugin's parser; one item must not stop all
        log.warning("item %s can't be parsed again: %s", row.key, error)
        return None
    # Its date may be a neighbour's, which the object alone doesn't tell.
    return replace(record, item=replace(record.item, date=row.date, revision=row.revision))


def _differs(row: _StoredItem, record: Record, labels: _Labels) -> bool:
    """Say whether an item is parsed differently from how it is stored."""
    item = record.item
    if item.key != row.key:
        return False  # that would be another item
    # Facets that its fetched details add are stored with it, too.
    stored = [has for label in json.loads(row.labels) if (has := labels[label])[0] in record.facets]
    read = [(kind, has.value) for kind, values in record.facets.items() for has in values]
    had = (row.slug, row.content_type, row.output_format, row.estimate, row.timed)
    has_now = (item.slug, item.content_type, item.output_format, item.estimate, item.timed)
    return stored != read or had != has_now
