"""A fault of a plugin fails the call with a `PluginFailed` that names it."""

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
def plugin(source):
    return isolated(source, Source, PluginCalls(NAME, 30))


def test_an_exception_of_a_plugin_is_reported_with_its_name(plugin):
    with pytest.raises(PluginFailed, match=r"^the plugin x of y 1.0 failed: KeyError: 'a'$"):
        plugin.get("a")


def test_a_domain_exception_of_a_plugin_is_passed_on(plugin):
    with pytest.raises(Missing, match=r"^there is no such item$"):
        plugin.delete("a")


def test_a_result_of_another_type_is_a_failure(plugin):
    with pytest.raises(PluginFailed, match="list gave NoneType, not Page"):
        plugin.list(Query())


def test_audio_is_isolated_when_it_is_opened_and_while_it_is_read(source, plugin):
    with plugin.audio("a") as stream:
        chunks = stream.chunks()
        assert next(chunks) == b"half"
        with pytest.raises(PluginFailed, match="ValueError: cut"):
            next(chunks)
        with pytest.raises(PluginFailed, match="ZeroDivisionError"):
            _ = stream.length
    source.broken = True
    with pytest.raises(PluginFailed, match="the disk is on fire"), plugin.audio("a"):
        pass


def test_an_exception_of_the_reader_of_audio_is_passed_on(plugin):
    with pytest.raises(ZeroDivisionError), plugin.audio("a"):
        raise ZeroDivisionError


def test_a_fault_is_logged_once_for_each_method(plugin, caplog):
    for _ in range(3):
        with pytest.raises(PluginFailed):
            plugin.get("a")
    logged = [entry.getMessage() for entry in caplog.records if entry.levelno == logging.WARNING]
    assert logged == [f"{NAME} failed: KeyError: 'a' in get (-d shows where)"]


@pytest.mark.parametrize("name", ["a/b", "", "..", "\0", "x" * 256, "ü" * 128, "\ud800", 5, None])
def test_an_invalid_name_fails_the_listing(name):
    class Odd(ByDay):
        def subdirectories(self, at, index):
            return ["good", name]

        def aliases(self, at, index):
            yield name, None

    view = isolated(Odd(Zone("UTC")), View, PluginCalls(NAME, 30))
    with pytest.raises(PluginFailed, match="it gave the invalid name"):
        view.subdirectories((), None)
    with pytest.raises(PluginFailed, match="it gave the invalid name"):
        list(view.aliases((), None))


@pytest.mark.parametrize("name", ["a/b", "", "..", "x" * 256, "\ud800", 5, ZeroDivisionError()])
def test_a_file_without_a_valid_name_is_not_there_and_one_without_a_size_is_listed(name):
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


def test_a_file_whose_name_is_known_stays_when_it_fails():
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


def test_missing_members_of_a_plugin_are_named():
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
def test_a_reason_is_one_printable_line(error, text):
    assert reason(error) == text
