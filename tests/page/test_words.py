"""Words with times out of the objects of any server."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from histfs.page.clip import placed
from histfs.page.words import words_of


def aligned(text, starts=None, ends=None, name="alignment"):
    starts = [n / 10 for n in range(len(text))] if starts is None else starts
    ends = [(n + 1) / 10 for n in range(len(text))] if ends is None else ends
    times = {"character_start_times_seconds": starts, "character_end_times_seconds": ends}
    return {"alignments": {name: {"characters": list(text), **times}}}


def test_the_words_of_characters_have_their_times():
    assert words_of(aligned("Hi, you")) == [("Hi,", 0, 300, " "), ("you", 400, 700, " ")]


def test_the_normalised_text_counts_where_there_is_no_other():
    assert [w.text for w in words_of(aligned("so it is", name="normalized_alignment"))] == [
        "so",
        "it",
        "is",
    ]


def test_lists_of_other_lengths_lose_no_word():
    for starts, ends in (([0], [1]), ([5, 4, 3], [9, 9, 9, 9, 9, 9, 9])):
        words = words_of(aligned("ab cd", starts, ends))
        assert [word.text for word in words] == ["ab", "cd"]


def test_the_words_of_a_turn_come_before_the_next_one():
    turns = [
        {"role": "agent", "message": "Hello.\nWho is it?", "time_in_call_secs": 0},
        {"role": "user", "message": None, "time_in_call_secs": 2},
        {"role": "user", "message": "Me", "time_in_call_secs": 4},
        5,
    ]
    words = words_of({"transcript": turns})
    assert [word.text for word in words] == ["Hello.", "Who", "is", "it?", "Me"]
    assert max(word.end for word in words[:4]) <= 4000 == words[4].start


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
