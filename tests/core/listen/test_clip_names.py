"""The names of clips in ``listen``: readable, portable, unique, and never changed by a new clip."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from histfs.core.listen.clip_names import ClipNames, Spoken, first_words, portable
from histfs.core.names import PORTABLE_MAX, folded
from histfs.core.times import Zone
from tests.core.fakes import TableIndex
from tests.support.memory import record

MOMENT = 1_714_650_306  # 2024-05-02T11:45:06Z
#: Bytes of the longest extension, with its dot.
EXTENSION = len(".webm")


def names_of(*records, zone="UTC"):
    index = TableIndex(records)
    names = ClipNames(index, Zone(zone), lambda item: Spoken(index.details(item).text))
    return {r.item.key: names.name(r.item.date, r.item.key) for r in records}, names


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Hello world", "Hello world"),
        ("It's  a\nquiet\tevening.", "It's a quiet evening"),
        ("Who? Me: at 12:30 / \\ <x> |*", "Who. Me. at 12.30 - - x -"),
        ("What?", "What"),
        ('He said "no"', "He said 'no'"),
        ("..hidden", "hidden"),
        ("50% off: #1", "50 percent off. 1"),
        ("", "untitled"),
        ("???", "untitled"),
        ("CON", "CON_"),
        ("a" * 80, "a" * 60),
        ("Copy me with rsync, search me with grep, play me with any player", None),
    ],
)
def test_a_title_is_the_first_words_in_characters_that_any_disk_takes(text, shown):
    title = portable(first_words(text))
    if shown is None:
        assert text.startswith(title) and text[len(title)] == " "
    else:
        assert title == shown


def test_a_clip_is_named_by_its_minute_in_the_zone_of_the_mount_and_its_words():
    named, _ = names_of(record("one", MOMENT, "Hello world"), zone="Europe/Berlin")
    assert named == {"one": "2024-05-02 13.45 Hello world"}


def test_of_clips_with_the_same_words_in_a_minute_the_later_ones_have_their_second_or_their_key():
    named, _ = names_of(
        record("a", MOMENT, "Hello world"),
        record("b", MOMENT, "HELLO WORLD"),
        record("c", MOMENT, "Hello World"),
        record("d", MOMENT + 60, "Hello world"),
    )
    assert named == {
        "a": "2024-05-02 11.45 Hello world",
        "b": "2024-05-02 11.45.06 HELLO WORLD",
        "c": "2024-05-02 11.45.06 Hello World (c)",
        "d": "2024-05-02 11.46 Hello world",
    }


def test_the_hour_that_comes_twice_has_names_of_its_own():
    twice = 1_729_987_200  # 2024-10-27T02:00 in Berlin, before and after clocks are set back
    named, names = names_of(
        record("a", twice, "Hello"), record("b", twice + 3600, "Hello"), zone="Europe/Berlin"
    )
    assert named == {"a": "2024-10-27 02.00 Hello", "b": "2024-10-27 02.00 (2) Hello"}
    assert {key: names.find(name).key for key, name in named.items()} == {"a": "a", "b": "b"}


def test_a_new_clip_renames_no_older_one():
    index = TableIndex([record("a", MOMENT, "Hello")])
    names = ClipNames(index, Zone("UTC"), lambda item: Spoken(index.details(item).text))
    before = names.name(MOMENT, "a")
    index.add(record("b", MOMENT + 20, "hello"))
    assert names.name(MOMENT, "a") == before
    assert names.name(MOMENT + 20, "b") == "2024-05-02 11.45.26 hello"
    index.discard("a")
    assert names.name(MOMENT, "a") is None
    assert names.find(before) is None


texts = st.text(max_size=120) | st.text("aA?:/. ", max_size=8) | st.just("Hello world")


@given(st.lists(st.tuples(texts, st.integers(0, 70)), min_size=1, max_size=12))
def test_names_are_unique_whatever_the_case_short_enough_and_lead_back(clips):
    records = [
        record(f"key{number}", MOMENT + seconds, text)
        for number, (text, seconds) in enumerate(clips)
    ]
    named, names = names_of(*records)
    assert len({folded(name) for name in named.values()}) == len(records)
    for key, name in named.items():
        assert len(name.encode()) + EXTENSION <= PORTABLE_MAX
        assert not set(name) & set('/\\:*?"<>|%#') and name.isprintable()
        assert name == name.strip(" .")
        assert names.may_name(name) and names.find(name).key == key


def test_a_long_key_makes_no_long_name():
    key = "k" * 230
    named, _ = names_of(record("a", MOMENT), record(key, MOMENT), record(f"{key[:-1]}x", MOMENT))
    assert max(len(name.encode()) + EXTENSION for name in named.values()) <= PORTABLE_MAX
    assert len(set(named.values())) == 3


@pytest.mark.parametrize("name", ["", ".mpdignore", "cover.jpg", "2024-05-02"])
def test_what_can_be_no_clip_is_known_without_a_look(name):
    assert not names_of()[1].may_name(name)


@pytest.mark.parametrize("name", ["2024-13-02 11.45 x", "2024-05-02 25.00 x", "0000-00-00 00.00 x"])
def test_a_time_that_no_calendar_has_is_that_of_no_clip(name):
    assert names_of(record("one", MOMENT))[1].find(name) is None
