"""A full-text index of the items' texts (FTS5), built lazily by searches.

To index during a scan would halve the scan's speed, for a search that may never come. So a search
first indexes the items that are new since the last one, a batch at a time; when its time is over,
the next search resumes there.

The index has items by their number, `items.n`: an item whose text may have changed gets a new
number (`item_rows`), and none is given twice. Removed items are only left out of the results; when
they are most of the index, it is emptied.

A word of a search matches the beginning of a word of the text, whatever the case and the accents;
an item that matches all of them is found. Languages that are written without spaces between words
are indexed character by character: any run of characters of the text is found.

When an item is deleted the index is emptied (`erasure`), and the next search builds it again.

Threads: any number at once. `_indexing` lets one thread of this process index; it is held during
its transactions, and waits for it end with the waiter. Another process may index, too: the batch
that is stored second is discarded.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Callable

from histfs.catalog.catalog_store import CatalogStore
from histfs.catalog.erasure import STRUCTURE
from histfs.catalog.item_rows import put_rows
from histfs.core.errors import DeadlineExceeded, NotComplete, SourceError
from histfs.core.index import SEARCH_LIMIT, Listed
from histfs.core.waiting import POLL_INTERVAL, Waiter

#: Items that are indexed in one transaction: others write in between, and each may be a transcript.
_BATCH = 250
#: Rows of removed items that are tolerated in any case.
_FEW = 10_000

_TABLES = (
    # Without a second copy of the texts, and without their lengths, which ranking would need.
    """
    CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(
        text, content='', columnsize=0, tokenize='unicode61 remove_diacritics 2'
    )
    """,
    "CREATE INDEX IF NOT EXISTS items_by_number ON items (n)",
)
# With the progress of the same moment: another process may have emptied the index.
# The newest ones are chosen by the index on numbers alone; a million may match.
_FOUND = """
    SELECT indexed, date, key,
        (SELECT slug FROM items WHERE items.date = found.date AND items.key = found.key)
    FROM numbers LEFT JOIN (
        SELECT i.date AS date, i.key AS key FROM words JOIN items AS i ON i.n = words.rowid
        WHERE words MATCH ? ORDER BY i.date DESC, i.key DESC LIMIT ?
    ) AS found ORDER BY date, key
"""
_NEXT = f"""
    SELECT n, key, raw, {STRUCTURE} FROM raws JOIN items USING (n) WHERE n > ? ORDER BY n LIMIT ?
"""

#: Characters of languages that put no spaces between words: Thai, Lao, Burmese, Khmer, Chinese,
#: Japanese.
_UNSPACED = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U0001b000-\U0001b16f\U00020000-\U0003ffff])"
)


class FullTextIndex:
    """Finds the items of a store by the words of their texts.

    Args:
        store: the items.
        text_of: returns the text that is indexed for an item, from its key and its raw object;
            sends no request, and doesn't write to the store.
    """

    def __init__(self, store: CatalogStore, text_of: Callable[[str, bytes], str]) -> None:
        self._store = store
        self._files = store.files
        self._text_of = text_of
        self._indexing = threading.Lock()
        self._created = False

    def find(self, words: str, waiter: Waiter) -> list[Listed]:
        """Return the newest items whose text has all of some words, oldest first.

        One more than `SEARCH_LIMIT` at the most.

        Args:
            words: what a person types; nothing in it is an operator.
            waiter: the deadline of the call.

        Raises:
            NotComplete: the index did not catch up with the history in time; the progress is kept.
            Interrupted: the calling process was interrupted; the same.
            NoSpace, CacheFailed: the index can't be read or written.
        """
        query = _query(words)
        if not query:
            return []
        self._create()
        ((newest,),) = self._files.rows("SELECT coalesce(max(n), 0) FROM raws")
        while True:
            rows = self._files.rows(_FOUND, (query, SEARCH_LIMIT + 1))
            if rows[0][0] >= newest:
                return [Listed(*row) for _, *row in rows if row[0] is not None]
            try:
                self._catch_up(newest, waiter)
            except DeadlineExceeded as error:
                raise NotComplete(
                    "the words of the history are still being indexed: search again to go on"
                ) from error

    def _create(self) -> None:
        if not self._created:
            with self._files.transaction() as db:
                for statement in _TABLES:
                    db.execute(statement)
            self._created = True

    def _catch_up(self, newest: int, waiter: Waiter) -> None:
        """Index all items up to a number."""
        if not self._indexing.acquire(blocking=False):
            with waiter.waiting():
                while not self._indexing.acquire(timeout=POLL_INTERVAL):
                    waiter.check()
        try:
            self._tidy()
            while self._index_some() < newest:
                waiter.check()
        finally:
            self._indexing.release()

    def _index_some(self) -> int:
        """Index the next batch; return the number up to which all are indexed."""
        ((since, last),) = self._files.rows(
            "SELECT indexed, (SELECT coalesce(max(n), 0) FROM raws) FROM numbers"
        )
        batch = self._files.rows(_NEXT, (since, _BATCH))
        upto = batch[-1][0] if batch else max(since, last)
        raws = [self._store.unpack(raw, structure) for _, _, raw, structure in batch]
        if None in raws:
            return int(since)  # all were packed anew meanwhile: read again
        texts = {
            n: _indexed(self._text(key, raw))
            for (n, key, _, _), raw in zip(batch, raws, strict=True)
            if raw is not None
        }
        with self._files.transaction() as db:
            # What was removed meanwhile must leave no words: the index may have been emptied.
            there = db.execute("SELECT n FROM raws WHERE n > ? AND n <= ?", (since, upto))
            rows = [(n, texts[n]) for (n,) in there if n in texts]
            # Where another process was faster, its batch stands.
            done = db.execute(
                "UPDATE numbers SET indexed = ?, rows = rows + ? WHERE indexed = ?",
                (upto, len(rows), since),
            )
            if done.rowcount:
                put_rows(db, "words (rowid, text)", rows)
        return int(upto) if done.rowcount else since

    def _text(self, key: str, raw: bytes) -> str:
        try:
            return self._text_of(key, raw)
        except SourceError:
            return ""  # an object that its source can't parse hides no other one

    def _tidy(self) -> None:
        """Empty the index when most of it is about removed items."""
        with self._files.transaction() as db:
            done = db.execute(
                """
                UPDATE numbers SET indexed = 0, rows = 0
                WHERE rows > ? + 2 * (SELECT items FROM changes)
                """,
                (_FEW,),
            )
            if done.rowcount:
                db.execute("INSERT INTO words (words) VALUES ('delete-all')")


def _query(words: str) -> str:
    """Return an FTS5 query for the texts that have all of some words."""
    # In quotes no character but a quote has a meaning; quoted words match as a phrase.
    return " ".join(f'"{_spaced(word)}"*' for word in dict.fromkeys(_folded(words).split()))


def _indexed(text: str) -> str:
    return _spaced(_folded(text))


def _folded(text: str) -> str:
    """Normalise a text: case, compatibility forms, quotes; FTS5 itself drops the accents."""
    if not text.isascii():
        # SQLite has no text with lone surrogates.
        text = unicodedata.normalize("NFKC", text).encode("utf-8", "replace").decode()
    # FTS5 reads a query up to the first NUL.
    return text.casefold().replace("\0", " ").replace('"', " ")


def _spaced(text: str) -> str:
    """Put spaces around characters that are words of their own."""
    return text if text.isascii() else _UNSPACED.sub(r" \1 ", text)
