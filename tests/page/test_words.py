"""Words with times out of the objects of any server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from histfs.page.clip import placed
from histfs.page.words import words_of


def aligned(text, starts=None, ends=None, name="alignment"):
    starts = [n / 10 for n in range(len(text))] if starts is None else starts
    ends = [(n + 1) / 10 for n in range(len(text))] if ends is None else ends
    times = {"character_start_times_seconds": starts, "character_end_times_seconds": ends}
    return {"alignments": {name: {"characters": list(text), **times}}}


def test_words_stand_between_spaces_and_take_from_the_first_letter_to_the_last():
    assert words_of(aligned("Hi, you\n\n 2.")) == (
        ("Hi,", 0.0, pytest.approx(0.3)),
        ("you", pytest.approx(0.4), pytest.approx(0.7)),
        ("2.", 1.0, pytest.approx(1.2)),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("مرحبا بالعالم", ["مرحبا", "بالعالم"]),
        ("日本語だ。はい", ["日", "本", "語", "だ。", "は", "い"]),
        ("안녕 세계", ["안녕", "세계"]),
        ("👩‍👩‍👧 👋🏽!", ["👩‍👩‍👧", "👋🏽!"]),
        ("e\u0301te\u0301", ["e\u0301te\u0301"]),
    ],
)
def test_words_of_other_scripts(text, words):
    assert [word.text for word in words_of(aligned(text))] == words
    assert len(list(placed(text, words_of(aligned(text))))) == 4 * len(words)


def test_the_normalised_text_counts_where_there_is_no_other():
    assert [w.text for w in words_of(aligned("so it is", name="normalized_alignment"))] == [
        "so",
        "it",
        "is",
    ]


def test_lists_of_other_lengths_lose_no_word():
    for starts, ends in (([0], [1]), ([], []), ([5, 4, 3], [9, 9, 9, 9, 9, 9, 9])):
        words = words_of(aligned("ab cd", starts, ends))
        assert [word.text for word in words] == ["ab", "cd"]


def test_turns_light_up_line_by_line_until_the_next_one():
    turns = [
        {"role": "agent", "message": "Hello.\nWho is it?", "time_in_call_secs": 0},
        {"role": "user", "message": None, "time_in_call_secs": 2},
        {"role": "user", "message": "Me", "time_in_call_secs": 4},
        5,
    ]
    assert words_of({"transcript": turns}) == (
        ("Hello.", 0.0, 4.0),
        ("Who is it?", 0.0, 4.0),
        ("Me", 4.0, 14.0),
    )


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(
            [
                "alignments", "alignment", "characters", "character_start_times_seconds",
                "character_end_times_seconds", "transcript", "message", "time_in_call_secs",
            ]
        ),
        inner,
    ),
    max_leaves=25,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["alignments", "transcript"]), ANYTHING))
def test_whatever_a_field_holds_nothing_fails(fields):
    for word in words_of(fields):
        assert isinstance(word.text, str)
    list(placed("", words_of(fields)))
