"""Finds out early that downloads share no bottleneck: the rate of one alone, and of several.

A server may limit each answer, and not the link. While a download that a reader waits for comes
alone, its rate is measured; then others read beside it for a moment. Where they bring much more
together, none needs to stop for another one. Where they don't, this says nothing: `_Rates` of
`link_share` measures longer, and decides.

The reader pays for that moment on a link that is shared. So it ends soon where they bring nothing,
and there is none while a download runs whose reader has left it: somebody skips through clips, and
waits for each.

Threads: `LinkShare._changed` guards all state.
"""

from __future__ import annotations

#: Seconds of a window in which the rate of one alone is measured; the best one counts.
_WINDOW = 0.3
#: Seconds before several are measured, as what the kernel has received while they were stopped
#: comes at once; those in which they are; and those after which all trials end in vain.
_SETTLING, _MEASURED, _IN_VAIN = 0.3, 0.5, 0.2
#: Seconds of all trials together, after which there is none any more, and between one that was not
#: clear and the next one.
_BUDGET, _APART = 2.0, 2.0
#: The share of the rate that each one more must bring, up to a factor of all together.
_EACH_BRINGS, _MOST = 0.35, 2.0
#: The factor below which all together bring no more than one.
_NO_MORE = 1.15
#: The most seconds between two pieces that are counted: in a longer pause nothing was to come.
_PAUSE = 0.3


class EarlyTrial:
    """Measures whether downloads bring more together than one alone.

    Attributes:
        is_running: whether none may stop at present.
        is_over: whether there is no trial any more.
        brings_more: whether several brought much more than one.
    """

    def __init__(self) -> None:
        self.is_running = self.is_over = self.brings_more = False
        self._best = 0.0
        self._seconds = self._received = 0.0
        self._last: float | None = None
        self._began = 0.0
        self._not_before = float("-inf")
        self._used = 0.0

    def note(self, now: float, received: int, flowing: int, *, stopped: bool, fair: bool) -> None:
        """Note received bytes.

        Args:
            now: seconds, monotonic.
            received: bytes since the last call.
            flowing: downloads whose bytes come.
            stopped: whether others are stopped.
            fair: whether a reader waits for one of them, and none was left by its reader.
        """
        if self.is_over:
            return
        elapsed = 0.0 if self._last is None else now - self._last
        self._last = now
        if self.is_running:
            self._used += elapsed
        may_run = fair and self._best > 0 and (flowing > 1 or stopped) and now >= self._not_before
        if may_run != self.is_running:
            self.is_running, self._began = may_run, now
            self._restart()
        elif may_run:
            if flowing > 1 and now - self._began > _SETTLING and elapsed <= _PAUSE:
                self._count(elapsed, received)
                self._compare(now, flowing)
        elif fair and flowing == 1 and not stopped and elapsed <= _PAUSE:
            self._count(elapsed, received)
            if self._seconds >= _WINDOW:
                self._best = max(self._best, self._received / self._seconds)
                self._restart()
        else:
            self._restart()
        if self._used > _BUDGET:
            self.is_over, self.is_running = True, False

    def _compare(self, now: float, flowing: int) -> None:
        factor = min(_MOST, 1 + _EACH_BRINGS * (flowing - 1))
        gain = self._received / (self._best * self._seconds) if self._seconds else factor
        is_vain = self._seconds >= _IN_VAIN and gain < _NO_MORE
        if self._seconds < _MEASURED and not is_vain:
            return
        self.brings_more = gain >= factor
        self.is_over, self.is_running = self.brings_more or is_vain, False
        self._not_before = now + _APART
        self._restart()

    def _count(self, elapsed: float, received: int) -> None:
        self._seconds += elapsed
        self._received += received

    def _restart(self) -> None:
        self._seconds = self._received = 0.0
