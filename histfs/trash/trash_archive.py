"""Items into the trash, with the very files that a mount shows of them.

Threads: any number at once. `_lock` guards which copies are not known to be needed.
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
from histfs.core.nodes import OpenFile
from histfs.core.waiting import Waiter
from histfs.trash.trash import Trash, TrashItem
from histfs.trash.trash_entry import TrashEntry

_CHUNK = 1 << 20

log = logging.getLogger(__name__)


class TrashArchive:
    """Implements `histfs.core.archive.Archive`.

    Args:
        trash: where copies are kept.
        files: what an item is.
        name_of: returns the name of an item's directory.
        base_url: the server, as it is noted.
        profile: the account's name, as it is noted.
        source: the name of the items' source, as it is noted.
        account: what `TrashEntry.account` is.
        timeout: seconds for which the bytes of one file are waited for.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        trash: Trash,
        files: Sequence[ItemFile],
        *,
        name_of: Callable[[Item], str],
        base_url: str,
        profile: str,
        timeout: float,
        source: str = "",
        account: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._trash = trash
        self._files = files
        self._name_of = name_of
        self._base_url = base_url
        self._profile = profile
        self._source = source
        self._account = account
        self._timeout = timeout
        self._clock = clock
        self._lock = threading.Lock()
        self._unsettled: dict[str, TrashItem] = {}

    def prepare(self, item: Item, waiter: Waiter) -> None:
        """Have all bytes of an item on this machine."""
        for file in self._files:
            # Whether there is a folder is known only once it was asked for.
            if isinstance(file, ItemFolder) or file.filename(item) is not None:
                file.before_archive(item, waiter)

    def keep(self, item: Item) -> Copy:
        """Put a copy of an item into the trash."""
        now = int(self._clock())
        entry = TrashEntry(
            id=item.id,
            key=item.key,
            name=self._name_of(item),
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
            stored = self._trash.add(entry, contents)
        release = self._trash.lock_for_delete(stored)
        with self._lock:
            before = self._unsettled.get(item.key)
            self._unsettled[item.key] = stored
        if before is not None:
            self._remove(before)
        return _Copy(self, item.key, stored, release)

    def finalize(self, key: str, stored: TrashItem, deleted: bool) -> None:
        """Note what became of the item of a copy."""
        with self._lock:
            self._unsettled.pop(key, None)
        if not deleted:
            self._remove(stored)
            return
        try:
            self._trash.mark_deleted(stored, int(self._clock()))
        except HistfsError as error:
            log.warning("%s is deleted, but not noted as such: %s", key, error)

    def _remove(self, stored: TrashItem) -> None:
        try:
            self._trash.remove(stored)
        except HistfsError as error:
            log.warning("a copy of what was not deleted stays in the trash: %s", error)

    def _contents(self, item: Item, stack: contextlib.ExitStack) -> dict[str, Iterator[bytes]]:
        """Open the files of an item, and return the bytes of each by its path.

        Args:
            item: whose files.
            stack: closes them.
        """
        contents: dict[str, Iterator[bytes]] = {}
        for name, file in flattened(by_name(self._files, item), item).items():
            try:
                opened = file.open(item, Waiter(self._timeout))
            except NoAttachment as error:
                # Its name stays in the transcript and in the metadata.
                log.warning("%s of %s is not copied: %s", name, item.key, error)
                continue
            stack.callback(opened.close)
            contents[name] = _chunks(opened, self._timeout)
        return contents


class _Copy:
    """Implements `histfs.core.archive.Copy`."""

    def __init__(
        self, archive: TrashArchive, key: str, stored: TrashItem, release: Callable[[], None]
    ) -> None:
        self._archive = archive
        self._key = key
        self._stored = stored
        self._release = release

    def deleted(self) -> None:
        """Note that it is the last one."""
        self._archive.finalize(self._key, self._stored, deleted=True)
        self._release()

    def discard(self) -> None:
        """Remove it."""
        self._archive.finalize(self._key, self._stored, deleted=False)
        self._release()

    def undecided(self) -> str:
        """Keep it, not known to be deleted, and return its directory."""
        self._release()
        return str(self._stored.path)


def _chunks(file: OpenFile, timeout: float) -> Iterator[bytes]:
    waiter = Waiter(timeout)
    offset = 0
    while offset < file.size:
        chunk = file.read(offset, _CHUNK, waiter)
        if not chunk:
            raise HistfsError("a file has ended before its size")
        offset += len(chunk)
        yield chunk
