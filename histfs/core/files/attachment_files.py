"""``files/``: what was sent in a conversation, such as documents and pictures.

Whether there are any is told by the details of an item. Where a source lists summaries the folder
is shown once they were fetched, so that a listing of an item's directory asks nobody.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import lru_cache

from histfs.core.attachments import named, part_of
from histfs.core.errors import CacheFailed, NoAttachment, NoSpace, SourceError
from histfs.core.file_context import FileContext
from histfs.core.files.item_file import ItemFile, ItemFolder, KnownSizeFile
from histfs.core.item import Attachment, Item
from histfs.core.nodes import OpenFile
from histfs.core.sizes import FileSize
from histfs.core.waiting import Waiter

#: Items of which it is remembered which attachments they have.
_KNOWN = 16_384
_NONE: Mapping[str, ItemFile] = {}

log = logging.getLogger(__name__)


class AttachmentsFolder(ItemFolder):
    """The folder of an item's attachments.

    Args:
        library: has the details and the attachments.
    """

    name = "files"

    def __init__(self, library: FileContext) -> None:
        self._library = library
        self._index = library.index
        self._offered = library.traits.attachments
        self._members = lru_cache(_KNOWN)(self._look)

    def ensure_members(self, item: Item, waiter: Waiter) -> None:
        """Fetch the item's details, unless they are here."""
        if self._offered:
            self._index.full(item, waiter)

    def members(self, item: Item) -> Mapping[str, ItemFile]:
        """Return the attachments that the details tell of, as far as these were fetched."""
        if not self._offered:
            return _NONE
        return self._members(item, self._index.full_revision(item))

    def _look(self, item: Item, revision: int | None) -> Mapping[str, ItemFile]:
        known = None if revision is None else self._index.known(item)
        if known is None or not known.attachments:
            return _NONE
        return {
            name: AttachmentFile(self._library, attachment, name)
            for name, attachment in named(known.attachments).items()
        }


class AttachmentFile(KnownSizeFile):
    """One attachment; unlinking it alone hides it in this mount. Implements `ItemFile`.

    Args:
        library: where it comes from.
        attachment: which one.
        name: its name in the folder.
    """

    deletes = False

    def __init__(self, library: FileContext, attachment: Attachment, name: str) -> None:
        self._store = library.audio
        self._attachment = attachment
        self._name = name

    def before_archive(self, item: Item, waiter: Waiter) -> None:
        """Fetch it, unless it is here and is what it was when it came."""
        self._store.ensure_verified(part_of(item, self._attachment), waiter)

    def before_delete(self, item: Item, waiter: Waiter) -> None:
        """Fetch it: rsync may have removed the audio before it reads the attachments.

        Where that fails nothing is said here: whether the item may be deleted without a copy is
        for the archive to decide.
        """
        part = part_of(item, self._attachment)
        try:
            self._store.fetch_for_open_files(part, waiter)
            self._store.ensure_verified(part, waiter)
        except (SourceError, NoSpace, CacheFailed) as error:
            log.warning("%s of %s is not here to be read later: %s", self._name, item.key, error)

    def filename(self, item: Item) -> str | None:
        """Return its name in the folder."""
        return self._name

    def known_size(self, item: Item, waiter: Waiter) -> FileSize:
        """Return the exact size once it is known, before that, or without a file, an estimate."""
        part = part_of(item, self._attachment)
        try:
            return self._store.size(part, waiter)
        except NoAttachment:
            # With exact sizes the store has just asked. rm(1) has to see what it unlinks.
            return FileSize(part.estimate, is_exact=False)

    def open(self, item: Item, waiter: Waiter) -> OpenFile:
        """Open it; fetches it if its exact size is not known."""
        return self._store.open(part_of(item, self._attachment), waiter)
