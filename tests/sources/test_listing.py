"""The requests for a list of history items, and the meaning of the responses."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from histfs.core.errors import BadAnswer, Rejected
from histfs.core.source import Query
from histfs.core.times import Span
from tests.sources.conftest import BASE

LIST = f"{BASE}/v1/history"
EMPTY = {"history": [], "last_history_item_id": None, "has_more": False}


def item(item_id="a", **fields):
    return {"history_item_id": item_id, "date_unix": 1_714_650_306, **fields}


@pytest.fixture
def last_query(answers):
    """A function that returns the last query; the response is an empty page."""
    answers.get(LIST, json=EMPTY)

    def query():
        return {k: v[0] for k, v in parse_qs(urlsplit(answers.calls[-1].request.url).query).items()}

    return query


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({}, {}),
        ({"page_size": 1}, {"page_size": "1"}),
        ({"page_size": 1000}, {"page_size": "1000"}),
        ({"start_after_history_item_id": "ä/&=?"}, {"start_after_history_item_id": "ä/&=?"}),
        ({"voice_id": "v"}, {"voice_id": "v"}),
        ({"model_id": "m"}, {"model_id": "m"}),
        ({"model_id": "m", "source": "STS"}, {"model_id": "m", "source": "STS"}),
        ({"source": "Flows"}, {"source": "Flows"}),
        ({"date_before_unix": 0}, {"date_before_unix": "0"}),
        ({"date_after_unix": 1_714_650_306}, {"date_after_unix": "1714650306"}),
        ({"sort_direction": "asc"}, {"sort_direction": "asc"}),
        ({"search": "good day"}, {"search": "good day"}),
    ],
    ids=lambda value: ",".join(value) or "nothing",
)
def test_every_parameter_of_the_list_is_sent_under_its_name(history, last_query, given, sent):
    assert history.page(**given).records == []
    assert last_query() == sent


@pytest.mark.parametrize(
    ("query", "sent"),
    [
        (Query(), {"page_size": "1000"}),
        (Query(limit=20), {"page_size": "20"}),
        (Query(after="x"), {"page_size": "1000", "start_after_history_item_id": "x"}),
        (
            Query(span=Span(10, 20)),
            {"page_size": "1000", "date_after_unix": "10", "date_before_unix": "20"},
        ),
    ],
    ids=["everything", "a few", "the next page", "a span"],
)
def test_a_query_asks_for_the_largest_page_of_its_span(history, last_query, query, sent):
    history.list(query)
    assert last_query() == sent


@pytest.mark.parametrize("given", [{"page_size": 0}, {"page_size": 1001}, {"page_size": -1}])
def test_what_the_api_would_refuse_is_not_asked(history, answers, given):
    with pytest.raises(ValueError, match=next(iter(given))):
        history.page(**given)
    assert len(answers.calls) == 0


@pytest.mark.parametrize(
    ("has_more", "last", "cursor"),
    [(True, "b", "b"), (False, None, None), (False, "b", None)],
    ids=["another page", "the last page", "the last page with a cursor all the same"],
)
def test_a_listing_goes_on_while_there_is_more_and_a_cursor(
    history, answers, has_more, last, cursor
):
    answers.get(
        LIST,
        json={"history": [item("a"), item("b")], "has_more": has_more, "last_history_item_id": last,
              "scanned_until": 5, "a_new_field": {}},
    )  # fmt: skip
    page = history.list(Query())
    assert [record.item.id for record in page.records] == ["a", "b"]
    assert page.cursor == cursor


def test_an_empty_page_may_have_another_behind_it(history, answers):
    answers.get(LIST, json={"history": [], "has_more": True, "last_history_item_id": "b"})
    assert history.list(Query()).cursor == "b"


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        "history",
        None,
        {"history": []},
        {"has_more": False},
        {"history": None, "has_more": False},
        {"history": {}, "has_more": False},
        {"history": [], "has_more": None},
        {"history": [], "has_more": "false"},
        {"history": [], "has_more": True},
        {"history": [item(), 7], "has_more": False},
    ],
    ids=str,
)
def test_a_page_that_does_not_tell_all_is_a_bad_answer(history, answers, body):
    answers.get(LIST, json=body)
    with pytest.raises(BadAnswer):
        history.list(Query())


@pytest.mark.parametrize("last", [{}, *({"last_history_item_id": odd} for odd in (None, "", 7))])
def test_where_no_cursor_is_given_it_is_the_id_of_the_last_item(history, answers, last):
    answers.get(LIST, json={"history": [item("a"), item("b")], "has_more": True, **last})
    assert history.list(Query()).cursor == "b"


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.encode("utf-16-le"),
        lambda text: text.encode("utf-32"),
        lambda text: text.replace("?", "\ud800").encode("utf-8", "surrogatepass"),
        lambda text: text.replace("?", "\\udc00").encode(),
        lambda text: text.replace('"?"', "NaN").encode(),
    ],
    ids=["a mark", "UTF-16", "UTF-32", "surrogates", "half a pair", "NaN"],
)
def test_json_that_only_lenient_readers_take_is_read(history, answers, encode):
    text = json.dumps({"history": [item("a", odd="?", text="ü"), item("b")], "has_more": False})
    answers.get(LIST, body=encode(text))
    page = history.list(Query())
    assert [record.item.id for record in page.records] == ["a", "b"]
    assert [record.item.slug for record in page.records] == ["ü", "untitled"]
    assert history.describe(page.records[0].raw).text == "ü"


def test_an_item_is_the_same_in_the_list_and_by_itself(history, answers):
    fields = json.dumps(item("a", text="ü 😀", odd=[1.5, None]), ensure_ascii=False)
    answers.get(LIST, body=f'{{"history": [ {fields} ],\n"has_more": false}}'.encode())
    answers.get(f"{LIST}/a", body=f" {fields}\n".encode())
    (record,) = history.list(Query()).records
    assert record.raw == fields.encode()
    assert history.get("a") == record


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32-be"])
def test_one_item_may_come_in_any_encoding(history, answers, encoding):
    answers.get(f"{LIST}/a", body=json.dumps(item("a", text="Hi")).encode(encoding))
    assert history.get("a").item.slug == "hi"


@pytest.mark.parametrize(
    "odd",
    [b'"\xff"', b'"\xed\xa0"', b"nul", b'"\n"', b"01", b"[1,]", b"[" * 100_000],
    ids=lambda odd: repr(odd)[:20],
)
def test_one_object_that_is_not_json_spoils_the_page_and_the_item(history, answers, odd):
    raw = b'{"history_item_id": "a", "new": %b}' % odd
    answers.get(LIST, body=b'{"history": [%b], "has_more": false}' % raw)
    answers.get(f"{LIST}/a", body=raw)
    with pytest.raises(BadAnswer, match="the answer is not JSON"):
        history.list(Query())
    with pytest.raises(BadAnswer, match="the answer is not JSON"):
        history.get("a")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("<!DOCTYPE html><title>Sign in</title>", "text/html"),
        ('{"history":[{"history_item_id":"', "application/json"),
        ("", "application/json"),
        (b'{"history": "\xff"}', "application/json"),
        ("[" * 100_000, "application/json"),
        ('{"history": ' + "9" * 5000 + "}", "application/json"),
    ],
    ids=["a web page", "cut JSON", "nothing", "not UTF-8", "bottomless JSON", "a giant number"],
)
def test_what_is_not_json_is_a_bad_answer_of_one_line(history, answers, body, content_type):
    answers.get(LIST, body=body, content_type=content_type)
    with pytest.raises(BadAnswer) as caught:
        history.list(Query())
    assert len(str(caught.value).splitlines()) == 1


def test_a_list_that_is_not_there_is_not_an_empty_one_nor_a_missing_item(history, answers):
    answers.get(LIST, status=404, json={"detail": "Not Found"})
    with pytest.raises(Rejected, match="no history at this address"):
        history.list(Query())


def test_a_base_url_may_have_a_path_and_a_slash_at_its_end(make_history, answers):
    answers.get("https://proxy.example.com/eleven/v1/history", json=EMPTY)
    assert make_history("https://proxy.example.com/eleven/").list(Query()).records == []


@pytest.mark.parametrize(
    ("item_id", "path"),
    [
        ("ja9xsmfGhxYcymxGcOGB", "ja9xsmfGhxYcymxGcOGB"),
        ("a/../b?c#d", "a%2F..%2Fb%3Fc%23d"),
        ("ä 100%", "%C3%A4%20100%25"),
    ],
)
def test_an_id_is_escaped_in_the_address(history, answers, item_id, path):
    answers.get(f"{LIST}/{path}", json=item(item_id))
    record = history.get(item_id)
    assert record.item.id == item_id
    assert urlsplit(answers.calls[0].request.url).path == f"/v1/history/{path}"


@pytest.mark.parametrize("body", [{}, {"history_item_id": None}, {"history_item_id": ""}, []])
def test_an_item_without_an_id_is_a_bad_answer(history, answers, body):
    answers.get(f"{LIST}/a", json=body)
    with pytest.raises(BadAnswer):
        history.get("a")
