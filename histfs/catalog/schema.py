"""The catalog's SQLite file: its tables, its version, and how it is opened.

items    one row for each item, with what a listing shows; `key` is the id, or stands for an odd one
raws     their raw objects, in a table apart: a listing of 100,000 items must not read 100 MB
audio    exact sizes and checksums, by key: they outlive the clip, and are deleted with the item
endings  the endings of audio files whose bytes contradict their items, by key like the sizes
labels   the values of facets: voices, sources, models
placed   which items have which label, by date; `items.labels` lists the same for one item
windows  the coverage: spans that are completely known, and when they were requested
undated  items without a possible date, the date under which each is shown, and when the server
         last had it
deleted  keys of items that were deleted here lately, and when
notes    single values, such as the dictionary that the raw objects are compressed with
details  all details of an item whose source lists only a summary, by key, as they were fetched
gone     keys of deleted items, when they were found to be, and whether their clips were dropped
changes  the number of changes (the version), and of items
directories  the name of each value's directory in a view
taken    checksums of all such names that were ever given, and of the values they were given to
rendered  the sizes of an item's rendered files, by `items.n`, and which code has rendered them
numbers  the highest `n` ever given to an item, and how far `text_index` has indexed

No table of items has an index on keys, which are in no order: a page of a scan would touch a
thousand places of it. A lookup of an item knows its date.
"""

from __future__ import annotations

import contextlib
import glob
import logging
import os
import sqlite3
import time
from pathlib import Path

from histfs.catalog.file_lock import locked

#: A file of another version is set aside, and a new one created.
VERSION = 3

#: Seconds to wait for another mount of the same account that is writing.
BUSY_TIMEOUT = 10.0

log = logging.getLogger(__name__)

_TABLES = """
CREATE TABLE items (
    date          INTEGER NOT NULL,
    key           TEXT NOT NULL,
    id            BLOB,
    n             INTEGER NOT NULL,
    slug          TEXT NOT NULL,
    content_type  TEXT NOT NULL,
    output_format TEXT NOT NULL,
    estimate      INTEGER NOT NULL,
    revision      INTEGER NOT NULL,
    labels        TEXT NOT NULL,
    timed         INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (date, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE raws (
    n   INTEGER PRIMARY KEY,
    raw BLOB NOT NULL
) STRICT;
CREATE TABLE audio (
    key    TEXT PRIMARY KEY,
    size   INTEGER NOT NULL,
    sha256 BLOB
) STRICT, WITHOUT ROWID;
CREATE TABLE labels (
    label INTEGER PRIMARY KEY,
    kind  TEXT NOT NULL,
    value TEXT NOT NULL,
    name  TEXT,
    dated INTEGER NOT NULL,
    UNIQUE (kind, value)
) STRICT;
CREATE TABLE placed (
    label INTEGER NOT NULL,
    date  INTEGER NOT NULL,
    key   TEXT NOT NULL,
    PRIMARY KEY (label, date, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE windows (
    start INTEGER PRIMARY KEY,
    "end" INTEGER NOT NULL,
    asked REAL NOT NULL
) STRICT;
CREATE TABLE deleted (
    key TEXT PRIMARY KEY,
    at  REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE notes (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE changes (
    version INTEGER NOT NULL,
    items   INTEGER NOT NULL
) STRICT;
INSERT INTO changes VALUES (0, 0);
"""

# Later tables are created where they are missing: another version would set aside files with
# known audio sizes.
_ADDED = """
CREATE TABLE IF NOT EXISTS numbers (
    given   INTEGER NOT NULL,
    indexed INTEGER NOT NULL,
    rows    INTEGER NOT NULL
) STRICT;
INSERT INTO numbers
    SELECT (SELECT coalesce(max(n), 0) FROM raws), 0, 0
    WHERE NOT EXISTS (SELECT 1 FROM numbers);
CREATE TABLE IF NOT EXISTS details (
    key      TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    asked    REAL NOT NULL,
    facets   TEXT NOT NULL,
    raw      BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS undated (
    key     TEXT PRIMARY KEY,
    date    INTEGER NOT NULL,
    checked REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS gone (
    key   TEXT PRIMARY KEY,
    at    REAL NOT NULL,
    swept INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS endings (
    key    TEXT PRIMARY KEY,
    ending TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS directories (
    view  TEXT NOT NULL,
    kind  TEXT NOT NULL,
    value TEXT NOT NULL,
    name  TEXT NOT NULL,
    PRIMARY KEY (kind, value, view)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS taken (
    name  BLOB PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rendered (
    n     INTEGER PRIMARY KEY,
    stamp INTEGER NOT NULL,
    sizes TEXT NOT NULL
) STRICT
"""

