"""The names of the directories that views have for values, such as ``Rachel`` for a voice.

A backup of ``by-voice/Rachel`` must never be filled with the clips of another Rachel. So a name
stays reserved for its value as long as the catalog's file exists.

The names are personal data, and are deleted with the last item of their value. A keyed checksum of
each name and its value stays, which is enough to keep the name reserved; `release` deletes those of
values without items, too. Names that differ in case alone are one name to many targets of a backup:
a checksum of the folded name stays, too.

Each function works within a transaction of its caller.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Mapping

from histfs.core.index import FacetValue
from histfs.core.names import Labelled, choose_name, folded, is_name_of

#: The names of a view's directories; takes the view's name and the facet.
NAMES = "SELECT value, name FROM directories WHERE view = ? AND kind = ?"
#: The values of a facet that items have; takes the facet.
VALUES = """
    SELECT value, name,
           (SELECT min(date) FROM placed WHERE placed.label = labels.label) AS oldest,
           (SELECT max(date) FROM placed WHERE placed.label = labels.label)
    FROM labels WHERE kind = ? AND oldest IS NOT NULL ORDER BY oldest, value
"""

_OWNER = "SELECT value FROM taken WHERE name = ?"
_SALT = "SELECT value FROM notes WHERE name = 'salt'"


def unnamed(
    values: Iterable[FacetValue], names: Mapping[str, str], nothing: str, *, rename: bool
) -> list[FacetValue]:
    """Return the values that need a name.

    Args:
        values: of a facet, the oldest first.
        names: the names of those that have one, by value.
        nothing: the name for the empty value.
        rename: whether to include those that would be named otherwise by now: their label has
            changed, or the name is one to others where case is ignored.
    """
    seen, found = set[str](), []
    for value in values:
        name = names.get(value.value)
        if name is None:
            found.append(value)
        elif rename:
            # A catalog from before may have names that differ in case alone.
            if folded(name) in seen or not is_name_of(name, _labelled(value), nothing):
                found.append(value)
            seen.add(folded(name))
    return found


def assign(
    db: sqlite3.Connection, view: str, kind: str, nothing: str, *, rename: bool
) -> tuple[dict[str, FacetValue], bool]:
    """Give a name to each value that needs one.

    Args:
        db: within a transaction.
        view: the name of the view.
        kind: the facet.
        nothing: the name for the empty value.
        rename: as in `unnamed`.

    Returns:
        The values by their names, and whether a name has changed.
    """
    values = [FacetValue(*row) for row in db.execute(VALUES, (kind,))]
    names = dict(db.execute(NAMES, (view, kind)).fetchall())
    salt = _salt(db)

    def reserve(value: str, name: str) -> None:
        owner = _checksum(salt, kind, value)
        rows = [(checksum, owner) for checksum in _reserved(salt, view, kind, name)]
        db.executemany("INSERT OR IGNORE INTO taken VALUES (?, ?)", rows)

    # A catalog from before has no checksums of folded names. To add them takes long: once.
    named = [each.value for each in values if each.value in names]
    if named and not _is_folded(db, _reserved(salt, view, kind, names[named[-1]])):
        for value in named:
            reserve(value, names[value])
    renamed = False
    for each in unnamed(values, names, nothing, rename=rename):

        def usable(name: str, owner: bytes = _checksum(salt, kind, each.value)) -> bool:
            taken = (db.execute(_OWNER, (each,)) for each in _reserved(salt, view, kind, name))
            return {row[0] for rows in taken for row in rows} <= {owner}

        renamed |= each.value in names
        name = names[each.value] = choose_name(_labelled(each), nothing, usable)
        db.execute(
            "INSERT OR REPLACE INTO directories VALUES (?, ?, ?, ?)",
            (view, kind, each.value, name),
        )
        reserve(each.value, name)
    return {names[value.value]: value for value in values}, renamed


def drop(db: sqlite3.Connection, values: Iterable[tuple[str, str]]) -> None:
    """Delete the names of values that no item has any more; they stay reserved.

    Args:
        db: within a transaction.
        values: the facet and the value of each.
    """
    db.executemany("DELETE FROM directories WHERE kind = ? AND value = ?", values)


def release(db: sqlite3.Connection) -> None:
    """Delete the reservations for values that no item has any more.

    Args:
        db: within a transaction.
    """
    salt = _salt(db)
    rows = db.execute(
        "SELECT kind, value FROM labels WHERE EXISTS"
        " (SELECT 1 FROM placed WHERE placed.label = labels.label)"
    )
    alive = {_checksum(salt, *row) for row in rows}
    gone = [row for row in db.execute("SELECT name, value FROM taken") if row[1] not in alive]
    db.executemany("DELETE FROM taken WHERE name = ?", [(name,) for name, _ in gone])


def _salt(db: sqlite3.Connection) -> bytes:
    """Return the key of the checksums, a different one in each file."""
    found = db.execute(_SALT).fetchone()
    if found is None:
        found = (os.urandom(16),)
        db.execute("INSERT INTO notes VALUES ('salt', ?)", found)
    return bytes(found[0])


def _checksum(salt: bytes, *parts: str) -> bytes:
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16, key=salt).digest()


def _reserved(salt: bytes, view: str, kind: str, name: str) -> tuple[bytes, bytes]:
    """Return the checksums that reserve a name: of itself, and of what it is without its case."""
    return (
        _checksum(salt, view, kind, name),
        _checksum(salt, view, kind, "folded", folded(name)),
    )


def _is_folded(db: sqlite3.Connection, reserved: tuple[bytes, bytes]) -> bool:
    """Say whether a name is reserved also without its case."""
    return db.execute(_OWNER, reserved[1:]).fetchone() is not None


def _labelled(value: FacetValue) -> Labelled:
    return Labelled(value.value, value.label)
