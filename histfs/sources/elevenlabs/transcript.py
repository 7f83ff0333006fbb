"""What was said in a conversation, as a text. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from histfs.core.attachments import unique_names
from histfs.core.item import Attachment
from histfs.sources.elevenlabs.field_values import number_of, string_of

_HOUR = 3600
#: Longer than any conversation, in seconds.
_TOO_LONG = 100 * _HOUR


def transcript_of(turns: object) -> str | None:
    """Return a transcript, one line for each turn: ``[00:03] user: Hello``.

    A message of several lines keeps them, and those after the first are indented, so that none
    looks like a turn of its own. The files that are sent with a turn follow its words, such as
    ``[00:12] user: (sends invoice.pdf)``. A turn without words shows the tools that it calls, such
    as ``[00:05] agent: (calls lookup_order)``, or those that answer, such as ``(lookup_order
    answers)``; one without any of these is left out.

    Args:
        turns: the transcript in the API's words.

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
    """Return the files that are sent in a transcript, each once; one without an id can't be had.

    Args:
        turns: the transcript in the API's words.
    """
    found: dict[str, Attachment] = {}
    for turn in turns if isinstance(turns, list) else []:
        for file in _files(turn) if isinstance(turn, Mapping) else []:
            file_id, name = string_of(file.get("file_id")), string_of(file.get("original_filename"))
            kind = string_of(file.get("mime_type")).partition(";")[0].strip().lower()
            # A server may give the first file of a turn in both fields.
            if file_id:
                found.setdefault(file_id, Attachment(file_id, name, kind))
    return tuple(found.values())


def _files(turn: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the files of a turn: of a list, or the only one, by the age of the server."""
    several = turn.get("file_inputs")
    for file in [*(several if isinstance(several, list) else []), turn.get("file_input")]:
        if isinstance(file, Mapping):
            yield file


def _lines(names: Mapping[str, str], turns: Iterator[Mapping[str, Any]]) -> Iterator[str]:
    for turn in turns:
        words = [*_words(turn).splitlines(), *_sent(turn, names)] or [*_done(turn)]
        if words:
            stamp = f"[{_clock(turn.get('time_in_call_secs'))}] "
            between = "\n" + " " * len(stamp)
            yield f"{stamp}{_name(turn.get('role')) or '?'}: {between.join(words)}"


def _words(turn: Mapping[str, Any]) -> str:
    """Return what was said in a turn; empty when nothing was."""
    return string_of(turn.get("message")).strip() or " ".join(
        _each(_part(turn.get("multivoice_message"), "parts"), "text")
    )


def _sent(turn: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[str]:
    """Yield a line with the names of the files of a turn, as they are called in ``files/``."""
    sent = [names.get(string_of(file.get("file_id"))) or _unnamed(file) for file in _files(turn)]
    if sent:
        yield f"(sends {', '.join(dict.fromkeys(sent))})"


def _unnamed(file: Mapping[str, Any]) -> str:
    return _name(file.get("original_filename")) or "a file"


def _done(turn: Mapping[str, Any]) -> Iterator[str]:
    """Yield what tools did in a turn without words."""
    calls = ", ".join(_each(turn.get("tool_calls"), "tool_name"))
    if calls:
        yield f"(calls {calls})"
    results = turn.get("tool_results")
    for result in results if isinstance(results, list) else []:
        tool = _name(_part(result, "tool_name"))
        if tool:
            yield f"({tool} {'fails' if _part(result, 'is_error') is True else 'answers'})"


def _part(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, Mapping) else None


def _each(values: object, name: str) -> Iterator[str]:
    """Yield a field of each object in a list, where it holds something."""
    for value in values if isinstance(values, list) else []:
        text = _name(_part(value, name))
        if text:
            yield text


def _name(value: object) -> str:
    """Return a field as one line."""
    return " ".join(string_of(value).split())


def _clock(value: object) -> str:
    """Return seconds as ``mm:ss``, from an hour on as ``hh:mm:ss``; dashes when there are none."""
    seconds = number_of(value)
    if seconds is None or not 0 <= seconds < _TOO_LONG:
        return "--:--"
    hours, rest = divmod(int(seconds), _HOUR)
    clock = f"{rest // 60:02}:{rest % 60:02}"
    return f"{hours:02}:{clock}" if hours else clock
