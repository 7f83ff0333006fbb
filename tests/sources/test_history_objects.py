"""History objects are parsed, whatever their fields hold."""

from __future__ import annotations

import json
import math
from functools import partial

import pytest

from histfs.core.errors import BadAnswer
from histfs.core.item import UNKNOWN_NEW, UNKNOWN_OLD
from histfs.core.times import EARLIEST, LATEST
from histfs.sources.elevenlabs import history_objects
from histfs.sources.elevenlabs.history_objects import details_of
from histfs.sources.elevenlabs.json_parsing import parse_lenient

DATE = 1_714_650_306
#: The time at which the objects are parsed.
NOW = 1_760_000_000.0
INVALID_DATES = [
    None, True, "", "yesterday", [], {}, math.nan, -math.inf, 0, -1, 86_400, DATE * 1000,
    4_102_444_800, 10**20,
]  # fmt: skip

record_of = partial(history_objects.record_of, now=NOW)
records_of = partial(history_objects.records_of, now=NOW)

FULL = {
    "history_item_id": "ja9xsmfGhxYcymxGcOGB",
    "request_id": "r",
    "voice_id": "21m00Tcm4TlvDq8ikWAM",
    "model_id": "eleven_multilingual_v2",
    "voice_name": "Rachel",
    "voice_category": "premade",
    "text": "Hello, World!",
    "date_unix": DATE,
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


def to_json(fields):
    """Return an object as a server may send it: a lone surrogate is escaped."""
    return json.dumps(fields, ensure_ascii=False).encode("utf-8", "backslashreplace")


def test_an_item_is_read():
    record = record_of(to_json(FULL))
    item, facets = record.item, record.facets
    assert (item.id, item.key, item.date) == (FULL["history_item_id"],) * 2 + (1_714_650_306,)
    assert (item.slug, item.content_type, item.output_format) == (
        "hello-world", "audio/mpeg", "mp3_44100_64",
    )  # fmt: skip
    assert item.estimate == 80_000
    assert item.extension is None
    assert facets["voice"] == (("21m00Tcm4TlvDq8ikWAM", "Rachel"),)
    assert facets["source"] == (("TTS", None),)
    assert facets["model"] == (("eleven_multilingual_v2", None),)


def test_every_field_is_kept_in_the_order_in_which_it_came():
    record = record_of(to_json(FULL))
    assert record.raw == to_json(FULL)
    assert list(json.loads(details_of(record.raw).raw).items()) == list(FULL.items())


def test_the_details_are_as_they_were_sent_but_indented():
    raw = b'{"history_item_id":"a","rate":1.50,"name":"\\u00fc\xc3\xbc","new":[1,{}]}'
    assert details_of(raw).raw == (
        b'{\n  "history_item_id": "a",\n  "rate": 1.50,\n  "name": "\\u00fc\xc3\xbc",\n'
        b'  "new": [\n    1,\n    {}\n  ]\n}'
    )


def test_a_lone_surrogate_in_the_details_is_escaped_as_json_has_it():
    raw = details_of(b'{"history_item_id": "a", "odd\\udfff": "a\\ud800b"}').raw
    assert b'"a\\ud800b"' in raw
    assert json.loads(raw)["odd\udfff"] == "a\ud800b"


def test_the_id_alone_is_enough():
    record = record_of(b'{"history_item_id": "a"}')
    assert (record.item.slug, record.item.content_type) == ("untitled", "")
    assert record.item.date <= EARLIEST
    assert record.item.estimate > 0
    assert set(record.facets.values()) == {(("", None),)}
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
        record = record_of(to_json({**FULL, name: odd}))
        assert record.item.id == FULL["history_item_id"]
        assert 0 <= record.item.date <= LATEST
        assert 0 < record.item.estimate < 2**40
        assert record.item.slug.encode()
        details_of(record.raw)


@pytest.mark.parametrize("date", [DATE, DATE + 0.9, str(DATE)])
def test_a_date_is_whole_seconds(date):
    record = record_of(to_json({**FULL, "date_unix": date}))
    assert (record.item.date, record.dated) == (DATE, True)


@pytest.mark.parametrize("date", INVALID_DATES)
def test_an_item_without_a_possible_date_has_its_neighbours_and_says_so(date):
    dates = (date, DATE + 1, date, DATE, date)
    page = [{"history_item_id": f"id{n}", "date_unix": d} for n, d in enumerate(dates)]
    records = records_of(map(to_json, page))
    assert [r.item.date for r in records] == [DATE + 1, DATE + 1, DATE + 1, DATE, DATE]
    assert [r.dated for r in records] == [False, True, False, True, False]


@pytest.mark.parametrize(("date", "shown"), [(0, UNKNOWN_OLD), (DATE * 1000, UNKNOWN_NEW)])
def test_an_item_without_a_possible_date_and_without_neighbours_says_on_which_side_it_is(
    date, shown
):
    record = record_of(to_json({**FULL, "date_unix": date}))
    assert (record.item.date, record.dated) == (shown, False)


def test_an_item_may_come_from_the_near_future_as_clocks_differ():
    dates = (int(NOW) + 3600, int(NOW) + 90_000)
    page = [{"history_item_id": f"id{d}", "date_unix": d} for d in dates]
    assert [record.dated for record in records_of(map(to_json, page))] == [True, False]


@pytest.mark.parametrize("odd", [{}, None, 7, "x", {"history_item_id": None}])
def test_an_object_without_an_id_fails_its_list(odd):
    with pytest.raises(BadAnswer, match="items without an id"):
        records_of(map(to_json, [FULL, odd]))


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ({"text": "Hello"}, "Hello"),
        ({"text": ""}, ""),
        ({"text": None}, None),
        ({"text": 7}, None),
        ({"text": "t", "dialogue": None}, "t"),
    ],
)
def test_the_text_is_what_was_spoken(raw, text):
    assert details_of(to_json(raw)).text == text


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
    assert record_of(to_json({"history_item_id": "a", **voice})).facets["voice"] == (read,)


