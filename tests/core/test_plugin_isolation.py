"""Whatever a plugin does wrong fails there, as what it is."""

from __future__ import annotations

import contextlib
import logging

import pytest

from histfs.core.errors import Missing, PluginFailed
from histfs.core.files import ItemFile, TextFile
from histfs.core.plugin_calls import PluginCalls, reason
from histfs.core.plugin_isolation import isolated, missing_members
from histfs.core.source import Query, Source
from histfs.core.times import Zone
from histfs.core.views import ByDay, View
from histfs.core.waiting import Waiter
from tests.support.memory import MemorySource, record

NAME = "the plugin x of y 1.0"


class FaultySource(MemorySource):
    """A source with a fault in each method, and one in the middle of its audio."""

    broken = False

    def list(self, query):
        return None

    def get(self, item_id):
        raise KeyError(item_id)

    def delete(self, item_id):
        raise Missing("there is no such item")

    @contextlib.contextmanager
    def audio(self, item_id):
        if self.broken:
            raise OSError("the disk is on fire")

        class Stream:
            throttled = False

            @property
            def length(self):
                raise ZeroDivisionError

            def chunks(self):
                yield b"half"
                raise ValueError("cut")

        yield Stream()


@pytest.fixture
def source():
    return FaultySource([record("a", 1)])


@pytest.fixture
def fenced(source):
    return isolated(source, Source, PluginCalls(NAME, 30))


def test_what_a_plugin_raises_is_told_with_its_name(fenced):
    with pytest.raises(PluginFailed, match=r"^the plugin x of y 1.0 failed: KeyError: 'a'$"):
        fenced.get("a")


def test_what_it_raises_on_purpose_goes_through(fenced):
    with pytest.raises(Missing, match=r"^there is no such item$"):
        fenced.delete("a")


def test_what_it_gives_is_of_the_right_kind(fenced):
    with pytest.raises(PluginFailed, match="list gave NoneType, not Page"):
        fenced.list(Query())


def test_audio_is_fenced_where_it_is_opened_and_while_it_is_read(source, fenced):
    with fenced.audio("a") as stream:
        chunks = stream.chunks()
        assert next(chunks) == b"half"
        with pytest.raises(PluginFailed, match="ValueError: cut"):
            next(chunks)
        with pytest.raises(PluginFailed, match="ZeroDivisionError"):
            _ = stream.length
    source.broken = True
    with pytest.raises(PluginFailed, match="the disk is on fire"), fenced.audio("a"):
        pass


def test_what_the_reader_of_audio_raises_is_none_of_the_plugins_faults(fenced):
    with pytest.raises(ZeroDivisionError), fenced.audio("a"):
        raise ZeroDivisionError


def test_a_fault_is_told_once_for_each_method(fenced, caplog):
    for _ in range(3):
        with pytest.raises(PluginFailed):
            fenced.get("a")
    told = [entry.getMessage() for entry in caplog.records if entry.levelno == logging.WARNING]
    assert told == [f"{NAME} failed: KeyError: 'a' in get (-d shows where)"]


@pytest.mark.parametrize("name", ["a/b", "", "..", "\0", "x" * 256, "ü" * 128, "\ud800", 5, None])
def test_a_name_that_no_directory_can_have_fails_the_listing(name):
    class Odd(ByDay):
        def subdirectories(self, at, index):
            return ["good", name]

        def aliases(self, at, index):
            yield name, None

    view = isolated(Odd(Zone("UTC")), View, PluginCalls(NAME, 30))
    with pytest.raises(PluginFailed, match="it calls something"):
        view.subdirectories((), None)
    with pytest.raises(PluginFailed, match="it calls something"):
        list(view.aliases((), None))


@pytest.mark.parametrize("name", ["a/b", "", "..", "x" * 256, "\ud800", 5, ZeroDivisionError()])
def test_a_file_without_a_proper_name_is_not_there_and_one_without_a_size_can_be_seen(name):
    class Odd(TextFile):
        def __init__(self):
            pass

        def filename(self, item):
            if isinstance(name, Exception):
                raise name
            return name

        def size(self, item, waiter):
            raise OverflowError("too long")

    file = isolated(Odd(), ItemFile, PluginCalls(NAME, 30))
    assert file.filename(record("a", 1).item) is None
    assert file.size(record("a", 1).item, Waiter(5)) > 0


def test_a_file_that_has_said_its_name_and_fails_now_is_still_there():
    class Odd(TextFile):
        name = "odd.txt"
        fails = several = False

        def __init__(self):
            pass

        def filename(self, item):
            if self.fails:
                raise SystemExit
            return f"{item.key}.txt" if self.several else self.name

    first, second = record("a", 1).item, record("b", 2).item
    for several, names in ((False, ["odd.txt", "odd.txt"]), (True, ["a.txt", None])):
        plugin = Odd()
        plugin.several = several
        file = isolated(plugin, ItemFile, PluginCalls(NAME, 30))
        assert file.filename(first) == names[0]
        if several:
            file.filename(record("c", 3).item)
        plugin.fails = True
        assert [file.filename(first), file.filename(second)] == names


def test_a_view_that_fails_in_the_middle_of_a_listing_fails_the_listing():
    class Odd(ByDay):
        def items(self, at, index):
            yield from ()
            raise RuntimeError("lost")

    view = isolated(Odd(Zone("UTC")), View, PluginCalls(NAME, 30))
    with pytest.raises(PluginFailed, match="lost"):
        list(view.items((), None))


def test_what_a_plugin_lacks_is_told_by_its_name():
    class Half:
        name = "by-half"
        depth = 1

    assert missing_members(Half(), View)[0] == "facet"
    assert missing_members(ByDay(Zone("UTC")), View) == []
    assert missing_members(MemorySource(), Source) == []


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("one\ntwo"), "ValueError: one"),
        (ValueError(), "ValueError"),
        (Missing("say where"), "say where"),
        (Missing(), "Missing"),
        (OSError("\x1b[2J"), "OSError: \\x1b[2J"),
    ],
)
def test_a_reason_is_one_line_that_a_terminal_shows_as_it_is(error, text):
    assert reason(error) == text
