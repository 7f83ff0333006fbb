"""Cues: lines that can be read, one after the other."""

from __future__ import annotations

import itertools

import pysubs2
import webvtt
from hypothesis import given
from hypothesis import strategies as st

from histfs.core.captions.cues import LINE, cues_of
from histfs.core.captions.formats import lrc_bytes, srt_bytes, vtt_bytes
from histfs.core.captions.timed_words import columns, words_of_characters


def cues(text, step=0.06, pauses=()):
    starts, now = [], 0.0
    for number, _ in enumerate(text):
        now += 2.0 if number in pauses else 0
        starts.append(now)
        now += step
    return cues_of(words_of_characters(list(text), starts, [start + step for start in starts]))


def lines(text, **given):
    return [cue.lines for cue in cues(text, **given)]


def test_a_short_text_is_one_line():
    assert lines("Hello there.") == [("Hello there.",)]


def test_two_lines_have_about_the_same_width_and_are_broken_after_a_clause():
    assert lines("When the day was over, we walked home along the river") == [
        ("When the day was over,", "we walked home along the river")
    ]


def test_a_cue_ends_with_its_sentence_and_short_sentences_share_one():
    text = "Yes. No. That is all there is to say. Then we left."
    assert lines(text) == [("Yes. No. That is all there is to say.",), ("Then we left.",)]


def test_a_cue_ends_where_a_pause_or_a_line_begins():
    assert lines("one two", pauses=[4]) == [("one",), ("two",)]
    assert lines("one\ntwo") == [("one",), ("two",)]


def test_a_word_that_is_longer_than_a_line_is_broken():
    [only] = lines("x" * 60)
    assert only == ("x" * 42, "x" * 18)


@given(st.text(st.characters(codec="utf-8"), max_size=300), st.floats(0, 0.3))
def test_cues_fit_on_the_screen_and_never_overlap(text, step):
    found = cues(text, step)
    now = 0
    for cue in found:
        assert now <= cue.start < cue.end
        assert 1 <= len(cue.lines) <= 2
        assert all(line and columns(line) <= LINE for line in cue.lines)
        now = cue.end
    said = "".join("".join(cue.lines) for cue in found)
    assert "".join(said.split()) == "".join(text.split())


def test_a_text_without_times_of_its_own_is_shown_in_order():
    found = cues_of(words_of_characters(list("a. " * 50), [0.0], [0.0]))
    assert all(before.end <= after.start for before, after in itertools.pairwise(found))


def test_subrip():
    assert srt_bytes(cues("Hi --> <b> & 3")) == (
        "1\n00:00:00,000 --> 00:00:01,000\nHi → <b> & 3\n\n".encode()
    )
    assert srt_bytes([]) == b""


def test_webvtt_is_escaped():
    assert vtt_bytes(cues("Hi --> <b> & 3")) == (
        b"WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nHi --&gt; &lt;b&gt; &amp; 3\n\n"
    )


def test_lrc_has_a_line_a_cue_and_an_empty_one_where_a_silence_begins():
    assert lrc_bytes(cues("Hello there, all of you. Bye", pauses=[25])) == (
        b"[00:00.00]Hello there, all of you.\n[00:01.44]\n[00:03.50]Bye\n[00:04.50]\n"
    )


def test_the_parsers_of_others_read_what_is_written():
    found = cues("Это — тест. 今日は良い天気ですね。 A <tag> & more, said --> him.", 0.2)
    subtitles = pysubs2.SSAFile.from_string(srt_bytes(found).decode(), format_="srt")
    assert [(event.start, event.end) for event in subtitles] == [(c.start, c.end) for c in found]
    captions = webvtt.from_string(vtt_bytes(found).decode())
    assert [tuple(caption.lines) for caption in captions]
    assert len(captions) == len(found)
