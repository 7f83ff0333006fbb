"""Items: what histfs knows of one recording."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from histfs.core.names import Labelled, key_of, slug_of
from histfs.core.size_estimate import audio_bytes
from histfs.core.times import EARLIEST, LATEST

#: Dates of a record without a possible date and without a neighbour that has one: the catalog
#: takes that of the oldest, or of the newest item it knows.
UNKNOWN_OLD, UNKNOWN_NEW = EARLIEST, LATEST

#: The facets of an item: for each kind ("voice", "source", "model", …) its values, each one once.
#: Most items have one value of a kind, a dialogue has several voices; the first one is the item's
#: primary value. A kind that the item lacks has one value, which is empty; one that only its full
#: details tell isn't there before they are known, and until then no view by it shows the item.
Facets = Mapping[str, tuple[Labelled, ...]]

#: What an item has of a kind that it lacks.
NOTHING = (Labelled("", None),)


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
        attachment: the id of one attachment, where this stands for that instead of for the audio
            (`attachments.part_of`); None for the item itself.
        extension: of its audio's name, by the clip's first bytes; None while they are not known, or
            don't contradict the two formats. What a source says of it is ignored.
    """

    id: str
    key: str
    date: int
    slug: str
    content_type: str
    output_format: str
    estimate: int
    revision: int
    extension: str | None = None
    attachment: str | None = None


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that somebody sent in a conversation.

    Attributes:
        id: the API's own id of the file; unique within its item.
        name: the file's original name, unchecked: it may be empty, or hold anything.
        content_type: its media type, lower case, without parameters; may be empty.
    """

    id: str
    name: str
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class Details:
    """The whole of a recording but its audio.

    Attributes:
        raw: the API's own object in JSON, every field in the order in which it came, indented by
            two spaces, in UTF-8.
        text: what was spoken; None when the API gives none.
        words: the same without the names of the speakers, for a search to look through; None where
            the text has no such names.
        final: whether it is what it will be: a conversation that goes on isn't.
        has_audio: whether there is audio, now or later; None where that isn't said.
        callers: user ids and telephone numbers of the people who called, as the API gives them.
        attachments: the files that were sent, in the order in which they were.
    """

    raw: bytes
    text: str | None
    final: bool = True
    has_audio: bool | None = None
    callers: frozenset[str] = frozenset()
    words: str | None = None
    attachments: tuple[Attachment, ...] = ()

    @property
    def lacks_audio(self) -> bool:
        """Whether there is no audio for certain, now and later."""
        return self.final and self.has_audio is False


@dataclass(frozen=True, slots=True)
class Record:
    """One recording as a source lists it.

    Attributes:
        item: what listings need of it.
        facets: its values of each kind.
        raw: the API's own object, in JSON as it was sent.
        dated: whether the source gave a possible date. Where it did not, ``item.date`` is the date
            of a neighbour in the list, or `UNKNOWN_OLD` or `UNKNOWN_NEW`; the catalog keeps the
            first date under which it shows such an item.
    """

    item: Item
    facets: Facets
    raw: bytes
    dated: bool = True

    @classmethod
    def of(
        cls,
        item_id: str,
        date: int,
        raw: bytes,
        *,
        title: str = "",
        facets: Mapping[str, Labelled | Iterable[Labelled]] | None = None,
        content_type: str = "",
        output_format: str = "",
        estimate: int | None = None,
        dated: bool = True,
    ) -> Record:
        """Make a record from what a source knows; the rest of the item follows from that.

        Args:
            item_id: any text that no other item of the source has.
            date: in seconds since the epoch, from 0 on.
            raw: all that is known of it, an object in JSON.
            title: a readable name, such as its text; its first words are shown.
            facets: what it has of each kind that the source's `Traits` name: one value, or several
                of which the first is the primary one; an empty value, or none, where it lacks it.
            content_type: the media type of its audio, lower case, without parameters.
            output_format: what else may tell the extension of its audio, such as ``mp3_44100_128``.
            estimate: the bytes of its audio, as far as they can be told; None when they can't.
            dated: False where the source gave no possible date; see `Record`.
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
        has = {kind: _values(given) for kind, given in facets.items()} if facets else {}
        return cls(item, has, raw, dated)


def _values(given: Labelled | Iterable[Labelled]) -> tuple[Labelled, ...]:
    """Return the values that an item has of one kind, as `Facets` has them."""
    if isinstance(given, Labelled):
        return (given,)
    values = tuple(given)
    if len(values) < 2:
        return values or NOTHING
    distinct: dict[str, Labelled] = {}
    for value, label in values:
        if value and (value not in distinct or distinct[value].label is None):
            distinct[value] = Labelled(value, label)
    return tuple(distinct.values()) or NOTHING
