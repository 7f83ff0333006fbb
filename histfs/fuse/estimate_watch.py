"""Let the programs fail that read a clip by the estimate of its size, in place of a wrong copy.

A file whose size was shown as an estimate is watched while it is open, until its reader shows that
it reads to the end (`histfs.core.estimate_readers`). Each of its read(2) has to be seen for that,
those that the kernel would answer from its cache, too: where libfuse allows it (3, not 2), the
kernel caches no attributes meanwhile, so that it asks for those of the open file before each read.
That slows down every walk of the mount, and lasts no longer than TIMEOUT after the last request: an
answer that is not cached stays so until the next one, and a request that comes later is seen.

A request that ends at the estimate fails with EIO. Where requests can't be seen, or not all of
them, it counts what the thread has read when it closes the file.

libarchive reads whole buffers, and cuts or pads what it has read. It opens each file twice: first
for its flags and holes, without a read. A process that has it in memory and does that is found when
it opens the file for the second time.

Some programs write zeros in place of what they can't read, and exit with status 0. So the close(2)
of such a file fails, too, and each open(2) of the next one that its process opens. After that stat
shows exact sizes to the process, and to other processes of the program.

Threads: any number at once. `_lock` guards the table of processes, the set of watched files, the
files that were closed without a read and whether attributes are cached; no other lock is taken
while it is held.
"""

from __future__ import annotations

import errno
import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from histfs.core.estimate_readers import (
    EstimateReader,
    ReadCount,
    ReadRequest,
    ShownEstimates,
    Suspicions,
    Verdict,
)
from histfs.core.names import without_words
from histfs.core.programs import Process
from histfs.core.waiting import estimate_suffices
from histfs.fuse.calling_programs import process_of
from histfs.fuse.read_requests import read_count, read_proc, read_request
from histfs.fuse.reported_sizes import TIMEOUT

#: Seconds for which the opens of one file fail: libarchive opens each file twice.
_FAILING = 5.0
#: Misled processes that are remembered, and threads that have closed a file without a read; the
#: oldest is forgotten.
_PROCESSES = 256
#: The library of bsdtar and bsdcpio, as it is named in the memory map of a process.
_LIBARCHIVE = "/libarchive.so"

log = logging.getLogger(__name__)


class ProcessId(NamedTuple):
    """A process; ids are used again, and the moment of its start is not."""

    number: int
    started: str


def process_id(thread: int) -> ProcessId | None:
    """Return the process of a thread; None where it can't be seen.

    Args:
        thread: its id.
    """
    try:
        # The name of the program comes before it, without a newline of its own.
        number = int(read_proc(f"/proc/{thread}/status").partition(b"\nTgid:")[2].split(None, 1)[0])
        # The name before the last ")" may hold spaces; the start is the 22nd field of proc(5).
        fields = read_proc(f"/proc/{number}/stat").rpartition(b")")[2]
        return ProcessId(number, fields.split()[19].decode())
    except (OSError, IndexError):
        return None


def uses_libarchive(thread: int) -> bool:
    """Say whether libarchive is in the memory of a thread's process.

    Args:
        thread: its id.
    """
    try:
        return _LIBARCHIVE in Path("/proc", str(thread), "maps").read_text(errors="replace")
    except OSError:
        return False


@dataclass(eq=False, slots=True)
class WatchedFile:
    """An open file whose size was shown as an estimate.

    Attributes:
        path: under which it was opened.
        reader: judges its requests.
        thread: that opened it.
        had_read: what that thread had read before; None where it can't be seen.
        until: when a request is expected no more, in seconds.
        failed: whether a read has failed, as it ended at the estimate.
    """

    path: str
    reader: EstimateReader
    thread: int
    had_read: ReadCount | None
    until: float
    failed: bool = False


@dataclass(slots=True)
class _Misled:
    """A process that has read a file by an estimate.

    Attributes:
        path: of the file whose opens fail; None until it opens another one.
        until: when they fail no more, in seconds.
    """

    path: str | None = None
    until: float = math.inf


