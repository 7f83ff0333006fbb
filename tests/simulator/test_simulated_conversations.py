import base64
import collections
import functools
import itertools
import json

import httpx
import pytest
import requests
from elevenlabs import ElevenLabs
from elevenlabs.core.api_error import ApiError
from elevenlabs.types import ConversationSummaryResponseModel, GetConversationResponseModel

from histfs.simulator import (
    ConversationQuery,
    ConversationStore,
    Fault,
    Simulator,
    SimulatorSettings,
)

PATH = "/v1/convai/conversations"


@pytest.fixture
def simulator():
    with Simulator(SimulatorSettings(items=3, conversations=250)) as running:
        yield running


@pytest.fixture
def conversations(simulator):
    return simulator.conversations


@pytest.fixture
def client(simulator):
    """The conversations part of the official client, without retries."""
    with httpx.Client() as connections:
        sdk = ElevenLabs(
            base_url=simulator.base_url, api_key=simulator.api_key, httpx_client=connections
        )
        yield sdk.conversational_ai.conversations


def listed(client, **query):
    """Read a listing to its end."""
    found, cursor = [], None
    while True:
        page = client.list(cursor=cursor, **query)
        found += page.conversations
        if not page.has_more:
            assert page.next_cursor is None
            return found
        cursor = page.next_cursor


def ids_of(found):
    return [conversation.conversation_id for conversation in found]


def refusal(ask, *arguments, **options):
    """Return the status of an error answer, and the API's older code for it."""
    with pytest.raises(ApiError) as caught:
        ask(*arguments, **options)
    return caught.value.status_code, caught.value.body["detail"]["status"]


def recording(client, conversation_id):
    return b"".join(client.audio.get(conversation_id))


