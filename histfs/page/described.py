"""What a page needs of an item's object as the API gives it: voices, words with times, duration.

Whatever a field holds, the item is shown: a field of another type counts as missing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from histfs.core.captions import TimedWord
from histfs.core.errors import BadAnswer
from histfs.core.item import Facets, Record
from histfs.core.times import LATEST
from histfs.sources.elevenlabs import conversation_objects, history_objects
from histfs.sources.elevenlabs.row_fields import row_fields
from histfs.sources.elevenlabs.timed_words import (
    timed_words_of_clip,
    timed_words_of_conversation,
)

#: How the objects of each kind are parsed, and the times of their words.
_KINDS = (
    (history_objects.record_of, timed_words_of_clip),
    (conversation_objects.record_of, timed_words_of_conversation),
)
#: The facets that tell who speaks, the first that an item has.
_SPEAKERS = ("voice", "agent")


class Described(NamedTuple):
    """The fields.

    Attributes:
        voices: as in `PageClip`; empty for an object of another kind.
        date: when it was created, in seconds since the epoch; None if it doesn't say.
        words: as in `PageClip`.
        seconds: as in `PageClip`.
        text: what was spoken; None if the object doesn't say.
    """

    voices: tuple[str, ...] = ()
    date: int | None = None
    words: Sequence[TimedWord] = ()
    seconds: float | None = None
    text: str | None = None


def described(raw: bytes) -> Described:
    """Return the fields of an item's object.

    Args:
        raw: the object, in JSON.

    Raises:
        BadAnswer: it is no JSON object.
    """
    try:
        # From a backup it may be anything: the parsers of the sources know the server's answers.
        is_object = isinstance(json.loads(raw), dict)
    except (ValueError, RecursionError) as error:
        raise BadAnswer("it is no JSON") from error
    if not is_object:
        raise BadAnswer("it is JSON, but not an object")
    row = row_fields(raw)
    fields = Described(seconds=row.duration, text=(row.text or "") if row.tells_text else None)
    for parse, words_of in _KINDS:
        try:
            record: Record = parse(raw, LATEST)
        except (BadAnswer, ValueError, RecursionError):
            continue  # it is of the other kind, or of another source
        date = record.item.date if record.dated else None
        return fields._replace(voices=speakers(record.facets), date=date, words=words_of(raw))
    return fields


def speakers(facets: Facets) -> tuple[str, ...]:
    """Return the names of the voices of an item, or of its agent; ids where they have none."""
    for kind in _SPEAKERS:
        if names := [label or value for value, label in facets.get(kind, ()) if value or label]:
            return tuple(names)
    return ()
