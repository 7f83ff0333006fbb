"""Searches of a server that needs no source, that needs one, or that has no search."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest
import responses

from histfs.core.errors import BadAnswer, InvalidRequest, NotOffered, Rejected, ServerFailed
from histfs.core.source import Query
from histfs.simulator import Simulator, SimulatorSettings
from histfs.sources.elevenlabs.history_search import SOURCES
from histfs.testing.source_contract import everything
from tests.sources.conftest import BASE

LIST = f"{BASE}/v1/history"


def missing_source(status):
    """Return the response of a server that needs a source, with one of two statuses."""
    if status == 422:
        entry = {"loc": ["query", "source"], "msg": "Field required", "type": "missing"}
        return status, {"detail": [entry]}
    return status, {"detail": {"status": "bad_request", "message": "source is required"}}


UNKNOWN = (422, {"detail": [{"loc": ["query", "source"], "msg": "Input should be 'TTS'"}]})
REFUSED = (400, {"detail": {"code": "bad_request", "message": "no such search"}})


class Server:
    """A list whose responses depend on the requested source; one item on a page."""

    def __init__(self, answers, **by_source):
        self.by_source = by_source
        self.requests = []
        answers.add_callback(responses.GET, LIST, self._answer)

    def _answer(self, request):
        query = {name: value[0] for name, value in parse_qs(urlsplit(request.url).query).items()}
        source, after = query.get("source", "plain"), query.get("start_after_history_item_id")
        self.requests.append((source, after))
        answer = self.by_source.get(source, UNKNOWN)
        if isinstance(answer, tuple):
            status, body = answer
            return status, {}, json.dumps(body)
        rest = answer[answer.index(after) + 1 :] if after else answer
        page = [{"history_item_id": item, "date_unix": 5, "source": source} for item in rest[:1]]
        body = {"history": page, "has_more": len(rest) > 1, "last_history_item_id": None}
        if rest:
            body["last_history_item_id"] = rest[0]
        return 200, {}, json.dumps(body)


def found(history, *sources):
    return [record.item.id for record in everything(history, Query(words="hi", sources=sources))]


def test_a_server_that_searches_plainly_is_asked_plainly(history, answers):
    server = Server(answers, plain=["a", "b", "c"])
    assert found(history, "TTS", "Projects", "") == ["a", "b", "c"]
    assert server.requests == [("plain", None), ("plain", "a"), ("plain", "b")]


@pytest.mark.parametrize("status", [400, 422])
def test_each_source_is_asked_where_the_plain_question_is_refused(history, answers, status):
    server = Server(
        answers, plain=missing_source(status), TTS=["a", "b"], STS=[], Flows=["c"], PD=["d", "e"]
    )
    expected = ["a", "b", "c", "d", "e"]
    assert found(history, "TTS", "PD") == expected
    in_turn = [("TTS", None), ("TTS", "a"), ("STS", None), ("Flows", None), ("PD", None),
               ("PD", "d")]  # fmt: skip
    assert server.requests == [("plain", None), *in_turn]
    server.requests.clear()
    assert found(history, "TTS", "PD") == expected
    assert server.requests == in_turn, "it is remembered that the server needs a source"


def test_a_source_that_the_server_does_not_know_is_passed_over(history, answers):
    Server(answers, plain=missing_source(400), TTS=UNKNOWN, STS=["a"], Flows=UNKNOWN)
    assert found(history, "STS") == ["a"]


@pytest.mark.parametrize("known", ["Projects", "Flows", ""], ids=repr)
def test_items_that_no_source_finds_make_the_search_fail(history, answers, known):
    Server(answers, plain=missing_source(400), TTS=["a"], STS=["b"])
    with pytest.raises(InvalidRequest):
        found(history, "TTS", known)


@pytest.mark.parametrize(
    "refusal",
    [
        REFUSED,
        (422, {"detail": [{"loc": ["query", "search"], "msg": "too long"}]}),
        (422, {"detail": [{"loc": ["query", "search"]}, {"loc": ["query", "source"]}]}),
        (400, {"detail": "source?"}),
    ],
    ids=str,
)
def test_a_refusal_that_may_not_be_about_the_source_hides_no_item(history, answers, refusal):
    Server(answers, plain=missing_source(400), TTS=["a"], STS=refusal, Flows=["b"])
    with pytest.raises(InvalidRequest):
        found(history, "TTS")


def test_a_server_that_does_not_search_says_why_and_is_asked_plainly_again(history, answers):
    server = Server(answers, plain=REFUSED, TTS=UNKNOWN)
    for _ in range(2):
        with pytest.raises(InvalidRequest, match="no such search"):
            found(history)
    assert [source for source, _ in server.requests] == ["plain", "TTS", "STS", "Flows"] * 2
    server.by_source = {"plain": missing_source(400), "TTS": ["a"]}
    assert found(history) == ["a"]
    server.requests.clear()
    server.by_source["TTS"] = (422, {"detail": [{"loc": ["query", "search"], "msg": "too long"}]})
    for _ in range(2):
        with pytest.raises(InvalidRequest, match="too long"):
            found(history)
    assert [source for source, _ in server.requests] == ["TTS"] * 2, "the words are invalid"
    server.by_source = {"plain": ["b"]}
    with pytest.raises(InvalidRequest):
        found(history)
    assert found(history) == ["b"], "the server needs no source any more"


@pytest.mark.parametrize(
    ("status", "kind"), [(405, NotOffered), (404, Rejected), (402, Rejected), (500, ServerFailed)]
)
def test_another_failure_is_no_reason_to_ask_within_sources(history, answers, status, kind):
    server = Server(answers, plain=(status, {}), TTS=["a"])
    with pytest.raises(kind):
        found(history)
    assert {source for source, _ in server.requests} == {"plain"}


def test_a_search_that_is_answered_with_something_else_is_a_bad_answer(history, answers):
    answers.get(LIST, body="<html>Sign in</html>")
    with pytest.raises(BadAnswer):
        found(history)
    for cursor in ("", "null", "7", "[1]", '["x", 3, 4, 5]'):
        with pytest.raises(BadAnswer, match="cursor"):
            history.list(Query(words="hi", after=cursor))


@pytest.mark.parametrize("status", [400, 422])
def test_a_strict_and_a_lenient_server_find_the_same(make_history, status):
    def search(**strict):
        with Simulator(SimulatorSettings(items=400, alignments=False, **strict)) as server:
            history = make_history(server.base_url, server.api_key)
            records = everything(history, Query(words="the", limit=20))
            assert server.counts.total > len(records) / 20 > 3
            searchable = [r for r in records if r.facets["source"][0].value in SOURCES]
            return sorted(record.item.id for record in searchable)

    strict = search(needs_source=frozenset({"search"}), needs_source_status=status)
    assert strict == search()
