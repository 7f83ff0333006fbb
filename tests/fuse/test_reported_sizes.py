"""The sizes reported to the kernel, and when an open makes it look again."""

from __future__ import annotations

import pytest

from histfs.fuse.reported_sizes import DELIVERY, MEMORY, TIMEOUT, Refusal, ReportedSizes

PATH = "/by-date/a/audio.mp3"


def report(sizes: ReportedSizes, size: int) -> int:
    return sizes.report(PATH, size, sizes.start())


@pytest.fixture
def clock():
    """A clock that is put forward by hand: its only element."""
    return [100.0]


@pytest.fixture
def caller():
    """The thread that calls: its only element."""
    return [1]


@pytest.fixture
def sizes(clock, caller):
    return ReportedSizes(lambda: caller[0], lambda: clock[0])


def opens(sizes: ReportedSizes, size: int) -> bool:
    """Open and close a file; say whether it could be opened."""
    is_open = sizes.opened(PATH, size) is None
    if is_open:
        sizes.closed(PATH)
    return is_open


def test_a_file_opens_that_nothing_or_its_own_size_was_told_of(sizes):
    assert opens(sizes, 5)
    report(sizes, 5)
    assert opens(sizes, 5)


def test_a_file_does_not_open_until_the_kernel_was_told_its_size(sizes, clock, caller):
    report(sizes, 4)
    caller[0] = 2
    assert not opens(sizes, 5)
    caller[0] = 1
    assert not opens(sizes, 5), "several may open it at once"
    clock[0] += DELIVERY
    report(sizes, 5)
    assert opens(sizes, 5)


def test_who_opens_waits_until_the_kernel_has_the_other_size(sizes, clock, caller):
    report(sizes, 4)
    clock[0] += DELIVERY / 4
    caller[0] = 2
    assert sizes.opened(PATH, 5) == Refusal(pytest.approx(DELIVERY * 3 / 4), final=True)
    caller[0] = 1
    clock[0] += DELIVERY
    assert sizes.opened(PATH, 5) == Refusal(0, final=True)


def test_the_only_one_that_was_told_the_other_size_has_it_and_does_not_wait(sizes):
    report(sizes, 4)
    assert sizes.opened(PATH, 5) == Refusal(0, final=True)
    report(sizes, 5)
    assert opens(sizes, 5)


@pytest.mark.parametrize("others", [[2], [0], [2, 1]])
def test_who_was_told_the_other_size_with_others_waits(sizes, clock, caller, others):
    for caller[0] in [1, *others]:
        report(sizes, 4)
    caller[0] = caller[0] and 1
    assert sizes.opened(PATH, 5) == Refusal(pytest.approx(DELIVERY), final=True)


def test_a_size_after_two_others_that_others_were_told_waits(sizes, clock, caller):
    report(sizes, 3)
    caller[0] = 2
    report(sizes, 4)
    assert sizes.opened(PATH, 5) == Refusal(pytest.approx(DELIVERY), final=True)


def test_a_size_does_not_count_that_was_asked_for_when_another_was_on_its_way(sizes, clock, caller):
    """The kernel keeps the one of the two that it receives first."""
    caller[0] = 2
    report(sizes, 4)
    caller[0] = 1
    clock[0] += DELIVERY / 2
    report(sizes, 5)
    assert not opens(sizes, 5)
    clock[0] += DELIVERY
    report(sizes, 5)
    assert opens(sizes, 5)


def test_what_one_caller_was_told_the_kernel_may_not_have_when_another_opens(sizes, clock, caller):
    report(sizes, 4)
    clock[0] += DELIVERY
    assert not opens(sizes, 5)
    report(sizes, 5)
    caller[0] = 2
    assert not opens(sizes, 5)
    caller[0] = 1
    assert opens(sizes, 5)
    caller[0] = 3
    clock[0] += DELIVERY
    assert opens(sizes, 5)


