"""Formats the transcript of a conversation as text. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from histfs.core.attachments import unique_names
from histfs.core.item import Attachment
from histfs.sources.elevenlabs.json_parsing import number_of, string_of

_HOUR = 3600
#: Seconds from which a time in a conversation is invalid.
_MAX_SECONDS = 100 * _HOUR


def transcript_of(turns: object) -> str | None:
    """Return a transcript, one line for each turn: ``[00:03] user: Hello``.

    The lines of a message after the first are indented, so that none looks like a turn. The files
    of a turn follow its message, such as ``[00:12] user: (sends invoice.pdf)``. A turn without a
    message shows its tool calls, such as ``[00:05] agent: (calls lookup_order)``, or their results,
    such as ``(lookup_order answers)``; one without any of these is left out.

    Args:
        turns: the API's field ``transcript``, of any JSON type.

    Returns:
        The text without a newline at its end; None when there is no transcript.
    """
    if not isinstance(turns, list):
        return None
    names = {
        attachment.id: name for name, attachment in unique_names(attachments_of(turns)).items()
    }
    return "\n".join(_lines(names, (turn for turn in turns if isinstance(turn, Mapping))))


def attachments_of(turns: object) -> tuple[Attachment, ...]:
    """Return the files of a transcript, each once; one without an id can't be requested.

    Args:
        turns: the API's field ``transcript``, of any JSON type.
    """
    attachments: dict[str, Attachment] = {}
    for turn in turns if isinstance(turns, list) else []:
        for file in _files(turn) if isinstance(turn, Mapping) else []:
            file_id, name = string_of(file.get("file_id")), string_of(file.get("original_filename"))
            media_type = string_of(file.get("mime_type")).partition(";")[0].strip().lower()
            # A server may list the first file of a turn in both fields.
            if file_id:
                attachments.setdefault(file_id, Attachment(file_id, name, media_type))
    return tuple(attachments.values())


def _files(turn: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the files of a turn: from the list, or the single field of older servers."""
    listed = turn.get("file_inputs")
    for file in [*(listed if isinstance(listed, list) else []), turn.get("file_input")]:
        if isinstance(file, Mapping):
            yield file


def _lines(names: Mapping[str, str], turns: Iterator[Mapping[str, Any]]) -> Iterator[str]:
    for turn in turns:
        lines = [*message_of(turn).splitlines(), *_file_line(turn, names)] or [*_tool_lines(turn)]
        if lines:
            timestamp = f"[{_format_time(turn.get('time_in_call_secs'))}] "
            separator = "\n" + " " * len(timestamp)
            yield f"{timestamp}{_one_line(turn.get('role')) or '?'}: {separator.join(lines)}"


def message_of(turn: Mapping[str, Any]) -> str:
    """Return the message of a turn; empty when it has none."""
    return string_of(turn.get("message")).strip() or " ".join(
        _fields(_field(turn.get("multivoice_message"), "parts"), "text")
    )


def _file_line(turn: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[str]:
    """Yield a line with the files of a turn, by their names in ``files/``; nothing without any."""
    files = [
        names.get(string_of(file.get("file_id")))
        or _one_line(file.get("original_filename"))
        or "a file"
        for file in _files(turn)
    ]
    if files:
        yield f"(sends {', '.join(dict.fromkeys(files))})"


def _tool_lines(turn: Mapping[str, Any]) -> Iterator[str]:
    """Yield the tool calls and results of a turn."""
    calls = ", ".join(_fields(turn.get("tool_calls"), "tool_name"))
    if calls:
        yield f"(calls {calls})"
    results = turn.get("tool_results")
    for result in results if isinstance(results, list) else []:
        tool = _one_line(_field(result, "tool_name"))
        if tool:
            yield f"({tool} {'fails' if _field(result, 'is_error') is True else 'answers'})"


def _field(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, Mapping) else None


def _fields(values: object, name: str) -> Iterator[str]:
    """Yield a field of each object in a list, as one line, where it isn't empty."""
    for value in values if isinstance(values, list) else []:
        text = _one_line(_field(value, name))
        if text:
            yield text


def _one_line(value: object) -> str:
    """Return a field as one line."""
    return " ".join(string_of(value).split())


def _format_time(value: object) -> str:
    """Return seconds as ``mm:ss``, from an hour on as ``hh:mm:ss``; dashes when invalid."""
    seconds = number_of(value)
    if seconds is None or not 0 <= seconds < _MAX_SECONDS:
        return "--:--"
    hours, rest = divmod(int(seconds), _HOUR)
    text = f"{rest // 60:02}:{rest % 60:02}"
    return f"{hours:02}:{text}" if hours else text
