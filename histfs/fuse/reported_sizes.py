"""The file sizes that were reported to the kernel, for as long as it caches them.

The kernel caches attributes for a moment, which saves most of the calls of a walk. The size of a
clip is an estimate until the clip is opened, and fstat(2) after that must return the exact one. So
an open of a file whose size has changed since it was reported fails with ESTALE once. The kernel
then looks the whole path up again and opens again (Linux, fs/namei.c, do_filp_open: LOOKUP_REVAL);
the calling program notices nothing.

While a file is open, its reported size is that of the handle: the kernel calls getattr by path for
fstat(2), too, and keeps one size per file for all programs that have it open. Otherwise a stat that
looked the size up before the open, and answers after it, would report the estimate.

Of answers to overlapping requests the kernel keeps the first and drops the others (fs/fuse/inode.c,
attr_version). And an answer to one caller may not have arrived when another caller opens the file.
So a size is in doubt after another one was reported. It is certain for a caller that received it in
answer to a request that began DELIVERY seconds after the other size was reported; an open that
fails with ESTALE waits for that, unless the kernel could be told to drop all answers that are on
their way (libfuse 3), or none is: the other size was reported to the same thread alone, which has
gone on since. It is certain for every caller DELIVERY seconds after the first such answer.

The kernel does not look again where the open did not come by a path: /proc/self/fd/N of a
descriptor with O_PATH, as Samba and systemd use it, or open_by_handle_at(2), as an NFS server does.
Then the same thread opens again without a lookup in between, and that open succeeds: the kernel has
no attributes any more, since it was told so or the open waits until they are too old, and asks for
them at the next fstat(2), lseek(2) or read(2).

An open that fails with ESTALE repairs what the kernel has cached, but not what a program remembers
of its stat. Programs that believe that size get the exact one. Where the kernel may have shown one
of them an estimate that another program had asked for a moment ago, its open fails (EIO).

Threads: any number at once. `_lock` guards the cache of sizes and the table of open files. The lock
of `GenerationalCache` is taken while it is held.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from histfs.core.generational_cache import GenerationalCache

#: Seconds for which the kernel caches attributes and name lookups.
TIMEOUT = 1.0
#: Seconds for which a reported size is kept: the kernel counts TIMEOUT from when it has the answer,
#: and this process may be suspended before it answers.
MEMORY = 3 * TIMEOUT
#: Seconds from when a callback returns a size until the kernel has it, at the most: other threads
#: and other processes may run in between.
DELIVERY = 0.2


class RequestStart(NamedTuple):
    """When a request began.

    Attributes:
        at: in seconds, of the clock.
        number: orders requests of one moment.
    """

    at: float
    number: int


def in_one_process(thread: int, other: int) -> bool:
    """Say whether two threads, by their ids, belong to one process."""
    return thread == other or Path(f"/proc/{thread}/task/{other}").exists()


@dataclass(slots=True)
class _Size:
    """The size of a file that was reported last.

    Attributes:
        start: of the last stat or open that reported it.
        size: in bytes.
        at: when it was reported last, in seconds.
        replaced_at: when another size was last reported; None where none was.
        informed: the callers that received this size when the kernel had the other one.
        informed_at: when the first of them received it; None while there is none.
        refused: the callers whose open failed, and that have not looked up the path since.
        settled_at: from when on answers take DELIVERY seconds to be certain for any caller: when
            the other size was reported, or when the kernel was told to drop it. Before all time
            where the thread that the other size was reported to has replaced it.
        receiver: the only caller to whom this size was reported; None before the first, 0 where
            there are several, or one that can't be told from others.
        forgotten: whether the kernel was told so.
    """

    start: RequestStart
    size: int
    at: float
    replaced_at: float | None = None
    informed: set[int] = field(default_factory=set)
    informed_at: float | None = None
    refused: set[int] = field(default_factory=set)
    settled_at: float = 0.0
    receiver: int | None = None
    forgotten: bool = False


_LONG_AGO = RequestStart(-math.inf, -1)


class Refusal(NamedTuple):
    """How an open goes on of which the kernel may have another size.

    Attributes:
        delay: seconds to wait first.
        final: whether it fails with ESTALE then. Else it succeeds, and is recorded as open.
    """

    delay: float
    final: bool


class Shown(NamedTuple):
    """What the kernel may have shown to a caller who is about to open a file.

    Attributes:
        size: that was reported last; None where there is none.
        is_recent: whether the kernel may still have it.
        other_is_recent: the same of another size before, of which the caller did not receive this
            one since, in answer to a request that began after the other size had come.
    """

    size: int | None
    is_recent: bool
    other_is_recent: bool

    def may_have_misled(self, size: int) -> bool:
        """Say whether a program that believes the size of its stat may have another than this."""
        return self.other_is_recent if self.size == size else self.is_recent


class ReportedSizes:
    """The sizes that were reported to the kernel, by path.

    Args:
        caller: returns the id of the thread whose call is served.
        clock: seconds, monotonic.
        same_process: says whether two threads are of one process.
        invalidate: makes the kernel forget the attributes of a path, and says whether it has; it is
            called with `_lock` held, for a file that is not open.
        kept: returns the size that the kernel may have cached for long; None where it has none.
    """

    def __init__(
        self,
        caller: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
        same_process: Callable[[int, int], bool] = in_one_process,
        invalidate: Callable[[str], bool] = lambda path: False,
        kept: Callable[[str], int | None] = lambda path: None,
    ) -> None:
        self._caller = caller
        self._same_process = same_process
        self._invalidate = invalidate
        self._kept = kept
        self._clock = clock
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._sizes = GenerationalCache[str, _Size](MEMORY, clock)
        # By path: the size of the file that was opened last, and how many are open.
        self._open: dict[str, tuple[int, int]] = {}

    def start(self) -> RequestStart:
        """Return the start of a stat that begins now."""
        return RequestStart(self._clock(), next(self._numbers))

    def report(self, path: str, size: int, start: RequestStart, *, is_exact: bool = False) -> int:
        """Record that a size is reported to the kernel, and return the size to report.

        The size of an open handle takes precedence. A stat that began before another stat or an
        open, and ends after it, reports the size that the other one has reported, unless it has
        waited for the exact one meanwhile.

        Args:
            path: as the kernel passed it.
            size: in bytes.
            start: from `start`, taken before the size was looked up.
            is_exact: whether the size is no estimate.
        """
        with self._lock:
            last = self._last(path)
            if last is None or last.start < start:
                if path in self._open:
                    size, _ = self._open[path]
                last = self._put(path, size, start, last)
            elif is_exact and path not in self._open:
                last = self._put(path, size, self.start(), last)
            if last.replaced_at is not None and self._is_heard(last, start):
                last.informed.add(self._caller())
                if last.informed_at is None:
                    last.informed_at = self._clock()
            caller = self._caller()
            last.refused.discard(caller)
            last.receiver = caller if last.receiver in (None, caller) else 0
            return last.size

    def opened(self, path: str, size: int) -> Refusal | None:
        """Record that a file is open, unless the kernel has to look its path up before.

        Args:
            path: as the kernel passed it.
            size: of the open file, in bytes.

        Returns:
            None when it is open; `closed` has to be called then. Else what to do, and whether it
            will be open.
        """
        with self._lock:
            last = self._put(path, size, self.start(), self._last(path))
            others = self._open.get(path, (size, 0))[1]
            if self._is_certain(last):
                self._open[path] = size, others + 1
                return None
            caller = self._caller()
            if caller in last.refused:
                last.refused.discard(caller)
                self._open[path] = size, others + 1
                return Refusal(self._until_forgotten(last), final=False)
            if others:
                # From here on this size is reported, not that of an earlier handle.
                self._open[path] = size, others
            elif self._may_forget(last) and self._invalidate(path):
                last.settled_at, last.forgotten = self._clock(), True
            last.refused.add(caller)
            if last.forgotten and caller:
                return Refusal(0.0, final=True)
            return Refusal(max(0.0, last.settled_at + DELIVERY - self._clock()), final=True)

    def shown(self, path: str) -> Shown:
        """Return what the kernel may have shown to the caller by now.

        Args:
            path: as the kernel passed it.
        """
        with self._lock:
            last = self._last(path)
            if last is None:
                return Shown(None, False, False)
            is_recent, other_is_recent = map(self._may_be_cached, (last.at, last.replaced_at))
            informed = list(last.informed) if other_is_recent else []
        caller = self._caller()
        is_certain = any(self._same_process(caller, each) for each in informed)
        return Shown(last.size, is_recent, other_is_recent and not is_certain)

    def forget(self, path: str) -> None:
        """Make the kernel forget the attributes of a path that is gone, unless it is open."""
        with self._lock:
            if path not in self._open:
                self._invalidate(path)

    def closed(self, path: str) -> None:
        """Record that an open file was closed."""
        with self._lock:
            size, count = self._open.pop(path)
            if count > 1:
                self._open[path] = size, count - 1

    def _last(self, path: str) -> _Size | None:
        """Return the size that was reported last, where the kernel may still cache it."""
        last, now = self._sizes.get(path), self._clock()
        if last is not None and now - last.at < MEMORY:
            return last
        size = self._kept(path)
        return None if size is None else _Size(_LONG_AGO, size, now)

    def _may_be_cached(self, at: float | None) -> bool:
        """Say whether the kernel may still have a size that was reported at a time."""
        return at is not None and self._clock() < at + TIMEOUT + DELIVERY

    def _put(self, path: str, size: int, start: RequestStart, before: _Size | None) -> _Size:
        """Record a size as reported now; called with `_lock` held."""
        now = self._clock()
        if before is not None and before.size == size:
            last = before
            last.start, last.at = start, now
        else:
            last = _Size(start, size, now)
            if before is not None:
                last.replaced_at = before.at
                last.settled_at = -math.inf if self._has_arrived(before, now) else before.at
        self._sizes.put(path, last)
        return last

    def _has_arrived(self, last: _Size, now: float) -> bool:
        """Say whether the kernel has the last size by now; called with `_lock` held."""
        is_settled = last.replaced_at is None or now >= last.settled_at + DELIVERY
        return is_settled and bool(last.receiver) and last.receiver == self._caller()

    def _is_certain(self, last: _Size) -> bool:
        """Say whether the kernel certainly has the size; called with `_lock` held."""
        if last.replaced_at is None or self._caller() in last.informed:
            return True
        return last.informed_at is not None and self._clock() >= last.informed_at + DELIVERY

    def _is_heard(self, last: _Size, start: RequestStart) -> bool:
        """Say whether the kernel keeps the answer to this caller; called with `_lock` held.

        A thread whose open was refused after the kernel had been told began its request later.
        Id 0 may be any thread of another PID namespace.
        """
        caller = self._caller()
        if caller and last.forgotten and caller in last.refused:
            return True
        return start.at >= last.settled_at + DELIVERY

    def _may_forget(self, last: _Size) -> bool:
        """Say whether no answer is on its way that counts as heard; called with `_lock` held.

        The kernel would drop it, and the caller's open succeed with the other size.
        """
        return not last.forgotten and not last.refused and last.informed_at is None

    def _until_forgotten(self, last: _Size) -> float:
        """Return the seconds until the kernel has forgotten the other size."""
        if last.forgotten or last.replaced_at is None:
            return 0.0
        return max(0.0, last.replaced_at + TIMEOUT + DELIVERY - self._clock())
