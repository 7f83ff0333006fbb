"""Find the programs that read a file by the estimate of its size that stat has shown them.

The size of a clip that was never fetched is an estimate. A program that takes it for the size of
the clip reads so many bytes: its copy is cut, or padded, and no call has failed. Neither a fstat
after the open nor its absence tells such a program from others (libarchive calls it and keeps to
the first size; zip reads to the end without it). What tells them apart is the request itself: a
program that reads to the end asks for whole buffers until there is nothing left, and one that keeps
to the estimate cuts its last request so that it ends there. One that reads by the blocks of a disc
ends at the end of that block.

One that asks its standard library for as many bytes as the estimate has is known by the buffers of
that: C and Python read the whole buffers at once, and what is left by one more; Perl fills one
buffer after the other. All of them stop at the end of a buffer. Buffers of other programs may end
there by chance, so the estimate has to be one of which that is unlikely (`buffered_estimate`), and
too small: reading as far as one that is too large gives all of the clip. What reads still larger
buffers, and cuts or pads what it has read, is not found.

Where the buffer ends in which an estimate lies, a program that looks at the head of a file may stop
as well. It does so in each file: a process that reads another clip to an end that lies further back
has read the first one by its estimate (`Suspicions`).

Threads: an `EstimateReader` may be used by any number at once; its state is one flag, which goes
from True to False. `ShownEstimates` and `Suspicions` have no lock of their own: `GenerationalCache`
has one. Of what two threads of a process note at the same moment one may be lost.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable
from enum import Enum
from typing import NamedTuple

from histfs.core.generational_cache import GenerationalCache
from histfs.core.size_estimate import BUFFER

#: The blocks of a disc. Programs that stop in the middle of a clip read larger buffers.
_BLOCK = 2048
#: The buffers of standard libraries: the block that stat tells, for C and Python; Perl's.
_PAGE, _PERL = 4096, 8192
#: Where programs read by an estimate in parts, these are multiples of so many bytes.
_PART = 16_384
#: Buffers have fewer pages, or so many times 2^n.
_RARE = 7
#: Numbers of pages of small estimates, that no buffer is known to have.
_FEW_PAGES = (11, 7, 3)
#: Files whose estimates are remembered, in each of two generations.
_FILES = 16_384
#: Estimates of one file that are remembered: they change as more is learnt.
_EACH = 4
#: Processes whose reading is remembered, in each of two generations.
_PROCESSES = 256
#: How many bytes of the last clips a process has read that it did not read to the end.
_HEADS = 8


def _is_rare(pages: int) -> bool:
    """Say whether programs hardly have a buffer of so many pages, or read so many and no more."""
    return pages % 5 != 0 and pages // (pages & -pages) >= _RARE


def _has_no_buffer(pages: int) -> bool:
    """Say whether buffers of 2^n, 3 or 5 times 2^n pages never end after so many, an odd number."""
    return pages in _FEW_PAGES or (pages % 2 != 0 and pages % 3 != 0 and _is_rare(pages))


def buffered_estimate(size: int) -> int | None:
    """Return an estimate of which a program that reads by it is found, with buffers or without.

    Args:
        size: in bytes; no multiple of BUFFER. The estimate is smaller by a page at the least.

    Returns:
        None where the size is too small for that.
    """
    most = size // _PAGE - 1
    for pages in range(most, 2 * _RARE - 2, -1):
        if _has_no_buffer(pages) and _is_rare(pages + 1):
            return pages * _PAGE + size % _PAGE
    # What fills one buffer after the other is not found by these.
    found = next((pages for pages in _FEW_PAGES if pages <= most), None)
    return None if found is None else found * _PAGE + size % _PAGE


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
        if self._is_buffered(request):
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
        pages, rest = divmod(read.size, _PAGE)
        block = read.size // max(read.calls, 1)
        if rest == 0 and _is_rare(pages):
            block = _PERL  # whatever was read before the last buffer
        elif rest == 0 and pages - 1 in _FEW_PAGES and read.calls & (read.calls - 1):
            block = _PAGE  # they had not one size: what looks at the head reads by one
        elif block > _BLOCK or block % BUFFER or block * read.calls != read.size:
            return None
        return next((each for each in self.estimates if 0 <= read.size - each < block), None)

    def may_have_ended_at(self, read: ReadCount) -> int | None:
        """Return the estimate in whose buffer a program has stopped before the end, or None.

        It may be chance.

        Args:
            read: what the program has read between its open and its close.
        """
        if not 0 < read.size < self.size:
            return None
        block = read.size // max(read.calls, 1)
        if block * read.calls != read.size:
            block = _PAGE  # whole buffers at once, and what was left by one more
        # C++ keeps a byte of its buffer for itself.
        if block > _PERL or read.size % block or block % BUFFER not in (0, BUFFER - 1):
            return None
        return next((each for each in self.estimates if 0 <= read.size - each < block), None)

    def _is_buffered(self, request: ReadRequest) -> bool:
        """Say whether a program reads the whole buffers of an estimate that is too small."""
        if request.size % _PAGE or request.size == _PAGE or request.offset % _PART:
            return False
        return _has_no_buffer(request.end // _PAGE) and any(
            each - each % _PAGE == request.end and self.size - each >= _PAGE
            for each in self.estimates
        )


class CutClip(NamedTuple):
    """A clip that a program seems to have read by an estimate.

    Attributes:
        name: of the file.
        estimate: in bytes.
        end: where it has stopped, in bytes.
        size: the exact one, in bytes.
    """

    name: str
    estimate: int
    end: int
    size: int


class _Reading(NamedTuple):
    """How a process reads clips of which a wrong size was shown.

    Attributes:
        whole: the size of the largest one that it has read to the end, in bytes.
        heads: where it has stopped last, where no estimate lies.
        cut: the one that it seems to have read by its estimate, as far back as possible.
    """

    whole: int = 0
    heads: tuple[int, ...] = ()
    cut: CutClip | None = None


class Suspicions:
    """Finds the processes that stop in the buffer of an estimate, and read other clips further.

    One that stops at the same byte of a clip whose estimate is another one reads so much of each.
    """

    def __init__(self) -> None:
        self._readings = GenerationalCache[Hashable, _Reading](math.inf, max_entries=_PROCESSES)

    def note(
        self, process: Hashable, name: str, reader: EstimateReader, read: ReadCount
    ) -> CutClip | None:
        """Note what a process has read of a clip; return one that it has read by an estimate.

        Args:
            process: its identity.
            name: of the file.
            reader: judges its requests.
            read: what was read between the open and the close.
        """
        whole, heads, cut = self._readings.get(process) or _Reading()
        estimate = reader.may_have_ended_at(read)
        if estimate is not None:
            if cut is None or read.size < cut.end:
                cut = CutClip(name, estimate, read.size, reader.size)
        elif read.size == reader.size:
            whole = max(whole, reader.size)
        elif 0 < read.size < reader.size:
            heads = (*heads[1 - _HEADS :], read.size)
        else:
            return None
        if cut is not None and cut.end in heads:
            cut = None
        self._readings.put(process, _Reading(whole, heads, cut))
        return cut if cut is not None and cut.end < whole else None


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
