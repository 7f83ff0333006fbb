"""Items: the data that histfs keeps of one recording. Immutable values."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from histfs.core.names import Labelled, key_of, slug_of
from histfs.core.size_estimate import audio_bytes
from histfs.core.times import EARLIEST, LATEST

#: Dates of a record that has no valid date, and no neighbour in the list with one: the catalog
#: replaces them by the date of the oldest, or of the newest item it knows.
UNKNOWN_OLD, UNKNOWN_NEW = EARLIEST, LATEST

#: The facets of an item: for each kind ("voice", "source", "model", …) its distinct values. Most
#: items have one value of a kind, a dialogue has several voices; the first is the primary value. A
#: kind that the item lacks has one empty value. A kind that only the full details tell is absent
#: before they are known, and until then no view by it shows the item.
Facets = Mapping[str, tuple[Labelled, ...]]

#: The values of a kind that an item lacks.
NOTHING = (Labelled("", None),)


@dataclass(frozen=True, slots=True)
class Item:
    """The fields of a recording that listings, names and attributes need.

    Attributes:
        id: the API's own id, any text.
        key: the id in a form that is safe in paths and URLs (`names.key_of`).
        date: when it was created, in seconds since the epoch (``date_unix``).
        slug: the readable part of its name (`names.slug_of`).
        content_type: the media type of its audio, lower case, without parameters; may be empty.
        output_format: the API's name of the format, such as ``mp3_44100_128``; may be empty.
        estimate: the estimated size of its audio in bytes, never 0.
        revision: a checksum of the raw object: another revision, another ``meta.json``.
        timed: whether it may be known when each word is spoken (`Traits.timed_words`).
        attachment: the id of an attachment, if this item stands for that instead of for the audio
            (`attachments.part_of`); None for the item itself.
        extension: of its audio's name, by the clip's first bytes; None while they are not
            known, or agree with the two formats. A value from a source is ignored.
    """

    id: str
    key: str
    date: int
    slug: str
    content_type: str
    output_format: str
    estimate: int
    revision: int
    timed: bool = False
    extension: str | None = None
    attachment: str | None = None


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that was sent in a conversation.

    Attributes:
        id: the API's own id of the file; unique within its item.
        name: the file's original name, unchecked: any text, also an empty one.
        content_type: its media type, lower case, without parameters; may be empty.
    """

    id: str
    name: str
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class Details:
    """All data of a recording but its audio.

    Attributes:
        raw: the API's own object in JSON, every field in its original order, indented by two
            spaces, in UTF-8.
        text: the spoken text; None if the API gives none.
        words: the text without the names of the speakers, for the full-text index; None if the
            text has no such names.
        final: whether the object will not change any more; False for a conversation that goes on.
        has_audio: whether there is audio, now or later; None if the object doesn't say.
        callers: user ids and telephone numbers of the callers, as the API gives them.
        attachments: the files that were sent, in that order.
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
        """Whether there is certainly no audio, now and later."""
        return self.final and self.has_audio is False


@dataclass(frozen=True, slots=True)
class Record:
    """One recording as a source lists it.

    Attributes:
        item: the fields that listings need.
        facets: its values of each kind.
        raw: the API's own object, in JSON as it was sent.
        dated: whether the source gave a valid date. If not, ``item.date`` is the date of a
            neighbour in the list, or `UNKNOWN_OLD` or `UNKNOWN_NEW`; the catalog keeps the first
            date under which it shows such an item.
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
        timed: bool = False,
        dated: bool = True,
    ) -> Record:
        """Create a record from what a source knows; derive the other fields of the item.

        Args:
            item_id: any text, unique within the source.
            date: in seconds since the epoch, 0 or later.
            raw: the source's own object, in JSON.
            title: a readable name, such as the spoken text; its first words are shown.
            facets: for each kind that the source's `Traits` name, one value, or several with the
                primary one first; an empty value, or none, for a kind that the item lacks.
            content_type: the media type of its audio, lower case, without parameters.
            output_format: another hint at the extension of its audio, such as ``mp3_44100_128``.
            estimate: the estimated size of its audio in bytes; None to derive it from the others.
            timed: as in `Item`.
            dated: False if the source gave no valid date; see `Record`.
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
            timed=timed,
        )
        own = {kind: _values(given) for kind, given in facets.items()} if facets else {}
        return cls(item, own, raw, dated)


def _values(given: Labelled | Iterable[Labelled]) -> tuple[Labelled, ...]:
    """Return the values of one kind in the form of `Facets`."""
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
