"""MP3 audio with an ID3 tag in front of the untouched MPEG frames.

The server's own ID3 tag at the beginning, if there is one, gives its place to the new one, whose
padding takes up its length. So the size is always that of the audio and of a tag without padding,
and known without a look at the clip; and every byte behind the tags has just moved by that much.

Threads: any number at once. A file that is open finds out once where its frames begin; two threads
may do so at the same time, with the same result. The cache guards itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

from histfs.core.captions import TimedWord
from histfs.core.files import AudioFile, ItemFile, KnownSizeFile, StreamedFile
from histfs.core.index import Index
from histfs.core.item import Item
from histfs.core.listen.clip_names import ClipNames, speaker_of
from histfs.core.listen.id3 import HEADER, TagFields, frames_of, tag_length, tag_of
from histfs.core.nodes import FileStream, OpenFile, PlayedFile
from histfs.core.size_estimate import BUFFER
from histfs.core.sizes import FileSize
from histfs.core.times import Zone
from histfs.core.waiting import Waiter

#: The extension of what can have a tag.
_MP3 = ".mp3"
#: Lengths of tags in the cache: each stat needs one.
_TAGS = 16_384
#: Tags at the beginning of a clip that are replaced, one behind the other, and bytes of them.
_CHAINED, _LARGEST = 4, 1 << 20

_Read = Callable[[int, int, Waiter], bytes]


class Said(NamedTuple):
    """What is said in a clip.

    Attributes:
        text: all of it; empty where it is not known.
        words: the same with times; none where they are not known.
    """

    text: str
    words: Sequence[TimedWord] = ()


class TagSource:
    """Makes the tags of clips, from what is known without a request.

    Args:
        index: the items.
        names: knows the first words.
        zone: of the months, which are the albums.
        said: reads what is said from an item's listed object.
    """

    def __init__(
        self, index: Index, names: ClipNames, zone: Zone, said: Callable[[Item], Said]
    ) -> None:
        self._index = index
        self._names = names
        self._zone = zone
        self._said = said
        self._length = lru_cache(_TAGS)(lambda item, artist: len(self._frames(item, artist)))

    def frames(self, item: Item) -> bytes:
        """Return the frames of an item's tag."""
        return self._frames(item, self._artist(item))

    def length(self, item: Item) -> int:
        """Return the length of an item's tag without padding, in bytes."""
        return HEADER + self._length(item, self._artist(item))

    def _artist(self, item: Item) -> str:
        return speaker_of(self._index.facets(item))

    def _frames(self, item: Item, artist: str) -> bytes:
        moment, said = Zone("UTC").local(item.date), self._said(item)
        return frames_of(
            TagFields(
                title=self._names.spoken(item).words or "",
                artist=artist,
                album=self._zone.stamp(item.date)[: len("2024-05")],
                date=f"{moment:%Y-%m-%dT%H:%M:%S}",
                text=said.text,
                words=said.words,
            )
        )


def is_mp3(audio: ItemFile, item: Item) -> bool:
    """Say whether an item's audio gets a tag, by what is known of its format."""
    return (audio.filename(item) or "").endswith(_MP3)


class TaggedAudio(KnownSizeFile, StreamedFile):
    """An item's audio with a tag, where it is MP3. Implements `ItemFile`.

    Args:
        audio: the audio.
        tags: makes the tags.
    """

    deletes = False

    def __init__(self, audio: AudioFile, tags: TagSource) -> None:
        self._audio = audio
        self._tags = tags
        self.filename = audio.filename
        self.before_archive = audio.before_archive
        self.before_delete = audio.before_delete

    def applies_to(self, item: Item) -> bool:
        """Say whether an item's audio gets a tag, by what is known of its format."""
        return is_mp3(self._audio, item)

    def known_size(self, item: Item, waiter: Waiter) -> FileSize:
        """Return the size with the tag; an estimate is, as any, no multiple of a buffer."""
        size, is_exact = self._audio.known_size(item, waiter)
        size += self._tags.length(item)
        return FileSize(size + (not is_exact and size % BUFFER == 0), is_exact)

    def open(self, item: Item, waiter: Waiter) -> OpenFile:
        """Open the audio with its tag; the audio alone if its first bytes are those of no MP3."""
        file = self._audio.open(item, waiter)
        if not self.applies_to(item):
            return file
        kind = _TaggedPlayed if isinstance(file, PlayedFile) else _TaggedOpen
        return kind(file, self._tags.frames(item))

    def stream(self, item: Item, waiter: Waiter) -> FileStream:
        """Open the same to be read as it comes."""
        stream = self._audio.stream(item, waiter)
        return _TaggedStream(stream, self._tags.frames(item)) if self.applies_to(item) else stream


