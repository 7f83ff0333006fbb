"""What was said in a conversation, as a text. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from histfs.sources.elevenlabs.values import number_of, string_of

_HOUR = 3600
#: Longer than any conversation, in seconds.
_TOO_LONG = 100 * _HOUR


def transcript_of(turns: object) -> str | None:
    """Return a transcript, one line for each turn: ``[00:03] user: Hello``.

    A message of several lines keeps them, and those after the first are indented, so that none
    looks like a turn of its own. A turn without words shows the tools that it calls, such as
    ``[00:05] agent: (calls lookup_order)``; one without these either is left out.

    Args:
        turns: the transcript in the API's words.

    Returns:
        The text without a newline at its end; None when there is no transcript.
    """
    if not isinstance(turns, list):
        return None
    return "\n".join(_lines(turn for turn in turns if isinstance(turn, Mapping)))


def _lines(turns: Iterator[Mapping[str, Any]]) -> Iterator[str]:
    for turn in turns:
        words = _words(turn).splitlines()
        if words:
            stamp = f"[{_clock(turn.get('time_in_call_secs'))}] "
            between = "\n" + " " * len(stamp)
            yield f"{stamp}{_name(turn.get('role')) or '?'}: {between.join(words)}"


def _words(turn: Mapping[str, Any]) -> str:
    """Return what was said in a turn, or else done; empty when nothing was."""
    return (
        string_of(turn.get("message")).strip()
        or " ".join(_each(_part(turn.get("multivoice_message"), "parts"), "text"))
        or _calls(turn)
    )


def _calls(turn: Mapping[str, Any]) -> str:
    tools = ", ".join(_each(turn.get("tool_calls"), "tool_name"))
    return f"(calls {tools})" if tools else ""


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