class TestOfficialClient:
    @pytest.mark.parametrize(("query", "size"), [({}, 30), ({"page_size": 7}, 7)])
    def test_pages_to_the_end_in_both_orders(self, simulator, client, query, size):
        newest_first = list(simulator.conversations.ids())
        assert ids_of(listed(client, **query)) == newest_first
        assert simulator.counts[f"GET {PATH}"] == -(-250 // size)
        assert ids_of(listed(client, sort_direction="asc", **query)) == newest_first[::-1]

    def test_gets_the_details_that_the_library_has(self, conversations, client):
        for key in list(conversations.ids())[:20]:
            detail = client.get(key)
            assert detail.metadata.start_time_unix_secs > 0
            assert (
                detail.dict(exclude_unset=True)["agent_id"] == conversations.detail(key)["agent_id"]
            )
            assert [turn.message for turn in detail.transcript] == [
                turn["message"] for turn in conversations.detail(key)["transcript"]
            ]

    def test_hears_what_was_recorded_and_nothing_else(self, conversations, client):
        bodies = set()
        for key in conversations.ids():
            if client.get(key).has_audio:
                audio = recording(client, key)
                assert audio.startswith(b"ID3\x04")
                assert audio == bytes(conversations.clip(key))
                bodies.add(audio)
            elif conversations.summary(key)["status"] != "processing":
                assert refusal(recording, client, key) == (404, "missing_conversation_audio")
        assert len(bodies) == sum(
            conversations.clip(key) is not None for key in conversations.ids()
        )
        assert len(bodies) > 150

    def test_deletes_once(self, conversations, client):
        key = list(conversations.ids())[5]
        assert client.delete(key) == {}
        assert key not in conversations
        assert key not in ids_of(listed(client))
        gone = (404, "conversation_history_not_found")
        for ask in (client.delete, client.get, functools.partial(recording, client)):
            assert refusal(ask, key) == gone

    @pytest.mark.parametrize(
        ("query", "belongs"),
        [
            ({"call_successful": "failure"}, lambda s, d: s["call_successful"] == "failure"),
            ({"call_duration_min_secs": 20}, lambda s, d: s["call_duration_secs"] >= 20),
            ({"call_duration_max_secs": 6}, lambda s, d: s["call_duration_secs"] <= 6),
            ({"rating_min": 2}, lambda s, d: (s["rating"] or 0) >= 2),
            ({"rating_max": 2}, lambda s, d: s["rating"] in (1, 2)),
            ({"main_languages": ["de", "fr"]}, lambda s, d: s["main_language"] in ("de", "fr")),
            ({"tool_names": ["lookup_order"]}, lambda s, d: "lookup_order" in s["tool_names"]),
            ({"user_id": "writer/1"}, lambda s, d: d["user_id"] == "writer/1"),
            ({"text_only": True}, lambda s, d: d["metadata"]["text_only"]),
            (
                {"exclude_statuses": ["done", "failed"]},
                lambda s, d: s["status"] in ("in-progress", "processing"),
            ),
            (
                {"search": "ORDER 4711/2"},
                lambda s, d: "order 4711/2" in json.dumps(d["transcript"]),
            ),
        ],
        ids=lambda value: next(iter(value), None) if isinstance(value, dict) else "",
    )
    def test_filters_agree_with_a_plain_list(self, conversations, client, query, belongs):
        wanted = [
            key
            for key in conversations.ids()
            if belongs(conversations.summary(key), conversations.detail(key))
        ]
        assert 0 < len(wanted) < 250
        assert ids_of(listed(client, **query)) == wanted

    def test_an_agent_is_asked_for_by_its_id(self, conversations, client):
        agents = collections.defaultdict(list)
        for key in conversations.ids():
            agents[conversations.summary(key)["agent_id"]].append(key)
        for agent, wanted in agents.items():
            assert ids_of(listed(client, agent_id=agent)) == wanted

    def test_summaries_are_listed_only_on_request(self, client):
        assert {found.transcript_summary for found in listed(client)} == {None}
        summarized = listed(
            client, summary_mode="include", exclude_statuses=["failed", "in-progress"]
        )
        assert any("Zug" in (found.transcript_summary or "") for found in summarized)


@pytest.mark.parametrize("inclusive", [True, False])
def test_times_bound_a_listing_with_or_without_their_own_second(inclusive):
    conversations = ConversationStore(
        SimulatorSettings(conversations=250, inclusive_starts=inclusive)
    )
    times = [conversations.summary(key)["start_time_unix_secs"] for key in conversations.ids()]
    twin = next(time for time, other in itertools.pairwise(times) if time == other)

    def starts(**query):
        found, _ = conversations.page(ConversationQuery(page_size=100, **query))
        return [conversation.time for conversation in found]

    assert starts(after_unix=twin, before_unix=twin) == ([twin, twin] if inclusive else [])
    assert starts(after_unix=twin - 1, before_unix=twin + 1) == [twin, twin]


def test_what_is_listed_and_what_is_asked_for_agree_and_keep_to_the_schema(conversations):
    both = collections.Counter()
    for key in conversations.ids():
        summary, detail = conversations.summary(key), conversations.detail(key)
        ConversationSummaryResponseModel.model_validate(summary)
        # Old ones lack this; the documentation demands it.
        GetConversationResponseModel.model_validate({"has_auxiliary_audio": False, **detail})
        metadata, spoken = detail["metadata"], [t for t in detail["transcript"] if t["message"]]
        assert summary["message_count"] == len(spoken)
        assert {name: detail[name] for name in ("agent_id", "agent_name", "status")}.items() <= (
            summary.items()
        )
        for name in ("start_time_unix_secs", "call_duration_secs", "termination_reason"):
            assert metadata[name] == summary[name]
        starts = [turn["time_in_call_secs"] for turn in detail["transcript"]]
        assert starts == sorted(starts)
        assert not starts or starts[-1] <= metadata["call_duration_secs"]
        phone = metadata["phone_call"]
        assert (phone and phone["direction"]) == summary["direction"]
        both["has_auxiliary_audio" in detail] += 1
    assert len(both) == 2


@pytest.mark.parametrize("seed", [0, 1])
def test_a_dozen_is_enough_to_meet_the_usual_and_the_odd(seed):
    conversations = ConversationStore(SimulatorSettings(conversations=12, seed=seed))
    details = [conversations.detail(key) for key in conversations.ids()]
    statuses = [detail["status"] for detail in details]
    assert statuses[:2] == ["in-progress", "processing"]
    assert "failed" in statuses
    outcomes = {conversations.summary(key)["call_successful"] for key in conversations.ids()}
    assert outcomes == {"success", "failure", "unknown"}
    phones = [detail["metadata"]["phone_call"] for detail in details]
    assert {phone and phone["type"] for phone in phones} >= {None, "twilio", "sip_trunking"}
    call_ids = [phone["call_sid"] for phone in phones if phone]
    assert len(set(call_ids)) == len(call_ids)
    agents = {(detail["agent_name"], detail["agent_id"]) for detail in details}
    names = [name for name, _ in agents]
    assert names.count("Support") == 2
    assert None in names
    assert any("/" in name and "\n" in name for name in names if name)
    turns = [turn for detail in details for turn in detail["transcript"]]
    assert any(turn["tool_calls"] and turn["message"] is None for turn in turns)
    assert any("\x00" in (turn["message"] or "") for turn in turns)
    assert any(not detail["transcript"] for detail in details)


def test_the_same_settings_give_the_same_conversations():
    first, second, other = (
        ConversationStore(SimulatorSettings(conversations=40, seed=seed)) for seed in (3, 3, 4)
    )
    ids = list(first.ids())
    assert ids == list(second.ids())
    assert [first.detail(key) for key in ids] == [second.detail(key) for key in ids]
    assert set(ids).isdisjoint(other.ids())


class TestProgress:
    def test_a_conversation_grows_until_it_is_over(self, conversations, client):
        (key,) = conversations.add(status="initiated")
        seen = []
        for status in ("initiated", "in-progress", "processing", "done"):
            if status != "initiated":
                conversations.set_status(key, status)
            detail, (first, *_) = client.get(key), client.list().conversations
            assert (first.conversation_id, first.status, detail.status) == (key, status, status)
            assert (detail.analysis is not None) == (status == "done")
            seen.append((len(detail.transcript), first.call_duration_secs))
        assert seen == sorted(seen)
        assert len(set(seen)) == 3, "nothing, a part, all of it twice"
        assert recording(client, key)
        with pytest.raises(ValueError, match="over"):
            conversations.set_status(key, "in-progress")

    def test_one_that_breaks_leaves_nothing(self, conversations, client):
        (key,) = conversations.add(status="in-progress")
        conversations.set_status(key, "failed")
        detail = client.get(key)
        assert (detail.transcript, detail.has_audio) == ([], False)
        assert detail.metadata.error.reason

    def test_a_recording_that_is_being_made_is_there_after_some_asking(self, conversations, client):
        (key,) = conversations.add(status="processing")
        for _ in range(SimulatorSettings().audio_after):
            assert refusal(recording, client, key) == (404, "missing_conversation_audio")
            assert client.get(key).status == "processing"
        assert recording(client, key) == bytes(conversations.clip(key))
        assert client.get(key).status == "done"


def test_fields_change_what_is_listed_asked_for_and_searched(conversations, client):
    phone = {"type": "twilio", "direction": "inbound", "stream_sid": "MZ1", "call_sid": "CA1"}
    phone |= {"phone_number_id": "p", "agent_number": "1", "external_number": "2"}
    fields = {"agent_name": "../x", "user_id": "me", "metadata": {"phone_call": phone}, "new": 1}
    fields["transcript"] = [{"role": "user", "message": "Quite New", "time_in_call_secs": 0}]
    (key,) = conversations.add(fields=fields)
    (found,) = listed(client, user_id="me", search="quite new")
    assert (found.conversation_id, found.agent_name, found.message_count) == (key, "../x", 1)
    detail = conversations.detail(key)
    assert (detail["agent_name"], detail["new"]) == ("../x", 1)
    assert client.get(key).metadata.phone_call.call_sid == "CA1"
    assert detail["metadata"]["start_time_unix_secs"] == found.start_time_unix_secs
    for fixed in ("conversation_id", "start_time_unix_secs"):
        with pytest.raises(ValueError, match="can't be chosen"):
            conversations.add(fields={fixed: 1})
    with pytest.raises(ValueError, match="older"):
        conversations.add(time=1)


@pytest.mark.parametrize(
    ("allowed", "history", "listing", "deletion"),
    [
        ({"speech_history_read"}, 200, 401, 401),
        ({"convai_read"}, 401, 200, 401),
        ({"convai_write"}, 401, 401, 404),
        (None, 200, 200, 404),
    ],
)
def test_permissions_for_history_and_conversations_are_apart(
    simulator, ask, allowed, history, listing, deletion
):
    simulator.permissions = None if allowed is None else frozenset(allowed)
    key = next(simulator.conversations.ids())
    assert ask("GET", "/v1/history").status_code == history
    for path in (PATH, f"{PATH}/{key}"):
        assert ask("GET", path).status_code == listing
    assert ask("GET", f"{PATH}/{key}/audio").status_code == (404 if listing == 200 else listing)
    answer = ask("DELETE", f"{PATH}/unknown")
    assert answer.status_code == deletion
    if deletion == 401:
        assert answer.json()["detail"]["status"] == "missing_permissions"
        assert "the permission convai_write " in answer.json()["detail"]["message"]


def test_a_permission_that_is_none_is_refused():
    with pytest.raises(ValueError, match="no such permission: convai"):
        Simulator(SimulatorSettings(permissions=frozenset({"convai"})))


def test_what_the_schema_refuses_comes_before_the_key(ask):
    wrong = {
        "page_size": ["0", "101", "ten"],
        "call_successful": ["maybe"],
        "exclude_statuses": ["over"],
        "rating_max": ["6"],
        "text_only": ["perhaps"],
        "summary_mode": ["short"],
        "call_start_after_unix": ["1.5"],
    }
    for name, values in wrong.items():
        for value in values:
            answer = ask("GET", PATH, params={name: value}, headers={"xi-api-key": "wrong"})
            assert answer.status_code == 422
            (problem,) = answer.json()["detail"]
            assert problem["loc"][:2] == ["query", name]
            assert problem["input"] == value


def test_malformed_cursors(simulator, ask):
    cursor = ask("GET", PATH).json()["next_cursor"]
    place = json.loads(base64.b64decode(cursor))
    deep = base64.b64encode(b"[" * 20000).decode()
    other = {**place, "last_conversation_id": "conv_unknown"}
    for wrong in ("x", deep, base64.b64encode(json.dumps(other).encode()).decode()):
        answer = ask("GET", PATH, params={"cursor": wrong})
        assert answer.status_code == 400
        assert answer.json()["detail"]["code"] == "invalid_cursor"
    asked = {"cursor": cursor, "sort_direction": "asc"}
    assert ask("GET", PATH, params=asked).status_code == 400
    simulator.conversations.remove(place["last_conversation_id"])
    assert ask("GET", PATH, params={"cursor": cursor}).status_code == 400


def test_audio_tells_no_length_and_faults_happen_to_it(simulator, ask):
    key = next(k for k in simulator.conversations.ids() if simulator.conversations.clip(k))
    answer = ask("GET", f"{PATH}/{key}/audio")
    assert answer.headers["content-type"] == "audio/mpeg"
    assert "content-length" not in answer.headers
    simulator.faults.add(Fault(rf"GET {PATH}/{key}/audio", "cut", at_byte=100, count=1))
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        ask("GET", f"{PATH}/{key}/audio")
    simulator.faults.add(Fault(rf"DELETE {PATH}/", "status", status=500, perform=True))
    assert ask("DELETE", f"{PATH}/{key}").status_code == 500
    assert ask("GET", f"{PATH}/{key}").status_code == 404
    assert simulator.counts.per_endpoint() == {
        f"GET {PATH}/{{id}}/audio": 2,
        f"DELETE {PATH}/{{id}}": 1,
        f"GET {PATH}/{{id}}": 1,
    }