class _Tagged:
    """The bytes of a clip behind a tag.

    Args:
        read: reads the clip.
        frames: of the tag.
        size: of the clip in bytes; None where a read may give fewer bytes than are asked for.
    """

    def __init__(self, read: _Read, frames: bytes, size: int | None = None) -> None:
        self._read = read
        self._frames = frames
        self._size = size
        self._tag: bytes | None = None
        self.length = HEADER + len(frames)

    def read(self, offset: int, size: int, waiter: Waiter) -> bytes:
        """Return bytes at an offset, of the tag, of the clip or of both."""
        tag = self._tag = self._tag or tag_of(self._frames, self._replaced(waiter))
        found = tag[offset : offset + size]
        rest = size - len(found)
        if found and (not rest or self._size is None):
            return found
        return found + self._read(offset + len(found) - self.length, rest, waiter)

    def _replaced(self, waiter: Waiter) -> int:
        """Return the length of the tags at the beginning of the clip."""
        begin, limit = 0, _LARGEST if self._size is None else min(self._size, _LARGEST)
        for _ in range(_CHAINED):
            length = tag_length(self._head(begin, waiter))
            if not length or begin + length > limit:
                break
            begin += length
        return begin

    def _head(self, begin: int, waiter: Waiter) -> bytes:
        head = b""
        # A clip that is still coming may give fewer bytes than are asked for.
        while len(head) < HEADER:
            more = self._read(begin + len(head), HEADER - len(head), waiter)
            if not more:
                break
            head += more
        return head


class _TaggedOpen:
    """An open clip with a tag. Implements `OpenFile`."""

    def __init__(self, file: OpenFile, frames: bytes) -> None:
        self._file = file
        self._tagged = _Tagged(file.read, frames, file.size)
        self.read = self._tagged.read
        self.close = file.close

    @property
    def size(self) -> int:
        """The size in bytes, with the tag."""
        return self._file.size + self._tagged.length


class _TaggedPlayed(PlayedFile):
    """A clip with a tag that is open in a player."""

    def __init__(self, file: OpenFile, frames: bytes) -> None:
        self._file = file
        self._tagged = _Tagged(file.read, frames)

    @property
    def size(self) -> int:
        """The best known size in bytes, with the tag."""
        return self._file.size + self._tagged.length

    def read(self, offset: int, size: int, waiter: Waiter) -> bytes:
        """Return bytes at an offset as soon as there is one."""
        return self._tagged.read(offset, size, waiter)

    def close(self) -> None:
        """Close the clip."""
        self._file.close()


class _TaggedStream:
    """A clip with a tag that is read as it comes. Implements `FileStream`."""

    def __init__(self, stream: FileStream, frames: bytes) -> None:
        self._stream = stream
        self._tagged = _Tagged(stream.read, frames)
        self.read = self._tagged.read
        self.close = stream.close

    @property
    def whole_size(self) -> int | None:
        """The exact size with the tag; None before all bytes are here."""
        size = self._stream.whole_size
        return None if size is None else size + self._tagged.length

    def wait_until_whole(self, waiter: Waiter) -> int:
        """Wait until all bytes are here, and return their number with the tag."""
        return self._stream.wait_until_whole(waiter) + self._tagged.length
