"""Whatever happens to the history and to the server: a listing is right, or the call fails."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from histfs.catalog.circuit_breaker import FAILURE_MEMORY
from histfs.core.errors import HistfsError, ServerFailed
from histfs.core.times import ALWAYS, Span
from tests.support.clock import Clock
from tests.support.memory import MemorySource, record
from tests.support.world import TTL, World, world_at

PAGE = 4
#: Months of ten days of ten seconds, in which the items stand.
DAYS = [Span(start, start + 10) for start in range(0, 300, 10)]
MONTHS = [DAYS[start : start + 10] for start in range(0, 30, 10)]

mounts = st.integers(0, 1)


class Catalogs(RuleBasedStateMachine):
    """Two mounts of one account, and the account.

    Attributes:
        listed: items that a mount has listed, and that are there still.
        faulty: whether the server fails now.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        directory = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.source = MemorySource(page_size=PAGE)
        clock = Clock()
        path = directory / "catalog.sqlite"
        self.worlds = [
            self.stack.enter_context(world_at(path, self.source, clock=clock, rescan=1000))
            for _ in range(2)
        ]
        self.added = 0
        self.newest = 0
        self.listed: set[str] = set()
        self.faulty = False

    def teardown(self) -> None:
        self.stack.close()

    # Events elsewhere

    @initialize(dates=st.lists(st.integers(0, 150), max_size=30))
    def begin(self, dates: list[int]) -> None:
        for date in sorted(dates):
            self._add(date)
        # As a mount does when it begins.
        self.worlds[0].contact()

    @rule(gaps=st.lists(st.sampled_from([0, 1, 2, 7]), min_size=1, max_size=2 * PAGE))
    def items_come(self, gaps: list[int]) -> None:
        for gap in gaps:
            self._add(min(self.newest + gap, 299))

    @rule(place=st.floats(0, 0.999))
    def an_item_is_deleted_elsewhere(self, place: float) -> None:
        there = self.source.records()
        if there:
            gone = there[int(place * len(there))].item
            self.source.discard(gone.id)
            self.listed.discard(gone.key)

    @rule(seconds=st.sampled_from([TTL / 2, TTL + 1, 2000]))
    def time_goes_by(self, seconds: float) -> None:
        self.worlds[0].later(seconds)

    @precondition(lambda self: not self.faulty)
    @rule(skip=st.integers(0, 2))
    def the_server_begins_to_fail(self, skip: int) -> None:
        self.source.fail("list", ServerFailed("500"), skip)
        self.faulty = True

    @precondition(lambda self: self.faulty)
    @rule()
    def the_server_recovers(self) -> None:
        self.source.recover()
        self.faulty = False
        self.worlds[0].later(FAILURE_MEMORY + 1)

    # Calls on the mounts

    @rule(mount=mounts)
    def remount(self, mount: int) -> None:
        self.worlds[mount].remount()

    @rule(mount=mounts, count=st.integers(1, 4))
    def read_on(self, mount: int, count: int) -> None:
        for left in reversed(range(count)):
            try:
                # A page that is prefetched keeps other mounts from scanning until the next step.
                self.worlds[mount].scanner.step(prefetch=left > 0)
            except ServerFailed:
                assert self.faulty

    @rule(mount=mounts, back=st.integers(-1, 15), days=st.integers(1, 3))
    def list_days(self, mount: int, back: int, days: int) -> None:
        world = self.worlds[mount]
        number = max(0, self.newest // 10 - back)
        for day in DAYS[number : number + days]:
            now = world.clock.now
            stale = world.store.coverage().requested_between(now - TTL, now).gaps(day) == [day]
            shown = self._list(world, day)
            if shown is not None and not self.faulty and stale:
                assert shown == self._there(day)

    @rule(mount=mounts, places=st.lists(st.floats(0, 0.999), max_size=3))
    def a_search_finds_some(self, mount: int, places: list[float]) -> None:
        there = self.source.records()
        self.worlds[mount].store.add([there[int(place * len(there))] for place in places if there])

    @rule(mount=mounts)
    def list_a_voice(self, mount: int) -> None:
        world = self.worlds[mount]
        shown = self._list(world, ALWAYS)
        if shown is not None and not self.faulty:
            # What was deleted below the newest page may still be shown, nothing may be missing
            # but what came within the TTL.
            world.later()
            shown = self._list(world, ALWAYS)
            assert shown is not None
            there = self._there(ALWAYS)
            assert set(there) <= set(shown)
            newest = there[-PAGE:]
            if len(newest) == PAGE:
                oldest = min(date for key, date in self._dates() if key in newest)
                gone = {key for key in shown if key not in there}
                dates = [(item.date, item.key) for item in world.store.between(ALWAYS)]
                assert all(date <= oldest for date, key in dates if key in gone)

    @rule(mount=mounts, month=st.sampled_from(MONTHS))
    def list_a_month(self, mount: int, month: list[Span]) -> None:
        world = self.worlds[mount]
        world.later()
        try:
            shown = world.ensure_newest(*month)
        except HistfsError:
            assert self.faulty
            return
        if self.faulty:
            return
        for day, newest in zip(month, shown, strict=True):
            there = self._there(day)
            # A day that has items is shown; one that was emptied elsewhere is found to be.
            assert newest is not None or not there
            if newest is not None and not there:
                assert self._list(world, day) == []

    @invariant()
    def nothing_is_stored_twice(self) -> None:
        known = self.worlds[0].known()
        assert len(known) == len(set(known))

    def _add(self, date: int) -> None:
        self.newest = max(self.newest, date)
        self.added += 1
        self.source.add(record(f"n{self.added:03}", self.newest))

    def _dates(self) -> list[tuple[str, int]]:
        return [(row.item.key, row.item.date) for row in self.source.records()]

    def _there(self, span: Span) -> list[str]:
        found = [(date, key) for key, date in self._dates() if span.start <= date < span.end]
        return [key for _, key in sorted(found)]

    def _list(self, world: World, span: Span) -> list[str] | None:
        """List, and check what holds whatever has happened."""
        try:
            shown = world.list(span)
        except HistfsError:
            assert self.faulty
            return None
        # Never a part: what was shown before, and is there still, is shown; and what is missing
        # came after all that is shown (keys count up).
        there = self._there(span)
        missing = set(there) - set(shown)
        assert not missing & self.listed
        assert not missing or min(missing) > max(shown, default="")
        self.listed |= set(shown) & set(self._there(ALWAYS))
        return shown


Catalogs.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
test_what_is_listed_is_so_or_the_call_fails = Catalogs.TestCase
