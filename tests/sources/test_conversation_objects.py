"""Conversation objects are parsed, whatever their fields hold."""

from __future__ import annotations

import json
import math
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from histfs.core.errors import BadAnswer
from histfs.core.item import Attachment
from histfs.core.times import EARLIEST, LATEST
from histfs.sources.elevenlabs import conversation_objects
from histfs.sources.elevenlabs.conversation_objects import details_of

DATE = 1_714_650_306
record_of = partial(conversation_objects.record_of, now=1_760_000_000.0)
records_of = partial(conversation_objects.records_of, now=1_760_000_000.0)

SUMMARY = {
    "agent_id": "agent_7701",
    "agent_name": "Support",
    "conversation_id": "conv_8701kvam8zcee8brysrhdcgg3qcp",
    "start_time_unix_secs": 1_714_650_306,
    "call_duration_secs": 27,
    "message_count": 5,
    "status": "done",
    "call_successful": "success",
    "transcript_summary": "The caller asked for an order.",
    "call_summary_title": "Where is my order?",
    "direction": None,
    "a_field_of_tomorrow": [{"x": 1}],
}
COMPLETE = {
    "agent_id": "agent_7701",
    "agent_name": "Support",
    "status": "done",
    "metadata": {
        "start_time_unix_secs": 1_714_650_306,
        "call_duration_secs": 27,
        "phone_call": {"type": "twilio", "call_sid": "CA0123"},
    },
    "analysis": {
        "call_successful": "success",
        "transcript_summary": "The caller asked for an order.",
        "call_summary_title": "Where is my order?",
    },
    "conversation_id": "conv_8701kvam8zcee8brysrhdcgg3qcp",
    "has_audio": True,
    "transcript": [{"role": "user", "message": "Hello", "time_in_call_secs": 3}],
}
ODD = [
    None, True, -1, 10**400, 1e308, math.nan, math.inf, "", "\ud800\0/..\n", [], {}, [[]], [None],
    [{}], {"call_sid": {}}, {"call_sid": None, "start_time_unix_secs": []},
    [{"message": {}, "role": [], "time_in_call_secs": -1}],
    [{"tool_calls": [None, {"tool_name": ["a\nb"]}], "multivoice_message": {"parts": 7}}],
]  # fmt: skip


#: The facets of a conversation that tells none of them.
MISSING = dict.fromkeys(("channel", "language", "tag"), (("", None),))


def to_json(fields):
    """Return an object as a server may send it: a lone surrogate is escaped."""
    return json.dumps(fields, ensure_ascii=False).encode("utf-8", "backslashreplace")


def text_of(*turns):
    return details_of(to_json({**COMPLETE, "transcript": turns})).text


def test_a_summary_is_read():
    item = record_of(to_json(SUMMARY)).item
    assert (item.id, item.key, item.date) == (SUMMARY["conversation_id"],) * 2 + (1_714_650_306,)
    assert (item.slug, item.content_type) == ("where-is-my-order", "audio/mpeg")
    assert item.estimate == pytest.approx(409_581, rel=0.01)  # as recorded from the API
    assert (item.output_format, item.extension) == ("", None)


def test_a_whole_object_is_the_same_item():
    listed, got = record_of(to_json(SUMMARY)), record_of(to_json(COMPLETE))
    for name in ("id", "key", "date", "slug", "content_type", "output_format", "estimate"):
        assert getattr(listed.item, name) == getattr(got.item, name)
    named = {"agent": (("agent_7701", "Support"),), "outcome": (("success", None),)}
    assert listed.facets == named | MISSING
    assert got.facets == {**listed.facets, "call": (("CA0123", None),)}


@pytest.mark.parametrize("fields", [SUMMARY, COMPLETE], ids=["summary", "complete"])
def test_every_field_is_kept_in_the_order_in_which_it_came(fields):
    record = record_of(to_json(fields))
    assert record.raw == to_json(fields)
    assert list(json.loads(details_of(record.raw).raw).items()) == list(fields.items())


