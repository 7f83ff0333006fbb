"""The words of an item's object with their times: those of its characters, or of a call. Pure.

Whatever a field holds, nothing fails: what has no time is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from histfs.core.captions import TimedWord, spread_words, words_of_characters

_LISTS = ("characters", "character_start_times_seconds", "character_end_times_seconds")


def words_of(fields: Mapping[str, object]) -> Sequence[TimedWord]:
    """Return the words with their times; none if the object has no times.

    Args:
        fields: the object of a history item, or all details of a conversation.
    """
    found = fields.get("alignments")
    alignments: Mapping[str, object] = found if isinstance(found, Mapping) else {}
    for name in ("alignment", "normalized_alignment"):
        alignment = alignments.get(name)
        if isinstance(alignment, Mapping):
            lists = [v if isinstance(v := alignment.get(each), list) else [] for each in _LISTS]
            if words := words_of_characters(*lists):
                return words
    turns = fields.get("transcript")
    return list(_turns(turns)) if isinstance(turns, list) else []


def _turns(turns: Sequence[object]) -> Iterator[TimedWord]:
    """Yield the words of the messages of a call, at an even speed until the next one begins."""
    said: list[tuple[float, str]] = []
    for turn in turns:
        if isinstance(turn, Mapping):
            moment, message = turn.get("time_in_call_secs"), turn.get("message")
            if isinstance(moment, int | float) and isinstance(message, str):
                said.append((moment, message))
    for number, (moment, message) in enumerate(said):
        following = said[number + 1][0] if said[number + 1 :] else 0
        yield from spread_words(message, moment, following)
