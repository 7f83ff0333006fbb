"""The server tells the size of a clip without sending it: where it does so, and is right."""

from __future__ import annotations

import pytest

from histfs.audio.size_collection import learn_sizes
from histfs.core.errors import BadAnswer, NotOffered, Rejected, Unreachable
from histfs.core.waiting import Waiter
from tests.audio.conftest import DATE, TIMEOUT, StepSource
from tests.support.clock import Clock
from tests.support.eventually import eventually
from tests.support.memory import MemorySource


def archiver():
    return Waiter(TIMEOUT, needs_size=lambda: True)


def exact_size(world, item):
    """Return the size that stat shows a program that needs the exact one."""
    found = world.store.size(item, archiver())
    return found.size if found.is_exact else None


def told_world(make_world, source=None, **options):
    """Return a world whose server has told the size of a clip that came, and was right."""
    world = make_world(source or MemorySource(tells_sizes=True), **options)
    first = world.item("first", date=DATE - 1000)
    exact_size(world, first)
    world.read(first)
    eventually(lambda: world.source.count("audio_size") == 1)
    eventually(lambda: world.store.told.size(world.item("probe", date=1), archiver()) is not None)
    world.source.calls.clear()
    return world


def test_a_size_is_told_with_one_request_and_no_audio_and_is_known_from_then_on(make_world):
    world = told_world(make_world)
    item = world.item()
    assert exact_size(world, item) == exact_size(world, item) == 10
    assert world.store.open(item, Waiter(TIMEOUT)).size == 10
    assert (world.source.count("audio_size"), world.fetched) == (1, 0)
    assert world.sizes["a"] == 10


def test_a_server_is_tried_once(make_world):
    source = MemorySource(tells_sizes=True)
    source.fail("audio_size", NotOffered("HEAD is refused"))
    world = make_world(source)
    for name in "abc":
        assert exact_size(world, world.item(name)) is None
        world.read(world.item(name))
    eventually(lambda: source.count("audio_size") == 1)
    assert exact_size(world, world.item("d")) is None
    assert (source.count("audio_size"), world.fetched) == (1, 3)


@pytest.mark.parametrize(("seconds", "trials"), [(0.9, 0), (1.0, 1)])
def test_a_clip_without_a_length_that_takes_long_makes_the_trial(make_world, seconds, trials):
    clock = Clock()
    source = StepSource([b"\1irst", b"second"], tells_sizes=True)
    source.clips["a"] = b"\1irstsecond"
    world = make_world(source, clock=clock)
    item = world.item()
    source.go()
    eventually(lambda: world.store.content(item).received)
    clock.now += seconds
    source.go()
    world.read(item)
    eventually(lambda: source.count("audio_size") == trials)


@pytest.mark.parametrize("tells_length", [True, False])
def test_nothing_is_asked_where_clips_come_soon_and_no_stat_needs_a_size(make_world, tells_length):
    world = make_world(MemorySource(tells_sizes=True, tells_length=tells_length))
    for name in "abc":
        world.read(world.item(name))
    world.flush()
    assert world.source.count("audio_size") == 0


def test_a_stat_that_needs_sizes_makes_the_trial_though_clips_have_lengths(make_world):
    world = make_world(MemorySource(tells_sizes=True, tells_length=True))
    assert exact_size(world, world.item("a")) is None
    world.read(world.item("b"))
    eventually(lambda: exact_size(world, world.item("c")) == 10)
    assert world.fetched == 1


def test_a_source_that_tells_no_sizes_is_not_asked(make_world):
    world = make_world(MemorySource())
    world.read(world.item())
    assert exact_size(world, world.item("b")) is None
    assert world.source.count("audio_size") == 0


@pytest.mark.parametrize("told", [9, 11, 1 << 40])
def test_a_server_that_tells_another_size_than_comes_is_not_believed(make_world, caplog, told):
    source = MemorySource(tells_sizes=True)
    source.told["a"] = told
    world = make_world(source)
    assert exact_size(world, world.item()) is None
    world.read(world.item())
    eventually(lambda: "such sizes are not used" in caplog.text)
    assert exact_size(world, world.item("b")) is None
    assert exact_size(world, world.item()) == 10


@pytest.mark.parametrize("told", [8, 13])
@pytest.mark.parametrize("tells_length", [True, False])
def test_a_wrong_size_is_an_error_once_and_no_size_is_told_any_more(make_world, told, tells_length):
    world = told_world(make_world, MemorySource(tells_sizes=True, tells_length=False))
    world.source._tells_length = tells_length
    item, other = world.item(), world.item("other")
    world.source.told["a"] = told
    assert (exact_size(world, item), exact_size(world, other)) == (told, 14)
    file = world.store.open(item, Waiter(TIMEOUT))
    with pytest.raises(BadAnswer, match="has changed"):
        file.read(0, told, Waiter(TIMEOUT))
    world.flush()
    assert world.read(item) == b"audio\0of a"
    assert world.sizes["a"] == 10
    assert exact_size(world, other) is exact_size(world, world.item("b")) is None
    assert world.fetched == 1


def test_a_crawler_asks_for_no_size(make_world):
    world = told_world(make_world, exact=True)
    crawler = Waiter(TIMEOUT, may_fetch=lambda: False)
    assert not world.store.size(world.item(), crawler).is_exact
    assert world.source.calls == []


def test_with_exact_sizes_any_stat_asks_and_fetches_nothing(make_world):
    world = told_world(make_world, exact=True)
    assert world.size(world.item()) == 10
    assert (world.source.count("audio_size"), world.fetched) == (1, 0)


@pytest.mark.parametrize("error", [Unreachable("timeout"), Rejected("no")])
def test_where_a_size_is_not_told_now_the_clip_tells_it(make_world, error):
    world = told_world(make_world, exact=True)
    world.source.fail("audio_size", error)
    assert world.size(world.item()) == 10
    assert world.fetched == 1


def test_an_open_waits_for_the_told_size_alone_and_reads_before_the_end_has_come(make_world):
    source = StepSource([b"\1irst", b"second"], tells_sizes=True)
    source.clips = dict.fromkeys(["first", "probe", "a"], b"\1irstsecond")
    source.go(2)
    world = told_world(make_world, source)
    source.go()
    file = world.store.open(world.item(), Waiter(TIMEOUT))
    assert file.size == 11
    assert file.read(0, 5, Waiter(TIMEOUT)) == b"\1irst"
    assert world.fetched == 1
    source.go()
    assert file.read(5, 6, Waiter(TIMEOUT)) == b"second"


def test_a_walk_asks_for_the_sizes_of_the_next_clips_at_the_same_time(make_world):
    world = told_world(make_world, asked_ahead=4)
    items = [world.item(f"{number:03}", date=DATE + number) for number in range(20)]
    exact_size(world, items[0])
    assert world.source.count("audio_size") == 1
    exact_size(world, items[1])
    eventually(lambda: world.source.count("audio_size") == 6)
    for item in items:
        assert exact_size(world, item) == len(f"audio\0of {item.id}")
    assert (world.source.count("audio_size"), world.fetched) == (20, 0)


def test_missing_sizes_are_learnt_by_asking(make_world):
    world = told_world(make_world)
    items = [world.item(f"{number:03}", date=DATE + number) for number in range(20)]
    clips = list(learn_sizes(world.store, lambda: iter(items), 4))
    assert {clip[:2] for clip in clips} == {(item, 12) for item in items}
    assert all(clip.fetched and clip.is_told for clip in clips)
    assert (world.source.count("audio_size"), world.fetched) == (20, 0)