def test_the_id_alone_is_enough():
    record = record_of(b'{"conversation_id": "a"}')
    assert (record.item.slug, record.item.date) == ("untitled", EARLIEST)
    assert record.item.estimate > 0
    assert record.facets == MISSING | {"agent": (("", None),), "outcome": (("unknown", None),)}


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:50])
@pytest.mark.parametrize("fields", [SUMMARY, COMPLETE], ids=["summary", "complete"])
def test_an_odd_field_never_keeps_a_conversation_from_being_shown(fields, odd):
    inside = [(part, name) for part in ("metadata", "analysis") for name in fields.get(part, ())]
    altered = [{**fields, part: {**fields[part], name: odd}} for part, name in inside]
    altered += [{**fields, name: odd} for name in fields if name != "conversation_id"]
    for each in altered:
        item = record_of(to_json(each)).item
        assert item.id == fields["conversation_id"]
        assert EARLIEST <= item.date <= LATEST
        assert 0 < item.estimate < 2**40
        assert item.slug.encode()
        details_of(to_json(each))


@pytest.mark.parametrize("start", [None, True, "", "yesterday", [], {}, math.nan, 0, 2**50])
def test_a_conversation_without_a_possible_start_has_its_neighbours_and_says_so(start):
    starts = (start, DATE + 1, start, DATE, start)
    page = [{"conversation_id": str(n), "start_time_unix_secs": s} for n, s in enumerate(starts)]
    records = records_of(map(to_json, page))
    assert [r.item.date for r in records] == [DATE + 1, DATE + 1, DATE + 1, DATE, DATE]
    assert [r.dated for r in records] == [False, True, False, True, False]


@pytest.mark.parametrize("odd", [{}, None, 7, "x", {"conversation_id": None}])
def test_an_object_without_an_id_fails_its_list(odd):
    with pytest.raises(BadAnswer, match="conversations without an id"):
        records_of(map(to_json, [SUMMARY, odd]))


@pytest.mark.parametrize(
    ("fields", "slug"),
    [
        ({"call_summary_title": "T", "transcript_summary": "S", "agent_name": "A"}, "t"),
        ({"call_summary_title": None, "transcript_summary": "S", "agent_name": "A"}, "s"),
        ({"call_summary_title": " ", "transcript_summary": "", "agent_name": "A"}, "a"),
        ({"call_summary_title": 7, "transcript_summary": {}, "agent_name": "A"}, "a"),
        ({"analysis": {"call_summary_title": "T"}, "agent_name": "A"}, "t"),
        ({}, "untitled"),
    ],
)
def test_a_conversation_is_called_after_the_first_title_that_it_has(fields, slug):
    assert record_of(to_json({"conversation_id": "a", **fields})).item.slug == slug


@pytest.mark.parametrize(
    ("fields", "facets"),
    [
        ({"agent_id": "x", "agent_name": None}, {"agent": ("x", None)}),
        ({"agent_id": None, "agent_name": "Support"}, {"agent": ("Support", "Support")}),
        ({"call_successful": "failure"}, {"outcome": ("failure", None)}),
        ({"call_successful": "a word of tomorrow"}, {"outcome": ("a word of tomorrow", None)}),
        ({"analysis": {"call_successful": "failure"}}, {"outcome": ("failure", None)}),
        ({"analysis": None}, {"outcome": ("unknown", None)}),
        ({"conversation_initiation_source": "twilio"}, {"channel": ("twilio", None)}),
        ({"metadata": {"main_language": "de"}}, {"language": ("de", None)}),
        ({"tag_ids": ["t1", None]}, {"tag": ("t1", None)}),
        ({"tag_ids": {"t1": 1}}, {}),
        ({"metadata": {"phone_call": {"call_sid": "1/2@sip"}}}, {"call": ("1/2@sip", None)}),
        ({"metadata": {"phone_call": {"call_id": "1/2@sip"}}}, {"call": ("1/2@sip", None)}),
        ({"metadata": {"phone_call": {"call_id": "x", "call_sid": ""}}}, {"call": ("x", None)}),
    ],
)
def test_the_facets_are_those_of_the_fields(fields, facets):
    nothing = MISSING | {"agent": (("", None),), "outcome": (("unknown", None),)}
    expected = nothing | {kind: (value,) for kind, value in facets.items()}
    assert record_of(to_json({"conversation_id": "a", **fields})).facets == expected


