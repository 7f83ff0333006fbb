"""Find the traces of an item, on this machine and at the server, and remove them.

An item may be in several catalogs below the cache directory: each key, and each base URL, has a
catalog of its own.

Threads: none of its own but those of `ErasureWorker`.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from histfs.audio.disk_cache import DiskCache
from histfs.catalog.catalog_store import CatalogStore
from histfs.catalog.erasure import ErasureWorker
from histfs.core.caller_id import same_caller
from histfs.core.errors import BadAnswer, DeleteUnconfirmed, Missing, SourceError
from histfs.core.item import Details
from histfs.core.names import key_of
from histfs.core.presence import Verdict, gather
from histfs.core.source import Query
from histfs.core.times import Span
from histfs.mounting.cache_layout import ACCOUNT_SOURCE, catalog_path, catalogs_below
from histfs.mounting.mounted_source import MountedSource
from histfs.mounting.source_accounts import source_name
from histfs.trash import Trash, TrashItem

#: The file of an item in the trash that its source can read.
_META = "meta.json"


class Target(NamedTuple):
    """An item to purge.

    Attributes:
        source: the name of its source.
        id: the API's own id.
    """

    source: str
    id: str

    @property
    def key(self) -> str:
        """The id in a form that is safe in paths."""
        return key_of(self.id)


class Trace(NamedTuple):
    """A trace of an item.

    Attributes:
        where: it is, in words.
        size: its bytes; None where they aren't counted.
        remove: removes it, and raises `HistfsError` where that fails.
    """

    where: str
    size: int | None
    remove: Callable[[], None]


@dataclass(frozen=True, slots=True)
class CatalogLocation:
    """One source's catalog below the cache directory, and its clips.

    Attributes:
        source: the source's name.
        path: the catalog's file.
        store: what is known.
        clips: the audio.
        eraser: erases what is gone from both.
    """

    source: str
    path: Path
    store: CatalogStore
    clips: DiskCache
    eraser: ErasureWorker

    def traces(self, key: str, *, deleted: bool) -> Iterator[Trace]:
        """Yield the traces of an item on this machine.

        Args:
            key: the item's key.
            deleted: whether it is deleted at the server then; else it will be listed again.
        """
        dates = [item.date for item in self.store.with_key(key)]
        if dates or self.store.fetched(key) or self.store.fingerprint(key):
            remove = functools.partial(self._forget, key, dates, deleted)
            yield Trace(f"catalog {self.path}", None, remove)
        for part in (key, *self.store.attachments_of(key)):
            size = self.clips.size(part)
            if size is not None:
                drop = functools.partial(self.clips.remove, part)
                yield Trace(f"audio cache {self.clips.root}", size, drop)

    def calls_of(self, caller: str, describe: Callable[[bytes], Details]) -> tuple[list[str], int]:
        """Find the items of a caller by their details.

        Args:
            caller: a user id or a telephone number.
            describe: reads the details out of a raw object (`Source.describe`).

        Returns:
            The ids, and of how many items the details are not here, or can't be read.
        """
        found, unread = [], 0
        for item in self.store.newest_first():
            fetched = self.store.fetched(item.key)
            try:
                details = fetched and describe(fetched.raw)
            except SourceError:
                details = None
            if details is None:
                unread += 1
            elif _is_of(details, caller):
                found.append(item.id)
        return found, unread

    def clean(self) -> None:
        """Remove erased data from the free pages of the catalog's file.

        The names of voices and the like that have no item any more can then be given to others.

        Raises:
            CacheFailed, NoSpace: it can't be written, or others use it all the time.
        """
        self.store.release_names()
        self.eraser.close()
        self.eraser.clean()

    def _forget(self, key: str, dates: Sequence[int], deleted: bool) -> None:
        for date in dates or [0]:
            if deleted:
                self.store.forget(key, date)
            else:
                self.store.discard(key, date)


@contextlib.contextmanager
def catalog_locations(cache_dir: Path) -> Iterator[list[CatalogLocation]]:
    """Open all catalogs below a cache directory.

    Raises:
        CacheFailed, NoSpace: one of them can't be used.
    """
    with contextlib.ExitStack() as stack:
        places = []
        disks: dict[Path, DiskCache] = {}
        for home, slot in catalogs_below(cache_dir):
            if home not in disks:
                disks[home] = DiskCache(home, sys.maxsize)
            clips = disks[home] if slot is None else disks[home].namespace(slot)
            path = catalog_path(home, slot)
            store = stack.enter_context(contextlib.closing(CatalogStore(path)))
            eraser = ErasureWorker(path, store.files, clips.remove)
            store.on_erased = eraser.erased
            stack.callback(eraser.close)
            source = ACCOUNT_SOURCE if slot is None else source_name(slot)
            places.append(CatalogLocation(source, path, store, clips, eraser))
        yield places


def in_trash(trash: Trash, key: str) -> Iterator[Trace]:
    """Yield the copies of an item in the trash.

    An entry that can't be read is told by the name of its directory.
    """
    for stored in trash.items():
        entry = stored.entry
        name = stored.path.name.partition("_")[2].partition("~")[0]
        if key == (name if entry is None else entry.key):
            size = None if entry is None else entry.size
            yield Trace(f"trash {stored.path}", size, functools.partial(trash.remove, stored))


def calls_in_trash(
    trash: Trash, caller: str, describe: Callable[[bytes], Details]
) -> tuple[list[str], list[Path]]:
    """Find a caller's conversations in the trash.

    Args:
        trash: where to look.
        caller: a user id or a telephone number.
        describe: reads the details out of a raw object (`Source.describe`).

    Returns:
        The ids, and the entries that can't be read.
    """
    found, unread = [], []
    for stored in trash.items():
        try:
            if stored.entry is None:
                raise ValueError("no entry")
            if _is_of(describe(_meta(stored)), caller):
                found.append(stored.entry.id)
        except (OSError, ValueError, SourceError):
            unread.append(stored.path)
    return found, unread


def at_server(mounted: MountedSource, target: Target, dates: Sequence[int]) -> Iterator[Trace]:
    """Yield the item at the server.

    Args:
        mounted: of the item's source.
        target: the item.
        dates: of the item, as far as they are known; else the server is asked for it.

    Raises:
        SourceError: whether it is there can't be told.
    """
    if not dates:
        try:
            dates = [mounted.source.get(target.id).item.date]
        except Missing:
            return
    yield Trace("server", None, functools.partial(_delete, mounted, target, dates))


def _delete(mounted: MountedSource, target: Target, dates: Sequence[int]) -> None:
    """Delete an item at the server, with one request.

    Raises:
        SourceError: it is not known to be deleted.
    """

    def listed() -> bool:
        return any(_is_listed(mounted, target, date) for date in dates)

    try:
        mounted.source.delete(target.id)
    except SourceError as error:
        missing = isinstance(error, Missing)
        verdict = gather(mounted.source, target.id, listed, missing).verdict
        if verdict is Verdict.UNKNOWN:
            why = f"whether it is deleted is not known: {error}"
            raise DeleteUnconfirmed(why) from error
        if verdict is Verdict.THERE:
            if missing:
                raise BadAnswer(f"the server has it, but: {error}") from error
            raise


def _is_listed(mounted: MountedSource, target: Target, date: int) -> bool:
    cursor: str | None = None
    while True:
        page = mounted.source.list(Query(Span(date, date + 1), after=cursor))
        if any(record.item.id == target.id for record in page.records):
            return True
        if page.cursor is None or page.cursor == cursor:
            return False
        cursor = page.cursor


def _is_of(details: Details, caller: str) -> bool:
    return any(same_caller(caller, named) for named in details.callers)


def _meta(stored: TrashItem) -> bytes:
    return (stored.path / _META).read_bytes()