_TIMED = "SELECT 1 FROM pragma_table_info('items') WHERE name = 'timed'"

_NAMES = {
    "items", "raws", "audio", "labels", "placed", "windows", "deleted", "notes", "changes"
}  # fmt: skip


def connect(path: Path) -> sqlite3.Connection:
    """Open a catalog file that `prepare` has checked or created.

    Args:
        path: the file.

    Returns:
        A connection in autocommit mode that any one thread at a time may use.
    """
    # STRICT tables need SQLite 3.37 (Debian 12 has 3.40, Ubuntu 22.04 3.37).
    db = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA temp_store = MEMORY")
        # Deleted rows are overwritten; FAST would leave free pages as they are.
        db.execute("PRAGMA secure_delete = ON")
        # 4 MB. More makes no scan faster, and the journal would keep its largest size for ever.
        db.execute("PRAGMA wal_autocheckpoint = 1000")
        db.execute("PRAGMA journal_size_limit = 4194304")
    except sqlite3.Error:
        db.close()
        raise
    return db


def prepare(path: Path) -> sqlite3.Connection:
    """Create a catalog file, or check the existing one.

    One that is damaged, or of another version, is set aside with a warning: the server has
    everything that is in it.

    Args:
        path: the file; its directory exists.

    Returns:
        A connection as from `connect`. It has used the journal: if it was closed, and was the last
        one, SQLite would write the journal into the file and remove it, to begin another.
    """
    # Another process that starts now would set aside a file that is half created.
    with locked(path.with_name(f"{path.name}.lock"), wait=True):
        try:
            if _mark(path).exists():
                raise sqlite3.DatabaseError("it was found to be damaged")
            return _check_or_create(path)
        except sqlite3.OperationalError:
            raise  # locked, a full disk, no permission: the file itself may be good
        except sqlite3.DatabaseError as error:
            aside = path.with_name(f"{path.name}.{time.strftime('%Y%m%dT%H%M%S')}.unusable")
            log.warning("%s can't be used (%s): set aside as %s", path, error, aside.name)
            # Only the last one is kept: each may be as large as a catalog.
            for earlier in path.parent.glob(f"{glob.escape(path.name)}.*.unusable"):
                earlier.unlink(missing_ok=True)
            path.rename(aside)
            _mark(path).unlink(missing_ok=True)
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            return _check_or_create(path)


def examine(path: Path) -> str | None:
    """Check a whole catalog file; return what is wrong with it, None when nothing is.

    Args:
        path: the file; it exists.
    """
    if _mark(path).exists():
        return "it was found to be damaged"
    try:
        with contextlib.closing(connect(path)) as db:
            (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        return str(error)
    return None if found == "ok" else str(found)


def mark_damaged(path: Path) -> None:
    """Have a catalog file set aside the next time that it is opened.

    Damage behind its first pages shows only when they are read, while other threads and processes
    may use the file.
    """
    with contextlib.suppress(OSError):
        _mark(path).touch(mode=0o600)


def _mark(path: Path) -> Path:
    return path.with_name(f"{path.name}.damaged")


def _check_or_create(path: Path) -> sqlite3.Connection:
    # SQLite would create it, and then its journal, with the permissions of the umask.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    with contextlib.ExitStack() as stack:
        db = stack.enter_context(contextlib.closing(connect(path)))
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("BEGIN IMMEDIATE")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version == 0 and not _tables(db):
            for statement in _TABLES.split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {VERSION}")
        elif version != VERSION:
            raise sqlite3.DatabaseError(f"its version is {version}, not {VERSION}")
        if not _tables(db) >= _NAMES:
            raise sqlite3.DatabaseError("tables are missing")
        if not db.execute(
            "SELECT 1 FROM pragma_table_info('items') WHERE name = 'timed'"
        ).fetchall():
            db.execute("ALTER TABLE items ADD COLUMN timed INTEGER NOT NULL DEFAULT 0")
        for statement in _ADDED.split(";"):
            db.execute(statement)
        db.execute("COMMIT")
        stack.pop_all()
    return db


def _tables(db: sqlite3.Connection) -> set[str]:
    return {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
