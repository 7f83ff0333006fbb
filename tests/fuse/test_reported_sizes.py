"""What the kernel was told of sizes, and when it has to look again."""

from __future__ import annotations

import pytest

from histfs.fuse.reported_sizes import DELIVERY, MEMORY, TIMEOUT, ReportedSizes

PATH = "/by-date/a/audio.mp3"


def tell(told: ReportedSizes, size: int) -> int:
    return told.tell(PATH, size, told.turn())


@pytest.fixture
def clock():
    """A clock that is put forward by hand: its only element."""
    return [100.0]


@pytest.fixture
def caller():
    """The thread that calls: its only element."""
    return [1]


@pytest.fixture
def told(clock, caller):
    return ReportedSizes(lambda: caller[0], lambda: clock[0])


def opens(told: ReportedSizes, size: int) -> bool:
    """Open and close a file; say whether it could be opened."""
    done = told.opened(PATH, size) is None
    if done:
        told.closed(PATH)
    return done


def test_a_file_opens_that_nothing_or_its_own_size_was_told_of(told):
    assert opens(told, 5)
    tell(told, 5)
    assert opens(told, 5)


def test_a_file_does_not_open_until_the_kernel_was_told_its_size(told, clock):
    tell(told, 4)
    assert not opens(told, 5)
    assert not opens(told, 5), "several may open it at once"
    clock[0] += DELIVERY
    tell(told, 5)
    assert opens(told, 5)


def test_who_opens_waits_until_the_kernel_has_the_other_size(told, clock):
    tell(told, 4)
    clock[0] += DELIVERY / 4
    assert told.opened(PATH, 5) == pytest.approx(DELIVERY * 3 / 4)
    clock[0] += DELIVERY
    assert told.opened(PATH, 5) == 0


def test_a_size_does_not_count_that_was_asked_for_when_another_was_on_its_way(told, clock):
    """The kernel keeps which of the two it gets first."""
    tell(told, 4)
    clock[0] += DELIVERY / 2
    tell(told, 5)
    assert not opens(told, 5)
    clock[0] += DELIVERY
    tell(told, 5)
    assert opens(told, 5)


def test_what_one_caller_was_told_the_kernel_may_not_have_when_another_opens(told, clock, caller):
    tell(told, 4)
    clock[0] += DELIVERY
    assert not opens(told, 5)
    tell(told, 5)
    caller[0] = 2
    assert not opens(told, 5)
    caller[0] = 1
    assert opens(told, 5)
    caller[0] = 3
    clock[0] += DELIVERY
    assert opens(told, 5)


def test_an_open_that_another_refused_one_overtakes_is_refused_once(told, clock, caller):
    tell(told, 4)
    clock[0] += DELIVERY
    assert not opens(told, 5)
    early = told.turn()
    caller[0] = 2
    assert not opens(told, 5)
    caller[0] = 1
    assert told.tell(PATH, 5, early) == 5
    assert opens(told, 5)


def test_a_stat_that_began_earlier_and_ends_later_tells_the_same(told):
    early = told.turn()
    tell(told, 5)
    assert told.tell(PATH, 4, early) == 5
    assert opens(told, 5)


def test_what_the_kernel_has_forgotten_keeps_no_file_from_opening(told, clock):
    tell(told, 4)
    clock[0] += MEMORY + TIMEOUT
    assert opens(told, 5)


@pytest.mark.parametrize("closed", [False, True])
def test_a_stat_that_began_before_an_open_and_ends_after_it_tells_the_size_of_the_handle(
    told, closed
):
    early = told.turn()
    assert told.opened(PATH, 5) is None
    if closed:
        told.closed(PATH)
    assert told.tell(PATH, 4, early) == 5


def test_a_file_has_the_size_of_its_handle_for_as_long_as_it_is_open(told, clock):
    assert told.opened(PATH, 5) is None
    assert told.opened(PATH, 5) is None
    for _ in range(2):
        clock[0] += 1000
        assert tell(told, 4) == 5
        told.closed(PATH)
    clock[0] += 1000
    assert tell(told, 4) == 4


def test_a_file_that_has_changed_opens_beside_an_earlier_handle_once_its_size_was_told(told, clock):
    assert told.opened(PATH, 5) is None
    assert told.opened(PATH, 6) is not None
    clock[0] += DELIVERY
    assert tell(told, 5) == 6
    assert told.opened(PATH, 6) is None
