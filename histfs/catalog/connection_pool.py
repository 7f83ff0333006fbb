"""A pool of connections to the catalog's file, lent for a statement or a transaction.

Threads: any number at once. `_writing` lets one thread of this process write at a time, and is held
for a transaction; SQLite's own lock holds off other processes. `_lock` guards the list of idle
connections; it may be taken while `_writing` is held, and no other lock while it is held.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from histfs.catalog import schema
from histfs.core.errors import CacheFailed, NoSpace

#: Idle connections that are kept, each with up to 2 MB of pages and three descriptors.
_IDLE = 8


class ConnectionPool:
    """A pool: FUSE's threads are too short-lived to have a connection each.

    Args:
        path: the SQLite file; created if missing.

    Raises:
        CacheFailed, NoSpace: the file can't be created or opened. So do all methods.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._closed = False
        with mapped_errors(path):
            # It is never lent, and keeps the journal's index (``-shm``) allocated: the last
            # connection that is closed removes the index, and a connection that fails is closed;
            # on a full disk the next one could not create the index, not even to read
            # (https://www.sqlite.org/wal.html, "The WAL-Index File").
            self._anchor = schema.prepare(path)

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[Any]:
        """Return all rows of a statement."""
        # As `_lend` does, which costs as much as the query: a walk asks for each item.
        try:
            db = self._take()
            try:
                found = db.execute(statement, values).fetchall()
            except UnicodeEncodeError:
                found = []  # a path with bytes that no stored text holds
            except BaseException:
                db.close()
                raise
            self._give_back(db)
        except (sqlite3.Error, OSError) as error:
            with mapped_errors(self._path):
                raise error from None
        return found

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection for a write transaction; it rolls back if the block raises."""
        with self._writing, self._lend() as db:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")

    def close(self) -> None:
        """Close the connections: the idle ones now, the others when they are returned."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for db in (*idle, self._anchor):
            db.close()

    @contextlib.contextmanager
    def _lend(self) -> Iterator[sqlite3.Connection]:
        with mapped_errors(self._path):
            db = self._take()
            try:
                yield db
            except BaseException:
                db.close()  # which rolls back
                raise
            self._give_back(db)

    def _take(self) -> sqlite3.Connection:
        with self._lock:
            db = self._idle.pop() if self._idle else None
        return db or schema.connect(self._path)

    def _give_back(self, db: sqlite3.Connection) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < _IDLE:
                self._idle.append(db)
                return
        db.close()


@contextlib.contextmanager
def mapped_errors(path: Path) -> Iterator[None]:
    """Map the errors of SQLite and of the disk to those of the core.

    Args:
        path: the SQLite file.
    """
    try:
        yield
    except sqlite3.Error as error:
        if "full" in str(error):
            raise NoSpace(f"no space left for the catalog {path}") from error
        if "no such module" in str(error):
            raise CacheFailed("this Python's SQLite has no full text search (FTS5)") from error
        if "malformed" in str(error) or "not a database" in str(error):
            schema.mark_damaged(path)
            raise CacheFailed(
                f"the catalog {path} is damaged: mount again, and it is set aside and read anew"
            ) from error
        raise CacheFailed(f"the catalog {path} failed: {error}") from error
    except OSError as error:
        raise CacheFailed(f"the catalog {path} failed: {error.strerror}") from error
