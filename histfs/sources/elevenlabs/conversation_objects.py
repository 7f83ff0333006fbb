"""Parses the API's conversation objects into records and details.

There are two kinds: the summary, of which a list consists, and the complete object, which has some
of the same fields in its ``metadata`` and ``analysis``, and the transcript. Both give the same item
as far as their fields go. As with history items, the conversation is shown whatever a field holds.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

from histfs.core.errors import BadAnswer
from histfs.core.item import Details, Record
from histfs.core.names import Labelled
from histfs.core.size_estimate import call_bytes
from histfs.sources.elevenlabs.json_parsing import (
    RecordParser,
    indent,
    number_of,
    parse_object,
    string_of,
)
from histfs.sources.elevenlabs.transcript import attachments_of, transcript_of

_Object = Mapping[str, Any]

#: The statuses after which a conversation doesn't change. An unknown status is not final: one
#: request too many is better than an incomplete object that is kept for ever.
_FINAL = ("done", "failed")
_IN_PROGRESS = ("initiated", "in-progress")

#: Parts of the metadata, and the field of each that holds the caller's number.
_CALLERS = (
    ("phone_call", "external_number"),
    ("sms", "sms_user_phone_number"),
    ("whatsapp", "whatsapp_user_id"),
)


def details_of(raw: bytes) -> Details:
    """Parse the details of a conversation, for the item's text files.

    Args:
        raw: the object in JSON.

    Raises:
        BadAnswer: it can't be parsed.
    """
    try:
        # The attachments are known only from the transcript.
        fields, indented = _parse(raw, needed=("transcript",)), indent(raw)
    except (ValueError, RecursionError) as error:
        raise BadAnswer("the conversation's object can't be read") from error
    if not indented.startswith(b"{"):
        raise BadAnswer("the conversation is JSON, but not an object")
    final = fields.get("status") in _FINAL
    has_audio = fields.get("has_audio")
    if not (has_audio is True or (has_audio is False and final)):
        # Missing audio may come later. A summary doesn't have the field, but has the status.
        in_progress = "has_audio" not in fields and fields.get("status") in _IN_PROGRESS
        has_audio = False if in_progress else None
    is_summary = "transcript" not in fields
    turns = fields.get("transcript")
    return Details(
        indented,
        _summary_text(fields) if is_summary else transcript_of(turns),
        final,
        has_audio,
        callers=_callers_of(fields),
        attachments=attachments_of(turns),
    )


def _callers_of(fields: _Object) -> frozenset[str]:
    """Return the ids and numbers that identify the caller."""
    client, metadata = fields.get("conversation_initiation_client_data"), fields.get("metadata")
    places = [(part, "user_id") for part in (fields, client)]
    if isinstance(metadata, Mapping):
        places += [(metadata.get(part), name) for part, name in _CALLERS]
    values = (part.get(name) for part, name in places if isinstance(part, Mapping))
    return frozenset(text for text in map(string_of, values) if text)


def _summary_text(fields: _Object) -> str | None:
    """Return the title and the summary of a listed conversation; None when it has neither."""
    texts = (fields.get("call_summary_title"), fields.get("transcript_summary"))
    return "\n".join(text for text in texts if isinstance(text, str) and text) or None


def _parse(raw: bytes, needed: Container[str] = ()) -> _Object:
    """Parse the fields of a conversation; JSON of another kind has none."""
    parsed = parse_object(raw, needed)
    return parsed if isinstance(parsed, dict) else {}


def _record(raw: bytes, fields: _Object, date: int, dated: bool) -> Record:
    agent, name = string_of(fields.get("agent_id")), string_of(fields.get("agent_name"))
    titles = (_field(fields, "call_summary_title"), _field(fields, "transcript_summary"), name)
    title = next((title for title in titles if isinstance(title, str) and title.strip()), "")
    facets: dict[str, Labelled | Iterable[Labelled]] = {
        "agent": Labelled(agent or name, name or None),
        "outcome": Labelled(string_of(_field(fields, "call_successful")) or "unknown", None),
        "channel": Labelled(string_of(_field(fields, "conversation_initiation_source")), None),
        "language": Labelled(string_of(_field(fields, "main_language")), None),
        "tag": [Labelled(tag, None) for tag in _tags(fields)],
    }
    calls = _call_ids(_field(fields, "phone_call"))
    if calls:
        facets["call"] = [Labelled(call, None) for call in calls]
    return Record.of(
        _id(fields),
        date,
        raw,
        title=title,
        facets=facets,
        content_type="audio/mpeg",
        estimate=call_bytes(number_of(_field(fields, "call_duration_secs"))),
        timed=_has_turns(fields),
        dated=dated,
    )


def _tags(fields: _Object) -> list[str]:
    tags = _field(fields, "tag_ids")
    return [tag for tag in map(string_of, tags) if tag] if isinstance(tags, list) else []


def _has_turns(fields: _Object) -> bool:
    """Say whether a conversation may have turns: a summary tells their number."""
    turns = fields.get("transcript")
    if isinstance(turns, list):
        return bool(turns)
    return number_of(_field(fields, "message_count")) != 0


def _call_ids(phone: object) -> list[str]:
    """Return the ids of a telephone call: a carrier's ``call_sid``, and the ``call_id`` of SIP."""
    if not isinstance(phone, Mapping):
        return []
    ids = (string_of(phone.get(name)) for name in ("call_sid", "call_id"))
    return list(dict.fromkeys(filter(None, ids)))


def _id(fields: _Object) -> str:
    return string_of(fields.get("conversation_id"))


def _date(fields: _Object) -> object:
    return _field(fields, "start_time_unix_secs")


def _field(fields: _Object, name: str) -> object:
    """Return a field of a summary, which a complete object has in one of its parts."""
    for part in (fields, fields.get("metadata"), fields.get("analysis")):
        if isinstance(part, Mapping) and part.get(name) is not None:
            return part[name]
    return None


_parser = RecordParser(
    name="conversation",
    plural="conversations",
    parse=_parse,
    id_of=_id,
    date_of=_date,
    make=_record,
)
record_of, records_of = _parser.record_of, _parser.records_of
