"""Find the programs that read a file by the estimate of its size that stat has shown them.

The size of a clip that was never fetched is an estimate. A program that takes it for the size of
the clip reads so many bytes: its copy is cut, or padded, and no call has failed. Neither a fstat
after the open nor its absence tells such a program from others (libarchive calls it and keeps to
the first size; zip reads to the end without it). What tells them apart is the request itself: a
program that reads to the end asks for whole buffers until there is nothing left, and one that keeps
to the estimate cuts its last request so that it ends there. One that reads by the blocks of a disc
ends at the end of that block. What reads larger buffers, and cuts or pads what it has read, is not
found.

Threads: an `EstimateReader` may be used by any number at once; its state is one flag, which goes
from True to False. `ShownEstimates` has no lock of its own: `GenerationalCache` has one.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum
from typing import NamedTuple

from histfs.core.generational_cache import GenerationalCache
from histfs.core.size_estimate import BUFFER

#: The blocks of a disc. Programs that stop in the middle of a clip read larger buffers.
_BLOCK = 2048
#: Files whose estimates are remembered, in each of two generations.
_FILES = 16_384
#: Estimates of one file that are remembered: they change as more is learnt.
_EACH = 4


class ReadRequest(NamedTuple):
    """A read(2) or pread(2) of a program, as it has called it.

    Attributes:
        offset: in bytes.
        size: in bytes; the kernel may give fewer.
    """

    offset: int
    size: int

    @property
    def end(self) -> int:
        """The offset of the byte after the last one."""
        return self.offset + self.size


class ReadCount(NamedTuple):
    """What a thread has read.

    Attributes:
        size: in bytes.
        calls: of read(2) and the like.
    """

    size: int
    calls: int

    def since(self, before: ReadCount) -> ReadCount:
        """Return what the thread has read after it had read so much."""
        return ReadCount(self.size - before.size, self.calls - before.calls)


class Verdict(Enum):
    """What a request says of the program that sends it."""

    #: It may keep to the estimate: its next request is of interest, too.
    UNDECIDED = "undecided"
    #: It does not.
    RIGHT = "right"
    #: It takes the estimate for the size of the file.
    MISLED = "misled"


class EstimateReader:
    """Judges how one open file is read whose size was shown as an estimate before.

    Args:
        estimates: that stat has shown, in bytes.
        size: the exact size, in bytes.

    Attributes:
        estimates: those that are wrong.
        size: as given.
        may_be_misled: whether a request may still show that the program keeps to an estimate.
    """

    def __init__(self, estimates: Collection[int], size: int) -> None:
        self.size = size
        self.estimates = frozenset(estimates) - {size}
        self.may_be_misled = bool(self.estimates)

    def judge(self, request: ReadRequest) -> Verdict:
        """Judge a request of the program.

        A program is misled whose request ends at an estimate, has not the size of a buffer, and
        begins where requests of buffers end: at a multiple of one, or at the end of the file.

        Args:
            request: the next one; those between it and the last one need not be known.
        """
        if not self.may_be_misled:
            return Verdict.RIGHT
        aligned = request.offset % BUFFER == 0 or request.offset == self.size
        if request.size % BUFFER and aligned and request.end in self.estimates:
            return Verdict.MISLED
        if request.size % BUFFER or not aligned or request.end > max(self.estimates):
            self.may_be_misled = False
            return Verdict.RIGHT
        return Verdict.UNDECIDED

    def ended_at(self, read: ReadCount) -> int | None:
        """Return the estimate at which a program has stopped, before the end; None where it hasn't.

        Args:
            read: what the program has read between its open and its close.
        """
        if not 0 < read.size < self.size:
            return None
        if read.size % BUFFER:
            return read.size if read.size in self.estimates else None
        block = read.size // max(read.calls, 1)
        if block > _BLOCK or block % BUFFER or block * read.calls != read.size:
            return None
        return next((each for each in self.estimates if 0 <= read.size - each < block), None)


class ShownEstimates:
    """The estimates that stat has shown, by file."""

    def __init__(self) -> None:
        self._shown = GenerationalCache[int, tuple[int, ...]](float("inf"), max_entries=_FILES)

    def add(self, inode: int, size: int) -> None:
        """Remember an estimate.

        Args:
            inode: of the file.
            size: in bytes.
        """
        shown = self._shown.get(inode) or ()
        if size not in shown:
            self._shown.put(inode, (*shown[1 - _EACH :], size))

    def reader(self, inode: int, size: int) -> EstimateReader | None:
        """Return what judges the reader of a file; None where no wrong size of it was shown.

        Args:
            inode: of the file.
            size: the exact one, in bytes.
        """
        reader = EstimateReader(self._shown.get(inode) or (), size)
        return reader if reader.may_be_misled else None
