from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from histfs.catalog import scanner
from histfs.catalog.circuit_breaker import FAILURE_MEMORY
from histfs.core.errors import Interrupted, NotComplete, RateLimited, ServerFailed
from histfs.core.times import ALWAYS, Span
from histfs.core.waiting import Waiter
from tests.support.eventually import eventually
from tests.support.memory import MemorySource
from tests.support.world import World, names, numbered, world_at

DAY = 86_400


@pytest.fixture
def world(path) -> Iterator[World]:
    """Ten items, three on a page, asked for again after a day."""
    with world_at(path, MemorySource(numbered(range(10)), page_size=3), rescan=DAY) as world:
        yield world


def steps(world: World) -> int:
    """Read until there is nothing to read, and return how many pages that took."""
    count = 0
    while world.scanner.step() is not None:
        count += 1
    return count


def test_the_history_is_read_newest_first_a_page_a_step(world):
    reached = []
    while world.scanner.step() is not None:
        reached.append(world.scanner.progress().down_to)
    assert reached == [8, 5, 2, None]
    assert world.scanner.progress().complete
    assert world.known() == names(*range(10))


def test_whoever_needs_the_whole_gets_it(world):
    world.scanner.scan_all().result(10)
    assert world.covers(ALWAYS)
    assert world.source.count("list") == 4


def test_a_page_whose_prefetch_failed_before_it_was_needed_is_asked_for_again(world):
    reading = world.reader.read(ALWAYS)
    world.source.fail("list", ServerFailed("500"), skip=1)
    reading.next(world.flights[0])
    # The same flight as the prefetch, while that goes on.
    world.flights[0].submit(reading, lambda: None).exception(10)
    world.source.recover()
    assert {record.item.key for record in reading.next().records} >= set(names(4, 5, 6))


@pytest.mark.parametrize("pages", [1, 2, 3])
def test_a_scan_goes_on_where_it_was_killed(world, pages):
    for _ in range(pages):
        world.scanner.step()
    world.remount()
    assert world.requests(world.list) == 4 - pages
    assert world.list() == names(*range(10))


def test_what_came_while_a_scan_was_stopped_is_there_when_it_is_done(world):
    world.scanner.step()
    world.later()
    world.source.add(*numbered([10, 11]))
    assert world.list() == names(*range(12))


def test_a_scan_goes_on_around_what_is_known_already(world):
    world.list(Span(3, 7))
    assert [len(page.records) for page in world.source.pages] == [3, 1]
    world.list()
    assert [len(page.records) for page in world.source.pages[2:]] == [3, 3]


def test_a_scan_that_somebody_waited_for_goes_on_by_itself_after_a_remount(world):
    world.source.fail("list", ServerFailed("500"), skip=1)
    with pytest.raises(ServerFailed):
        world.list()
    world.source.recover()
    world.remount()
    world.scanner.start()
    assert eventually(lambda: world.covers(ALWAYS))
    assert eventually(lambda: not world.store.notes.full_scan_wanted)


def test_a_scan_that_nobody_waits_for_begins_when_it_has_been_quiet(path):
    with world_at(path, MemorySource(numbered(range(10))), idle=30) as world:
        world.scanner.start()
        time.sleep(0.05)
        assert world.source.count("list") == 0
        world.remount()
        world.later(31)
        world.scanner.start()
        assert eventually(lambda: world.covers(ALWAYS))


def test_a_page_that_fails_is_told_to_who_waits_and_asked_for_again(world):
    world.source.fail("list", RateLimited("429"), skip=2)
    with pytest.raises(RateLimited):
        world.list()
    assert world.scanner.progress().state == "waiting"
    world.source.recover()
    world.later(FAILURE_MEMORY + 1)
    assert world.requests(world.list) == 2


def test_a_scan_that_failed_goes_on_though_nobody_comes_again(path, monkeypatch):
    monkeypatch.setattr(scanner, "_BACKOFF", 0.05)
    with world_at(path, MemorySource(numbered(range(10)), page_size=3)) as world:
        world.source.fail("list", ServerFailed("500"), skip=2)
        with pytest.raises(ServerFailed):
            world.list()
        world.source.recover()
        assert eventually(lambda: world.covers(ALWAYS))
        assert eventually(lambda: world.scanner.progress().state == "idle")


def test_a_page_that_nobody_waits_for_fails_nobody(world):
    world.source.fail("list", ServerFailed("500"))
    with pytest.raises(ServerFailed):
        world.scanner.step(prefetch=False)
    world.source.recover()
    assert world.list(Span(0, 2)) == names(0, 1)


def test_a_scan_goes_on_when_the_one_who_waits_gives_up(world):
    with world.source.held("list", skip=1) as gate:
        with pytest.raises(NotComplete):
            world.list(timeout=0.01)
        gate.wait_until_reached()
        eventually(lambda: world.scanner.progress().state == "reading")
    assert world.list() == names(*range(10))
    assert world.source.count("list") == 4


def test_items_that_come_and_go_between_two_pages_cost_no_other_item(world):
    with world.source.held("list", skip=1) as gate:
        with pytest.raises(NotComplete):
            world.list(timeout=0.01)
        gate.wait_until_reached()
        world.source.discard("0007")
        world.source.discard("0005")
        world.source.add(*numbered([10]))
    world.list()
    world.later()
    # 0007 was on the first page, and is too old now to be looked at again with the newest.
    assert set(world.list()) - {"0007"} == set(names(0, 1, 2, 3, 4, 6, 8, 9, 10))
    assert world.list(Span(6, 9)) == names(6, 8)


def test_a_scan_stands_back_for_who_asks_for_something_else(world):
    with world.source.held("list") as gate:
        with pytest.raises(Interrupted):
            world.refresher.ensure(Span(0, 1), Waiter(10, lambda: True))
        gate.wait_until_reached()
        scan = world.scanner.scan_all()
        time.sleep(0.1)
        assert world.source.count("list") == 1
    scan.result(10)


def test_one_process_scans_and_the_other_one_uses_what_it_reads(world, path):
    with world_at(path, world.source, clock=world.clock) as other:
        with world.source.held("list", skip=1) as gate:
            scan = world.scanner.scan_all()
            gate.wait_until_reached()
            assert other.requests(other.scanner.step) == 0
            others = other.scanner.scan_all()
        scan.result(10)
        others.result(10)
    assert world.source.count("list") == 4


def test_what_is_known_for_too_long_is_asked_for_again(world):
    steps(world)
    assert steps(world) == 0
    world.source.discard("0002")
    world.source.discard("0007")
    world.later(DAY - 60)
    world.list(Span(6, 9))
    assert steps(world) == 0
    world.later(120)
    assert steps(world) > 0
    assert steps(world) == 0
    assert world.known() == names(0, 1, 3, 4, 5, 6, 8, 9)


def test_a_rescan_never_asks_when_it_is_not_to(path):
    with world_at(path, MemorySource(numbered(range(10)), page_size=3), rescan=0) as world:
        steps(world)
        world.later(1000 * DAY)
        assert steps(world) == 0


def test_a_scan_that_is_closed_lets_go_of_who_waits(world):
    with world.source.held("list") as gate:
        scan = world.scanner.scan_all()
        gate.wait_until_reached()
        world.scanner.close()
        with pytest.raises(Interrupted):
            Waiter(10).result(scan)
        with pytest.raises(Interrupted):
            world.scanner.scan_all()