class EstimateWatch:
    """Watches the readers of files whose sizes were shown as estimates.

    Args:
        caller: returns the id of the thread whose call is served.
        cache_attributes: tells the kernel from the next answer on whether to cache attributes.
        learn: takes the names of a misled process.
        clock: seconds, monotonic.
        request: returns what a thread has asked to read.
        count: returns what a thread has read.
        process: returns the process of a thread.
        archives: says whether libarchive is in the memory of a thread's process.
    """

    def __init__(
        self,
        caller: Callable[[], int],
        cache_attributes: Callable[[bool], None],
        learn: Callable[[Process], None],
        clock: Callable[[], float] = time.monotonic,
        *,
        request: Callable[[int], ReadRequest | None] = read_request,
        count: Callable[[int], ReadCount | None] = read_count,
        process: Callable[[int], ProcessId | None] = process_id,
        archives: Callable[[int], bool] = uses_libarchive,
    ) -> None:
        self._caller = caller
        self._cache_attributes = cache_attributes
        self._learn = learn
        self._clock = clock
        self._request = request
        self._count = count
        self._process = process
        self._archives = archives
        self._shown = ShownEstimates()
        self._suspicions = Suspicions()
        self._lock = threading.Lock()
        self._watched: set[WatchedFile] = set()
        # By thread: the file that it has closed last, where it has not read it.
        self._unread: dict[int, str] = {}
        # The misled processes, the one that was found first in front.
        self._misled: dict[ProcessId, _Misled] = {}

    def shown(self, inode: int, size: int) -> None:
        """Note that stat shows an estimate.

        Args:
            inode: of the file.
            size: in bytes.
        """
        self._shown.add(inode, size)

    def expire(self) -> None:
        """Have attributes cached again if nothing is read any more; called often."""
        if self._watched:
            with self._lock:
                self._update()

    def is_misled(self) -> bool:
        """Say whether the calling process has taken an estimate for the size of a file."""
        if not self._misled:
            return False
        process = self._process(self._caller())
        return process is not None and process in self._misled

    def fail_if_owed(self, path: str) -> None:
        """Fail the next open of a process that has read another file by an estimate.

        Args:
            path: that it opens.

        Raises:
            OSError: EIO.
        """
        if not self._misled:
            return
        process = self._process(self._caller())
        with self._lock:
            misled = None if process is None else self._misled.get(process)
            if misled is None or process is None or self._clock() >= misled.until:
                return
            if misled.path is None:
                misled.path, misled.until = path, self._clock() + _FAILING
            if misled.path != path:
                return
        log.warning(
            "open %r fails: an earlier copy of process %d is wrong, see above",
            without_words(path),
            process.number,
        )
        raise _misled()

    def opening(
        self,
        path: str,
        inode: int,
        size: int,
        gets_exact: Callable[[], bool] = estimate_suffices,
    ) -> WatchedFile | None:
        """Begin to watch a file before it is open; None where no wrong size of it was shown.

        Where the open fails, nothing else has to be called.

        Args:
            path: under which it is opened.
            inode: of the file.
            size: the exact one, in bytes.
            gets_exact: says whether stat shows exact sizes to the caller.

        Raises:
            OSError: EIO, the caller takes an estimate for the size of the file.
        """
        reader = self._shown.reader(inode, size)
        if reader is None:
            return None
        thread, until = self._caller(), self._clock() + TIMEOUT
        if self._unread.get(thread) == path and self._archives(thread) and not gets_exact():
            self._found(path, thread, max(reader.estimates), size)
        file = WatchedFile(path, reader, thread, self._count(thread), until)
        with self._lock:
            # The last open of this thread may have failed: the kernel opens again after ESTALE. A
            # file that is open is watched again with its next request.
            self._watched -= {
                each for each in self._watched if (each.thread, each.path) == (thread, path)
            }
            self._watched.add(file)
            self._update()
        return file

    def check(self, file: WatchedFile | None) -> None:
        """Check what the caller has asked to read, before it gets it.

        Raises:
            OSError: EIO, the caller takes an estimate for the size of the file.
        """
        if file is None or not file.reader.may_be_misled:
            return
        thread = self._caller()
        request = self._request(thread)
        if request is None:
            return
        verdict = file.reader.judge(request)
        if verdict is Verdict.MISLED:
            file.failed = True
            self._found(file.path, thread, request.end, file.reader.size)
        with self._lock:
            if verdict is Verdict.RIGHT:
                self._watched.discard(file)
            else:
                file.until = self._clock() + TIMEOUT
                self._watched.add(file)
            self._update()

    def flushed(self, file: WatchedFile | None) -> None:
        """Check what the caller has read of a file that it closes.

        Raises:
            OSError: EIO, it has stopped at an estimate, or a read of it has failed for that.
        """
        if file is None:
            return
        if file.failed:
            raise _misled()
        if file.had_read is None:
            return
        thread = self._caller()
        now = self._count(thread) if thread == file.thread else None
        if now is None:
            return
        read = now.since(file.had_read)
        with self._lock:
            self._unread.pop(thread, None)
            if not read.calls:
                self._unread[thread] = file.path
                if len(self._unread) > _PROCESSES:
                    del self._unread[next(iter(self._unread))]
        ended = file.reader.ended_at(read)
        if ended is not None:
            self._found(file.path, thread, ended, file.reader.size)
        cut = self._suspicions.note(self._process(thread), file.path, file.reader, read)
        if cut is not None:
            self._found(cut.name, thread, cut.estimate, cut.size)

    def closed(self, file: WatchedFile | None) -> None:
        """Note that a file is not open any more."""
        if file is not None:
            with self._lock:
                self._watched.discard(file)
                self._update()

    def _update(self) -> None:
        """Let the kernel cache attributes unless a file is read; called with `_lock` held."""
        now = self._clock()
        self._watched = {file for file in self._watched if now < file.until}
        self._cache_attributes(not self._watched)

    def _found(self, path: str, thread: int, estimate: int, size: int) -> None:
        """Note a misled process, and fail its call."""
        process = process_of(thread)
        log.warning(
            "%s (process %d) ends %r at %d bytes, an estimate that stat has shown; it has %d. Its"
            " copy is wrong, and fails. From now on it is an archiver: see --programs",
            "?" if process is None else process.name,
            thread,
            without_words(path),
            estimate,
            size,
        )
        if process is not None:
            self._learn(process)
        identity = self._process(thread)
        if identity is not None:
            with self._lock:
                self._misled[identity] = _Misled()
                if len(self._misled) > _PROCESSES:
                    del self._misled[next(iter(self._misled))]
        raise _misled()


def _misled() -> OSError:
    return OSError(errno.EIO, "the size that stat has shown was an estimate")
