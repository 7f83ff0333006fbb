"""``files/``: the attachments of a conversation, such as documents and pictures.

The details of an item name its attachments. Where a source lists summaries, the folder appears once
the details were fetched: listing an item's directory costs no request.

Threads: any number at once; the cache of members guards itself, and there is no other state.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import lru_cache

from histfs.core.attachments import part_of, unique_names
from histfs.core.errors import CacheFailed, NoAttachment, NoSpace, SourceError
from histfs.core.file_context import FileContext
from histfs.core.files.item_files import ItemFile, ItemFolder, KnownSizeFile, StreamedFile
from histfs.core.item import Attachment, Item
from histfs.core.nodes import FileStream, OpenFile
from histfs.core.sizes import FileSize
from histfs.core.waiting import Waiter

#: Items whose attachments are cached.
_MEMBERS = 16_384
_NONE: Mapping[str, ItemFile] = {}

log = logging.getLogger(__name__)


class AttachmentsFolder(ItemFolder):
    """The folder of an item's attachments.

    Args:
        context: has the details and the attachments.
    """

    name = "files"

    def __init__(self, context: FileContext) -> None:
        self._context = context
        self._index = context.index
        self._has_attachments = context.traits.attachments
        self._members = lru_cache(_MEMBERS)(self._load)

    def ensure_members(self, item: Item, waiter: Waiter) -> None:
        """Fetch the item's details, unless they are stored."""
        if self._has_attachments:
            self._index.full(item, waiter)

    def members(self, item: Item) -> Mapping[str, ItemFile]:
        """Return the attachments that the stored details name."""
        if not self._has_attachments:
            return _NONE
        return self._members(item, self._index.full_revision(item))

    def _load(self, item: Item, revision: int | None) -> Mapping[str, ItemFile]:
        known = None if revision is None else self._index.known(item)
        if known is None or not known.attachments:
            return _NONE
        return {
            name: AttachmentFile(self._context, attachment, name)
            for name, attachment in unique_names(known.attachments).items()
        }


class AttachmentFile(KnownSizeFile, StreamedFile):
    """One attachment; unlinking it alone hides it in this mount. Implements `ItemFile`.

    Args:
        context: has the attachment.
        attachment: the attachment.
        name: the file's name in the folder.
    """

    deletes = False

    def __init__(self, context: FileContext, attachment: Attachment, name: str) -> None:
        self._store = context.audio
        self._attachment = attachment
        self._name = name

    def before_archive(self, item: Item, waiter: Waiter) -> None:
        """Fetch the attachment, unless the cache has it undamaged."""
        self._store.ensure_verified(part_of(item, self._attachment), waiter)

    def before_delete(self, item: Item, waiter: Waiter) -> None:
        """Fetch the attachment: rsync may remove the audio before it reads the attachments.

        A failure is only logged: the archive decides whether the item may be deleted without it.
        """
        part = part_of(item, self._attachment)
        try:
            self._store.fetch_for_open_files(part, waiter)
            self._store.ensure_verified(part, waiter)
        except (SourceError, NoSpace, CacheFailed) as error:
            log.warning("%s of %s is not here to be read later: %s", self._name, item.key, error)

    def filename(self, item: Item) -> str | None:
        """Return the name in the folder."""
        return self._name

    def known_size(self, item: Item, waiter: Waiter) -> FileSize:
        """Return the exact size if it is known, else an estimate."""
        part = part_of(item, self._attachment)
        try:
            return self._store.size(part, waiter)
        except NoAttachment:
            # The server has it no more (exact sizes ask). `rm` must see the file to unlink it.
            return FileSize(part.estimate, is_exact=False)

    def open(self, item: Item, waiter: Waiter) -> OpenFile:
        """Open the attachment; fetch it if its exact size is not known."""
        return self._store.open(part_of(item, self._attachment), waiter)

    def stream(self, item: Item, waiter: Waiter) -> FileStream:
        """Open the attachment to be read as it comes."""
        return self._store.stream(part_of(item, self._attachment), waiter)
