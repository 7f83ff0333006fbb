"""The archive that copies an item into the trash before it is deleted: the files of the mount.

Threads: any number at once. `_lock` guards `_undecided`; no file is touched while it is held.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from histfs.core.archive import Copy
from histfs.core.errors import HistfsError, NoAttachment
from histfs.core.files import ItemFile, ItemFolder, by_name, flattened
from histfs.core.item import Item
from histfs.core.names import item_name
from histfs.core.nodes import OpenFile
from histfs.core.times import Zone
from histfs.core.waiting import Waiter
from histfs.trash.trash import Trash, TrashItem
from histfs.trash.trash_entry import TrashEntry

_CHUNK = 1 << 20

log = logging.getLogger(__name__)


class TrashArchive:
    """Implements `histfs.core.archive.Archive`.

    Args:
        trash: keeps the copies.
        files: the files of an item.
        zone: for the times in the names of directories.
        base_url: the server, for the entry.
        profile: the account's name, for the entry.
        source: the name of the items' source, for the entry.
        account: `TrashEntry.account`.
        timeout: seconds to wait for the bytes of one file.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        trash: Trash,
        files: Sequence[ItemFile],
        *,
        zone: Zone,
        base_url: str,
        profile: str,
        timeout: float,
        source: str = "",
        account: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._trash = trash
        self._files = files
        self._zone = zone
        self._base_url = base_url
        self._profile = profile
        self._source = source
        self._account = account
        self._timeout = timeout
        self._clock = clock
        self._lock = threading.Lock()
        self._undecided: dict[str, TrashItem] = {}

    def prepare(self, item: Item, waiter: Waiter) -> None:
        """Fetch all bytes of an item."""
        for file in self._files:
            # Only the request tells whether a folder exists.
            if isinstance(file, ItemFolder) or file.filename(item) is not None:
                file.before_archive(item, waiter)

    def keep(self, item: Item) -> Copy:
        """Copy an item into the trash."""
        now = int(self._clock())
        entry = TrashEntry(
            id=item.id,
            key=item.key,
            name=item_name(item.date, item.slug, item.key, self._zone),
            date=item.date,
            archived=now,
            deleted=None,
            base_url=self._base_url,
            profile=self._profile,
            files={},
            source=self._source,
            account=self._account,
        )
        with contextlib.ExitStack() as stack:
            contents = self._contents(item, stack)
            trashed = self._trash.add(entry, contents)
        release = self._trash.lock_for_delete(trashed)
        with self._lock:
            superseded = self._undecided.get(item.key)
            self._undecided[item.key] = trashed
        if superseded is not None:
            self._remove(superseded)
        return _Copy(self, item.key, trashed, release)

    def finalize(self, key: str, trashed: TrashItem, deleted: bool) -> None:
        """Record that the item is deleted, or remove its copy."""
        with self._lock:
            self._undecided.pop(key, None)
        if not deleted:
            self._remove(trashed)
            return
        try:
            self._trash.mark_deleted(trashed, int(self._clock()))
        except HistfsError as error:
            log.warning("%s is deleted, but its trash entry can't be updated: %s", key, error)

    def _remove(self, trashed: TrashItem) -> None:
        try:
            self._trash.remove(trashed)
        except HistfsError as error:
            log.warning("the copy of an item that was not deleted stays in the trash: %s", error)

    def _contents(self, item: Item, stack: contextlib.ExitStack) -> dict[str, Iterator[bytes]]:
        """Open the files of an item; return the bytes of each by path. ``stack`` closes them."""
        contents: dict[str, Iterator[bytes]] = {}
        for name, file in flattened(by_name(self._files, item), item).items():
            try:
                opened = file.open(item, Waiter(self._timeout))
            except NoAttachment as error:
                # The transcript and the metadata keep its name.
                log.warning("%s of %s is not copied: %s", name, item.key, error)
                continue
            stack.callback(opened.close)
            contents[name] = _chunks(opened, self._timeout)
        return contents


class _Copy:
    """Implements `histfs.core.archive.Copy`."""

    def __init__(
        self, archive: TrashArchive, key: str, trashed: TrashItem, release: Callable[[], None]
    ) -> None:
        self._archive = archive
        self._key = key
        self._trashed = trashed
        self._release = release

    def deleted(self) -> None:
        """Record that the item is deleted."""
        self._archive.finalize(self._key, self._trashed, deleted=True)
        self._release()

    def discard(self) -> None:
        """Remove the copy."""
        self._archive.finalize(self._key, self._trashed, deleted=False)
        self._release()

    def undecided(self) -> str:
        """Keep the copy of an item not known to be deleted; return its directory."""
        self._release()
        return str(self._trashed.path)


def _chunks(file: OpenFile, timeout: float) -> Iterator[bytes]:
    waiter = Waiter(timeout)
    offset = 0
    while offset < file.size:
        chunk = file.read(offset, _CHUNK, waiter)
        if not chunk:
            raise HistfsError("a file ended before its size")
        offset += len(chunk)
        yield chunk
