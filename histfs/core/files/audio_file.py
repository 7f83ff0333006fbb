"""The audio file: ``audio.`` and the extension of the audio's format.

Threads: any number at once; the cache guards itself, and there is no other state.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import lru_cache

from histfs.core.audio_format import declared_extension
from histfs.core.errors import NoAudio
from histfs.core.file_context import FileContext
from histfs.core.files.item_file import KnownSizeFile, StreamedFile
from histfs.core.item import Item
from histfs.core.nodes import FileStream, OpenFile
from histfs.core.sizes import FileSize
from histfs.core.waiting import Waiter

#: Items of which it is cached whether they have audio.
_ITEMS = 16_384


class AudioFile(KnownSizeFile, StreamedFile):
    """The item's audio; unlinking it deletes the item.

    Args:
        context: has the audio.
    """

    deletes = True

    def __init__(self, context: FileContext) -> None:
        self._store = context.audio
        self._index = context.index
        # Only a source that lists summaries has items without audio.
        self._may_be_silent = context.traits.summaries
        self._has_audio = lru_cache(_ITEMS)(self._load)

    def before_archive(self, item: Item, waiter: Waiter) -> None:
        """Fetch the audio, unless the cache has it undamaged."""
        self._store.ensure_verified(item, waiter)

    def before_delete(self, item: Item, waiter: Waiter) -> None:
        """Fetch what those who have the audio open have not read yet."""
        self._store.fetch_for_open_files(item, waiter)

    def filename(self, item: Item) -> str | None:
        """Return ``audio.`` and the extension that its first bytes, or else its fields, call for.

        None where the item is known to have no audio.
        """
        if self._may_be_silent and not self._has_audio(item, self._index.full_revision(item)):
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
        with self._absence_noted(item, waiter):
            return self._store.open(item, waiter)

    def stream(self, item: Item, waiter: Waiter) -> FileStream:
        """Open the audio to be read as it comes."""
        with self._absence_noted(item, waiter):
            return self._store.stream(item, waiter)

    @contextlib.contextmanager
    def _absence_noted(self, item: Item, waiter: Waiter) -> Iterator[None]:
        try:
            yield
        except NoAudio:
            # The details say so: once they are stored, the file is not listed any more.
            self._index.full(item, waiter)
            raise

    def _load(self, item: Item, revision: int | None) -> bool:
        """Say whether an item may have audio, by its listed object and its stored details."""
        if self._index.details(item).has_audio is False:
            return False
        known = None if revision is None else self._index.known(item)
        # A conversation that was not finished when it was fetched may have audio by now.
        return known is None or not known.lacks_audio
