"""The table of items that lists of their time need not hold, and of the date of each.

Some items have a date that can't be (0, milliseconds, the year 2100) or none. The list shows them
among others, and each gets the date of a neighbour the first time that it is seen. The table keeps
that date: the item must have one path, whatever its neighbours are in another answer.

What a server takes for the time of such an item when it filters is unknown, so an answer to a
filtered question need not hold it. It is gone when a list of the whole history lacks it, or when
the server has no item of its id. The same holds of an item that the server has, by its id, and does
not list among those of its date.

Each function works within a transaction of its caller.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence, Set
from dataclasses import replace

from histfs.core.item import UNKNOWN_NEW, UNKNOWN_OLD, Record

Place = tuple[int, str]

#: Seconds by which an item may come from the future.
_CLOCK_ERROR = 86_400.0

_AMONG = "key IN (SELECT value FROM json_each(?))"


def placed(
    db: sqlite3.Connection, records: Sequence[Record], asked: float
) -> tuple[Sequence[Record], list[Place]]:
    """Give each record without a possible date the date under which it is shown.

    Args:
        db: within a transaction.
        records: as the source gave them.
        asked: when they were asked for, in seconds since the epoch.

    Returns:
        The records; and the date and key of items that stand in the catalog under another date
        than the one that they have now.
    """
    any_known = db.execute("SELECT EXISTS (SELECT 1 FROM undated)").fetchone()[0]
    if not any_known and all(record.dated for record in records):
        return records, []
    keys = {record.item.key: record.dated for record in records}
    known: dict[str, int] = dict(
        db.execute(f"SELECT key, date FROM undated WHERE {_AMONG}", (json.dumps([*keys]),))
    )
    # A date that came later is better than a neighbour's.
    found_out = [key for key in known if keys[key]]
    misplaced = [(known[key], key) for key in found_out]
    drop(db, found_out)
    new = [key for key, dated in keys.items() if not dated and key not in known]
    misplaced += _standing(db, new)
    result = []
    for record in records:
        if not record.dated:
            key = record.item.key
            date = known[key] = known.get(key) or _neighbouring(db, record.item.date, asked)
            record = replace(record, item=replace(record.item, date=date))  # noqa: PLW2901
            db.execute(
                """
                INSERT INTO undated VALUES (?1, ?2, ?3)
                ON CONFLICT DO UPDATE SET checked = max(checked, ?3)
                """,
                (key, date, asked),
            )
        result.append(record)
    places = {(record.item.date, record.item.key) for record in result}
    return result, [place for place in misplaced if place not in places]


def listed_elsewhere(db: sqlite3.Connection, keys: Iterable[str]) -> set[str]:
    """Return which keys are of items that an answer to a filtered question need not hold."""
    among = json.dumps(list(keys))
    return {key for (key,) in db.execute(f"SELECT key FROM undated WHERE {_AMONG}", (among,))}


def absent(db: sqlite3.Connection, present: Set[str], asked: float) -> list[Place]:
    """Return the date and key of items that a list of the whole history lacks.

    Args:
        db: within a transaction.
        present: the keys of items without a possible date that it has.
        asked: when it was asked for, in seconds since the epoch.
    """
    rows = db.execute("SELECT date, key FROM undated WHERE checked < ?", (asked,)).fetchall()
    return [(date, key) for date, key in rows if key not in present]


def keep(db: sqlite3.Connection, places: Iterable[Place], checked: float) -> None:
    """Note items that the server has, and does not list among those of their date.

    Args:
        db: within a transaction.
        places: the date and key of each.
        checked: when the server had them, in seconds since the epoch.
    """
    rows = [(key, date, checked) for date, key in places]
    db.executemany("INSERT OR REPLACE INTO undated VALUES (?, ?, ?)", rows)


def drop(db: sqlite3.Connection, keys: Iterable[str]) -> None:
    """Forget items that are gone, or whose date is known now."""
    db.execute(f"DELETE FROM undated WHERE {_AMONG}", (json.dumps(list(keys)),))


def _standing(db: sqlite3.Connection, keys: Sequence[str]) -> list[Place]:
    """Return where items stand that an earlier version showed under their impossible dates."""
    if not keys:
        return []
    found = db.execute(f"SELECT date, key FROM items WHERE {_AMONG}", (json.dumps(keys),))
    return [(date, key) for date, key in found]


def _neighbouring(db: sqlite3.Connection, date: int, asked: float) -> int:
    """Return the date of a neighbour in the list, else one of the oldest or the newest item."""
    if date not in (UNKNOWN_OLD, UNKNOWN_NEW):
        return date
    # Not an item that an earlier version showed at its impossible date.
    possible = (UNKNOWN_OLD, asked + _CLOCK_ERROR)
    ((oldest, newest),) = db.execute(
        "SELECT min(date), max(date) FROM items WHERE date > ? AND date < ?", possible
    ).fetchall()
    nearest = oldest if date == UNKNOWN_OLD else newest
    return int(asked) if nearest is None else int(nearest)