def test_a_call_is_known_by_the_ids_of_its_carrier_and_of_sip():
    phone = {"call_sid": "CA1", "call_id": "1/2@sip"}
    record = record_of(to_json({"conversation_id": "a", "metadata": {"phone_call": phone}}))
    assert record.facets["call"] == (("CA1", None), ("1/2@sip", None))


@pytest.mark.parametrize("phone", [None, {}, "x", {"call_sid": None}, {"call_sid": ""}])
def test_where_no_telephone_call_is_known_there_is_no_such_facet(phone):
    assert "call" not in record_of(to_json({**COMPLETE, "metadata": {"phone_call": phone}})).facets


@pytest.mark.parametrize(
    ("status", "has_audio", "final", "says"),
    [
        ("done", True, True, True),
        ("done", False, True, False),
        ("failed", False, True, False),
        ("done", None, True, None),
        ("done", "false", True, None),
        ("processing", False, False, None),
        ("in-progress", False, False, None),
        ("initiated", True, False, True),
        ("a status of tomorrow", False, False, None),
        (None, False, False, None),
        ([], False, False, None),
    ],
)
def test_there_is_no_audio_only_where_none_can_come(status, has_audio, final, says):
    details = details_of(to_json({**COMPLETE, "status": status, "has_audio": has_audio}))
    assert (details.final, details.has_audio) == (final, says)


def test_a_summary_tells_that_there_is_no_audio_while_they_talk():
    assert details_of(to_json({**SUMMARY, "status": "in-progress"})).has_audio is False
    assert details_of(to_json({**SUMMARY, "status": "processing"})).has_audio is None


def test_a_summary_says_nothing_of_audio_and_its_text_is_what_it_is_about():
    about = {"call_summary_title": "A parrot", "transcript_summary": "It is dead."}
    details = details_of(to_json({**SUMMARY, **about}))
    assert (details.text, details.has_audio, details.final) == ("A parrot\nIt is dead.", None, True)
    assert details_of(to_json({**SUMMARY, **dict.fromkeys(about)})).text is None


def test_an_object_that_has_changed_has_another_revision():
    revision = record_of(to_json(SUMMARY)).item.revision
    assert record_of(to_json(dict(SUMMARY))).item.revision == revision
    assert record_of(to_json({**SUMMARY, "status": "failed"})).item.revision != revision


@pytest.mark.parametrize("raw", [b"{}", b"[]", b"7", b'{"conversation_id": null}'])
def test_what_is_no_conversation_is_a_bad_answer(raw):
    with pytest.raises(BadAnswer, match="not a conversation"):
        record_of(raw)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"[" * 100_000, b'{"a": "\xff"}'])
def test_an_object_that_can_not_be_read_has_no_details(raw):
    with pytest.raises(BadAnswer):
        details_of(raw)


# The transcript


def test_a_transcript_has_a_line_for_each_turn():
    assert text_of(
        {"role": "agent", "message": "Hello!", "time_in_call_secs": 0},
        {"role": "user", "message": "Where is my order?", "time_in_call_secs": 3},
    ) == "[00:00] agent: Hello!\n[00:03] user: Where is my order?"  # fmt: skip


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\u2028", "\x0b"])
def test_no_line_of_a_message_looks_like_another_turn(end):
    turn = {"role": "user", "message": f"One{end}[00:09] agent: two{end}", "time_in_call_secs": 3}
    assert text_of(turn) == "[00:03] user: One\n        [00:09] agent: two"


words = st.text(st.sampled_from("a [:]0\t\r\n\x0b\x0c\x1c\x85\u2028\u2029"), max_size=9)


@given(st.lists(st.tuples(words, words)))
def test_there_are_as_many_turns_to_be_seen_as_were_spoken(said):
    turns = [{"role": role, "message": text, "time_in_call_secs": 3} for role, text in said]
    shown = [line for line in text_of(*turns).splitlines() if line.startswith("[00:03] ")]
    assert len(shown) == len([text for _, text in said if text.strip()])


