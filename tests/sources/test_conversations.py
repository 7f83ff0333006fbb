"""The requests for conversations, and the meaning of the responses."""

from __future__ import annotations

import json
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from histfs.catalog.pager import Pager
from histfs.core.errors import (
    BadAnswer,
    KeyRefused,
    Missing,
    MissingPermission,
    NoAttachment,
    NoAudio,
    NotOffered,
    NotReady,
    Rejected,
    SourceError,
    Unreachable,
)
from histfs.core.secret import Secret
from histfs.core.source import Query, Source
from histfs.core.source_context import SourceContext
from histfs.core.times import ALWAYS, Span
from histfs.simulator import Fault, Simulator, SimulatorSettings
from histfs.sources.elevenlabs.factories import open_conversations
from tests.sources.conftest import BASE

PATH = "/v1/convai/conversations"
#: A valid date.
T = 1_714_650_306
LIST = f"{BASE}{PATH}"
ITEM = f"{LIST}/a"
EMPTY = {"conversations": [], "next_cursor": None, "has_more": False}
NO_AUDIO = {"detail": {"status": "missing_conversation_audio", "message": "Missing audio"}}
GONE = {"detail": {"code": "conversation_not_found", "status": "conversation_history_not_found"}}


def call(item_id="a", start=1_714_650_306, **fields):
    return {"conversation_id": item_id, "start_time_unix_secs": start, **fields}


def page(*calls, cursor=None):
    return {"conversations": calls, "next_cursor": cursor, "has_more": cursor is not None}


def ids(listing):
    return [record.item.id for record in listing.records]


@pytest.fixture
def simulator():
    with Simulator(SimulatorSettings(items=0, conversations=20)) as running:
        yield running


@pytest.fixture
def live(simulator, make_conversations):
    """A source of the simulator's conversations, over real HTTP."""
    return make_conversations(simulator.base_url, simulator.api_key)


# The list


@pytest.mark.parametrize(
    ("query", "sent"),
    [
        (Query(), {"page_size": "100"}),
        (Query(limit=20), {"page_size": "20"}),
        (Query(limit=1000), {"page_size": "100"}),
        (Query(after="x=&"), {"page_size": "100", "cursor": "x=&"}),
        (
            Query(span=Span(10, 20)),
            {"page_size": "100", "call_start_after_unix": "9", "call_start_before_unix": "20"},
        ),
        (Query(span=Span(10, ALWAYS.end)), {"page_size": "100", "call_start_after_unix": "9"}),
    ],
    ids=["everything", "a few", "too many", "the next page", "a span", "from then on"],
)
def test_a_query_asks_for_no_less_than_its_span(conversations, answers, query, sent):
    answers.get(LIST, json=EMPTY)
    assert conversations.list(query).records == []
    parameters = parse_qs(urlsplit(answers.calls[0].request.url).query)
    assert parameters == {
        **{name: [value] for name, value in sent.items()},
        "summary_mode": ["include"],
    }


@pytest.mark.parametrize("inclusive", [True, False])
@pytest.mark.parametrize("limit", [None, 2])
def test_a_span_is_listed_to_the_second_however_the_server_takes_its_bounds(
    make_conversations, inclusive, limit
):
    settings = SimulatorSettings(items=0, conversations=20, inclusive_starts=inclusive)
    with Simulator(settings) as simulator:
        newest = settings.newest
        for second in (10, 10, 10, 11, 12, 20, 20, 21):
            simulator.conversations.add(time=newest + second)
        live = make_conversations(simulator.base_url, simulator.api_key)
        everything = live.list(Query()).records
        for bounds in ((10, 20), (9, 10), (10, 11), (11, 21), (13, 20), (20, 22), (-9_999_999, 11)):
            span = Span(*(newest + bound for bound in bounds))
            pager, covered_from, found = Pager(live, span, limit), span.end, []
            while covered_from > span.start:
                answer = pager.next()
                assert answer.span.end == covered_from
                covered_from = answer.span.start
                found += [r.item.id for r in answer.records if answer.span.holds(r.item.date)]
            assert found == [r.item.id for r in everything if span.holds(r.item.date)]


def test_what_a_server_lists_beyond_the_span_is_left_out_and_ends_the_listing(
    conversations, answers
):
    calls = [call("above", T + 20), call("top", T + 19), call("bottom", T + 10), call("below", T)]
    answers.get(LIST, json=page(*calls, cursor="more"))
    listing = conversations.list(Query(span=Span(T + 10, T + 20)))
    assert (ids(listing), listing.cursor) == (["top", "bottom"], "more")
    # A list may be out of order: it ends with a page of which all items lie below the span.
    assert conversations.list(Query(span=Span(T + 21, T + 30))).cursor is None


