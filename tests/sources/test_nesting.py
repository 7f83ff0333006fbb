"""An object that is nested too deeply for a parser does not make its page fail."""

from __future__ import annotations

import json

import pytest

from histfs.core.errors import BadAnswer
from histfs.core.source import Query
from histfs.sources.elevenlabs import conversation_objects, history_objects
from histfs.sources.elevenlabs.json_parsing import split_array, split_object
from tests.support.raw_http import RawServer, answer

DATE = 1_714_650_306
DEEP = b"[" * 100_000 + b'{"x": "]"}' + b"]" * 100_000
KINDS = {
    "history": ("history", "history_item_id", "date_unix"),
    "conversations": ("conversations", "conversation_id", "start_time_unix_secs"),
}


def to_json(kind, number, extra=b"null"):
    """Return an object of a listing; ``extra`` is the JSON of one more field."""
    _, key, date = KINDS[kind]
    fields = {key: f"id{number}", date: DATE - number, "text": 'A "text", [so: to say}'}
    return json.dumps(fields).encode()[:-1] + b', "settings": ' + extra + b"}"


def page(kind, objects, more=b""):
    name = KINDS[kind][0].encode()
    return b'{"%s": [%s], "has_more": false%s}' % (name, b",\n ".join(objects), more)


@pytest.fixture(params=list(KINDS))
def kind(request):
    return request.param


@pytest.fixture
def listed(request, kind):
    """A function that lists the response of a server."""
    make = request.getfixturevalue(f"make_{kind}")

    def listed(content):
        with RawServer(lambda peer, _: peer.send(answer(content))) as server:
            return make(server.url).list(Query()).records

    return listed


def test_a_page_shows_an_object_that_is_nested_too_deeply_and_the_others(kind, listed):
    objects = [to_json(kind, 0), to_json(kind, 1, DEEP), to_json(kind, 2)]
    records = listed(page(kind, objects))
    assert [record.item.id for record in records] == ["id0", "id1", "id2"]
    assert [record.item.date for record in records] == [DATE, DATE - 1, DATE - 2]
    assert [record.raw for record in records] == objects


def test_what_is_nested_too_deeply_beside_the_objects_does_no_harm(kind, listed):
    (record,) = listed(page(kind, [to_json(kind, 0)], b', "x": ' + DEEP))
    assert record.item.id == "id0"


@pytest.mark.parametrize(
    "broken",
    [b"{]", b'{"x": "cut', b"1"],
    ids=["brackets", "a string without end", "no object"],
)
def test_a_page_that_is_broken_besides_is_an_error(kind, listed, broken):
    with pytest.raises(BadAnswer):
        listed(page(kind, [to_json(kind, 0), to_json(kind, 1, DEEP), broken]))


def test_a_page_with_a_deep_object_without_an_id_is_an_error(kind, listed):
    with pytest.raises(BadAnswer, match="without an id"):
        listed(page(kind, [to_json(kind, 0), b'{"x": ' + DEEP + b"}"]))


def test_one_object_that_is_nested_too_deeply_can_be_got(kind, request):
    raw = to_json(kind, 1, DEEP)
    with RawServer(lambda peer, _: peer.send(answer(raw + b"\n"))) as server:
        source = request.getfixturevalue(f"make_{kind}")(server.url)
        record = source.get("id1")
        assert (record.item.id, record.raw) == ("id1", raw)
        assert source.describe(record.raw).raw == raw


def test_the_text_of_an_item_that_is_nested_too_deeply_is_shown():
    details = history_objects.details_of(to_json("history", 1, DEEP))
    assert details.text == 'A "text", [so: to say}'


def test_a_transcript_that_can_not_be_read_hides_no_files_that_were_sent_in_it():
    with pytest.raises(BadAnswer):
        conversation_objects.details_of(b'{"conversation_id": "a", "transcript": ' + DEEP + b"}")


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b" [] ", []),
        (b"{ }", {}),
        (b'[1, "a,]", {"b": [2, 3]}]', [b"1", b'"a,]"', b'{"b": [2, 3]}']),
        (b'{"a\\"": 1, "b": {"c": 2}}', {'a"': b"1", "b": b'{"c": 2}'}),
    ],
)
def test_json_is_taken_apart(content, parts):
    assert (split_object if isinstance(parts, dict) else split_array)(content) == parts


@pytest.mark.parametrize(
    "content",
    [b"", b"1", b"[", b"]", b"[}", b"[1]]", b"[1] 2", b"x[1]", b'["a]', b"[1][2]", b"{}", b"\xff"],
)
def test_what_is_no_list_is_not_taken_apart(content):
    with pytest.raises(ValueError, match=r"JSON|brackets|string|decode"):
        split_array(content)
