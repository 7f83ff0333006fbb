"""The sizes of rendered files that the catalog keeps: the told size is what a read gives."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histfs.catalog import erasure
from histfs.catalog.catalog import Catalog
from histfs.catalog.catalog_store import CatalogStore
from histfs.catalog.rendered_sizes import StoredSizes
from histfs.core.file_context import FileContext
from histfs.core.files import MetaFile, Rendered, TextFile
from histfs.core.files.caption_files import LrcFile, SrtFile, VttFile
from histfs.core.single_flight import SingleFlight
from histfs.core.source import Traits
from histfs.core.times import ALWAYS, LATEST
from histfs.core.waiting import Waiter
from histfs.sources.elevenlabs.history_objects import details_of, record_of
from histfs.sources.elevenlabs.timed_words import timed_words_of_clip
from tests.core.fakes import FakeAudio
from tests.support.clock import Clock
from tests.support.eventually import eventually

NOW = Waiter(5)
FILES = (MetaFile, TextFile, SrtFile, VttFile, LrcFile)


def louder(raw):
    """Describe an object as another version of histfs does."""
    details = details_of(raw)
    return replace(details, raw=details.raw + b"!!", text=f"{details.text} louder")


#: The code of two versions, and the stamp of each.
VERSIONS = {1: details_of, 2: louder}


def timed(key, date, text):
    """Return a record as the source makes it of an object with the times of its characters."""
    ends = [(number + 1) / 8 for number in range(len(text))]
    alignment = {
        "characters": list(text),
        "character_start_times_seconds": [end - 0.1 for end in ends],
        "character_end_times_seconds": ends,
    }
    fields = {"history_item_id": key, "date_unix": date, "text": text}
    if len(text) % 3 != 1:
        fields["alignments"] = {"alignment": alignment}
    return record_of(json.dumps(fields).encode(), now=LATEST)


DATE = 1_700_000_000
HELLO = timed("hello", DATE, "Hello you")


def put(store, *records):
    store.replace(ALWAYS, sorted(records, key=lambda record: (-record.item.date, record.item.key)))


@dataclass
class Mounted:
    """The rendered files of a mount, and what they are made of."""

    store: CatalogStore
    kept: StoredSizes
    files: list[Rendered]
    flights: SingleFlight

    def told(self):
        """Return the size of each file of each item, by the item's key and the file's name."""
        return {
            (item.key, file.name): file.known_size(item, NOW).size
            for item in self.store.items(ALWAYS)
            for file in self.files
            if file.filename(item) is not None
        }

    def read(self):
        """Return the number of bytes that a read of each file gives."""
        return {
            (item.key, file.name): len(file.open(item, NOW).read(0, 1 << 20, NOW))
            for item in self.store.items(ALWAYS)
            for file in self.files
            if file.filename(item) is not None
        }

    def unmount(self):
        self.kept.close()
        self.kill()

    def kill(self):
        self.flights.close()
        self.store.close()


def mount(path, version=1, kinds=FILES[:3], describe=None):
    store = CatalogStore(path, Clock())
    flights = SingleFlight("rendered", 1)
    describe = describe or VERSIONS[version]
    refresher = SimpleNamespace(ensure=None, ensure_newest=None, asked_after=None)
    catalog = Catalog(store, refresher, describe)
    kept = StoredSizes(store, describe, version, flights, catalog.remember)
    traits = Traits(timed_words=timed_words_of_clip)
    context = FileContext(traits, catalog, FakeAudio(), kept)
    return Mounted(store, kept, [kind(context) for kind in kinds], flights)


@pytest.fixture
def mounts(path):
    """Mount the catalog; all mounts are ended."""
    with contextlib.ExitStack() as stack:

        def make(*args, **kwargs):
            stack.callback((made := mount(path, *args, **kwargs)).kill)
            return made

        yield make


def stored(path):
    with contextlib.closing(sqlite3.connect(path)) as db:
        return [
            (stamp, json.loads(sizes))
            for stamp, sizes in db.execute("SELECT stamp, sizes FROM rendered")
        ]


def never(raw):
    raise AssertionError("an object was read")


def test_a_second_mount_reads_no_object_to_know_the_sizes(path, mounts):
    first = mounts()
    put(first.store, HELLO, *(timed(f"k{n}", DATE + n, f"Number {n}") for n in range(200)))
    told = first.told()
    assert told["hello", "audio.srt"] > 0
    assert told == first.read()
    first.unmount()
    assert mounts(describe=never).told() == told


def test_the_sizes_are_stored_while_the_mount_goes_on(path, mounts):
    first = mounts()
    put(first.store, *(timed(f"k{n}", DATE + n, f"Number {n}") for n in range(300)))
    first.told()
    eventually(lambda: len(stored(path)) >= 256)


def test_another_version_of_the_code_measures_anew(path, mounts):
    first = mounts(1)
    put(first.store, HELLO)
    before = first.told()
    other = mounts(2)
    first.unmount()
    assert other.told() == other.read() != before


def test_a_mount_with_more_files_keeps_the_sizes_of_the_others(path, mounts):
    first = mounts(kinds=(MetaFile,))
    put(first.store, HELLO)
    first.told()
    first.unmount()
    second = mounts(kinds=(SrtFile,))
    second.told()
    second.unmount()
    assert [set(sizes) for _, sizes in stored(path)] == [{"meta.json", "audio.srt"}]


def test_an_item_that_changes_has_its_new_sizes(path, mounts):
    first, second = mounts(), mounts()
    put(first.store, HELLO)
    before = first.told()
    put(second.store, timed("hello", DATE, "Hello you, and all of the others"))
    first.kept.close()
    assert stored(path) == []
    for each in (first, second):
        assert each.told() == each.read() != before


def test_nothing_is_kept_of_an_item_that_is_deleted(path, mounts):
    first = mounts()
    put(first.store, HELLO, timed("other", DATE, "Other"))
    first.told()
    first.kept.close()
    assert len(stored(path)) == 2
    first.store.forget("hello", DATE)
    assert len(stored(path)) == 1
    first.told()
    first.store.forget("other", DATE)
    first.kept.close()
    assert stored(path) == []


def test_what_an_earlier_version_leaves_of_deleted_items_is_cleaned_up(path, mounts):
    first = mounts()
    put(first.store, HELLO)
    first.store.forget("hello", DATE)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("INSERT INTO rendered VALUES (1, 1, '{}')")
    first.kill()
    assert erasure.clean(path)
    assert stored(path) == []


def test_a_wrong_size_is_found_when_the_file_is_opened_and_no_other_one_is_believed(
    path, mounts, caplog
):
    first = mounts()
    put(first.store, HELLO, timed("other", DATE, "Other"))
    right = first.told()
    first.unmount()
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        wrong = json.dumps({file.name: 3 for file in first.files})
        db.execute("UPDATE rendered SET sizes = ?", (wrong,))
    second = mounts()
    assert set(second.told().values()) == {3}
    text = second.files[1]
    assert text.open(HELLO.item, NOW).size == len("Hello you\n")
    assert second.told() == right
    assert "text.txt of hello has 10 bytes, not the 3 kept" in caplog.text
    eventually(lambda: stored(path) == [])


@pytest.mark.parametrize(
    "sizes", ["", "[]", '{"text.txt": "7"}', '{"meta.json": -1}', "{", "{},{}", "1]"]
)
def test_a_damaged_row_counts_as_none(path, mounts, sizes):
    first = mounts()
    put(first.store, HELLO, timed("other", DATE + 1, "Other"))
    right = first.told()
    first.unmount()
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE rendered SET sizes = ? WHERE n = 1", (sizes,))
    assert mounts().told() == right


def test_a_catalog_of_an_earlier_version_gets_the_table(path, mounts):
    first = mounts()
    put(first.store, HELLO)
    right = first.told()
    first.kill()
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("DROP TABLE rendered")
    second = mounts()
    assert second.told() == right
    second.unmount()
    assert len(stored(path)) == 1


def test_the_sizes_of_a_file_of_another_package_are_not_kept(path, mounts):
    class Foreign(TextFile):
        name = "foreign.txt"

    first = mounts(kinds=(Foreign,))
    put(first.store, HELLO)
    assert first.told() == first.read() == {("hello", "foreign.txt"): 10}
    first.unmount()
    assert stored(path) == []


texts = st.text(st.sampled_from('a é\n語🎧.,"\\\ud800'), max_size=12)
changes = st.tuples(st.just("put"), st.integers(0, 4), texts)
steps = st.lists(
    changes
    | st.tuples(st.just("delete"), st.integers(0, 4), st.none())
    | st.tuples(st.sampled_from(["walk", "save", "kill"]), st.integers(0, 1), st.none())
    | st.tuples(st.just("mount"), st.integers(0, 1), st.tuples(
        st.sampled_from([1, 2]), st.sets(st.sampled_from(FILES), min_size=1)
    )),
    max_size=25,
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(steps)
def test_the_told_size_is_what_a_read_gives_whatever_happens(steps):
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "catalog.sqlite"
        there = {}
        mounted = [mount(path), mount(path, 2, FILES)]
        try:
            for step, number, more in steps:
                if step == "put":
                    there[number] = timed(f"key{number}", DATE + number // 2, more)
                    put(mounted[0].store, *there.values())
                elif step == "delete" and there.pop(number, None):
                    put(mounted[1].store, *there.values())
                elif step == "walk":
                    assert mounted[number].told() == mounted[number].read()
                elif step == "save":
                    mounted[number].kept.close()
                elif step == "kill":
                    mounted[number].kill()
                    mounted[number] = mount(path, number + 1)
                elif step == "mount":
                    mounted[number].unmount()
                    mounted[number] = mount(path, more[0], tuple(more[1]))
            for each in mounted:
                assert each.told() == each.read()
        finally:
            for each in mounted:
                each.kill()


def test_what_was_read_to_measure_is_not_read_again_to_be_opened(mounts):
    read = []

    def describe(raw):
        read.append(raw)
        return VERSIONS[1](raw)

    mounted = mounts(describe=describe)
    put(mounted.store, HELLO)
    assert mounted.told() == mounted.read()
    assert len(read) == 1