def test_a_page_of_nothing_but_the_second_after_the_span_has_another_behind_it(
    conversations, answers
):
    answers.get(LIST, json=page(call("above", T + 20), cursor="more"))
    listing = conversations.list(Query(span=Span(T + 10, T + 20)))
    assert (listing.records, listing.cursor) == ([], "more")


@pytest.mark.parametrize(
    ("has_more", "next_cursor", "cursor"),
    [(True, "x", "x"), (False, None, None), (False, "x", None)],
    ids=["another page", "the last page", "the last page with a cursor all the same"],
)
def test_a_listing_goes_on_while_there_is_more_and_a_cursor(
    conversations, answers, has_more, next_cursor, cursor
):
    listing = {"has_more": has_more, "new": 1, "next_cursor": next_cursor}
    answers.get(LIST, json={"conversations": [call("a"), call("b")], **listing})
    listing = conversations.list(Query())
    assert (ids(listing), listing.cursor) == (["a", "b"], cursor)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<!DOCTYPE html><title>Sign in</title>",
        '{"conversations":[{"conversation_id":"',
        "[]",
        "{}",
        '{"conversations": []}',
        '{"conversations": null, "has_more": false}',
        '{"conversations": [], "has_more": "false"}',
        '{"conversations": [], "has_more": true}',
        '{"conversations": [], "has_more": true, "next_cursor": null}',
        '{"conversations": [], "has_more": true, "next_cursor": ""}',
        '{"history": [], "has_more": false}',
    ],
)
def test_a_page_that_does_not_tell_all_is_a_bad_answer(conversations, answers, body):
    answers.get(LIST, body=body)
    with pytest.raises(BadAnswer) as caught:
        conversations.list(Query())
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("status", [404, 405])
def test_a_server_without_conversations_is_told_from_one_that_has_none(
    conversations, answers, status
):
    answers.get(LIST, status=status, json={"detail": "Not Found"})
    with pytest.raises(NotOffered, match="no conversations at this address"):
        conversations.list(Query())


@pytest.mark.parametrize("status", [400, 401, 403, 422, 500])
def test_a_list_that_fails_may_be_there_all_the_same(conversations, answers, status):
    answers.get(LIST, status=status, json={"detail": {"status": "x", "message": "No."}},
                headers={"Retry-After": "99"})  # fmt: skip
    with pytest.raises(SourceError) as caught:
        conversations.list(Query())
    assert not isinstance(caught.value, NotOffered)


@pytest.mark.parametrize(
    "host",
    [
        "https://api.elevenlabs.io", "https://api.us.elevenlabs.io",
        "https://api.eu.residency.elevenlabs.io", "https://API.ElevenLabs.io:443/path",
    ],
)  # fmt: skip
def test_of_the_api_itself_it_is_not_believed_that_it_has_none(answers, host):
    source = open_conversations(SourceContext("default", host, Secret("key"), 5, 1))
    answers.get(f"{host}{PATH}", status=404, json={"detail": "Not Found"})
    with pytest.raises(Rejected) as caught:
        source.list(Query())
    assert not isinstance(caught.value, NotOffered)
    source.close()


@pytest.mark.parametrize(
    "host",
    ["https://evil-elevenlabs.io", "https://api.elevenlabs.io.evil.com", "https://elevenlabs.io.x",
     "https://proxy.example.com/api.elevenlabs.io"],
)  # fmt: skip
def test_a_host_that_only_looks_like_the_api_may_have_none(answers, host):
    source = open_conversations(SourceContext("default", host, Secret("key"), 5, 1))
    answers.get(f"{host}{PATH}", status=404, json={"detail": "Not Found"})
    with pytest.raises(NotOffered):
        source.list(Query())
    source.close()


def test_a_cursor_that_is_gone_does_not_take_the_list_away(conversations, answers):
    answers.get(LIST, status=404, json={"detail": {"code": "not_found"}})
    with pytest.raises(Rejected) as caught:
        conversations.list(Query(after="x"))
    assert not isinstance(caught.value, NotOffered)


@pytest.mark.parametrize("base", [BASE, "https://proxy.example.com/eleven/"])
@pytest.mark.parametrize(
    ("method", "call_source", "permission"),
    [
        ("GET", lambda source: source.get("a"), "convai_read"),
        ("DELETE", lambda source: source.delete("a"), "convai_write"),
    ],
)
def test_a_permission_is_named_though_the_server_does_not(
    make_conversations, answers, base, method, call_source, permission
):
    detail = {"status": "missing_permissions", "message": ""}
    answers.add(method, f"{base.rstrip('/')}{PATH}/a", status=401, json={"detail": detail})
    with pytest.raises(MissingPermission, match=f"needs the permission {permission}$"):
        call_source(make_conversations(base))