@pytest.mark.parametrize(
    ("seconds", "clock"),
    [
        (59, "00:59"), (60, "01:00"), (61.9, "01:01"), ("7", "00:07"), (3599, "59:59"),
        (3600, "01:00:00"), (36_061, "10:01:01"),
        (None, "--:--"), (-1, "--:--"), (10**400, "--:--"), (math.nan, "--:--"), ({}, "--:--"),
    ],
)  # fmt: skip
def test_a_turn_has_its_time_in_the_call(seconds, clock):
    turn = {"role": "user", "message": "Hi", "time_in_call_secs": seconds}
    assert text_of(turn) == f"[{clock}] user: Hi"


def test_what_was_not_said_but_done_is_shown_in_brackets():
    calls = [{"tool_name": "lookup_order"}, {"tool_name": "end_call"}]
    turn = {"role": "agent", "message": None, "tool_calls": calls, "time_in_call_secs": 5}
    assert text_of(turn) == "[00:05] agent: (calls lookup_order, end_call)"
    assert text_of({**turn, "message": "Bye"}) == "[00:05] agent: Bye"


def test_a_turn_in_which_tools_answer_alone_has_its_line():
    results = [
        {"tool_name": "lookup_order", "is_error": False},
        {"tool_name": "transfer", "is_error": True},
        {"result_value": "no name"},
    ]
    turn = {"role": "agent", "message": None, "tool_results": results, "time_in_call_secs": 5}
    said = "[00:05] agent: (lookup_order answers)\n        (transfer fails)"
    assert text_of(turn) == said
    assert text_of({**turn, "message": "Found it"}) == "[00:05] agent: Found it"


def a_file(file_id, name, **fields):
    return {"file_id": file_id, "original_filename": name, "mime_type": "image/png", **fields}


def test_files_are_named_behind_the_words_with_which_they_are_sent():
    turn = {"role": "user", "message": None, "time_in_call_secs": 12}
    files = [a_file("f1", "invoice.pdf"), a_file("f2", "in\nvoice\x1b.pdf")]
    assert text_of({**turn, "file_inputs": files[:1]}) == "[00:12] user: (sends invoice.pdf)"
    shown = "[00:12] user: Here:\n        (sends invoice.pdf, in voice.pdf)"
    assert text_of({**turn, "message": "Here:", "file_inputs": files}) == shown


def test_files_are_found_in_whichever_field_the_server_has():
    one, two = a_file("f1", "a.png"), a_file("f2", "b.pdf", mime_type="Application/PDF; x=1")
    turns = [
        {"role": "user", "file_input": one, "file_inputs": [one, two]},
        {"role": "user", "file_input": a_file("f3", "a.png"), "file_inputs": None},
        {"role": "user", "file_input": {"original_filename": "no id"}},
        {"role": "user", "file_input": "x", "file_inputs": [None, 7, {}]},
        None,
    ]
    details = details_of(to_json({**COMPLETE, "transcript": turns}))
    assert details.attachments == (
        Attachment("f1", "a.png", "image/png"),
        Attachment("f2", "b.pdf", "application/pdf"),
        Attachment("f3", "a.png", "image/png"),
    )
    assert "(sends a (f3).png)" in details.text
    assert "(sends no id)" in details.text


def test_what_several_voices_say_in_one_turn_is_one_line():
    parts = [{"text": "Once,", "voice_label": "A"}, {"text": "he said", "voice_label": "B"}]
    turn = {"role": "agent", "message": None, "multivoice_message": {"parts": parts}}
    assert text_of({**turn, "time_in_call_secs": 1}) == "[00:01] agent: Once, he said"


@pytest.mark.parametrize(
    "turn", [None, 7, "x", {}, {"message": None}, {"message": " \n"}, {"tool_calls": []}]
)
def test_a_turn_in_which_nothing_was_said_is_left_out(turn):
    assert text_of(turn, {"role": None, "message": 7}, turn) == "[--:--] ?: 7"


@pytest.mark.parametrize(("transcript", "text"), [([], ""), (None, None), ("x", None), ({}, None)])
def test_no_words_are_not_the_same_as_no_transcript(transcript, text):
    assert details_of(to_json({**COMPLETE, "transcript": transcript})).text == text
