"""Items whose text and voices are in the lines of a dialogue."""

from __future__ import annotations

import pytest

from histfs.sources.elevenlabs.history_objects import details_of
from tests.sources.test_history_objects import FULL, record_of, to_json

KARIN = {"voice_id": "k1", "voice_name": "Karin"}
ADAM = {"voice_id": "a1", "voice_name": "Adam"}
K, A = ("k1", "Karin"), ("a1", "Adam")


def dialogue(*lines, **fields):
    """Return an item of the newest models, whose own text and voice are null."""
    own = {"text": None, "voice_id": None, "voice_name": None, "model_id": "eleven_v3"}
    return to_json({**FULL, **own, "dialogue": list(lines), **fields})


def voices_of(raw):
    return record_of(raw).facets["voice"]


@pytest.mark.parametrize("nothing", [None, ""])
def test_one_voice_in_all_lines_is_the_items_voice_and_its_text_is_plain(nothing):
    raw = dialogue(
        {**KARIN, "text": "Hello there."}, {**KARIN, "text": "Good day."},
        text=nothing, voice_id=nothing, voice_name=nothing,
    )  # fmt: skip
    assert voices_of(raw) == (K,)
    assert details_of(raw).text == "Hello there.\nGood day."
    assert record_of(raw).item.slug == "hello-there-good-day"


def test_several_voices_are_all_the_items_in_the_order_in_which_they_begin():
    lines = [{**KARIN, "text": "Hello."}, {**ADAM, "text": "Hi."}, {**KARIN, "text": "Bye."}]
    raw = dialogue(*lines)
    assert voices_of(raw) == (K, A)
    assert details_of(raw).text == "Karin: Hello.\nAdam: Hi.\nKarin: Bye."


def test_neither_the_name_nor_a_search_nor_the_estimate_sees_who_speaks():
    raw = dialogue({**KARIN, "text": "Hello."}, {**ADAM, "text": "Hi."}, alignments=None)
    assert record_of(raw).item.slug == "hello-hi"
    assert details_of(raw).words == "Hello.\nHi."
    plain = to_json({**FULL, "text": "Hello.\nHi.", "alignments": None})
    assert record_of(raw).item.estimate == record_of(plain).item.estimate


def test_the_lines_count_where_the_item_has_a_text_and_a_voice_of_its_own():
    raw = dialogue({**KARIN, "text": "Hello."}, text="Other", voice_id="a1", voice_name="Adam")
    assert (voices_of(raw), details_of(raw).text) == ((K,), "Hello.")


@pytest.mark.parametrize(
    ("lines", "voices", "text"),
    [
        # No dialogue: the item's own text and voice.
        (None, (A,), "own"),
        ([], (A,), "own"),
        ({}, (A,), "own"),
        ("Karin: Hi", (A,), "own"),
        (["Hi", None, 7, []], (A,), "own"),
        # Lines that lack something.
        ([{"text": "Hi"}], (A,), "Hi"),
        ([{}, {**KARIN, "text": None}], (A, K), "own"),
        ([{**KARIN, "text": ""}], (K,), "own"),
        ([{**KARIN, "text": "Hi"}, "x", {"text": None}], (K, A), "Karin: Hi"),
        ([{**KARIN, "text": 7}], (K,), "7"),
        ([{"voice_id": "k1", "text": "Hi"}], (("k1", None),), "Hi"),
        ([{"voice_id": None, "voice_name": "Karin", "text": "Hi"}], (("Karin", "Karin"),), "Hi"),
        # One voice, of which each line has another part.
        ([{"voice_id": "k1", "text": "Hi"}, {**KARIN, "text": "Ho"}], (K,), "Hi\nHo"),
        ([{"voice_name": "Karin", "text": "Hi"}, {**KARIN, "text": "Ho"}], (K,), "Hi\nHo"),
        ([{**KARIN, "text": "Hi"}, {"voice_id": "k1", "voice_name": "Kay", "text": "Ho"}], (K,),
         "Hi\nHo"),
        ([{"voice_id": "a1", "text": "Hi"}, {"voice_id": "k1", "text": "Ho"}],
         (A, ("k1", None)), "Adam: Hi\nk1: Ho"),
        # Two voices of one name.
        ([{**KARIN, "text": "Hi"}, {"voice_id": "k2", "voice_name": "Karin", "text": "Ho"}],
         (K, ("k2", "Karin")), "Karin: Hi\nKarin: Ho"),
    ],
)  # fmt: skip
def test_what_is_odd_in_a_dialogue_hides_nothing(lines, voices, text):
    raw = dialogue(dialogue=lines, text="own", voice_id="a1", voice_name="Adam")
    assert (voices_of(raw), details_of(raw).text) == (voices, text)


def test_a_line_whose_voice_nobody_knows_is_told_from_the_others():
    raw = dialogue({**KARIN, "text": "Hi"}, {"text": "Ho"})
    assert (voices_of(raw), details_of(raw).text) == ((K,), "Karin: Hi\n?: Ho")


def test_a_dialogue_of_which_no_voice_is_known_has_none_and_a_plain_text():
    raw = dialogue({"text": "Hi"}, {"text": "Ho"})
    assert (voices_of(raw), details_of(raw).text) == ((("", None),), "Hi\nHo")


def test_what_only_a_lenient_parser_reads_is_read_the_same():
    raw = dialogue({**KARIN, "text": "Hi \ud800"}, {**ADAM, "text": "Ho"}, new=float("nan"))
    assert (voices_of(raw), details_of(raw).text) == ((K, A), "Karin: Hi \ud800\nAdam: Ho")


def test_a_hundred_voices_are_a_hundred_voices():
    lines = [{"voice_id": f"v{n}", "voice_name": f"V{n}", "text": f"{n}."} for n in range(100)]
    raw = dialogue(*lines, *lines)
    assert voices_of(raw) == tuple((f"v{n}", f"V{n}") for n in range(100))
    assert details_of(raw).text.splitlines()[100] == "V0: 0."
