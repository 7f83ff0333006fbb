"""A plugin may raise anything or never return: only its own calls fail."""

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
from histfs.core.waiting import Waiter, current_waiter, set_current_waiter
from tests.support.eventually import eventually
from tests.support.memory import MemorySource, record

NAME = "the view x of y 1.0"
#: Seconds that a call may take, and the bound for a call that does not wait.
SHORT, AT_ONCE = 0.4, 0.3


class Stuck:
    """A call that does not return before `go` is set."""

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
    """Serve a call in this thread."""
    set_current_waiter(waiter)
    try:
        yield
    finally:
        set_current_waiter(None)


@pytest.mark.parametrize(
    "error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit(), StopIteration(), ValueError("x")]
)
def test_any_exception_of_a_plugin_is_a_failure_of_the_plugin(error):
    def function(*_):
        raise error

    with pytest.raises(PluginRaised, match=type(error).__name__):
        PluginCalls(NAME, 30).run("list", function, 30)
    with pytest.raises(PluginRaised, match=type(error).__name__):
        run_once("making it", function, 30)


def test_a_domain_exception_of_a_plugin_is_passed_on():
    def function(_):
        raise Missing("there is no such item")

    with pytest.raises(Missing, match="no such item"):
        PluginCalls(NAME, 30).run("list", function, 30)


def test_an_error_without_a_message_is_reported_by_its_class():
    class Mute(Exception):
        def __str__(self):
            raise SystemExit

    def function(_):
        raise Mute

    with pytest.raises(PluginRaised, match=r"^Mute$"):
        PluginCalls(NAME, 30).run("list", function, 30)


def test_a_plugin_that_does_not_return_is_disabled(stuck, caplog):
    calls = PluginCalls(NAME, SHORT)
    with pytest.raises(PluginFailed, match=f"{NAME} is disabled: items has not returned"):
        calls.run("items", stuck, SHORT)
    begun = time.monotonic()
    for _ in range(100):
        with pytest.raises(PluginFailed, match="items has not returned"):
            calls.run("holds", lambda _: True, SHORT)
    assert time.monotonic() - begun < AT_ONCE
    assert stuck.runs == 1
    assert [entry.getMessage() for entry in caplog.records] == [calls.disabled_reason]
    # It stays disabled after the call has returned.
    stuck.go.set()
    time.sleep(AT_ONCE)
    assert calls.disabled_reason


def test_half_of_the_time_of_a_call_is_left_when_a_view_hangs(stuck):
    plugin = Endless(Zone("UTC"))
    plugin.places = lambda item, index: stuck()
    view = isolated(plugin, View, PluginCalls(NAME, 2))
    waiter = Waiter(2)
    with served(waiter), pytest.raises(PluginFailed, match="places has not returned"):
        view.places(record("a", 1).item, None)
    assert waiter.remaining() > 0.4


def test_a_plugin_that_recovers_is_enabled_again_when_its_calls_have_returned(stuck):
    calls = PluginCalls(NAME, SHORT, recovers=True)
    with pytest.raises(PluginFailed):
        calls.run("list", stuck, SHORT)
    assert calls.disabled_reason
    stuck.go.set()
    eventually(lambda: calls.disabled_reason is None)
    assert calls.run("list", lambda _: "it", SHORT) == "it"


def test_the_deadline_of_the_call_that_is_served_holds_and_is_not_the_plugins_fault(stuck):
    calls = PluginCalls(NAME, 60)
    with served(Waiter(0.2)), pytest.raises(DeadlineExceeded):
        calls.run("items", stuck, 60)
    assert calls.disabled_reason is None
    assert calls.run("holds", lambda _: True, 60)


def test_a_wait_for_a_plugin_can_be_interrupted_and_the_plugin_is_notified():
    notified = threading.Event()

    condition = threading.Condition()

    def waits(waiter):
        with condition, contextlib.suppress(Interrupted):
            waiter.until(condition, lambda: False)
        notified.set()

    calls = PluginCalls(NAME, 60)
    begun = time.monotonic()
    looks = iter([False, True])
    with served(Waiter(60, lambda: next(looks, True))), pytest.raises(Interrupted):
        calls.run("prepare", waits, 60)
    assert notified.wait(5)
    assert time.monotonic() - begun < 5
    assert calls.disabled_reason is None


def test_a_plugin_that_waits_until_its_timeout_is_not_disabled():
    calls = PluginCalls(NAME, 5)
    condition = threading.Condition()

    def waits(waiter):
        with condition:
            waiter.until(condition, lambda: False)

    with served(Waiter(30)), pytest.raises(DeadlineExceeded):
        calls.run("prepare", waits, 1)
    assert calls.disabled_reason is None


def test_the_plugins_thread_has_the_wait_budget_of_the_call():
    calls = PluginCalls(NAME, 60)
    with served(Waiter(7, may_fetch=lambda: False)):
        budget, here = calls.run("open", lambda waiter: (waiter, current_waiter()), 60)
    assert budget is here
    assert budget.remaining() <= 7
    assert not budget.may_fetch()
    assert calls.run("open", lambda _: current_waiter(), 60).may_fetch()


