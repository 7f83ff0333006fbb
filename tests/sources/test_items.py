"""How the API's objects are read, whatever is in them."""

from __future__ import annotations

import json
import math

import pytest

from histfs.core.times import EARLIEST, LATEST
from histfs.sources.elevenlabs.items import details_of, record_of, records_of

FULL = {
    "history_item_id": "ja9xsmfGhxYcymxGcOGB",
    "request_id": "r",
    "voice_id": "21m00Tcm4TlvDq8ikWAM",
    "model_id": "eleven_multilingual_v2",
    "voice_name": "Rachel",
    "voice_category": "premade",
    "text": "Hello, World!",
    "date_unix": 1_714_650_306,
    "character_count_change_from": 0,
    "character_count_change_to": 13,
    "content_type": "Audio/MPEG; charset=binary",
    "state": "created",
    "settings": {"stability": 0.5},
    "source": "TTS",
    "output_format": "mp3_44100_64",
    "alignments": {"alignment": {"character_end_times_seconds": [0.5, 10.0]}},
    "a_field_of_tomorrow": [{"x": 1}],
}


def test_an_item_is_read():
    record = record_of(FULL)
    item, facets = record.item, record.facets
    assert (item.id, item.key, item.date) == (FULL["history_item_id"],) * 2 + (1_714_650_306,)
    assert (item.slug, item.content_type, item.output_format) == (
        "hello-world", "audio/mpeg", "mp3_44100_64",
    )  # fmt: skip
    assert item.estimate == 80_000
    assert item.size is None
    assert facets["voice"] == ("21m00Tcm4TlvDq8ikWAM", "Rachel")
    assert (facets["source"].value, facets["model"].value) == ("TTS", "eleven_multilingual_v2")


def test_every_field_is_kept_in_the_order_in_which_it_came():
    record = record_of(FULL)
    assert list(record.raw) == list(FULL)
    assert details_of(record.raw).raw == FULL


def test_the_id_alone_is_enough():
    record = record_of({"history_item_id": "a"})
    assert (record.item.slug, record.item.content_type) == ("untitled", "")
    assert record.item.date <= EARLIEST
    assert record.item.estimate > 0
    assert {facet.value for facet in record.facets.values()} == {""}
    assert details_of(record.raw).text is None


@pytest.mark.parametrize(
    "odd",
    [None, True, -1, 10**400, 1e308, math.nan, math.inf, "", "\ud800\0/..\n", [], {}, [[]],
     {"alignment": {"character_end_times_seconds": [10**400]}},
     {"alignment": {"character_end_times_seconds": [math.nan]}},
     {"alignment": {"character_end_times_seconds": ["x"]}}, {"alignment": []}],
    ids=lambda odd: repr(odd)[:50],
)  # fmt: skip
def test_an_odd_field_never_keeps_an_item_from_being_shown(odd):
    for name in FULL.keys() - {"history_item_id"}:
        record = record_of({**FULL, name: odd})
        assert record.item.id == FULL["history_item_id"]
        assert 0 <= record.item.date <= LATEST
        assert 0 < record.item.estimate < 2**40
        assert record.item.slug.encode()
        details_of(record.raw)


@pytest.mark.parametrize(
    ("date", "read"),
    [
        (1_714_650_306, 1_714_650_306),
        (1_714_650_306.9, 1_714_650_306),
        ("1714650306", 1_714_650_306),
        (0, EARLIEST),
        (-5, EARLIEST),
        (10**15, LATEST),
    ],
)
def test_a_date_is_whole_seconds_that_a_calendar_can_show(date, read):
    assert record_of({**FULL, "date_unix": date}).item.date == read


@pytest.mark.parametrize("date", [None, True, "", "yesterday", [], {}, math.nan, -math.inf])
def test_an_item_without_a_usable_date_has_its_neighbours(date):
    page = [{"history_item_id": f"id{d}", "date_unix": d} for d in (date, 50, date)]
    assert [record.item.date for record in records_of(page)] == [50, 50, 50]


def test_objects_without_an_id_are_told_and_left_out(caplog):
    page = [FULL, {}, None, 7, "x", {"history_item_id": None}, {"history_item_id": ""}]
    assert [record.item.id for record in records_of(page)] == [FULL["history_item_id"]]
    assert "6 history items have no id" in caplog.text


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ({"text": "Hello"}, "Hello"),
        ({"text": ""}, ""),
        ({"text": None}, None),
        ({"text": 7}, None),
        ({"text": "t", "dialogue": None}, "t"),
        ({"text": "t", "dialogue": []}, "t"),
        ({"text": None, "dialogue": [{"voice_name": "Ann", "text": "Hi"},
                                     {"voice_id": "v2", "text": "Ho"}, {"text": None}, "x"]},
         "Ann: Hi\nv2: Ho\n?: "),
    ],
)  # fmt: skip
def test_the_text_is_what_was_spoken(raw, text):
    assert details_of(raw).text == text


@pytest.mark.parametrize(
    ("voice", "read"),
    [
        ({"voice_id": "v", "voice_name": "Ann"}, ("v", "Ann")),
        ({"voice_id": "v"}, ("v", None)),
        ({"voice_id": None, "voice_name": "Ann"}, ("Ann", "Ann")),
        ({"voice_id": "", "voice_name": ""}, ("", None)),
    ],
)
def test_a_voice_is_known_by_its_id_or_its_name(voice, read):
    assert record_of({"history_item_id": "a", **voice}).facets["voice"] == read


def test_an_object_that_has_changed_has_another_revision():
    same = json.loads(json.dumps(FULL))
    assert record_of(same).item.revision == record_of(FULL).item.revision
    assert record_of({**FULL, "state": "x"}).item.revision != record_of(FULL).item.revision
