"""All that is known of the items of a span, joined: for tables of a million rows.

Rows come in batches, each by a statement of its own: a reader that takes hours does not keep the
write-ahead log from being reset. Memory holds one batch.

Threads: any number at once; there is no state here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from histfs.catalog import erasure, item_rows
from histfs.catalog.catalog_queries import item_of
from histfs.catalog.catalog_store import CatalogStore
from histfs.core.item import Facets, Item
from histfs.core.names import Labelled
from histfs.core.times import ALWAYS, Span

#: Items of one statement.
_BATCH = 1000

_FROM = """
    FROM items AS i
        LEFT JOIN endings AS e ON e.key = i.key
        LEFT JOIN audio AS a ON a.key = i.key
        LEFT JOIN details AS d ON d.key = i.key
"""
_WHERE = """
    WHERE i.date < ?1 AND (i.date, i.key) > (?2, ?3) ORDER BY i.date, i.key LIMIT ?4
"""
_JOINED = f"""
    SELECT i.date, i.key, i.labels, a.size, a.sha256, r.raw, {erasure.STRUCTURE},
        d.revision, d.checksum, d.asked, d.raw,
        i.key, i.id, i.date, i.slug, i.content_type, i.output_format, i.estimate, i.revision,
        i.timed, e.ending
    {_FROM} JOIN raws AS r ON r.n = i.n {_WHERE}
"""
_STATES = f"""
    SELECT i.date, i.key, i.labels, i.revision, a.size, a.sha256, d.checksum, e.ending
    {_FROM} {_WHERE}
"""
_LABELS = """
    SELECT label, kind, value, name FROM labels WHERE label IN (SELECT value FROM json_each(?))
"""


class JoinedItem(NamedTuple):
    """An item with all that the catalog has of it.

    Attributes:
        item: the item.
        facets: its facets.
        size: the exact size of its audio in bytes; None if it isn't known.
        sha256: of its audio; None if it isn't known.
        raw: its object as listed.
        fetched: its object as fetched by itself; None if it was not.
    """

    item: Item
    facets: Facets
    size: int | None
    sha256: bytes | None
    raw: bytes
    fetched: bytes | None


def joined(store: CatalogStore, span: Span) -> Iterator[JoinedItem]:
    """Yield the items of a span, oldest first.

    Raises:
        CacheFailed, NoSpace: the catalog can't be read, or a row is damaged.
    """
    for rows in _batches(store, _JOINED, span):
        facets_of = {own: _facets(named) for own, named in _labels(store, rows).items()}
        for date, key, own, size, sha256, packed, structure, *rest in rows:
            raw = store.unpack(packed, structure) or store.raw(key, date)
            if raw is None:
                continue  # deleted meanwhile
            fetched = None
            if rest[3] is not None:
                with store.damage():
                    fetched = item_rows.parse_fetched((rest[0], rest[1], rest[2], rest[3])).raw
            yield JoinedItem(item_of(rest[4:]), facets_of[own], size, sha256, raw, fetched)


def state_of(store: CatalogStore, span: Span, *, audio: bool = True) -> tuple[int, str]:
    """Return the number of a span's items, and a checksum of all that `joined` yields of them.

    It parses no objects, and takes a fraction of the time.

    Args:
        store: the catalog.
        span: in which the items were created.
        audio: whether what is learnt of audio when it is fetched counts.
    """
    count, digest = 0, hashlib.sha256()
    for rows in _batches(store, _STATES, span):
        names = {own: repr(named) for own, named in _labels(store, rows).items()}
        count += len(rows)
        for date, key, own, revision, size, sha256, checksum, ending in rows:
            rest = [revision, size, sha256, checksum, ending] if audio else [revision, checksum]
            line = f"({date!r}, {key!r}, {names[own]}, {rest!r})"
            digest.update(line.encode("utf-8", "surrogatepass"))
    return count, digest.hexdigest()


def months(store: CatalogStore, since: int) -> Sequence[str]:
    """Return the months of UTC in which there are items, such as ``2024-05``, oldest first.

    Args:
        store: the catalog.
        since: the first moment that counts, in seconds since the epoch.
    """
    rows = store.files.rows(
        """
        SELECT DISTINCT strftime('%Y-%m', date, 'unixepoch') FROM items WHERE date >= ? ORDER BY 1
        """,
        (since,),
    )
    return [month for (month,) in rows]


def newest(store: CatalogStore, number: int) -> Span:
    """Return the span of the newest items, of all where there are fewer.

    Args:
        store: the catalog.
        number: how many; as many more as have the same date as the oldest of them.
    """
    rows = store.files.rows(
        "SELECT date FROM items ORDER BY date DESC LIMIT 1 OFFSET ?", (number - 1,)
    )
    return Span(rows[0][0], ALWAYS.end) if rows else ALWAYS


def _batches(store: CatalogStore, statement: str, span: Span) -> Iterator[list[Any]]:
    place: tuple[int, str] = (span.start, "")
    while rows := store.files.rows(statement, (span.end, *place, _BATCH)):
        yield rows
        if len(rows) < _BATCH:
            return
        place = rows[-1][:2]


def _numbers(labels: str) -> list[int]:
    """Return the numbers of the column `items.labels`; for a million rows json is too slow."""
    return list(map(int, labels[1:-1].split(","))) if len(labels) > 2 else []


def _labels(
    store: CatalogStore, rows: list[Any]
) -> Mapping[str, Sequence[tuple[str, str, str | None] | None]]:
    """Return the labels that some rows have, by their columns `items.labels`: few are different.

    None stands for a label that is gone.
    """
    numbers = {own: _numbers(own) for own in {row[2] for row in rows}}
    wanted = sorted({number for each in numbers.values() for number in each})
    found = store.files.rows(_LABELS, (json.dumps(wanted),))
    labels = {number: (kind, value, name) for number, kind, value, name in found}
    return {own: [labels.get(number) for number in each] for own, each in numbers.items()}


def _facets(labels: Sequence[tuple[str, str, str | None] | None]) -> Facets:
    facets: dict[str, tuple[Labelled, ...]] = {}
    for kind, value, name in filter(None, labels):
        facets[kind] = (*facets.get(kind, ()), Labelled(value, name))
    return facets