# One conversation


def test_a_conversation_is_kept_as_it_was_sent(conversations, answers):
    raw = json.dumps(call(odd=[1.5, None], title="ü 😀"), ensure_ascii=False)
    answers.get(LIST, body=f'{{"conversations": [ {raw} ],\n"has_more": false}}'.encode())
    answers.get(ITEM, body=f" {raw}\n".encode())
    (record,) = conversations.list(Query()).records
    assert record.raw == raw.encode()
    assert conversations.get("a") == record


def test_an_id_is_escaped_in_the_address(conversations, answers):
    answers.get(f"{LIST}/a%2F..%2Fb%3Fc", json=call("a/../b?c"))
    assert conversations.get("a/../b?c").item.id == "a/../b?c"
    for step in ("", ".", ".."):
        with pytest.raises(Rejected, match="can't be requested"):
            conversations.get(step)
    assert len(answers.calls) == 1


# Audio


@pytest.mark.parametrize(
    ("status", "detail", "kind"),
    [
        (200, call(status="done", has_audio=False), NoAudio),
        (200, call(status="failed", has_audio=False), NoAudio),
        (200, call(status="done", has_audio=True), NotReady),
        (200, call(status="done"), NotReady),
        (200, call(status="processing", has_audio=False), NotReady),
        (200, call(status="a status of tomorrow", has_audio=False), NotReady),
        (404, GONE, Missing),
        (403, GONE, KeyRefused),
    ],
)
def test_audio_that_is_not_there_is_told_from_audio_that_is_not_there_yet(
    conversations, answers, status, detail, kind
):
    answers.get(f"{ITEM}/audio", status=404, json=NO_AUDIO)
    answers.get(ITEM, status=status, json=detail)
    with pytest.raises(kind), conversations.audio("a"):
        pass
    assert len(answers.calls) == 2


@pytest.mark.parametrize("body", [GONE, {"detail": "Not Found"}, None])
def test_audio_of_what_is_gone_is_missing(conversations, answers, body):
    answers.get(f"{ITEM}/audio", status=404, json=body)
    with pytest.raises(Missing), conversations.audio("a"):
        pass
    assert len(answers.calls) == 1


def test_the_code_counts_wherever_the_server_puts_it(conversations, answers):
    detail = {"type": "not_found", "code": "missing_conversation_audio", "status": "not_found"}
    answers.get(f"{ITEM}/audio", status=404, json={"detail": detail})
    answers.get(ITEM, json=call(status="done", has_audio=False))
    with pytest.raises(NoAudio), conversations.audio("a"):
        pass


def test_what_goes_wrong_while_audio_is_read_is_not_about_the_request_for_it(
    conversations, answers
):
    answers.get(f"{ITEM}/audio", body=b"ID3", content_type="audio/mpeg")
    with pytest.raises(NotReady, match="another"), conversations.audio("a"):
        raise NotReady("another")
    assert len(answers.calls) == 1


def test_a_sign_in_page_is_no_audio(conversations, answers):
    answers.get(f"{ITEM}/audio", body="<html>", content_type="text/html")
    with pytest.raises(BadAnswer, match="not audio but text/html"), conversations.audio("a"):
        pass


# Attachments


def test_a_file_is_asked_for_by_its_id_at_the_one_server(conversations, answers):
    answers.get(f"{ITEM}/files/f%2F1", body=b"%PDF", auto_calculate_content_length=True)
    with conversations.attachment("a", "f/1") as body:
        assert b"".join(body.chunks()) == b"%PDF"
    for step in ("", ".", ".."):
        with pytest.raises(Rejected, match="can't be requested"):
            conversations.attachment("a", step).__enter__()
    assert len(answers.calls) == 1


def test_a_redirect_to_a_store_of_files_is_not_followed(conversations, answers):
    away = {"Location": "https://storage.example/f1?signature=x"}
    answers.get(f"{ITEM}/files/f1", status=307, headers=away)
    with pytest.raises(BadAnswer, match=r"storage\.example"), conversations.attachment("a", "f1"):
        pass
    assert len(answers.calls) == 1


NO_FILE = {"detail": {"type": "not_found", "code": "file_not_found", "message": "gone"}}


