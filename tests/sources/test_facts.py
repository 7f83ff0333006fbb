"""Facts: classes instead of strings, and the order of lists."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from responses.matchers import query_param_matcher

from histfs.core.secret import Secret
from histfs.sources.elevenlabs.facts import Unknown, classes, list_pages, probe
from histfs.sources.elevenlabs.http_client import HttpClient
from tests.sources.conftest import BASE, KEY

LIST = f"{BASE}/v1/history"
NOW = 1_790_000_000


def parsed(item_id, date, **fields):
    return list_pages.parse_item(json.dumps(item(item_id, date, **fields)).encode())


def listed(*dates, **fields):
    return [parsed(f"i{number}", date, **fields) for number, date in enumerate(dates)]


def item(item_id, date, **fields):
    return {"history_item_id": item_id, "date_unix": date, "state": "created", **fields}


@pytest.mark.parametrize(
    ("value", "known"),
    [
        ("eleven_multilingual_v2", "eleven_multilingual_v2"),
        ("eleven_flash_v2_5", "eleven_flash_v2_5"),
        ("eleven_v4_exp", "eleven_v4_exp"),
        ("eleven_karin_v2", "eleven_?_v2"),
        ("eleven_v2\n_sk", "eleven_?_?"),
        ("karin", classes.OTHER),
        ("Eleven_v3", classes.OTHER),
        ({"eleven_v3": 1}, classes.OTHER),
        (None, classes.EMPTY),
    ],
)
def test_of_a_model_only_the_words_of_product_names_are_told(value, known):
    assert classes.model(value) == known


@pytest.mark.parametrize(
    ("value", "known"),
    [("mp3_44100_128", "mp3_44100_128"), ("pcm_16000", "pcm_16000"), ("", classes.EMPTY),
     ("mp3_karin", classes.OTHER), ("mp3_44100_128_karin", classes.OTHER),
     ("pcm_1234567890", classes.OTHER), ("mp3_44100_128\n", classes.OTHER)],
)  # fmt: skip
def test_a_format_is_told_where_it_has_the_documented_form(value, known):
    assert classes.output_format(value) == known


@pytest.mark.parametrize(
    ("name", "value", "known"),
    [
        ("Content-Length", "12", "given"),
        ("Content-Length", "twelve", classes.OTHER),
        ("ETag", '"x"', "strong"),
        ("ETag", 'W/"x"', "weak"),
        ("ETag", "x", classes.OTHER),
        ("Via", "1.1 google", "google"),
        ("Via", "1.1 karins-proxy", classes.OTHER),
        ("Server", "uvicorn", "uvicorn"),
        ("Content-Encoding", "GZIP", "gzip"),
        ("Transfer-Encoding", "chunked", "chunked"),
        ("Content-Type", "audio/mpeg; charset=karin", "audio/mpeg"),
    ],
)
def test_of_a_header_only_the_class_is_told(name, value, known):
    assert classes.header(name, {name: value}) == known
    assert classes.header(name, {}) == classes.ABSENT


@pytest.mark.parametrize(
    ("content", "name"),
    [(b"ID3\4", "MP3 with ID3"), (b"\xff\xfb\x90", "MP3 frames"), (b"OggS", "Ogg"),
     (b"RIFF....WAVE", "RIFF"), (b'{"detail"', "JSON"), (b"<html>", "HTML"),
     (b"\0\0", classes.OTHER), (b"", classes.EMPTY)],
)  # fmt: skip
def test_the_first_bytes_say_what_audio_is(content, name):
    assert classes.container(content) == name


@pytest.mark.parametrize(
    ("date", "name"),
    [(NOW, "possible"), (NOW + 3600, "possible"), (0, "zero or less"), (-1, "zero or less"),
     (12_345, "before 2022"), (NOW * 1000, "in milliseconds"), (4_102_444_800, "in the future"),
     (None, "missing"), ("2024", "not a number"), (True, "not a number"),
     (float("nan"), "not a number"), (10**400, "in the future"), (float("inf"), "in the future")],
)  # fmt: skip
def test_a_date_is_possible_or_it_is_said_why_not(date, name):
    assert list_pages.date_class(date, NOW) == name


def test_disorder_is_counted_between_neighbours_and_impossible_dates_left_out():
    items = listed(NOW - 1, NOW - 5, NOW - 3, 0, NOW - 9, NOW - 9, NOW - 2)
    assert list_pages.disorder(list_pages.possible_dates(items, NOW)) == {
        "neighbours": 5,
        "in the wrong order": 2,
        "largest in seconds": 7,
        "of the same second": 1,
    }


def test_items_that_a_page_before_had_are_counted():
    items = listed(*range(NOW, NOW - 6, -1))
    assert list_pages.repeated([items[:3], items[2:5], items[5:]]) == 1
    assert list_pages.repeated([items[:3], items[1:5], items[3:]]) == 4


def test_a_window_of_time_has_items_of_the_list_on_both_sides():
    items = listed(*range(NOW, NOW - 8, -1))
    start, end = list_pages.window(items, NOW)
    assert NOW - 7 < start < end < NOW
    assert list_pages.inside(items, start, end) == {"i3", "i4", "i5"}
    assert list_pages.window(listed(NOW, NOW, NOW - 1), NOW) is None


def test_the_sample_has_clips_of_each_kind_and_none_that_is_huge_or_odd():
    plain = listed(*range(NOW, NOW - 50, -1), output_format="mp3_44100_128", text="hello")
    rare = [
        parsed(item_id, NOW - 99, text=text, output_format=output_format, state=state)
        for item_id, text, output_format, state in [
            ("rare", "hello", "pcm_16000", "created"),
            ("huge", "hello" * 10**6, "pcm_8000", "created"),
            ("a/../b", "hello", "pcm_22050", "created"),
            ("gone", "hello", "pcm_24000", "deleted"),
        ]
    ]
    found = [item.id for item in list_pages.sample([*plain, *rare], most=10, largest=1 << 20)]
    assert len(set(found)) == len(found) == 10
    assert "rare" in found
    assert {"huge", "a/../b", "gone"}.isdisjoint(found)


@pytest.mark.parametrize(
    ("content", "cursor", "next_cursor"),
    [
        ({"history": [item("a", 1)], "has_more": True, "last_history_item_id": "b"}, "b", "b"),
        ({"history": [item("a", 1)], "has_more": True}, "", "a"),
        ({"history": [], "has_more": True, "last_history_item_id": 5}, "", ""),
    ],
)
def test_a_page_goes_on_after_its_cursor_or_its_last_item(content, cursor, next_cursor):
    page = list_pages.parse_page(json.dumps(content).encode())
    assert (page.cursor, page.next_cursor) == (cursor, next_cursor)


def test_json_that_is_not_strict_is_a_page_all_the_same():
    content = b'{"history": [{"history_item_id": "a", "date_unix": NaN}], "has_more": false}'
    assert [item.id for item in list_pages.parse_page(content).items] == ["a"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
FIELDS = sorted(list_pages.DOCUMENTED)


@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), VALUES) | VALUES, max_size=4))
@settings(max_examples=100, deadline=None)
def test_whatever_the_fields_of_items_hold_is_classified(history):
    page = list_pages.parse_page(json.dumps({"history": history, "has_more": False}).encode())
    assert len(page.items) == len(history)
    assert list_pages.disorder(list_pages.possible_dates(page.items, NOW))["neighbours"] <= len(
        history
    )
    assert len(list_pages.sample(page.items, most=2, largest=1 << 20)) <= 2
    assert list_pages.window(page.items, NOW) is None or len(history) >= 4


@pytest.mark.parametrize("content", [b"", b"[]", b'{"history": 5}', b"<html>"])
def test_what_is_no_page_is_refused(content):
    with pytest.raises(ValueError, match=r".*"):
        list_pages.parse_page(content)


@pytest.mark.parametrize(
    ("plain", "with_source", "expected"),
    [
        (200, 200, "no"),
        (422, 200, "yes (HTTP 422 without)"),
        (400, 200, "yes (HTTP 400 without)"),
        (422, 422, Unknown("HTTP 422 without, HTTP 422 with")),
        (403, 200, Unknown("HTTP 403")),
    ],
)
def test_whether_a_search_needs_a_source_is_found_out_by_asking_both(
    answers, plain, with_source, expected
):
    empty = {"history": [], "has_more": False}

    def answer(status, **query):
        answers.get(LIST, status=status, json=empty, match=[query_param_matcher(query)])

    query = {"page_size": "1", "search": "the"}
    answer(plain, **query)
    answer(with_source, **query, source="TTS")
    for size in (1, 10, 1000):
        answer(200, page_size=str(size))
    http = HttpClient(BASE, Secret(KEY), 5, connections=1, retries=0)
    found = {(fact.section, fact.name): fact.value for fact in probe(http)}
    http.close()
    assert found["search", "it needs a source"] == expected
