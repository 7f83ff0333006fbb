"""The listing of a directory that is too large to be kept: read bit by bit, as the reader goes on.

Only the entries that were read last are in memory. Nothing holds the catalog meanwhile: what is
read is the catalog as it is at that time. Because items come in a fixed order, no entry comes
twice, and each item that is in the directory all the time comes once. One that comes or goes
meanwhile may be in the listing or not, as with readdir(3) of any other filesystem.

A part is given only if, at the time it was read, all that the directory shows was known. If it was
not, that is waited for, and the part is read again; where that fails the listing fails.

Threads: any number at once; `_lock` guards all state. Only calls on the same open directory wait
for it, and they give up with their own deadline.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from histfs.core.errors import NotComplete
from histfs.core.index import Index, Listed
from histfs.core.nodes import DirEntry
from histfs.core.times import Span
from histfs.core.views import View
from histfs.core.views.view import At
from histfs.core.waiting import POLL_INTERVAL, Waiter

#: Entries of a directory that is still kept whole while it is open, at the most.
LARGE = 10_000
#: Entries that are read at a time.
PART = 1000
#: How often a part is read that changes while it is read.
_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Contents:
    """What a directory of a view holds at any time.

    Attributes:
        view: the view; its items have their own names.
        at: the directory in it.
        index: the items.
        span: the span of time on which the directory depends.
        entry: returns the entry of an item.
    """

    view: View
    at: At
    index: Index
    span: Span
    entry: Callable[[Listed], DirEntry]

    def items(self) -> Iterator[Listed]:
        """Yield the items, oldest first."""
        return self.view.items(self.at, self.index)

    def complete(self) -> bool:
        """Say whether all that the directory shows is known."""
        return self.view.complete(self.at, self.index)

    def ensure(self, waiter: Waiter) -> None:
        """See to it that all that the directory shows is known."""
        self.view.ensure(self.at, self.index, waiter)


class LargeListing:
    """The entries of one open directory.

    Args:
        contents: the directory.
        first: its first items, which were read already.
        rest: yields the others.
        version: that of `contents` before anything was read.
    """

    def __init__(
        self, contents: Contents, first: Sequence[Listed], rest: Iterator[Listed], version: int
    ) -> None:
        self._contents = contents
        self._lock = threading.Lock()
        self._rest = rest
        # The versions when position 0 was read, and when `_rest` was begun.
        self._opened = self._since = version
        # The kernel asks again for what did not fit into its buffer: the part before the last one
        # is kept, too.
        self._position, self._before, self._entries = 0, 0, self._rendered(first)
        self._last = first[-1]
        self._ordered = _is_ordered(first)
        # Whether `_rest` has gone on to what was not given to anybody.
        self._broken = False

    def read(self, position: int, waiter: Waiter) -> Sequence[DirEntry]:
        """Return some of the entries from a position on, at least one; none at the end.

        Args:
            position: how many entries come before them. 0 reads the directory anew.
            waiter: the patience of the call.

        Raises:
            SourceError, NotComplete: the whole can't be told any more.
            Interrupted, DeadlineExceeded: the wait ended first.
        """
        with self._held(waiter):
            if position < self._position:
                self._rewind(position, waiter)
            while position >= self._position + len(self._entries):
                if not self._advance(waiter):
                    return ()
            return self._entries[position - self._position :]

    def entries(self, waiter: Callable[[], Waiter]) -> Iterator[DirEntry]:
        """Yield all entries.

        Args:
            waiter: makes the patience of reading one part.
        """
        position = 0
        while part := self.read(position, waiter()):
            yield from part
            position += len(part)

    @contextmanager
    def _held(self, waiter: Waiter) -> Iterator[None]:
        while not self._lock.acquire(timeout=POLL_INTERVAL):
            waiter.check()
        try:
            yield
        finally:
            self._lock.release()

    def _rewind(self, position: int, waiter: Waiter) -> None:
        """Begin again, for a reader that goes back (rewinddir, seekdir).

        Raises:
            NotComplete: positions don't mean any more what they did.
        """
        contents = self._contents
        if position and not contents.index.unchanged(contents.span, self._opened):
            raise NotComplete("the directory has changed: it has to be read from its start again")
        if not contents.complete():
            contents.ensure(waiter)
        self._opened = self._since = contents.index.version
        self._rest, self._broken = contents.items(), False
        self._position, self._before, self._entries = 0, 0, []
        self._last = Listed(contents.span.start, "", "")

    def _advance(self, waiter: Waiter) -> bool:
        """Read the next part; say whether there is one."""
        contents = self._contents
        for _ in range(_ATTEMPTS):
            if self._broken:
                self._resume()
            # Until the part is known to be good: whoever tries again must not miss it.
            self._broken = True
            items = list(itertools.islice(self._rest, PART))
            ordered = self._ordered and _is_ordered([self._last, *items])
            # The iterator may have read ahead, up to all of the rest when it was made.
            reach = self._reach(items, ordered)
            # The version itself is asked for: what another process did just now counts, too.
            same = contents.index.version == self._since
            same = same or contents.index.unchanged(reach, self._since)
            if same and contents.complete():
                break
            if not contents.complete():
                contents.ensure(waiter)
        else:
            raise NotComplete("the directory changes faster than it can be listed")
        self._broken = False
        if not items:
            return False
        kept = self._entries[self._before :]
        self._position += self._before
        self._before = len(kept)
        self._entries = [*kept, *self._rendered(items)]
        self._last, self._ordered = items[-1], ordered
        return True

    def _reach(self, items: Sequence[Listed], ordered: bool) -> Span:
        """Return the span of time that a part tells of, behind the last one."""
        span = self._contents.span
        if not ordered:
            return span
        end = items[-1].date + 1 if len(items) == PART else span.end
        return Span(self._last.date, end)

    def _resume(self) -> None:
        """Read anew what comes behind the last item."""
        if not self._ordered:
            raise NotComplete("the directory has changed: it has to be read from its start again")
        self._since = self._contents.index.version
        last = self._last[:2]
        self._rest = itertools.dropwhile(lambda item: item[:2] <= last, self._contents.items())

    def _rendered(self, items: Sequence[Listed]) -> list[DirEntry]:
        return list(map(self._contents.entry, items))


def _is_ordered(items: Sequence[Listed]) -> bool:
    """Say whether items are in the order of date and key, in which reading can be resumed."""
    return all(one[:2] < other[:2] for one, other in itertools.pairwise(items))
