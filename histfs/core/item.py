"""Items: what histfs knows of one recording."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from histfs.core.names import Labelled

#: The facets of an item: for each kind ("voice", "source", "model", …) what it has of it. A kind
#: that the item lacks has an empty value.
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
        size: the exact bytes of its audio, None while they are not known.
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
