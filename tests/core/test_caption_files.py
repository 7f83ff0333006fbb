"""Captions beside the audio: which items have them, and what is in them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from histfs.core.captions import TimedWord
from histfs.core.file_context import FileContext
from histfs.core.files.caption_files import LrcFile, SrtFile, VttFile
from histfs.core.source import Traits
from histfs.core.waiting import Waiter
from tests.core.fakes import FakeAudio, TableIndex
from tests.support.memory import record

WORDS = [TimedWord("Hello", 0, 400), TimedWord("you", 500, 800)]


def context(words=WORDS):
    traits = Traits(timed_words=None if words is None else lambda raw: words)
    return FileContext(traits, TableIndex([record("id", 0, "Hello you")]), FakeAudio())


ITEM = replace(record("id", 0, "Hello you").item, timed=True)


@pytest.mark.parametrize(
    ("kind", "name", "content"),
    [
        (SrtFile, "audio.srt", b"1\n00:00:00,000 --> 00:00:01,000\nHello you\n\n"),
        (VttFile, "audio.vtt", b"WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nHello you\n\n"),
        (LrcFile, "audio.lrc", b"[00:00.00]Hello you\n[00:01.00]\n"),
    ],
)
def test_each_format_has_the_words_with_their_times(kind, name, content):
    file = kind(context())
    assert file.filename(ITEM) == name
    assert file.open(ITEM, Waiter(5)).read(0, 1000, Waiter(5)) == content
    assert file.known_size(ITEM, Waiter(5)) == (len(content), True)


def test_an_item_without_times_has_no_captions():
    assert SrtFile(context()).filename(replace(ITEM, timed=False)) is None
    assert SrtFile(context(words=None)).filename(ITEM) is None


def test_captions_are_empty_where_the_times_turn_out_to_be_missing():
    file = SrtFile(context(words=[]))
    assert file.open(ITEM, Waiter(5)).size == 0


def test_captions_are_made_once_for_stat_and_open_and_anew_for_another_object():
    made = []

    def words_of(raw):
        made.append(raw)
        return WORDS

    traits = Traits(timed_words=words_of)
    index = TableIndex([record("id", 0, "Hello you"), record("other", 1, "Hello you")])
    file = SrtFile(FileContext(traits, index, FakeAudio()))
    for key in ("id", "other"):
        item = replace(record(key, key == "other", "Hello you").item, timed=True)
        file.known_size(item, Waiter(5))
        file.open(item, Waiter(5))
    assert len(made) == len(set(made)) == 2
