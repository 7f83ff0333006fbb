"""The words of the API's objects with their times, whatever its fields hold."""

from __future__ import annotations

import json

import pytest

from histfs.sources.elevenlabs.conversation_objects import record_of as conversation_of
from histfs.sources.elevenlabs.history_objects import record_of as clip_of
from histfs.sources.elevenlabs.timed_words import (
    timed_words_of_clip,
    timed_words_of_conversation,
)


def alignment(text, step=0.1):
    return {
        "characters": list(text),
        "character_start_times_seconds": [number * step for number in range(len(text))],
        "character_end_times_seconds": [(number + 1) * step for number in range(len(text))],
    }


def clip(**alignments):
    item = {"history_item_id": "a", "date_unix": 1, "text": "Hi you", "alignments": alignments}
    return json.dumps(item).encode()


def said(words):
    return [(word.text, word.start) for word in words]


def test_a_clip_has_the_times_of_its_text():
    raw = clip(alignment=alignment("Hi 2"), normalized_alignment=alignment("Hi two"))
    assert said(timed_words_of_clip(raw)) == [("Hi", 0), ("2", 300)]


def test_the_spoken_text_is_taken_where_the_other_has_no_times():
    raw = clip(alignment=None, normalized_alignment=alignment("Hi two"))
    assert said(timed_words_of_clip(raw)) == [("Hi", 0), ("two", 300)]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[1]",
        b'{"alignments": []}',
        b'{"alignments": {"alignment": 5, "normalized_alignment": {"characters": "abc"}}}',
        b'{"alignments": {"alignment": {"characters": ["a"], "character_start_times_seconds": 1}}}',
        b'{"transcript": {"a": 1}}',
        b'{"transcript": [1, {"message": "x"}, {"time_in_call_secs": 3}]}',
        b'{"transcript": [{"message": 5, "time_in_call_secs": "soon"}]}',
    ],
)
def test_objects_without_times_have_no_words(raw):
    assert timed_words_of_clip(raw) == []
    assert timed_words_of_conversation(raw) == []


def test_a_turn_of_a_conversation_ends_where_the_next_one_begins():
    turns = [
        {"role": "agent", "message": "Good morning to you", "time_in_call_secs": 0},
        {"role": "user", "message": "Hi", "time_in_call_secs": 1},
        {"role": "agent", "message": None, "time_in_call_secs": 2},
        {"role": "user", "message": "Late", "time_in_call_secs": 1},
    ]
    raw = json.dumps({"transcript": turns, "metadata": {"call_duration_secs": 9}}).encode()
    words = timed_words_of_conversation(raw)
    assert [word.text for word in words] == ["Good", "morning", "to", "you", "Hi", "Late"]
    assert words[3].end == 1000 == words[4].start
    assert words[5].start >= words[4].end
    assert [word.text for word in words if word.before == "\n"] == ["Good", "Hi", "Late"]


def test_an_item_tells_whether_it_may_have_times():
    assert clip_of(clip(alignment=alignment("Hi")), 9).item.timed
    assert not clip_of(clip(alignment=None), 9).item.timed
    summary = {"conversation_id": "c", "start_time_unix_secs": 1}
    for count, timed in ((None, True), (3, True), (0, False)):
        raw = json.dumps({**summary, "message_count": count}).encode()
        assert conversation_of(raw, 9).item.timed is timed
