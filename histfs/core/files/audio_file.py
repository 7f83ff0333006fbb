"""``audio.mp3``, or with the extension of whatever format the item's audio has."""

from __future__ import annotations

from functools import lru_cache

from histfs.core.audio_format import declared_extension
from histfs.core.errors import NoAudio
from histfs.core.file_context import FileContext
from histfs.core.files.item_file import KnownSizeFile
from histfs.core.item import Item
from histfs.core.nodes import OpenFile
from histfs.core.sizes import FileSize
from histfs.core.waiting import Waiter

#: Items of which it is remembered whether they have audio.
_KNOWN = 16_384


class AudioFile(KnownSizeFile):
    """The item's audio; unlinking it deletes the item.

    Args:
        library: where audio comes from.
    """

    deletes = True

    def __init__(self, library: FileContext) -> None:
        self._store = library.audio
        self._index = library.index
        # A source whose list tells all lists no item without audio.
        self._silent = library.traits.summaries
        self._has_audio = lru_cache(_KNOWN)(self._look)

    def before_archive(self, item: Item, waiter: Waiter) -> None:
        """Fetch the audio, unless it is here and is what it was when it came."""
        self._store.ensure_verified(item, waiter)

    def before_delete(self, item: Item, waiter: Waiter) -> None:
        """Fetch the audio for those who have it open and have not read it."""
        self._store.fetch_for_open_files(item, waiter)

    def filename(self, item: Item) -> str | None:
        """Return ``audio.`` and the extension that its first bytes, or else its fields, call for.

        None where the item is known to have no audio.
        """
        if self._silent and not self._has_audio(item, self._index.full_revision(item)):
            return None
        return f"audio.{self._store.extension(item)}"

    def lasting_name(self, item: Item) -> str:
        """Return the name by the item's fields alone, which it may have until it is fetched."""
        return f"audio.{declared_extension(item.content_type, item.output_format)}"

    def known_size(self, item: Item, waiter: Waiter) -> FileSize:
        """Return the exact size once it is known, before that an estimate."""
        return self._store.size(item, waiter)

    def open(self, item: Item, waiter: Waiter) -> OpenFile:
        """Open the audio; fetches it if its exact size is not known."""
        try:
            return self._store.open(item, waiter)
        except NoAudio:
            # What says so stands in the details: from now on the file isn't shown.
            self._index.full(item, waiter)
            raise

    def _look(self, item: Item, revision: int | None) -> bool:
        """Say whether an item may have audio, as far as it was listed and its details are known."""
        if self._index.details(item).has_audio is False:
            return False
        known = None if revision is None else self._index.known(item)
        # What an item that goes on had not, it may have by now.
        return known is None or not known.lacks_audio
