"""Connections to the catalog's file, lent for a statement or a transaction.

Threads: any number at once. `_writing` lets one thread of this process write at a time; another
process is held off by SQLite's own lock. `_lock` guards the pool.
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

#: Connections that are kept for the next use, each with up to 2 MB of pages and three descriptors.
_IDLE = 8


class ConnectionPool:
    """A pool: FUSE's threads are too short-lived to have a connection each.

    Args:
        path: the SQLite file; made when it isn't there.

    Raises:
        CacheFailed, NoSpace: the file can't be made or opened. So do all methods.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._closed = False
        with translated(path):
            schema.prepare(path)

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[Any]:
        """Return all rows of a statement."""
        with self._lend() as db:
            try:
                return db.execute(statement, values).fetchall()
            except UnicodeEncodeError:
                return []  # a path with bytes that no stored text holds

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection to write with; all of it is kept, or nothing."""
        with self._writing, self._lend() as db:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")

    def close(self) -> None:
        """Close the connections: the idle ones now, the others once they are given back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for db in idle:
            db.close()

    @contextlib.contextmanager
    def _lend(self) -> Iterator[sqlite3.Connection]:
        with translated(self._path):
            with self._lock:
                db = self._idle.pop() if self._idle else None
            db = db or schema.connect(self._path)
            try:
                yield db
            except BaseException:
                db.close()  # and whatever it had begun is undone
                raise
            with self._lock:
                if not self._closed and len(self._idle) < _IDLE:
                    self._idle.append(db)
                    return
            db.close()


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors, and the disk's under it, into the core's.

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