def test_calls_that_are_stuck_take_a_bounded_number_of_threads(stuck):
    calls = PluginCalls("bounded", 60)
    before = threading.active_count()
    callers = [threading.Thread(target=call_stuck, args=(calls, stuck)) for _ in range(100)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert threading.active_count() - before <= 32


def call_stuck(calls, function):
    with served(Waiter(0.5)), pytest.raises(DeadlineExceeded):
        calls.run("items", function, 60)


def test_code_that_runs_once_in_a_thread_of_its_own_has_a_deadline(stuck):
    with pytest.raises(PluginFailed, match=r"making it did not return within 0.1 seconds"):
        run_once("making it", stuck, 0.1)


# Proxies


class Endless(ByDay):
    """A view that hangs in the middle of a listing, or lists without end."""

    stuck = None

    def items(self, at, index):
        yield record("a", 1)
        self.stuck()

    def subdirectories(self, at, index):
        while True:
            yield "again"


def test_a_view_that_hangs_in_the_middle_of_a_listing_is_disabled(stuck):
    plugin = Endless(Zone("UTC"))
    plugin.stuck = stuck
    view = isolated(plugin, View, PluginCalls(NAME, 2 * SHORT))
    with pytest.raises(PluginFailed, match="items has not returned"):
        list(view.items((), None))
    with pytest.raises(PluginFailed, match="items has not returned"):
        view.places(record("a", 1).item, None)
    # Its name stays known: its folder is listed, and fails.
    assert (view.name, view.depth) == (plugin.name, plugin.depth)
    assert disabled_plugins([view, plugin]) == [view.disabled_reason]


def test_an_endless_listing_of_a_view_fails(monkeypatch):
    monkeypatch.setattr("histfs.core.plugin_isolation._MAX_ENTRIES", 1000)
    view = isolated(Endless(Zone("UTC")), View, PluginCalls(NAME, 30))
    with pytest.raises(PluginFailed, match="more than 1,000 entries"):
        view.subdirectories((), None)


class Slow(MemorySource):
    """A source whose audio may hang after its first chunk; it records the threads that read it."""

    def __init__(self, records, stuck):
        super().__init__(records)
        self.threads = []
        self._stuck = stuck
        self.hangs = False
        self.closed = threading.Event()

    @contextlib.contextmanager
    def audio(self, item_id):
        threads, stuck, source = self.threads, self._stuck, self

        class Stream:
            length = None
            throttled = False

            def chunks(self):
                threads.append(threading.get_ident())
                yield b"one"
                threads.append(threading.get_ident())
                if source.hangs:
                    stuck()
                yield b"two"

        threads.append(threading.get_ident())
        try:
            yield Stream()
        finally:
            threads.append(threading.get_ident())
            self.closed.set()


def test_a_stream_is_opened_read_and_closed_in_one_thread(stuck):
    source = Slow([record("a", 1)], stuck)
    with isolated(source, Source, PluginCalls(NAME, 30)).audio("a") as stream:
        assert list(stream.chunks()) == [b"one", b"two"]
    assert len(source.threads) == 4
    assert len(set(source.threads)) == 1


def test_a_stream_that_hangs_is_abandoned_and_closed_once_it_returns(stuck):
    source = Slow([record("a", 1)], stuck)
    source.hangs = True
    plugin = isolated(source, Source, PluginCalls(NAME, SHORT / 2, recovers=True))
    with pytest.raises(PluginFailed, match="chunks has not returned"), plugin.audio("a") as stream:
        list(stream.chunks())
    assert not source.closed.is_set()
    with pytest.raises(PluginFailed, match="chunks has not returned"):
        plugin.list(Query())
    stuck.go.set()
    assert source.closed.wait(5)
    eventually(lambda: plugin.disabled_reason is None)
    assert [each.item.id for each in plugin.list(Query()).records] == ["a"]


def test_a_stream_that_was_abandoned_while_it_was_opened_is_closed_once_it_is_open(stuck):
    source = Slow([record("a", 1)], lambda: None)
    opened = source.audio

    def audio(item_id):
        stuck()
        return opened(item_id)

    source.audio = audio
    plugin = isolated(source, Source, PluginCalls(NAME, SHORT / 2, recovers=True))
    with pytest.raises(PluginFailed, match="audio has not returned"), plugin.audio("a"):
        pass
    stuck.go.set()
    assert source.closed.wait(5)


class OddFile(Rendered):
    """A file with an open file of its own class."""

    name = "odd.txt"

    def __init__(self, content):
        self.content = content

    def render(self, details):
        return b""

    def open(self, item, waiter):
        file = self

        class Opened:
            size = 4

            def read(self, offset, size, waiter):
                return file.content() if callable(file.content) else file.content

            def close(self):
                raise SystemExit

        return Opened()


def test_an_open_file_of_a_plugin_is_fenced_too(stuck):
    def opened(content):
        file = isolated(OddFile(content), ItemFile, PluginCalls(NAME, SHORT))
        return file.open(record("a", 1).item, Waiter(5))

    assert (opened(b"four").size, opened(b"four").read(0, 4, Waiter(5))) == (4, b"four")
    with pytest.raises(PluginFailed, match="read gave int, not bytes"):
        opened(4).read(0, 4, Waiter(5))
    with pytest.raises(PluginFailed, match="SystemExit"):
        opened(b"four").close()
    with pytest.raises(PluginFailed, match="read has not returned"):
        opened(stuck).read(0, 4, Waiter(5))
