"""Items: what histfs knows of one recording."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from histfs.core.estimate import audio_bytes
from histfs.core.names import Labelled, key_of, slug_of

#: The facets of an item: for each kind ("voice", "source", "model", …) what it has of it. A kind
#: that the item lacks has an empty value; one that only its full details tell isn't there before
#: they are known, and until then no view by it shows the item.
Facets = Mapping[str, Labelled]


@dataclass(frozen=True, slots=True)
class Item:
    """What listings, names and attributes need of a recording.

    Attributes:
        id: the API's own id, which may hold anything.
        key: the id in a form that is safe in paths and URLs (`names.key_of`).
        date: when it was made, in seconds since the epoch (``date_unix``).
        slug: the readable part of its name (`names.slug_of`).
        content_type: the media type of its audio, lower case, without parameters; may be empty.
        output_format: the API's name of the format, such as ``mp3_44100_128``; may be empty.
        estimate: a guess at the bytes of its audio, never 0.
        revision: a checksum of the raw object: another revision, another ``meta.json``.
        size: the exact bytes of its audio, None while they are not known; what a source says of it
            is passed over: the clip itself tells.
        ending: the ending of its audio's name, as the clip's first bytes told; None while they are
            not known, or don't contradict the two formats. Passed over like ``size``.
    """

    id: str
    key: str
    date: int
    slug: str
    content_type: str
    output_format: str
    estimate: int
    revision: int
    size: int | None = None
    ending: str | None = None


@dataclass(frozen=True, slots=True)
class Details:
    """The whole of a recording but its audio.

    Attributes:
        raw: the API's own object in JSON, every field in the order in which it came, indented by
            two spaces, in UTF-8.
        text: what was spoken; None when the API gives none.
        final: whether it is what it will be: a conversation that goes on isn't.
        has_audio: whether there is audio, now or later; None where that isn't said.
    """

    raw: bytes
    text: str | None
    final: bool = True
    has_audio: bool | None = None

    @property
    def silent(self) -> bool:
        """Whether there is no audio for certain, now and later."""
        return self.final and self.has_audio is False


@dataclass(frozen=True, slots=True)
class Record:
    """One recording as a source lists it.

    Attributes:
        item: what listings need of it.
        facets: what it has of each kind.
        raw: the API's own object, in JSON as it was sent.
    """

    item: Item
    facets: Facets
    raw: bytes

    @classmethod
    def of(
        cls,
        item_id: str,
        date: int,
        raw: bytes,
        *,
        title: str = "",
        facets: Facets | None = None,
        content_type: str = "",
        output_format: str = "",
        estimate: int | None = None,
    ) -> Record:
        """Make a record from what a source knows; the rest of the item follows from that.

        Args:
            item_id: any text that no other item of the source has.
            date: in seconds since the epoch, from 0 on.
            raw: all that is known of it, an object in JSON.
            title: a readable name, such as its text; its first words are shown.
            facets: what it has of each kind that the source's `Traits` name.
            content_type: the media type of its audio, lower case, without parameters.
            output_format: what else may tell the ending of its audio, such as ``mp3_44100_128``.
            estimate: the bytes of its audio, as far as they can be told; None when they can't.
        """
        if estimate is None:
            estimate = audio_bytes(content_type, output_format, None, len(title))
        item = Item(
            id=item_id,
            key=key_of(item_id),
            date=date,
            slug=slug_of(title),
            content_type=content_type,
            output_format=output_format,
            estimate=max(estimate, 1),
            revision=zlib.crc32(raw),
        )
        return cls(item, facets or {}, raw)
