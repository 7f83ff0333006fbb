"""What a plugin's code does: it raises anything, it never returns, and the rest goes on."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest

from histfs.core.errors import DeadlineExceeded, Interrupted, Missing, PluginFailed
from histfs.core.files import ItemFile, Rendered
from histfs.core.plugin_calls import PluginCalls, PluginRaised, run_once
from histfs.core.plugin_isolation import disabled_plugins, isolated
from histfs.core.source import Query, Source
from histfs.core.times import Zone
from histfs.core.views import ByDay, View
from histfs.core.waiting import Waiter, current, serve
from tests.support.memory import MemorySource, record
from tests.support.patience import eventually

NAME = "the view x of y 1.0"
#: Seconds that a call may take, and within which an answer is there at once.
SHORT, AT_ONCE = 0.4, 0.3


class Stuck:
    """Does not return before it is let go."""

    def __init__(self):
        self.go = threading.Event()
        self.runs = 0

    def __call__(self, waiter=None):
        self.runs += 1
        self.go.wait(60)
        return "late"


@pytest.fixture
def stuck():
    stuck = Stuck()
    yield stuck
    stuck.go.set()


@contextlib.contextmanager
def served(waiter):
    """Be a thread that serves a call."""
    serve(waiter)
    try:
        yield
    finally:
        serve(None)


@pytest.mark.parametrize(
    "error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit(), StopIteration(), ValueError("x")]
)
def test_whatever_a_plugin_raises_is_its_failure(error):
    def act(*_):
        raise error

    with pytest.raises(PluginRaised, match=type(error).__name__):
        PluginCalls(NAME, 30).run("act", act, 30)
    with pytest.raises(PluginRaised, match=type(error).__name__):
        run_once("making it", act, 30)


def test_what_it_raises_on_purpose_goes_through():
    def act(_):
        raise Missing("there is no such item")

    with pytest.raises(Missing, match="no such item"):
        PluginCalls(NAME, 30).run("act", act, 30)


def test_an_error_that_cant_be_told_is_told_by_its_kind():
    class Mute(Exception):
        def __str__(self):
            raise SystemExit

    def act(_):
        raise Mute

    with pytest.raises(PluginRaised, match=r"^Mute$"):
        PluginCalls(NAME, 30).run("act", act, 30)


def test_a_plugin_that_does_not_return_is_left_out(stuck, caplog):
    calls = PluginCalls(NAME, SHORT)
    with pytest.raises(PluginFailed, match=f"{NAME} is left out: items has not returned"):
        calls.run("items", stuck, SHORT)
    begun = time.monotonic()
    for _ in range(100):
        with pytest.raises(PluginFailed, match="items has not returned"):
            calls.run("holds", lambda _: True, SHORT)
    assert time.monotonic() - begun < AT_ONCE
    assert stuck.runs == 1
    assert [entry.getMessage() for entry in caplog.records] == [calls.left_out]
    # Once left out, it stays so.
    stuck.go.set()
    time.sleep(AT_ONCE)
    assert calls.left_out


def test_half_of_the_time_of_a_call_is_left_when_a_view_hangs(stuck):
    plugin = Endless(Zone("UTC"))
    plugin.places = lambda item, index: stuck()
    view = isolated(plugin, View, PluginCalls(NAME, 2))
    waiter = Waiter(2)
    with served(waiter), pytest.raises(PluginFailed, match="places has not returned"):
        view.places(record("a", 1).item, None)
    assert waiter.remaining() > 0.4


def test_one_that_recovers_is_used_again_when_its_calls_have_returned(stuck):
    calls = PluginCalls(NAME, SHORT, recovers=True)
    with pytest.raises(PluginFailed):
        calls.run("list", stuck, SHORT)
    assert calls.left_out
    stuck.go.set()
    eventually(lambda: calls.left_out is None)
    assert calls.run("list", lambda _: "it", SHORT) == "it"


def test_the_deadline_of_the_call_that_is_served_holds_and_is_not_the_plugins_fault(stuck):
    calls = PluginCalls(NAME, 60)
    with served(Waiter(0.2)), pytest.raises(DeadlineExceeded):
        calls.run("items", stuck, 60)
    assert calls.left_out is None
    assert calls.run("holds", lambda _: True, 60)


def test_a_wait_for_a_plugin_can_be_interrupted_and_the_plugin_hears_of_it():
    heard = threading.Event()

    made = threading.Condition()

    def waits(waiter):
        with made, contextlib.suppress(Interrupted):
            waiter.until(made, lambda: False)
        heard.set()

    calls = PluginCalls(NAME, 60)
    begun = time.monotonic()
    looks = iter([False, True])
    with served(Waiter(60, lambda: next(looks, True))), pytest.raises(Interrupted):
        calls.run("ensure", waits, 60)
    assert heard.wait(5)
    assert time.monotonic() - begun < 5
    assert calls.left_out is None


def test_one_that_waits_for_as_long_as_it_may_is_not_left_out():
    calls = PluginCalls(NAME, 5)
    made = threading.Condition()

    def waits(waiter):
        with made:
            waiter.until(made, lambda: False)

    with served(Waiter(30)), pytest.raises(DeadlineExceeded):
        calls.run("ensure", waits, 1)
    assert calls.left_out is None


def test_the_plugins_thread_has_the_patience_of_the_call():
    calls = PluginCalls(NAME, 60)
    with served(Waiter(7, may_fetch=lambda: False)):
        lent, here = calls.run("open", lambda waiter: (waiter, current()), 60)
    assert lent is here
    assert lent.remaining() <= 7
    assert not lent.may_fetch()
    assert calls.run("open", lambda _: current(), 60).may_fetch()


def test_calls_that_are_stuck_take_a_bounded_number_of_threads(stuck):
    calls = PluginCalls("bounded", 60)
    before = threading.active_count()
    askers = [threading.Thread(target=asks, args=(calls, stuck)) for _ in range(100)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert threading.active_count() - before <= 32


def asks(calls, act):
    with served(Waiter(0.5)), pytest.raises(DeadlineExceeded):
        calls.run("items", act, 60)


def test_what_is_made_in_a_thread_of_its_own_has_a_deadline(stuck):
    with pytest.raises(PluginFailed, match=r"making it did not return within 0.1 seconds"):
        run_once("making it", stuck, 0.1)


# Fences


class Endless(ByDay):
    """A view that hangs in the middle of a listing, or never comes to its end."""

    stuck = None

    def items(self, at, index):
        yield record("a", 1)
        self.stuck()

    def subdirectories(self, at, index):
        while True:
            yield "again"


def test_a_view_that_hangs_in_the_middle_of_a_listing_is_left_out(stuck):
    plugin = Endless(Zone("UTC"))
    plugin.stuck = stuck
    view = isolated(plugin, View, PluginCalls(NAME, 2 * SHORT))
    with pytest.raises(PluginFailed, match="items has not returned"):
        list(view.items((), None))
    with pytest.raises(PluginFailed, match="items has not returned"):
        view.places(record("a", 1).item, None)
    # What it is called stays known: its folder is shown, and fails.
    assert (view.name, view.depth) == (plugin.name, plugin.depth)
    assert disabled_plugins([view, plugin]) == [view.left_out]


def test_a_view_that_gives_names_without_end_fails(monkeypatch):
    monkeypatch.setattr("histfs.core.plugin_isolation._MOST", 1000)
    view = isolated(Endless(Zone("UTC")), View, PluginCalls(NAME, 30))
    with pytest.raises(PluginFailed, match="more than 1,000 entries"):
        view.subdirectories((), None)


class Slow(MemorySource):
    """A source whose audio hangs after its first chunk, and notes which threads read it."""

    def __init__(self, records, stuck):
        super().__init__(records)
        self.threads = []
        self._stuck = stuck
        self.hangs = False
        self.closed = threading.Event()

    @contextlib.contextmanager
    def audio(self, item_id):
        noted, stuck, source = self.threads, self._stuck, self

        class Stream:
            length = None
            throttled = False

            def chunks(self):
                noted.append(threading.get_ident())
                yield b"one"
                noted.append(threading.get_ident())
                if source.hangs:
                    stuck()
                yield b"two"

        noted.append(threading.get_ident())
        try:
            yield Stream()
        finally:
            noted.append(threading.get_ident())
            self.closed.set()


def test_a_stream_is_opened_read_and_closed_in_one_thread(stuck):
    source = Slow([record("a", 1)], stuck)
    with isolated(source, Source, PluginCalls(NAME, 30)).audio("a") as stream:
        assert list(stream.chunks()) == [b"one", b"two"]
    assert len(source.threads) == 4
    assert len(set(source.threads)) == 1


def test_a_stream_that_hangs_is_left_and_closed_once_it_comes_back(stuck):
    source = Slow([record("a", 1)], stuck)
    source.hangs = True
    fenced = isolated(source, Source, PluginCalls(NAME, SHORT / 2, recovers=True))
    with pytest.raises(PluginFailed, match="chunks has not returned"), fenced.audio("a") as stream:
        list(stream.chunks())
    assert not source.closed.is_set()
    with pytest.raises(PluginFailed, match="chunks has not returned"):
        fenced.list(Query())
    stuck.go.set()
    assert source.closed.wait(5)
    eventually(lambda: fenced.left_out is None)
    assert [each.item.id for each in fenced.list(Query()).records] == ["a"]


def test_a_stream_whose_opening_was_given_up_is_closed_once_it_is_open(stuck):
    source = Slow([record("a", 1)], lambda: None)
    opened = source.audio

    def audio(item_id):
        stuck()
        return opened(item_id)

    source.audio = audio
    fenced = isolated(source, Source, PluginCalls(NAME, SHORT / 2, recovers=True))
    with pytest.raises(PluginFailed, match="audio has not returned"), fenced.audio("a"):
        pass
    stuck.go.set()
    assert source.closed.wait(5)


class OddFile(Rendered):
    """A file that gives an open file of its own kind."""

    name = "odd.txt"

    def __init__(self, given):
        self.given = given

    def render(self, details):
        return b""

    def open(self, item, waiter):
        file = self

        class Opened:
            size = 4

            def read(self, offset, size, waiter):
                return file.given() if callable(file.given) else file.given

            def close(self):
                raise SystemExit

        return Opened()


def test_an_open_file_of_a_plugin_is_fenced_too(stuck):
    def opened(given):
        file = isolated(OddFile(given), ItemFile, PluginCalls(NAME, SHORT))
        return file.open(record("a", 1).item, Waiter(5))

    assert (opened(b"four").size, opened(b"four").read(0, 4, Waiter(5))) == (4, b"four")
    with pytest.raises(PluginFailed, match="read gave int, not bytes"):
        opened(4).read(0, 4, Waiter(5))
    with pytest.raises(PluginFailed, match="SystemExit"):
        opened(b"four").close()
    with pytest.raises(PluginFailed, match="read has not returned"):
        opened(stuck).read(0, 4, Waiter(5))
