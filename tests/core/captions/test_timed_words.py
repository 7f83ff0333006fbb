"""Words with their times: how a text is split, and that the times are in order."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from histfs.core.captions.timed_words import (
    LATEST,
    clusters,
    columns,
    spread_words,
    words_of_characters,
)

TIMES = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True), st.none(), st.integers(-5, 100), st.text()
)


def words(text, step=0.1):
    times = [number * step for number in range(len(text) + 1)]
    return words_of_characters(list(text), times[:-1], times[1:])


def split(text):
    return [word.before + word.text for word in words(text)]


def test_a_word_takes_the_time_of_its_characters():
    assert words("Hello, you") == [("Hello,", 0, 600, " "), ("you", 700, 1000, " ")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n", []),
        ("one  two\nthree", [" one", " two", "\nthree"]),
        ("今日は、晴れ。", [" 今", "日", "は、", "晴", "れ。"]),
        ("「はい」と", [" 「", "は", "い」", "と"]),
        ("iPhoneを", [" iPhone", "を"]),
        ("مرحبا بك", [" مرحبا", " بك"]),
        ("👨‍👩‍👧‍👦 ok", [" 👨‍👩‍👧‍👦", " ok"]),
        ("e\u0301a", [" e\u0301a"]),
    ],
)
def test_words_are_split_where_a_line_may_be_broken(text, expected):
    assert split(text) == expected


@pytest.mark.parametrize(
    ("starts", "ends"),
    [
        ([], []),
        ([0.0], [0.5]),
        ([0.0, 0.1, 0.2], []),
        ([], [0.1, 0.2, 0.3, 0.4]),
        ([math.nan, -1, None, "x"], [math.inf, True, 3, 4]),
    ],
)
def test_missing_and_invalid_times_are_made_up_for(starts, ends):
    found = words_of_characters(list("a b c"), starts, ends)
    assert [word.text for word in found] == (["a", "b", "c"] if starts or ends else [])


@given(st.lists(st.text(max_size=3)), st.lists(TIMES), st.lists(TIMES))
def test_times_are_in_order_whatever_a_server_says(characters, starts, ends):
    now = 0
    for word in words_of_characters(characters, starts, ends):
        assert now <= word.start <= word.end <= LATEST
        assert word.text
        now = word.end


def test_times_that_start_again_go_on_behind_the_last_line():
    text = "one two three four " * 2
    times = [number * 0.1 for number in range(len(text) // 2)] * 2
    found = words_of_characters(list(text), times, [time + 0.1 for time in times])
    assert found[4].start == found[3].end
    assert found[7].end - found[4].start == found[3].end - found[0].start


def test_one_time_that_is_out_of_order_moves_no_other():
    text = "a b c d e f g h"
    times = [float(number) for number in range(len(text))]
    right = words_of_characters(list(text), times, times)
    times[6] = 0.0
    found = words_of_characters(list(text), times, times)
    assert [word.start for word in found[4:]] == [word.start for word in right[4:]]


def test_a_turn_of_which_only_the_beginning_is_known_is_spread_at_an_even_speed():
    found = spread_words("four words in all", 10.0, 10.85)
    assert [word.start for word in found] == [10_000, 10_250, 10_550, 10_700]
    assert found[-1].end == 10_850
    assert found[0].before == "\n"
    assert spread_words("so long", 5.0, 5.0)[-1].end > 5_000


def test_marks_emoji_and_flags_stay_together():
    text = "e\u0301👍🏽🇩🇪🇫🇷👨‍👩‍👧x"
    assert [text[begin:end] for begin, end in clusters(text)] == [
        "e\u0301", "👍🏽", "🇩🇪", "🇫🇷", "👨‍👩‍👧", "x",
    ]  # fmt: skip


def test_the_width_of_a_text_is_that_on_a_screen():
    assert [columns(text) for text in ("abc", "今日", "e\u0301", "한글")] == [3, 4, 1, 4]
