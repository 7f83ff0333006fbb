"""The API's conversation objects, read into the core's words.

There are two kinds: the summary, which a list has, and the whole object, which has some of the
same fields in its ``metadata`` and ``analysis``, and the transcript. Either gives the same item,
as far as it goes. As with history items, whatever a field holds, the conversation is shown.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

from histfs.core.errors import BadAnswer
from histfs.core.item import Details, Record
from histfs.core.names import Labelled
from histfs.core.size_estimate import call_bytes
from histfs.sources.elevenlabs.field_values import dates_of, number_of, string_of
from histfs.sources.elevenlabs.json_parsing import indented, object_of
from histfs.sources.elevenlabs.transcript import attachments_of, transcript_of

_Object = Mapping[str, Any]

#: Of a conversation with a status that isn't known here more may come: to ask once too often is
#: better than to keep half of it for ever.
_FINAL = ("done", "failed")
_TALKING = ("initiated", "in-progress")

#: Parts of the metadata, and the fields in which each has the number of who called.
_CALLERS = (
    ("phone_call", "external_number"),
    ("sms", "sms_user_phone_number"),
    ("whatsapp", "whatsapp_user_id"),
)


def records_of(conversations: Iterable[bytes], now: float) -> list[Record]:
    """Read a page of conversations.

    One without a possible time gets its neighbour's.

    Args:
        conversations: the objects in JSON, as the API lists them.
        now: the server's time as well as it is known, in seconds since the epoch.

    Raises:
        BadAnswer: one of them has no id: a list without it would look complete.
        ValueError, RecursionError: one of them is not JSON, or not to be read.
    """
    readings = [(raw, _read(raw)) for raw in conversations]
    nameless = sum(not _id(fields) for _, fields in readings)
    if nameless:
        raise BadAnswer(f"the server lists conversations without an id ({nameless} on a page)")
    dates = dates_of([_date(fields) for _, fields in readings], now)
    return [
        _record(*reading, date, dated)
        for reading, date, dated in zip(readings, *dates, strict=True)
    ]


def record_of(raw: bytes, now: float) -> Record:
    """Read one conversation.

    Args:
        raw: the object in JSON.
        now: the server's time as well as it is known, in seconds since the epoch.

    Raises:
        BadAnswer: it is no object, or has no id.
        ValueError, RecursionError: it is not JSON, or not to be read.
    """
    fields = _read(raw)
    if not _id(fields):
        raise BadAnswer("the answer is not a conversation")
    ((date,), (dated,)) = dates_of([_date(fields)], now)
    return _record(raw, fields, date, dated)


def details_of(raw: bytes) -> Details:
    """Return what the item's text files are made of.

    Args:
        raw: the object in JSON.

    Raises:
        BadAnswer: it can't be read.
    """
    try:
        # Without the transcript it would not be known which files were sent in it.
        fields, whole = _read(raw, needed=("transcript",)), indented(raw)
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
    return Details(
        whole,
        _said_of(fields) if listed else transcript_of(turns),
        final,
        has_audio,
        callers=_callers_of(fields),
        attachments=attachments_of(turns),
    )


def _callers_of(fields: _Object) -> frozenset[str]:
    """Return the ids and the numbers by which a conversation tells who called."""
    client, metadata = fields.get("conversation_initiation_client_data"), fields.get("metadata")
    found = [(part, "user_id") for part in (fields, client)]
    if isinstance(metadata, Mapping):
        found += [(metadata.get(part), name) for part, name in _CALLERS]
    named = (part.get(name) for part, name in found if isinstance(part, Mapping))
    return frozenset(text for text in map(string_of, named) if text)


def _said_of(fields: _Object) -> str | None:
    """Return what a list says of a conversation: its title, and its summary; None for neither."""
    said = (fields.get("call_summary_title"), fields.get("transcript_summary"))
    return "\n".join(text for text in said if isinstance(text, str) and text) or None


def _read(raw: bytes, needed: Container[str] = ()) -> _Object:
    """Read the fields of a conversation; JSON of another kind has none."""
    whole = object_of(raw, needed)
    return whole if isinstance(whole, dict) else {}


def _record(raw: bytes, fields: _Object, date: int, dated: bool) -> Record:
    agent, name = string_of(fields.get("agent_id")), string_of(fields.get("agent_name"))
    titles = (_found(fields, "call_summary_title"), _found(fields, "transcript_summary"), name)
    title = next((title for title in titles if isinstance(title, str) and title.strip()), "")
    facets: dict[str, Labelled | Iterable[Labelled]] = {
        "agent": Labelled(agent or name, name or None),
        "outcome": Labelled(string_of(_found(fields, "call_successful")) or "unknown", None),
    }
    calls = _call_ids(_found(fields, "phone_call"))
    if calls:
        facets["call"] = [Labelled(call, None) for call in calls]
    return Record.of(
        _id(fields),
        date,
        raw,
        title=title,
        facets=facets,
        content_type="audio/mpeg",
        estimate=call_bytes(number_of(_found(fields, "call_duration_secs"))),
        dated=dated,
    )


def _call_ids(phone: object) -> list[str]:
    """Return the ids of a telephone call: a carrier's ``call_sid``, and the ``call_id`` of SIP."""
    if not isinstance(phone, Mapping):
        return []
    ids = (string_of(phone.get(name)) for name in ("call_sid", "call_id"))
    return list(dict.fromkeys(filter(None, ids)))


def _id(fields: _Object) -> str:
    return string_of(fields.get("conversation_id"))


def _date(fields: _Object) -> object:
    return _found(fields, "start_time_unix_secs")


def _found(fields: _Object, name: str) -> object:
    """Return a field that a summary has at its top, and a whole object in one of its parts."""
    for part in (fields, fields.get("metadata"), fields.get("analysis")):
        if isinstance(part, Mapping) and part.get(name) is not None:
            return part[name]
    return None
