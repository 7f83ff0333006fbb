"""The server's search of conversations, and a server without one."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from histfs.core.errors import BadAnswer, KeyRefused, NotOffered, Rejected, ServerFailed
from histfs.core.source import Named, Query
from tests.sources.conftest import BASE

#: A valid date.
T = 1_714_650_306
SEARCH = f"{BASE}/v1/convai/conversations/messages/text-search"


def result(conversation, date=T, **fields):
    return {"conversation_id": conversation, "conversation_start_time_unix_secs": date, **fields}


def test_a_page_names_each_conversation_once_and_goes_on(conversations, answers):
    results = [result("a", score=1), result("b", T + 2), result("a", score=2), result("c", None)]
    results.append(result("d", "soon"))
    answers.get(SEARCH, json={"results": results, "has_more": True, "next_cursor": "on"})
    page = conversations.list(Query(words='two "words" & more'))
    assert page.named == (Named("a", T), Named("b", T + 2), Named("c", None), Named("d", None))
    assert (page.records, page.cursor) == ((), "on")
    conversations.list(Query(words="x", after="on"))
    sent = [parse_qs(urlsplit(call.request.url).query) for call in answers.calls]
    assert sent == [
        {"text_query": ['two "words" & more'], "page_size": ["50"]},
        {"text_query": ["x"], "page_size": ["50"], "cursor": ["on"]},
    ]


def test_a_search_may_find_nothing(conversations, answers):
    answers.get(SEARCH, json={"results": [], "has_more": False, "next_cursor": "on"})
    page = conversations.list(Query(words="x"))
    assert (page.named, page.cursor) == ((), None)


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        None,
        {"results": []},
        {"results": {}, "has_more": False},
        {"results": [], "has_more": "no"},
        {"results": [], "has_more": True},
        {"results": [], "has_more": True, "next_cursor": 7},
        {"results": [{}], "has_more": False},
        {"results": [result("")], "has_more": False},
        {"results": ["a"], "has_more": False},
    ],
    ids=str,
)
def test_an_answer_that_does_not_tell_all_is_a_bad_one(conversations, answers, body):
    answers.get(SEARCH, json=body)
    with pytest.raises(BadAnswer):
        conversations.list(Query(words="x"))


@pytest.mark.parametrize("body", ["<html>Sign in</html>", '{"results": [{"conversation_id": "'])
def test_what_is_not_json_is_a_bad_answer(conversations, answers, body):
    answers.get(SEARCH, body=body)
    with pytest.raises(BadAnswer):
        conversations.list(Query(words="x"))


@pytest.mark.parametrize("status", [404, 405])
def test_a_server_without_a_search_says_so(conversations, answers, status):
    answers.get(SEARCH, status=status, json={"detail": "Not Found"})
    with pytest.raises(NotOffered, match="no search of conversations"):
        conversations.list(Query(words="x"))


@pytest.mark.parametrize(
    ("status", "kind"), [(400, Rejected), (422, Rejected), (403, KeyRefused), (501, ServerFailed)]
)
def test_a_search_that_is_refused_is_there_all_the_same(conversations, answers, status, kind):
    answers.get(SEARCH, status=status)
    with pytest.raises(kind) as caught:
        conversations.list(Query(words="x"))
    assert not isinstance(caught.value, NotOffered)


def test_a_cursor_that_the_server_does_not_know_any_more_is_no_missing_search(
    conversations, answers
):
    answers.get(SEARCH, status=404)
    with pytest.raises(Rejected) as caught:
        conversations.list(Query(words="x", after="gone"))
    assert not isinstance(caught.value, NotOffered)
