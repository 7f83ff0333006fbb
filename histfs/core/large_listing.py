"""The listing of a directory that is too large to be cached: read in parts, as the reader goes on.

Only the last two parts are in memory, and the catalog is not locked between parts: each part shows
the catalog at the time of its reading. Items have a fixed order, so no entry comes twice, and an
item that is in the directory all the time comes once. An item that is added or removed meanwhile
may be listed or not, as POSIX has it for readdir(3).

A part is returned only if all that the directory shows was known when the part was read. If not,
the reader waits for that, and reads the part again; if that fails, the listing fails.

Threads: any number at once; `_lock` guards all state of one listing. It is held while the view and
the index are called, also while they wait for the network: calls on the same open directory wait
for it, each within its own waiter, and no other call does.
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

#: The greatest number of entries of a directory that is listed, and cached, as a whole.
LARGE = 10_000
#: Entries in a part.
PART = 1000
#: Attempts to read a part that changes while it is read.
_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Contents:
    """A directory of a view, bound to the index from which it is read.

    Attributes:
        view: the view; not an `aliased` one.
        at: the directory in it.
        index: the items.
        span: the span of time on which the directory depends.
        entry: returns the directory entry of an item.
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
        """Say whether all that the directory shows is known, fresh or not."""
        return self.view.complete(self.at, self.index)

    def ensure(self, waiter: Waiter) -> None:
        """Ensure that all that the directory shows is known and fresh."""
        self.view.ensure(self.at, self.index, waiter)


class LargeListing:
    """The entries of one open directory.

    Args:
        contents: the directory.
        first: its first items.
        rest: yields the others.
        version: of the index, before anything was read.
    """

    def __init__(
        self, contents: Contents, first: Sequence[Listed], rest: Iterator[Listed], version: int
    ) -> None:
        self._contents = contents
        self._lock = threading.Lock()
        self._rest = rest
        # The versions of the index when position 0 was read, and when `_rest` was created.
        self._opened = self._since = version
        # `_entries` holds the last two parts, `_before` entries in the first of them, from
        # `_position` on: the kernel asks again for what did not fit into its buffer.
        self._position, self._before, self._entries = 0, 0, self._render(first)
        self._last = first[-1]
        self._ordered = _is_ordered(first)
        # Whether `_rest` has yielded items that are not in `_entries`.
        self._broken = False

    def read(self, position: int, waiter: Waiter) -> Sequence[DirEntry]:
        """Return some entries from a position on, at least one; none at the end.

        Args:
            position: the number of entries before them; 0 reads the directory anew.
            waiter: limits the wait.

        Raises:
            SourceError, NotComplete: the listing can't be completed any more.
            Interrupted, DeadlineExceeded: the wait ended first.
        """
        with self._locked(waiter):
            if position < self._position:
                self._rewind(position, waiter)
            while position >= self._position + len(self._entries):
                if not self._advance(waiter):
                    return ()
            return self._entries[position - self._position :]

    def entries(self, waiter: Callable[[], Waiter]) -> Iterator[DirEntry]:
        """Yield all entries.

        Args:
            waiter: returns a waiter for one part.
        """
        position = 0
        while part := self.read(position, waiter()):
            yield from part
            position += len(part)

    @contextmanager
    def _locked(self, waiter: Waiter) -> Iterator[None]:
        while not self._lock.acquire(timeout=POLL_INTERVAL):
            waiter.check()
        try:
            yield
        finally:
            self._lock.release()

    def _rewind(self, position: int, waiter: Waiter) -> None:
        """Start again, for a reader that goes back (rewinddir(3), seekdir(3)).

        Raises:
            NotComplete: the directory has changed, and the position has lost its meaning.
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
            # Until the part is known to be valid: a retry must not skip it.
            self._broken = True
            items = list(itertools.islice(self._rest, PART))
            ordered = self._ordered and _is_ordered([self._last, *items])
            # The iterator may have read ahead, even all of the rest, when it was created.
            reach = self._reach(items, ordered)
            # Not `recent_version`: a change that another process has just made counts, too.
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
        self._entries = [*kept, *self._render(items)]
        self._last, self._ordered = items[-1], ordered
        return True

    def _reach(self, items: Sequence[Listed], ordered: bool) -> Span:
        """Return the span of time that a part covers, from the end of the previous one."""
        span = self._contents.span
        if not ordered:
            return span
        end = items[-1].date + 1 if len(items) == PART else span.end
        return Span(self._last.date, end)

    def _resume(self) -> None:
        """Create a new iterator of what follows the last item."""
        if not self._ordered:
            raise NotComplete("the directory has changed: it has to be read from its start again")
        self._since = self._contents.index.version
        last = self._last[:2]
        self._rest = itertools.dropwhile(lambda item: item[:2] <= last, self._contents.items())

    def _render(self, items: Sequence[Listed]) -> list[DirEntry]:
        return list(map(self._contents.entry, items))


def _is_ordered(items: Sequence[Listed]) -> bool:
    """Say whether items are in the order of date and key, so that reading can be resumed."""
    return all(one[:2] < other[:2] for one, other in itertools.pairwise(items))