def test_an_open_that_another_refused_one_overtakes_is_refused_once(sizes, clock, caller):
    report(sizes, 4)
    clock[0] += DELIVERY
    assert not opens(sizes, 5)
    early = sizes.start()
    caller[0] = 2
    assert not opens(sizes, 5)
    caller[0] = 1
    assert sizes.report(PATH, 5, early) == 5
    assert opens(sizes, 5)


def test_a_stat_that_began_earlier_and_ends_later_tells_the_same(sizes):
    early = sizes.start()
    report(sizes, 5)
    assert sizes.report(PATH, 4, early) == 5
    assert opens(sizes, 5)


def test_an_exact_size_is_told_though_an_estimate_was_asked_for_later(sizes, clock):
    start = sizes.start()
    report(sizes, 4)
    late = sizes.start()
    clock[0] += MEMORY / 2
    assert sizes.report(PATH, 5, start, is_exact=True) == 5
    assert sizes.report(PATH, 4, late) == 5


def test_what_the_kernel_has_forgotten_keeps_no_file_from_opening(sizes, clock):
    report(sizes, 4)
    clock[0] += MEMORY + TIMEOUT
    assert opens(sizes, 5)


@pytest.mark.parametrize("closed", [False, True])
def test_a_stat_that_began_before_an_open_and_ends_after_it_tells_the_size_of_the_handle(
    sizes, closed
):
    early = sizes.start()
    assert sizes.opened(PATH, 5) is None
    if closed:
        sizes.closed(PATH)
    assert sizes.report(PATH, 4, early) == 5


def test_a_file_has_the_size_of_its_handle_for_as_long_as_it_is_open(sizes, clock):
    assert sizes.opened(PATH, 5) is None
    assert sizes.opened(PATH, 5) is None
    for _ in range(2):
        clock[0] += 1000
        assert report(sizes, 4) == 5
        sizes.closed(PATH)
    clock[0] += 1000
    assert report(sizes, 4) == 4


def test_a_file_that_has_changed_opens_beside_an_earlier_handle_once_its_size_was_told(
    sizes, clock
):
    assert sizes.opened(PATH, 5) is None
    assert sizes.opened(PATH, 6) is not None
    clock[0] += DELIVERY
    assert report(sizes, 5) == 6
    assert sizes.opened(PATH, 6) is None


def test_a_second_open_without_a_lookup_succeeds_when_the_kernel_asks_again(sizes, clock):
    """It comes by /proc/self/fd or a file handle: the kernel has no path to look up."""
    report(sizes, 4)
    clock[0] += DELIVERY
    assert sizes.opened(PATH, 5) == Refusal(0, final=True)
    assert sizes.opened(PATH, 5) == Refusal(pytest.approx(TIMEOUT), final=False)
    assert report(sizes, 4) == 5, "it is open"
    sizes.closed(PATH)


def test_an_open_of_another_caller_is_no_second_open(sizes, caller):
    report(sizes, 4)
    assert not opens(sizes, 5)
    caller[0] = 2
    assert sizes.opened(PATH, 5).final


@pytest.fixture
def told(clock, caller):
    """Sizes of a kernel that can be told to forget; and the paths that it was told."""
    paths = []

    def invalidate(path):
        paths.append(path)
        return True

    return ReportedSizes(lambda: caller[0], lambda: clock[0], invalidate=invalidate), paths


def test_where_the_kernel_can_be_told_neither_kind_of_open_waits(told, caller):
    sizes, paths = told
    report(sizes, 4)
    assert sizes.opened(PATH, 5) == Refusal(0, final=True)
    caller[0] = 2
    assert sizes.opened(PATH, 5) == Refusal(0, final=True)
    assert paths == [PATH], "telling it again would drop what it has looked up since"
    assert sizes.opened(PATH, 5) == Refusal(0, final=False)
    caller[0] = 1
    report(sizes, 5)
    assert opens(sizes, 5)


def test_an_answer_that_the_kernel_may_have_dropped_is_not_certain(told, clock, caller):
    """Caller 2 may have asked before the kernel was told."""
    sizes, _ = told
    report(sizes, 4)
    clock[0] += DELIVERY
    assert not opens(sizes, 5)
    caller[0] = 2
    report(sizes, 5)
    assert not opens(sizes, 5)
    report(sizes, 5)
    assert opens(sizes, 5)