@pytest.mark.parametrize(
    ("answer", "conversation", "kind"),
    [
        (NO_FILE, (200, call()), NoAttachment),
        ({"detail": {"status": "conversation_file_not_found"}}, (200, call()), NoAttachment),
        # The file is gone, as its conversation is.
        (NO_FILE, (404, GONE), Missing),
        # None of these makes it certain that the file is gone.
        ({"detail": "Not Found"}, (200, call()), Rejected),
        (None, (200, call()), Rejected),
        (GONE, (200, call()), Rejected),
        (NO_FILE, (403, None), KeyRefused),
        (NO_FILE, (200, {}), BadAnswer),
    ],
)
def test_a_file_is_gone_only_if_the_server_says_so_of_a_conversation_that_it_has(
    conversations, answers, answer, conversation, kind
):
    status, body = conversation
    answers.get(f"{ITEM}/files/f1", status=404, json=answer)
    answers.get(ITEM, status=status, json=body)
    with pytest.raises(SourceError) as caught, conversations.attachment("a", "f1"):
        pass
    assert type(caught.value) is kind


# Deleting


@pytest.mark.parametrize("body", ["{}", "null", '{"status": "ok"}'])
def test_a_delete_is_one_request(conversations, answers, body):
    answers.delete(ITEM, body=body)
    conversations.delete("a")
    assert len(answers.calls) == 1


@pytest.mark.parametrize(
    "answer",
    [
        {"body": "<html>Sign in</html>", "content_type": "text/html"},
        {"body": ""},
        {"status": 204},
        {"body": '{"error": "sign in"}'},
        {"body": '{"status": "error"}'},
        {"body": "[]"},
        {"status": 500},
        {"status": 302, "headers": {"Location": "/login"}},
    ],
    ids=str,
)
def test_an_answer_that_does_not_say_that_it_is_deleted_is_an_error(conversations, answers, answer):
    answers.delete(ITEM, **answer)
    with pytest.raises(SourceError):
        conversations.delete("a")
    assert len(answers.calls) == 1


def test_a_delete_of_what_is_gone_says_so(conversations, answers):
    answers.delete(ITEM, status=404, json=GONE)
    with pytest.raises(Missing):
        conversations.delete("a")


# Against the simulator, over real HTTP


def test_every_conversation_is_listed_once_and_is_what_it_is_by_itself(make_conversations):
    with Simulator(SimulatorSettings(items=0, conversations=250)) as simulator:
        live: Source = make_conversations(simulator.base_url, simulator.api_key)
        listed, query = [], Query()
        while query:
            listing = live.list(query)
            listed += listing.records
            query = listing.cursor and Query(after=listing.cursor)
        assert [record.item.id for record in listed] == list(simulator.conversations.ids())
        assert simulator.counts[f"GET {PATH}"] == 3
        for record in listed[:20]:
            known, whole = record.item, live.get(record.item.id)
            assert whole.item == replace(known, revision=whole.item.revision)
            detail = simulator.conversations.detail(known.id)
            assert json.loads(live.describe(whole.raw).raw) == detail
            phone = detail["metadata"]["phone_call"]
            ids = (
                [phone[name] for name in ("call_sid", "call_id") if name in phone] if phone else []
            )
            assert [value for value, _ in whole.facets.get("call", ())] == ids


def test_a_conversation_becomes_final_and_its_recording_ready(make_conversations):
    with Simulator(SimulatorSettings(items=0, conversations=0, audio_after=1)) as simulator:
        live = make_conversations(simulator.base_url, simulator.api_key)
        (item_id,) = simulator.conversations.add(status="in-progress")
        begun = live.describe(live.get(item_id).raw)
        with pytest.raises(NotReady), live.audio(item_id):
            pass
        simulator.conversations.set_status(item_id, "processing")
        with pytest.raises(NotReady), live.audio(item_id):
            pass
        with live.audio(item_id) as body:
            assert b"".join(body.chunks()) == bytes(simulator.conversations.clip(item_id))
        over = live.describe(live.get(item_id).raw)
        assert (begun.final, over.final, over.has_audio) == (False, True, True)
        assert over.text.startswith(begun.text)
        assert len(over.text) > len(begun.text)


def test_a_delete_that_did_not_happen_is_an_error(live, simulator):
    item_id = next(simulator.conversations.ids())
    simulator.faults.add(Fault("DELETE", "reset"))
    with pytest.raises(Unreachable):
        live.delete(item_id)
    assert item_id in simulator.conversations
    assert simulator.counts[f"DELETE {PATH}/{{id}}"] == 1


def test_a_key_that_may_not_see_conversations_is_told_which_permission_it_lacks(
    make_conversations,
):
    limited = {"reader": frozenset({"speech_history_read"})}
    with Simulator(SimulatorSettings(limited_keys=limited)) as simulator:
        live = make_conversations(simulator.base_url, "reader")
        with pytest.raises(MissingPermission, match="convai_read"):
            live.list(Query())
