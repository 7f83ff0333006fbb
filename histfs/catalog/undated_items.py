"""The table of undated items: those that a list of their time need not hold, and their dates.

Some items have an impossible date (0, milliseconds, the year 2100) or none. The list has them among
others, and each gets the date of a neighbour the first time that it is seen. The table keeps that
date: the item must have one path, whatever its neighbours are in the next answer.

Which time a server's filter uses for such an item is unknown, so a filtered list need not hold it.
It is gone when an unfiltered list lacks it, or when the server has no item of its id. The table
also keeps dated items that the server has, by their ids, and does not list at their dates.

Each function works within a transaction of its caller.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence, Set
from dataclasses import replace

from histfs.core.item import UNKNOWN_NEW, UNKNOWN_OLD, Record
from histfs.core.times import CLOCK_TOLERANCE

Place = tuple[int, str]


_AMONG = "key IN (SELECT value FROM json_each(?))"


def assign_dates(
    db: sqlite3.Connection, records: Sequence[Record], requested_at: float
) -> tuple[Sequence[Record], list[Place]]:
    """Give each record without a possible date the date under which it is shown.

    Args:
        db: within a transaction.
        records: as the source gave them.
        requested_at: when they were requested, in seconds since the epoch.

    Returns:
        The records; and the date and key of items that the catalog has under another date than
        the one that they have now.
    """
    any_known = db.execute("SELECT EXISTS (SELECT 1 FROM undated)").fetchone()[0]
    if not any_known and all(record.dated for record in records):
        return records, []
    keys = {record.item.key: record.dated for record in records}
    known: dict[str, int] = dict(
        db.execute(f"SELECT key, date FROM undated WHERE {_AMONG}", (json.dumps([*keys]),))
    )
    # A date of its own replaces a neighbour's.
    now_dated = [key for key in known if keys[key]]
    misplaced = [(known[key], key) for key in now_dated]
    db.execute(f"DELETE FROM undated WHERE {_AMONG}", (json.dumps(now_dated),))
    new = [key for key, dated in keys.items() if not dated and key not in known]
    misplaced += _places_of(db, new)
    result = []
    for record in records:
        if not record.dated:
            key = record.item.key
            date = known[key] = known.get(key) or _neighbour_date(
                db, record.item.date, requested_at
            )
            record = replace(record, item=replace(record.item, date=date))  # noqa: PLW2901
            db.execute(
                """
                INSERT INTO undated VALUES (?1, ?2, ?3)
                ON CONFLICT DO UPDATE SET checked = max(checked, ?3)
                """,
                (key, date, requested_at),
            )
        result.append(record)
    places = {(record.item.date, record.item.key) for record in result}
    return result, [place for place in misplaced if place not in places]


def exempt(db: sqlite3.Connection, keys: Iterable[str]) -> set[str]:
    """Return those of some keys that a filtered list need not hold."""
    among = json.dumps(list(keys))
    return {key for (key,) in db.execute(f"SELECT key FROM undated WHERE {_AMONG}", (among,))}


def absent(db: sqlite3.Connection, present: Set[str], requested_at: float) -> list[Place]:
    """Return the date and key of undated items that an unfiltered list lacks.

    Args:
        db: within a transaction.
        present: the keys of undated items that it has.
        requested_at: when it was requested, in seconds since the epoch.
    """
    rows = db.execute("SELECT date, key FROM undated WHERE checked < ?", (requested_at,)).fetchall()
    return [(date, key) for date, key in rows if key not in present]


def put(db: sqlite3.Connection, places: Iterable[Place], checked: float) -> None:
    """Record items that the server has, and does not list at their dates.

    Args:
        db: within a transaction.
        places: the date and key of each.
        checked: when the server had them, in seconds since the epoch.
    """
    rows = [(key, date, checked) for date, key in places]
    db.executemany("INSERT OR REPLACE INTO undated VALUES (?, ?, ?)", rows)


def _places_of(db: sqlite3.Connection, keys: Sequence[str]) -> list[Place]:
    """Return the places of items that an earlier version showed under impossible dates."""
    if not keys:
        return []
    found = db.execute(f"SELECT date, key FROM items WHERE {_AMONG}", (json.dumps(keys),))
    return [(date, key) for date, key in found]


def _neighbour_date(db: sqlite3.Connection, date: int, requested_at: float) -> int:
    """Return the date of a neighbour in the list, else that of the oldest or the newest item."""
    if date not in (UNKNOWN_OLD, UNKNOWN_NEW):
        return date
    # Without items that an earlier version showed at their impossible dates.
    possible = (UNKNOWN_OLD, requested_at + CLOCK_TOLERANCE)
    ((oldest, newest),) = db.execute(
        "SELECT min(date), max(date) FROM items WHERE date > ? AND date < ?", possible
    ).fetchall()
    nearest = oldest if date == UNKNOWN_OLD else newest
    return int(requested_at) if nearest is None else int(nearest)
