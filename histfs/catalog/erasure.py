"""Erasure of deleted items: within the transaction that removes an item, and in the file later.

The transaction deletes all rows about the item, and puts its key into the table `gone`: its clip is
dropped from the audio cache then (`has_unswept`, `mark_swept`), also after a crash in between.

Traces are left in the file: SQLite overwrites deleted rows (``secure_delete``), but not the copies
that it made when it moved them from page to page, and not the journal. `clean` removes these, at
the cost of rewriting the file.

The thread that finds that items are gone drops their clips at once (`ErasureWorker`). A thread of
its own cleans the catalog's file a moment later: once for all the items that ``rm -r`` deletes.

Threads: the functions that take a connection work within a transaction of their caller; `clean`
has a connection of its own. Any number of threads use the worker. `_changed` guards its thread and
its flags; it is held while the thread is started and while one row of the catalog is read. Clips
are dropped, and the file is cleaned, without it: two threads may do so at once. The thread ends by
itself.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from histfs.catalog import directory_names, schema
from histfs.catalog.compression import Compressor, dictionary_of
from histfs.catalog.connection_pool import ConnectionPool, mapped_errors
from histfs.core.attachments import MARK, key_prefix
from histfs.core.errors import CacheFailed, HistfsError

#: Seconds that a key stays in `gone`: a download may store its clip after its item was deleted.
GONE_MEMORY = 86_400.0
#: Bytes of a catalog that is rewritten by itself: it takes one to three seconds.
SMALL = 128 << 20

#: Has a row where traces of deleted items may be in the file.
UNCLEAN = "SELECT value FROM notes WHERE name = 'unclean'"
#: The dictionary of the raw objects, and a random id of it.
DICTIONARY = "SELECT value FROM notes WHERE name = 'dictionary'"
STRUCTURE = "(SELECT value FROM notes WHERE name = 'structure')"

#: Items up to which the dictionary is made anew with each deletion.
_FEW = 5000
#: Raw objects that a dictionary is made of, and that are packed anew in one step.
_SAMPLE, _BATCH = 100, 500
#: Seconds that `clean` waits for other users of the file; its caller tries again.
_BUSY_TIMEOUT = 0.2
_AMONG = "IN (SELECT value FROM json_each(?))"
#: Seconds without a deletion after which the file is cleaned; and until the next try.
_QUIET, _AGAIN = 0.5, 2.0
#: Tries; each fails only while the file is being read or written.
_TRIES = 100
#: The same for `clean`; and seconds between its tries.
_TRIES_AT_ONCE, _PAUSE = 15, 1.0
#: The share of the time that cleaning may take.
_SHARE = 0.02

log = logging.getLogger(__name__)


def erase(db: sqlite3.Connection, keys: Collection[str], labels: Iterable[str], now: float) -> None:
    """Delete what is stored of items beside their own rows.

    Args:
        db: within a transaction.
        keys: those of deleted items.
        labels: their lists of labels, as `items.labels` has them.
        now: in seconds since the epoch.
    """
    drop_labels(db, labels)
    if not keys:
        return
    keys = [*keys, *attachment_keys(db, keys)]
    given = json.dumps(keys)
    db.execute(f"DELETE FROM undated WHERE key {_AMONG}", (given,))
    db.execute(f"DELETE FROM details WHERE key {_AMONG}", (given,))
    db.execute(f"DELETE FROM audio WHERE key {_AMONG}", (given,))
    db.execute(f"DELETE FROM endings WHERE key {_AMONG}", (given,))
    rows = [(key, now) for key in keys]
    db.executemany("INSERT OR REPLACE INTO gone VALUES (?, ?, 0)", rows)
    # FTS5 can delete the words of a row only with the text that was indexed, and even then keeps
    # them in older segments: the index is emptied, and the next search builds it again.
    emptied = db.execute("UPDATE numbers SET indexed = 0, rows = 0 WHERE rows > 0")
    if emptied.rowcount:
        db.execute("INSERT INTO words (words) VALUES ('delete-all')")
    _mark_unclean(db)


def attachment_keys(db: sqlite3.Connection, keys: Iterable[str]) -> list[str]:
    """Return the keys under which the audio store has the attachments of items."""
    found = []
    for key in keys:
        prefix = key_prefix(key)
        # The character after the mark ends the range of keys.
        until = prefix[:-1] + chr(ord(MARK) + 1)
        rows = db.execute("SELECT key FROM audio WHERE key >= ? AND key < ?", (prefix, until))
        found += [part for (part,) in rows]
    return found


def existing(db: sqlite3.Connection, keys: Collection[str]) -> set[str]:
    """Return those of some keys that items have; scans the whole table unless there are none."""
    if not keys:
        return set()
    rows = db.execute(f"SELECT key FROM items WHERE key {_AMONG}", (json.dumps(list(keys)),))
    return {key for (key,) in rows}


def drop_labels(db: sqlite3.Connection, labels: Iterable[str]) -> None:
    """Delete the labels that no item has any more, and the names of their directories.

    Args:
        db: within a transaction.
        labels: lists of labels that items had, as `items.labels` has them.
    """
    some = sorted({label for each in labels for label in json.loads(each)})
    if not some:
        return
    dropped = db.execute(
        f"""
        DELETE FROM labels WHERE label {_AMONG}
            AND NOT EXISTS (SELECT 1 FROM placed WHERE placed.label = labels.label)
        RETURNING kind, value, name
        """,
        (json.dumps(some),),
    ).fetchall()
    directory_names.drop(db, [(kind, value) for kind, value, _ in dropped])
    words = {word for _, *row in dropped for word in row if word}
    for (dictionary,) in db.execute(DICTIONARY).fetchall() if words else ():
        if any(json.dumps(word).encode() in dictionary for word in words):
            db.execute("INSERT OR REPLACE INTO notes VALUES ('obsolete', x'01')")
            _mark_unclean(db)


def mark_listed(db: sqlite3.Connection, keys: Iterable[str]) -> None:
    """Record that items exist, which may have been gone before."""
    if db.execute("SELECT EXISTS (SELECT 1 FROM gone)").fetchone()[0]:
        db.execute(f"DELETE FROM gone WHERE key {_AMONG}", (json.dumps(list(keys)),))


def mark_late_clip(db: sqlite3.Connection, key: str) -> bool:
    """Have a clip or an attachment dropped if it was stored after its item was deleted.

    Args:
        db: within a transaction.
        key: under which the audio store has it.

    Returns:
        Whether it was.
    """
    late = db.execute(
        "INSERT OR REPLACE INTO gone SELECT ?1, at, 0 FROM gone WHERE key IN (?1, ?2)"
        " ORDER BY key = ?1 DESC LIMIT 1",
        (key, key.partition(MARK)[0]),
    )
    return late.rowcount > 0


def has_unswept(db: sqlite3.Connection) -> bool:
    """Say whether the audio of a deleted item is still to be dropped."""
    return bool(db.execute("SELECT EXISTS (SELECT 1 FROM gone WHERE NOT swept)").fetchone()[0])


def mark_swept(db: sqlite3.Connection, keys: Iterable[str], now: float) -> None:
    """Record that the audio of deleted items was dropped, and forget old deletions."""
    db.executemany("UPDATE gone SET swept = 1 WHERE key = ?", [(key,) for key in keys])
    db.execute("DELETE FROM gone WHERE swept AND at NOT BETWEEN ? AND ?", (now - GONE_MEMORY, now))


def put_dictionary(db: sqlite3.Connection, dictionary: bytes) -> None:
    """Store the dictionary that all raw objects are packed with from now on."""
    db.execute("INSERT OR REPLACE INTO notes VALUES ('dictionary', ?)", (dictionary,))
    db.execute("INSERT OR REPLACE INTO notes VALUES ('structure', ?)", (os.urandom(8),))


def clean(path: Path, largest: float = SMALL) -> bool:
    """Remove the traces of deleted items from a catalog's file and from its journal.

    Args:
        path: the file.
        largest: bytes of a file that is rewritten; of a larger one only the journal is truncated.

    Returns:
        Whether it is done; False when another process or thread is using the file.

    Raises:
        sqlite3.Error, OSError: the file can't be written.
    """
    with contextlib.closing(schema.connect(path)) as db:
        db.execute(f"PRAGMA busy_timeout = {int(_BUSY_TIMEOUT * 1000)}")
        # VACUUM copies the file, which may be too large for the memory.
        db.execute("PRAGMA temp_store = FILE")
        try:
            if path.stat().st_size <= largest:
                _rewrite(db)
            ((busy, _, _),) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.OperationalError as error:
            if "locked" in str(error) or "busy" in str(error):
                return False
            raise
        return not busy


def _rewrite(db: sqlite3.Connection) -> None:
    mark = _noted(db, "unclean")
    if mark is None:
        return
    db.execute("BEGIN IMMEDIATE")
    _renew_dictionary(db)
    # An earlier version deletes items without these.
    db.execute("DELETE FROM rendered WHERE n NOT IN (SELECT n FROM raws)")
    db.execute("COMMIT")
    db.execute("VACUUM")
    # A deletion since then has put another mark there.
    db.execute("DELETE FROM notes WHERE name = 'unclean' AND value = ?", (mark,))


def _mark_unclean(db: sqlite3.Connection) -> None:
    mark = f"{time.time_ns()} {os.urandom(4).hex()}".encode()
    db.execute("INSERT OR REPLACE INTO notes VALUES ('unclean', ?)", (mark,))


def _noted(db: sqlite3.Connection, name: str) -> bytes | None:
    rows = db.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchall()
    return rows[0][0] if rows else None


def _renew_dictionary(db: sqlite3.Connection) -> None:
    """Pack all raw objects anew if their dictionary may hold data of deleted items.

    Earlier versions made it of complete objects, without `STRUCTURE`. Now it holds what most of the
    first items had in common, such as their voice.
    """
    found = db.execute(f"SELECT value, {STRUCTURE} FROM ({DICTIONARY})").fetchall()
    if not found:
        return
    (dictionary, structure), *_ = found
    ((items,),) = db.execute("SELECT items FROM changes").fetchall()
    if structure is not None and items > _FEW and not _noted(db, "obsolete"):
        return
    before = Compressor(dictionary)
    sample = db.execute("SELECT raw FROM raws ORDER BY n DESC LIMIT ?", (_SAMPLE,))
    renewed = dictionary_of([before.unpack(raw) for (raw,) in sample])
    if structure is not None and renewed == dictionary:
        return
    put_dictionary(db, renewed)
    db.execute("DELETE FROM notes WHERE name = 'obsolete'")
    after, last = Compressor(renewed), 0
    while rows := db.execute(
        "SELECT n, raw FROM raws WHERE n > ? ORDER BY n LIMIT ?", (last, _BATCH)
    ).fetchall():
        numbers = [n for n, _ in rows]
        packed = after.pack(before.unpack(raw) for _, raw in rows)
        db.executemany("UPDATE raws SET raw = ? WHERE n = ?", zip(packed, numbers, strict=True))
        last = numbers[-1]


class ErasureWorker:
    """Erases what is kept of deleted items.

    Args:
        path: the catalog's file.
        files: connections to it.
        drop: drops the clip of an item from the audio cache, if there is one; takes the key.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        path: Path,
        files: ConnectionPool,
        drop: Callable[[str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._files = files
        self._drop = drop
        self._clock = clock
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._unclean = False
        self._signalled = False
        self._closed = False

    def start(self) -> None:
        """Finish what an earlier process left undone.

        All clips of deleted items are dropped again: one may have been stored after its item was
        deleted. Where the disk can't be written, this is left to the next start.
        """
        self._try_to_sweep("")
        with self._changed:
            self._unclean = bool(self._files.rows(UNCLEAN))

    def erased(self) -> None:
        """Drop the clips of deleted items, and clean the file soon."""
        self._try_to_sweep("WHERE NOT swept")
        with self._changed:
            self._unclean = self._signalled = True
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="erase", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def close(self) -> None:
        """Clean the file now, unless it is in use."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            thread, unclean = self._thread, self._unclean
        if thread is not None:
            thread.join()
        if unclean:
            self._clean()

    def clean(self) -> None:
        """Clean the file now, however large it is.

        Raises:
            CacheFailed, NoSpace: it can't be written, or is in use all the time.
        """
        for _ in range(_TRIES_AT_ONCE):
            if self._cleaned(math.inf):
                return
            time.sleep(_PAUSE)
        raise CacheFailed(f"the catalog {self._path} is in use: try again")

    def _try_to_sweep(self, which: str) -> None:
        try:
            self._sweep(which)
        except HistfsError as error:
            log.warning("the audio of deleted items is still in the cache: %s", error)

    def _sweep(self, which: str) -> None:
        keys = [key for (key,) in self._files.rows(f"SELECT key FROM gone {which}")]
        for key in keys:
            self._drop(key)
        if keys:
            with self._files.transaction() as db:
                mark_swept(db, keys, self._clock())

    def _run(self) -> None:
        pause = _QUIET
        for _ in range(_TRIES):
            with self._changed:
                # Each further deletion starts the pause anew.
                while self._signalled and not self._closed:
                    self._signalled = False
                    self._changed.wait(pause)
                if self._closed:
                    break
            began = time.monotonic()
            done = self._clean()
            pause = _AGAIN + (time.monotonic() - began) / _SHARE
            with self._changed:
                self._unclean = self._signalled or not done
                if not self._unclean:
                    self._thread = None
                    return
                self._signalled = True
        with self._changed:
            self._thread = None

    def _clean(self) -> bool:
        """Clean the file; return whether it is done, or can't be done."""
        try:
            return self._cleaned(SMALL)
        except HistfsError as error:
            log.warning("traces of deleted items stay in the catalog %s: %s", self._path, error)
            return True

    def _cleaned(self, largest: float) -> bool:
        try:
            with mapped_errors(self._path):
                return clean(self._path, largest)
        except ValueError as error:
            raise CacheFailed(f"the catalog {self._path} is damaged: {error}") from error
