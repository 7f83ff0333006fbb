"""Sizes that the server tells without sending the clip, where it does so and is right.

Whether it does is tried once a mount, on a clip that has come whole: what the server tells of it
has to be the number of bytes that came. It is tried when that is worth a request: a stat has to
give an exact size, sizes are collected, or a clip without a length took long, for whose last byte
an open waits. From then on a size costs one small request. A walk is recognised by a clip that
follows another one by date; the sizes of the next ones are asked for at the same time. A told size
that turns out to be wrong ends this until the next mount.

Threads: any number at once. The requests are made by the threads of the pool, and by those that
call `ask`. `_lock` guards that one trial is made; the other flags change once, and a thread that
sees the old value does as if sizes weren't told. No lock is held during a request.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from enum import Enum
from functools import partial

from histfs.audio.size_registry import SizeRegistry
from histfs.core.audio_store import Following
from histfs.core.errors import Interrupted, SourceError
from histfs.core.generational_cache import GenerationalCache
from histfs.core.item import Item
from histfs.core.limiter import prioritised
from histfs.core.single_flight import SingleFlight
from histfs.core.source import Source, audio_size_of
from histfs.core.waiting import Waiter, never

#: Clips after one of which any counts as the next in a walk: sizes of some may be known.
_NEXT = 8
#: Clips that are remembered as such, and that come without a length.
_REMEMBERED = 1024
#: Seconds that a clip takes from its first byte to its last one where an open should not wait.
_SLOW = 1.0

log = logging.getLogger(__name__)


class _Trust(Enum):
    """What is known of the sizes that the server tells."""

    UNTRIED = "untried"
    TRIED = "being tried"
    GIVEN = "right"
    REFUSED = "not told, or wrong"


class ToldSizes:
    """Asks the server for the sizes of clips.

    Args:
        source: tells sizes, if its traits say so.
        sizes: gets what is told.
        flights: runs the requests.
        following: returns the clips that follow one by date.
        ahead: how many clips of a walk are asked about before their stat.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        source: Source,
        sizes: SizeRegistry,
        *,
        flights: SingleFlight,
        following: Following,
        ahead: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._sizes = sizes
        self._flights = flights
        self._following = following
        self._ahead = ahead
        self._clock = clock
        self._lock = threading.Lock()
        self._trust = _Trust.UNTRIED if source.traits.audio_sizes else _Trust.REFUSED
        self._are_needed = False
        self._lack_lengths = False
        self._next = GenerationalCache[str, bool](math.inf, max_entries=_REMEMBERED)
        # When clips without a length began to come.
        self._began = GenerationalCache[str, float](math.inf, max_entries=_REMEMBERED)

    def note_no_length(self, item: Item) -> None:
        """Note that a clip begins to come, without its length."""
        self._lack_lengths = True
        self._began.put(item.key, self._clock())

    def size(self, item: Item, waiter: Waiter) -> int | None:
        """Return the exact size of a clip for a stat; None where the server can't tell it.

        Raises:
            CacheFailed, NoSpace: the catalog can't be read.
            Interrupted, DeadlineExceeded: the wait ended first.
        """
        self._are_needed = True
        if not self._are_told_of(item):
            return None
        self._ask_ahead(item)
        return waiter.result(self._asked(item))

    def when_told(self, item: Item, tell: Callable[[int], None]) -> None:
        """Call a function with the size of a clip that comes without, as soon as it is told."""
        if not (self._lack_lengths and self._are_told_of(item)):
            return

        def done(future: Future[int | None]) -> None:
            size = None if future.cancelled() or future.exception() else future.result()
            if size is not None:
                tell(size)

        self._asked(item).add_done_callback(done)

    def ask(self, item: Item) -> int | None:
        """Return the exact size of a clip, in the calling thread; it is known from then on.

        Returns:
            None where the server doesn't tell it, or doesn't answer.

        Raises:
            CacheFailed, NoSpace: the catalog can't be read.
        """
        self._are_needed = True
        if not self._are_told_of(item):
            return None
        known = self._sizes.exact(item)
        if known is not None:
            return known
        try:
            told = audio_size_of(self._source, item.id)
        except SourceError as error:
            log.info("the server doesn't tell the size of %s: %s", item.key, error)
            return None
        # The clip itself may have come meanwhile.
        known = self._sizes.exact(item)
        if known is None:
            self._sizes.learn(item, told, None)
        return known or told

    def came(self, item: Item, size: int, before: int | None) -> None:
        """Compare what is told with a clip that has come whole.

        Args:
            item: whose clip.
            size: in bytes.
            before: the exact size that was known before.
        """
        if before not in (None, size):
            self.distrust()
        began = self._began.get(item.key)
        if began is not None and self._clock() - began >= _SLOW:
            self._are_needed = True
        if item.attachment is not None or not self._are_needed:
            return
        with self._lock:
            if self._trust is not _Trust.UNTRIED:
                return
            self._trust = _Trust.TRIED
        with contextlib.suppress(Interrupted):
            self._flights.submit(None, partial(self._try, item, size))

    def distrust(self) -> None:
        """Ask for no more sizes: one was told wrong, or its clip has changed since."""
        self._trust = _Trust.REFUSED
        self._sizes.forget_unverified()

    def _try(self, item: Item, size: int) -> None:
        trust = _Trust.REFUSED
        try:
            told = audio_size_of(self._source, item.id)
            if told == size:
                trust = _Trust.GIVEN
                log.info("the server tells sizes without sending the clips")
            else:
                log.warning(
                    "the server tells that the audio of %s has %d bytes, but %d came: such sizes"
                    " are not used",
                    item.key,
                    told,
                    size,
                )
        except SourceError as error:
            log.info("the server tells no sizes: %s", error)
        finally:
            self._trust = trust

    def _are_told_of(self, item: Item) -> bool:
        return self._trust is _Trust.GIVEN and item.attachment is None

    def _asked(self, item: Item) -> Future[int | None]:
        return self._flights.submit(item.key, partial(self.ask, item))

    def _ask_ahead(self, item: Item) -> None:
        after = self._following(item, None, max(_NEXT, self._ahead))
        is_walk = self._next.get(item.key)
        self._next.put_all({each.key: True for each in after[:_NEXT]})
        if is_walk:
            for each in after[: self._ahead]:
                if self._sizes.exact(each) is None:
                    self._flights.submit(each.key, partial(self._ask_unhurried, each))

    def _ask_unhurried(self, item: Item) -> int | None:
        with prioritised(never):
            return self.ask(item)
