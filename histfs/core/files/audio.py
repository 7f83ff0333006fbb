"""``audio.mp3``, or with the ending of whatever format the item's audio has."""

from __future__ import annotations

from functools import lru_cache

from histfs.core.errors import NoAudio
from histfs.core.item import Item
from histfs.core.library import Library
from histfs.core.nodes import OpenFile
from histfs.core.waiting import Waiter

#: Items of which it is remembered whether they have audio.
_KNOWN = 16_384
_BY_CONTENT_TYPE = {
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/wav": "wav",
    "audio/wave": "wav",
    "audio/x-wav": "wav",
    "audio/vnd.wave": "wav",
    "audio/ogg": "ogg",
    "application/ogg": "ogg",
    "audio/opus": "opus",
    "audio/flac": "flac",
    "audio/x-flac": "flac",
    "audio/aac": "aac",
    "audio/mp4": "m4a",
    "audio/webm": "webm",
    "audio/pcm": "pcm",
    "audio/x-pcm": "pcm",
    "audio/l16": "pcm",
    "audio/basic": "ulaw",
}
#: By the first word of `output_format`: mp3_44100_128, pcm_16000, opus_48000_64 …
_BY_OUTPUT_FORMAT = {
    "mp3": "mp3",
    "wav": "wav",
    "pcm": "pcm",
    "opus": "opus",
    "ulaw": "ulaw",
    "alaw": "alaw",
}


class AudioFile:
    """The item's audio; unlinking it deletes the item.

    Args:
        library: where audio comes from.
    """

    deletes = True

    def __init__(self, library: Library) -> None:
        self._store = library.audio
        self._index = library.index
        # A source whose list tells all lists no item without audio.
        self._silent = library.traits.summaries
        self._has_audio = lru_cache(_KNOWN)(self._look)

    def before_archive(self, item: Item, waiter: Waiter) -> None:
        """Fetch the audio, unless it is here and is what it was when it came."""
        self._store.ensure(item, waiter)

    def before_delete(self, item: Item, waiter: Waiter) -> None:
        """Fetch the audio for those who have it open and have not read it."""
        self._store.secure(item, waiter)

    def filename(self, item: Item) -> str | None:
        """Return ``audio.`` and the ending for the item's content type and output format.

        None where the item is known to have no audio.
        """
        if self._silent and not self._has_audio(item, self._index.full_revision(item)):
            return None
        return f"audio.{extension(item.content_type, item.output_format)}"

    def size(self, item: Item, waiter: Waiter) -> int:
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
        return known is None or not known.silent


def extension(content_type: str, output_format: str) -> str:
    """Return the ending, without a dot, for audio of a content type and an output format.

    Args:
        content_type: a media type without parameters, lower case; the first to be asked.
        output_format: the API's name of a format; asked when the content type says nothing.
    """
    family = output_format.partition("_")[0].lower()
    return _BY_CONTENT_TYPE.get(content_type) or _BY_OUTPUT_FORMAT.get(family) or "bin"
