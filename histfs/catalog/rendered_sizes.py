"""The sizes of rendered files, kept in the catalog: a walk then needs no item's object.

The table `rendered` has one row an item at most, by the number of the item (`items.n`): an item
whose object changes gets another number, and none is given twice, so a row never speaks of another
object. Each row has a stamp of the code that rendered the files; a process believes the rows with
its own stamp alone. Sizes are measured when they are first asked for, and stored in the background,
many at once.

Threads: any number at once. `_lock` guards `_unstored`, `_files` and `_trusted`; no other lock is
taken while it is held. The cache guards itself. One worker thread stores, and the thread that
closes.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from histfs.catalog.catalog_store import CatalogStore
from histfs.catalog.erasure import STRUCTURE
from histfs.core.errors import HistfsError, Interrupted
from histfs.core.generational_cache import GenerationalCache
from histfs.core.item import Details, Item
from histfs.core.rendered_sizes import RenderedFile
from histfs.core.single_flight import SingleFlight

#: Items in a generation of the cache, some 400 bytes each.
_ITEMS = 8192
#: Items whose rows are read with that of a missing one: those that follow by date.
_BATCH = 64
#: Items whose measured sizes are stored at once.
_STORED = 256
_NONE: Mapping[str, int] = MappingProxyType({})

_FOLLOWING = """
    SELECT i.key, i.date, i.revision, i.n, r.sizes
    FROM items AS i LEFT JOIN rendered AS r ON r.n = i.n AND r.stamp = ?
    WHERE (i.date, i.key) >= (?, ?) ORDER BY i.date, i.key LIMIT ?
"""
_OBJECT = f"SELECT raw, {STRUCTURE} FROM raws WHERE n = ?"
# An item that is gone, or has another object by now, has no such number.
_STORE = """
    INSERT OR REPLACE INTO rendered SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM raws WHERE n = ?1)
"""

log = logging.getLogger(__name__)

#: An item as it is listed: its key, date and revision.
_Version = tuple[str, int, int]


class _Known(NamedTuple):
    """What is known of one item.

    Attributes:
        n: its number.
        sizes: in bytes, by the names of its files.
    """

    n: int
    sizes: Mapping[str, int]


class StoredSizes:
    """Implements `histfs.core.rendered_sizes.RenderedSizes`, which describes the methods.

    Only for a source whose lists have all details: other details change without a new number.

    Args:
        store: the catalog.
        describe: reads the details out of a raw object (`Source.describe`).
        stamp: of the code that renders, 63 bits.
        flights: run what stores the sizes.
        seen: takes the details that were read to measure: a backup opens the files next.
    """

    def __init__(
        self,
        store: CatalogStore,
        describe: Callable[[bytes], Details],
        stamp: int,
        flights: SingleFlight,
        seen: Callable[[Item, Details], None] = lambda item, details: None,
    ) -> None:
        self._seen = seen
        self._store = store
        self._describe = describe
        self._stamp = stamp
        self._flights = flights
        self._known = GenerationalCache[_Version, _Known](math.inf, max_entries=_ITEMS)
        self._lock = threading.Lock()
        self._files: dict[str, RenderedFile] = {}
        self._unstored: dict[int, Mapping[str, int]] = {}
        self._trusted = True

    def add(self, file: RenderedFile) -> None:
        """Have the sizes of a file kept."""
        with self._lock:
            self._files[file.name] = file

    def size(self, item: Item, name: str) -> int | None:
        """Return the size of an item's file; None where it must be rendered to be known."""
        if not self._trusted:
            return None
        version = (item.key, item.date, item.revision)
        known = self._known.get(version)
        if known is None:
            known = self._look_up(version)
        size = known.sizes.get(name) if known is not None else None
        if known is None or size is not None:
            return size
        return self._measure(item, version, known).get(name)

    def check(self, item: Item, name: str, size: int) -> None:
        """Compare the size of a file that was rendered with the one that is kept."""
        known = self._known.get((item.key, item.date, item.revision))
        kept = None if known is None else known.sizes.get(name)
        if known is None or kept is None or kept == size:
            return
        if not self._store.files.rows("SELECT 1 FROM raws WHERE n = ?", (known.n,)):
            return  # the item has changed meanwhile, and what was rendered is newer
        log.warning("%s of %s has %d bytes, not the %d kept", name, item.key, size, kept)
        with self._lock:
            self._trusted = False
            self._unstored.clear()
        self._known.clear()
        self._submit()

    def close(self) -> None:
        """Store what is not stored yet."""
        self._save()

    def _look_up(self, version: _Version) -> _Known | None:
        """Read the row of an item, and those of the items that follow it."""
        key, date, _ = version
        rows = self._store.files.rows(_FOLLOWING, (self._stamp, date, key, _BATCH))
        sizes = _parsed([row[4] for row in rows])
        found = {row[:3]: _Known(row[3], each) for row, each in zip(rows, sizes, strict=True)}
        with self._lock:
            unstored = {
                at: known._replace(sizes=self._unstored[known.n])
                for at, known in found.items()
                if known.n in self._unstored
            }
        self._known.put_all(found | unstored)
        return self._known.get(version)

    def _measure(self, item: Item, version: _Version, known: _Known) -> Mapping[str, int]:
        """Render the files of an item to know their sizes; none where its object has changed."""
        rows = self._store.files.rows(_OBJECT, (known.n,))
        raw = self._store.unpack(*rows[0]) if rows else None
        if raw is None:
            return _NONE
        details, sizes = self._describe(raw), dict(known.sizes)
        for name, file in self._files.items():
            if file.filename(item) is not None:
                sizes[name] = len(file.render(details))
        self._seen(item, details)
        self._keep(version, known._replace(sizes=sizes))
        return sizes

    def _keep(self, version: _Version, known: _Known) -> None:
        with self._lock:
            if not self._trusted:
                return
            self._unstored[known.n] = known.sizes
            many = len(self._unstored) >= _STORED
        self._known.put(version, known)
        if many:
            self._submit()

    def _submit(self) -> None:
        with contextlib.suppress(Interrupted):  # `close` stores them
            self._flights.submit("rendered", self._save)

    def _save(self) -> None:
        with self._lock:
            unstored, self._unstored = self._unstored, {}
            trusted = self._trusted
        rows = [(n, self._stamp, json.dumps(sizes)) for n, sizes in unstored.items()]
        try:
            if rows or not trusted:
                with self._store.files.transaction() as db:
                    db.executemany(_STORE, rows)
                    if not trusted:
                        db.execute("DELETE FROM rendered")
        except HistfsError as error:
            log.debug("the sizes of rendered files are not kept: %s", error)


def _parsed(stored: Sequence[str | None]) -> list[Mapping[str, int]]:
    """Return the sizes of some rows; none where there is no row, or a damaged one."""
    try:
        # At once, which takes a third of the time.
        found = json.loads(f"[{','.join([each or '{}' for each in stored])}]")
    except ValueError:
        found = []
    if len(found) != len(stored):
        found = [_parsed_alone(each) for each in stored]
    return [each if _are_sizes(each) else _NONE for each in found]


def _parsed_alone(stored: str | None) -> object:
    try:
        return json.loads(stored or "{}")
    except ValueError:
        return None


def _are_sizes(parsed: object) -> bool:
    return type(parsed) is dict and all(type(size) is int and size >= 0 for size in parsed.values())
