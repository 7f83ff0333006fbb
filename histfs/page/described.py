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
from histfs.page.words import words_of
from histfs.sources.elevenlabs import conversation_objects, history_objects
from histfs.sources.elevenlabs.row_fields import row_fields

#: The facets that tell who speaks, the first that an item has.
_SPEAKERS = ("voice", "agent")


class Described(NamedTuple):
    """The fields.

    Attributes:
        voices: as in `PageClip`; empty for an object of another kind.
        date: when it was created, in seconds since the epoch; None if it doesn't say.
        words: as in `PageClip`.
        seconds: as in `PageClip`.
    """

    voices: tuple[str, ...] = ()
    date: int | None = None
    words: Sequence[TimedWord] = ()
    seconds: float | None = None


def described(raw: bytes) -> Described:
    """Return the fields of an item's object.

    Args:
        raw: the object, in JSON.

    Raises:
        BadAnswer: it is no JSON object.
    """
    try:
        # From a backup it may be anything: the parsers of the sources know the server's answers.
        fields = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BadAnswer("it is no JSON") from error
    if not isinstance(fields, dict):
        raise BadAnswer("it is JSON, but not an object")
    record = _record_of(raw)
    return Described(
        () if record is None else speakers(record.facets),
        record.item.date if record is not None and record.dated else None,
        words_of(fields),
        row_fields(raw).duration,
    )


def speakers(facets: Facets) -> tuple[str, ...]:
    """Return the names of the voices of an item, or of its agent; ids where they have none."""
    for kind in _SPEAKERS:
        if names := [label or value for value, label in facets.get(kind, ()) if value or label]:
            return tuple(names)
    return ()


def _record_of(raw: bytes) -> Record | None:
    for objects in (history_objects, conversation_objects):
        try:
            record: Record = objects.record_of(raw, LATEST)
        except (BadAnswer, ValueError, RecursionError):
            continue
        return record
    return None
