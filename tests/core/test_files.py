import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from histfs.core.errors import NoSuchPath
from histfs.core.file_context import FileContext
from histfs.core.files import AudioFile, MetaFile, TextFile, by_name
from histfs.core.source import Traits
from histfs.core.waiting import Waiter
from tests.core.fakes import FakeAudio, TableIndex
from tests.support.memory import record

NOW = Waiter(5)
anything = st.text(st.characters())
objects = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def context_of(records=()) -> FileContext:
    return FileContext(Traits(), TableIndex(records), FakeAudio())


def content(file, item) -> bytes:
    opened = file.open(item, NOW)
    try:
        return opened.read(0, 1 << 20, NOW)
    finally:
        opened.close()


def text_of(text: str | None) -> bytes:
    row = record("id", 0, text)
    return content(TextFile(context_of([row])), row.item)


def meta_of(**fields: object) -> bytes:
    row = record("id", 0, **fields)
    return content(MetaFile(context_of([row])), row.item)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Grüße", "Grüße\n".encode()),
        ("two\r\nlines\n", b"two\r\nlines\n\n"),
        ("", b"\n"),
        (None, b""),
        ("a\ud800b", b"a?b\n"),
    ],
)
def test_the_text_file_holds_the_text_and_a_newline(text, expected):
    assert text_of(text) == expected


def test_the_meta_file_is_indented_and_keeps_the_order_of_the_fields():
    lines = meta_of(zebra=1, apple="ü").decode().splitlines()
    assert lines[0] == "{"
    assert lines[1] == '  "history_item_id": "id",'
    assert lines[-3:] == ['  "zebra": 1,', '  "apple": "ü"', "}"]


@given(objects)
def test_the_meta_file_holds_every_field_whatever_it_is(value):
    assert json.loads(meta_of(unknown=value))["unknown"] == value


@given(text=st.none() | anything)
@pytest.mark.parametrize("kind", [TextFile, MetaFile])
def test_the_size_is_the_number_of_bytes_that_are_read(kind, text):
    row = record("id", 0, text)
    file = kind(context_of([row]))
    assert file.size(row.item, NOW) == file.open(row.item, NOW).size == len(content(file, row.item))


def test_a_file_that_is_open_keeps_its_bytes_when_the_item_goes():
    row = record("id", 0, "kept")
    index = TableIndex([row])
    opened = TextFile(FileContext(Traits(), index, FakeAudio())).open(row.item, NOW)
    index.discard(row.item.key)
    assert opened.read(1, 3, NOW) == b"ept"
    with pytest.raises(NoSuchPath):
        TextFile(FileContext(Traits(), index, FakeAudio())).open(row.item, NOW)


def test_the_audio_file_is_what_the_audio_store_gives():
    row, store = record("id", 0, content_type="audio/wav"), FakeAudio()
    file = AudioFile(FileContext(Traits(), TableIndex(), store))
    assert file.filename(row.item) == "audio.wav"
    assert file.size(row.item, NOW) == row.item.estimate
    assert store.opened == []
    assert content(file, row.item) == b"audio of id"


def test_unlinking_the_audio_alone_deletes_the_item():
    assert AudioFile(context_of()).deletes
    assert not TextFile(context_of()).deletes
    assert not MetaFile(context_of()).deletes


def test_of_two_files_with_one_name_the_first_is_shown_unless_the_other_one_deletes():
    class Other(TextFile):
        name = "audio.mp3"

    class Again(TextFile):
        """The same name as the text's."""

    there = context_of([record("id", 0)])
    other, text, again, audio = (kind(there) for kind in (Other, TextFile, Again, AudioFile))
    found = by_name([other, text, again, audio], record("id", 0).item)
    assert found == {"audio.mp3": audio, "text.txt": text}
