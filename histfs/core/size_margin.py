"""Learn how far the estimates of sizes are wrong, and how much larger a clip may thus be.

A program that keeps to a size that is too small writes a cut copy, and no call has failed. One that
keeps to a size that is too large comes to the end before: most programs report that. So stat shows
a size that a clip hardly exceeds, and that is more than a page of memory too large: a program that
maps the clip meets SIGBUS in place of zeros.

Clips of one format, model, source and voice are estimated alike. What is learnt of them is kept for
the last ones, so that an encoder that has changed is followed.

Threads: any number at once. `GenerationalCache` has its own lock; of two ratios that two threads
learn at the same moment one may be lost.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

from histfs.core.generational_cache import GenerationalCache
from histfs.core.size_estimate import unlike_buffers

#: What a clip may be larger than the only one that is known, or than an estimate that nothing is
#: known of: twice. As a logarithm, as all ratios here.
_DOUBT = math.log(2)
#: No estimate is shown that is more than so many times larger.
_LARGEST = math.log(256)
#: A clip is odd that is so many times larger than all of so many others, or smaller: it says
#: nothing of them.
_ODD, _OTHERS = math.log(4), 7
#: Margins are rounded up to 16 steps between 1 and 2: what stat shows changes rarely.
_STEP = _DOUBT / 16
#: Ratios that are remembered of clips that are alike.
_WINDOW = 64
#: Of a voice with fewer clips the others say more.
_FEW = 4
#: Kinds of clips, in each of two generations.
_KINDS = 1024
#: The likely size is so many times larger than a size that the clip hardly falls below, at most.
_LEAST = 8
#: At least as large as a page of memory where programs map files.
_PAGE = 4096


class Likeness(NamedTuple):
    """What clips have in common whose sizes are estimated equally well.

    Attributes:
        format: the declared formats.
        origin: stands for model and source.
        voice: stands for the voices.
    """

    format: str
    origin: str = ""
    voice: str = ""


class _Ratios(NamedTuple):
    """The sizes of clips by their estimates, as logarithms.

    Attributes:
        last: of the last clips.
        mean: of these.
        largest: of these, but for an odd one.
        smallest: of these, but for an odd one.
    """

    last: tuple[float, ...]
    mean: float
    largest: float
    smallest: float

    @property
    def doubt(self) -> float:
        """How much more the next clip may be; the less, the more clips are known."""
        return _DOUBT / math.sqrt(len(self.last))

    def towards(self, sign: int) -> float:
        """Return the largest ratio, or the negative of the smallest one."""
        return self.largest if sign > 0 else -self.smallest


class SizeMargins:
    """What is known of the errors of estimates."""

    def __init__(self) -> None:
        self._ratios = GenerationalCache[Hashable, _Ratios](math.inf, max_entries=_KINDS)
        # Each factor with what stood for the ratios that it was made of.
        self._factors = GenerationalCache[tuple[Likeness, int], tuple[object, float]](
            math.inf, max_entries=_KINDS
        )
        self._state = object()

    def learn(self, likeness: Likeness, estimate: int, size: int) -> None:
        """Note the size of a clip that has come.

        Args:
            likeness: of the clip.
            estimate: in bytes, by its item alone.
            size: exact, in bytes.
        """
        ratio = math.log(max(size, 1) / max(estimate, 1))
        for kind in (likeness, likeness[:2], likeness[:1]):
            before = self._ratios.get(kind)
            last = (*(before.last[1 - _WINDOW :] if before else ()), ratio)
            mean = math.fsum(last) / len(last)
            ordered = sorted(last)
            self._ratios.put(kind, _Ratios(last, mean, _largest(ordered), _smallest(ordered)))
        self._state = object()

    def expected(self, likeness: Likeness, estimate: int) -> int:
        """Return the likely size of a clip in bytes.

        Args:
            likeness: of the clip.
            estimate: in bytes, by its item alone.
        """
        kinds = (likeness, likeness[:2], likeness[:1])
        known = next((found for kind in kinds if (found := self._ratios.get(kind))), None)
        return max(1, round(estimate * math.exp(known.mean))) if known else estimate

    def upper(self, likeness: Likeness, estimate: int) -> int:
        """Return a size in bytes that a clip hardly exceeds, and no multiple of a buffer's.

        Args:
            likeness: of the clip.
            estimate: in bytes, by its item alone.
        """
        return unlike_buffers(math.ceil(estimate * self._factor(likeness, 1)) + _PAGE)

    def lower(self, likeness: Likeness, estimate: int) -> int:
        """Return a size in bytes that a clip hardly falls below, and no multiple of a buffer's.

        It is no less than an eighth of the likely size, where estimates are bad, too: a program
        that reads by a few bytes can't be told from one that looks at the head.

        Args:
            likeness: of the clip.
            estimate: in bytes, by its item alone.
        """
        lower = math.floor(estimate / self._factor(likeness, -1))
        return unlike_buffers(max(1, lower, self.expected(likeness, estimate) // _LEAST))

    def _factor(self, likeness: Likeness, sign: int) -> float:
        """Return how many times larger a clip may be, or smaller, rounded; see `_margin`."""
        state = self._state
        known = self._factors.get((likeness, sign))
        if known is not None and known[0] is state:
            return known[1]
        factor = self._new_factor(likeness, sign)
        self._factors.put((likeness, sign), (state, factor))
        return factor

    def _new_factor(self, likeness: Likeness, sign: int) -> float:
        margin = math.ceil(self._margin(likeness, sign) / _STEP) * _STEP
        return math.exp(min(margin, _LARGEST))

    def _margin(self, likeness: Likeness, sign: int) -> float:
        """Return the logarithm of how many times larger than its estimate a clip may be.

        Args:
            likeness: of the clip.
            sign: -1 for how many times smaller.
        """
        own, others = self._ratios.get(likeness), self._ratios.get(likeness[:2])
        if others is None:
            # Where the model or the source is another one, an estimate may be wrong for a reason
            # that no known clip has.
            alike = self._ratios.get(likeness[:1])
            return _DOUBT if alike is None else max(_DOUBT, alike.towards(sign) + alike.doubt)
        margin = others.towards(sign) + others.doubt
        if own is None:
            return margin
        # Voices differ in their speed: those of others say how much, not how fast.
        most = own.towards(sign)
        if len(own.last) < _FEW:
            return max(margin, most + others.doubt)
        return min(most + own.doubt, max(margin, most + others.doubt))


def _largest(ordered: Sequence[float]) -> float:
    """Return the largest ratio, unless it is that of an odd clip."""
    is_odd = len(ordered) > _OTHERS and ordered[-1] - ordered[-2] > _ODD
    return ordered[-2] if is_odd else ordered[-1]


def _smallest(ordered: Sequence[float]) -> float:
    """Return the smallest ratio, unless it is that of an odd clip."""
    is_odd = len(ordered) > _OTHERS and ordered[1] - ordered[0] > _ODD
    return ordered[1] if is_odd else ordered[0]


def above_header(size: int) -> int:
    """Return a size in bytes that a clip hardly exceeds whose own header tells its size.

    Args:
        size: in bytes; tags at the end may not be counted.
    """
    return unlike_buffers(size + _PAGE)