def test_an_object_that_has_changed_has_another_revision():
    revision = record_of(to_json(FULL)).item.revision
    assert record_of(to_json(dict(FULL))).item.revision == revision
    assert record_of(to_json({**FULL, "state": "x"})).item.revision != revision


@pytest.mark.parametrize(
    ("item_id", "read"), [(7, "7"), (True, "True"), (10**30, str(10**30)), ("\ud800", "\ud800")]
)
def test_an_odd_id_is_an_id(item_id, read):
    assert record_of(to_json({**FULL, "history_item_id": item_id})).item.id == read


@pytest.mark.parametrize("raw", [b"{}", b"[]", b"7", b'{"history_item_id": null}'])
def test_what_is_no_item_is_a_bad_answer(raw):
    with pytest.raises(BadAnswer, match="not a history item"):
        record_of(raw)


@pytest.mark.parametrize(
    ("alignments", "seconds"),
    [
        ({"alignment": {"character_end_times_seconds": [1, 2.5]}}, 2.5),
        ({"alignment": {"character_end_times_seconds": [2]}}, 2),
        ({"alignment": {"character_end_times_seconds": ["1,5", "2.5"]}}, 2.5),
        ({"alignment": None, "normalized_alignment": {"character_end_times_seconds": [3]}}, 3),
        ({"alignment": {"character_end_times_seconds": []},
          "normalized_alignment": {"character_end_times_seconds": [3]}}, 3),
        ({"alignment": {"character_end_times_seconds": "[1,9"},
          "normalized_alignment": {"character_end_times_seconds": [3]}}, 3),
        ({"alignment": {"character_end_times_seconds": [9, [8, 9]]},
          "normalized_alignment": {"character_end_times_seconds": [3]}}, None),
        ({"alignment": {"character_end_times_seconds": [9, "x,9"]}}, None),
        ({"alignment": {}}, None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("serialize", [json.dumps, lambda o: json.dumps(o, separators=(",", ":"))])
def test_the_audio_lasts_until_the_end_of_the_last_character(alignments, seconds, serialize):
    fields = {**FULL, "text": "x" * 16 * 77, "alignments": alignments}
    item = record_of(serialize(fields).encode()).item
    assert item.estimate == 8000 * (77 if seconds is None else seconds)


@pytest.mark.parametrize(
    "value",
    [
        "12", "1e400", "NaN", "-Infinity", "9" * 400, "9" * 5000, '"\\ud800"', '"\\ud83d\\ude00"',
        "[" * 900 + "]" * 900,
    ],
    ids=lambda value: value[:10],
)  # fmt: skip
def test_a_field_that_nobody_reads_may_hold_anything(value):
    raw = f'{{"history_item_id": "a", "date_unix": {DATE}, "new": {value}}}'.encode()
    assert record_of(raw).item.date == DATE
    assert list(parse_lenient(details_of(raw).raw)) == ["history_item_id", "date_unix", "new"]


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"[" * 100_000, b'{"a": "\xff"}'])
def test_an_object_that_can_not_be_read_has_no_details(raw):
    with pytest.raises(BadAnswer):
        details_of(raw)


@pytest.mark.parametrize(
    ("change", "seconds"),
    [((0, 1600), 100), ((7, 7), 10), ((9, 3), 10), (("x", None), 10), ((0, 1e300), 10)],
)
def test_a_clip_without_a_text_is_as_long_as_it_has_cost(change, seconds):
    before, after = change
    counts = {"character_count_change_from": before, "character_count_change_to": after}
    fields = {**FULL, **counts, "text": None, "alignments": None}
    assert record_of(json.dumps(fields).encode()).item.estimate // 8000 == seconds