@pytest.mark.parametrize("by_another", ["open", "answer"])
def test_the_kernel_is_not_told_of_a_file_that_is_open_or_was_just_looked_up(
    told, clock, caller, by_another
):
    """It would wait for reads of the file, or drop the answer."""
    sizes, paths = told
    if by_another == "open":
        assert sizes.opened(PATH, 4) is None
    else:
        report(sizes, 4)
        clock[0] += DELIVERY
        report(sizes, 5)
    caller[0] = 2
    assert sizes.opened(PATH, 5 if by_another == "answer" else 6).final
    assert paths == []


def test_a_caller_without_an_id_waits_for_its_certainty(told, clock, caller):
    """Id 0 is any thread of another PID namespace."""
    sizes, _ = told
    caller[0] = 0
    report(sizes, 4)
    assert sizes.opened(PATH, 5) == Refusal(pytest.approx(DELIVERY), final=True)
    clock[0] += DELIVERY
    report(sizes, 5)
    assert opens(sizes, 5)


@pytest.fixture
def threads(clock, caller):
    """Sizes of which threads 1 and 2 are of one process."""
    same = {1, 2}
    return ReportedSizes(
        lambda: caller[0], lambda: clock[0], lambda one, other: one == other or {one, other} == same
    )


def test_a_size_that_another_program_was_told_may_have_misled(threads, clock, caller):
    report(threads, 4)
    caller[0] = 3
    assert threads.shown(PATH).may_have_misled(5)
    assert not threads.shown(PATH).may_have_misled(4), "it was the right one"
    clock[0] += TIMEOUT + DELIVERY
    assert not threads.shown(PATH).may_have_misled(5), "the kernel has forgotten it"


def test_what_a_program_was_shown_counts_however_long_its_open_waits(threads, clock, caller):
    report(threads, 4)
    caller[0] = 3
    shown = threads.shown(PATH)
    clock[0] += 10 * MEMORY
    assert shown.may_have_misled(5)


def test_who_was_told_the_exact_size_since_was_not_misled(threads, clock, caller):
    caller[0] = 3
    report(threads, 4)
    clock[0] += DELIVERY
    caller[0] = 1
    report(threads, 5)
    assert not threads.shown(PATH).may_have_misled(5)
    caller[0] = 2
    assert not threads.shown(PATH).may_have_misled(5), "a thread of the same process"
    caller[0] = 3
    assert threads.shown(PATH).may_have_misled(5)


def test_an_exact_size_that_may_have_crossed_the_other_one_is_not_certain(threads, clock, caller):
    caller[0] = 3
    report(threads, 4)
    clock[0] += DELIVERY / 2
    caller[0] = 1
    report(threads, 5)
    assert threads.shown(PATH).may_have_misled(5)


# What the kernel has for long


@pytest.mark.parametrize("told", [True, False])
def test_a_file_of_another_size_than_the_kernel_has_for_long_is_looked_up_anew(clock, caller, told):
    forgotten = []

    def forget(path):
        forgotten.append(path)
        return told

    sizes = ReportedSizes(
        lambda: caller[0], lambda: clock[0], invalidate=forget, kept={PATH: 5}.get
    )
    assert opens(sizes, 5)
    clock[0] += 100
    assert not opens(sizes, 6)
    assert forgotten == [PATH]
    clock[0] += DELIVERY
    report(sizes, 6)
    assert opens(sizes, 6)


def test_a_stat_shows_another_size_than_the_kernel_has_for_long(clock, caller):
    sizes = ReportedSizes(lambda: caller[0], lambda: clock[0], kept={PATH: 5}.get)
    assert report(sizes, 6) == 6


def test_a_size_that_the_kernel_has_for_long_may_have_misled_a_program(clock, caller):
    sizes = ReportedSizes(lambda: caller[0], lambda: clock[0], kept={PATH: 5}.get)
    assert sizes.shown(PATH).may_have_misled(6)
    assert not sizes.shown(PATH).may_have_misled(5)
