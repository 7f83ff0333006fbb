"""The API's conversation objects, read into the core's words.

There are two kinds: the summary, which a list has, and the whole object, which has some of the
same fields in its ``metadata`` and ``analysis``, and the transcript. Either gives the same item,
as far as it goes. As with history items, whatever a field holds, the conversation is shown.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from histfs.core.errors import BadAnswer
from histfs.core.estimate import call_bytes
from histfs.core.item import Details, Record
from histfs.core.names import Labelled
from histfs.sources.elevenlabs.parsing import indented, leniently
from histfs.sources.elevenlabs.transcript import attachments_of, transcript_of
from histfs.sources.elevenlabs.values import date_of, filled, number_of, string_of

log = logging.getLogger(__name__)

_Object = Mapping[str, Any]

#: Of a conversation with a status that isn't known here more may come: to ask once too often is
#: better than to keep half of it for ever.
_FINAL = ("done", "failed")
_TALKING = ("initiated", "in-progress")


def records_of(conversations: Iterable[bytes]) -> list[Record]:
    """Read a page of conversations.

    One without a usable time gets its neighbour's: the list is in the order of time.

    Args:
        conversations: the objects in JSON, as the API lists them.

    Raises:
        ValueError, RecursionError: one of them is not JSON, or not to be read.
    """
    readings = [(raw, _read(raw)) for raw in conversations]
    shown = [(raw, fields) for raw, fields in readings if _id(fields)]
    if len(shown) < len(readings):
        log.warning("%d conversations have no id and are not shown", len(readings) - len(shown))
    dates = filled([_date(fields) for _, fields in shown])
    return [_record(*reading, date) for reading, date in zip(shown, dates, strict=True)]


def record_of(raw: bytes) -> Record:
    """Read one conversation.

    Args:
        raw: the object in JSON.

    Raises:
        BadAnswer: it is no object, or has no id.
        ValueError, RecursionError: it is not JSON, or not to be read.
    """
    fields = _read(raw)
    if not _id(fields):
        raise BadAnswer("the answer is not a conversation")
    return _record(raw, fields, _date(fields) or 0)


def details_of(raw: bytes) -> Details:
    """Return what the item's text files are made of.

    Args:
        raw: the object in JSON.

    Raises:
        BadAnswer: it can't be read.
    """
    try:
        fields, whole = _read(raw), indented(raw)
    except (ValueError, RecursionError) as error:
        raise BadAnswer("the conversation's object can't be read") from error
    if not whole.startswith(b"{"):
        raise BadAnswer("the conversation is JSON, but not an object")
    final = fields.get("status") in _FINAL
    has_audio = fields.get("has_audio")
    if not (has_audio is True or (has_audio is False and final)):
        # Where there is none yet, there may be some later. A list doesn't say, but tells who still
        # talks.
        talking = "has_audio" not in fields and fields.get("status") in _TALKING
        has_audio = False if talking else None
    listed = "transcript" not in fields
    turns = fields.get("transcript")
    text = _said_of(fields) if listed else transcript_of(turns)
    return Details(whole, text, final, has_audio, attachments_of(turns))


def _said_of(fields: _Object) -> str | None:
    """Return what a list says of a conversation: its title, and its summary; None for neither."""
    said = (fields.get("call_summary_title"), fields.get("transcript_summary"))
    return "\n".join(text for text in said if isinstance(text, str) and text) or None


def _read(raw: bytes) -> _Object:
    """Read the fields of a conversation; JSON of another kind has none."""
    whole = leniently(raw)
    return whole if isinstance(whole, dict) else {}


def _record(raw: bytes, fields: _Object, date: int) -> Record:
    agent, name = string_of(fields.get("agent_id")), string_of(fields.get("agent_name"))
    titles = (_found(fields, "call_summary_title"), _found(fields, "transcript_summary"), name)
    title = next((title for title in titles if isinstance(title, str) and title.strip()), "")
    facets = {
        "agent": Labelled(agent or name, name or None),
        "outcome": Labelled(string_of(_found(fields, "call_successful")) or "unknown", None),
    }
    calls = _call_ids(_found(fields, "phone_call"))
    if calls:
        facets["call"] = Labelled(calls[0], None)
    return Record.of(
        _id(fields),
        date,
        raw,
        title=title,
        facets=facets,
        content_type="audio/mpeg",
        estimate=call_bytes(number_of(_found(fields, "call_duration_secs"))),
    )


def _call_ids(phone: object) -> list[str]:
    """Return the ids of a telephone call: a carrier's ``call_sid``, and the ``call_id`` of SIP."""
    if not isinstance(phone, Mapping):
        return []
    ids = (string_of(phone.get(name)) for name in ("call_sid", "call_id"))
    return list(dict.fromkeys(filter(None, ids)))


def _id(fields: _Object) -> str:
    return string_of(fields.get("conversation_id"))


def _date(fields: _Object) -> int | None:
    return date_of(_found(fields, "start_time_unix_secs"))


def _found(fields: _Object, name: str) -> object:
    """Return a field that a summary has at its top, and a whole object in one of its parts."""
    for part in (fields, fields.get("metadata"), fields.get("analysis")):
        if isinstance(part, Mapping) and part.get(name) is not None:
            return part[name]
    return None
