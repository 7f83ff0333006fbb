"""Finds out whether the server still has an item when the answer to its DELETE leaves that open.

A single answer proves nothing: an error status may follow a successful delete, a proxy answers 404
to every address, a list may be stale. So two answers are combined: a GET of the item, and a list
that was requested after the DELETE.

    GET of the item    list         verdict
    =================  ===========  ==========================================
    has it             has it       `Verdict.THERE`
    404                lacks it     `Verdict.GONE`
    fails              lacks it     `Verdict.GONE` if the DELETE got a 404, too
    anything else                   `Verdict.UNKNOWN`

Threads: any number at once; there is no state.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from histfs.core.errors import HistfsError, Missing, NotComplete
from histfs.core.index import Index
from histfs.core.item import Item
from histfs.core.source import Source
from histfs.core.times import Span
from histfs.core.waiting import Waiter

#: Seconds before which a list must come.
CONFIRM_TIMEOUT = 30.0
#: Attempts to get a list that is new enough.
_ATTEMPTS = 3

log = logging.getLogger(__name__)


class Verdict(Enum):
    """What the answers prove together."""

    THERE = "there"
    GONE = "gone"
    UNKNOWN = "unknown"


class Evidence(NamedTuple):
    """The server's answers about one item.

    Attributes:
        got: whether the GET returned it; None if the GET failed in another way than 404.
        listed: whether a list has it; None if no list could be had, or none would prove anything.
        missing: whether another request for the item was answered with 404.
        error: how the GET failed; None if it didn't.
    """

    got: bool | None
    listed: bool | None
    missing: bool = False
    error: HistfsError | None = None

    @property
    def verdict(self) -> Verdict:
        """What the answers prove together."""
        if self.got and self.listed:
            return Verdict.THERE
        absent = self.got is False or (self.got is None and self.missing)
        return Verdict.GONE if absent and self.listed is False else Verdict.UNKNOWN


def gather(
    source: Source, item_id: str, listed: Callable[[], bool], missing: bool = False
) -> Evidence:
    """Ask the server about an item; an answer that fails is None in the evidence.

    Args:
        source: the item's source.
        item_id: the API's own id.
        listed: says whether a list has the item; may raise `HistfsError`.
        missing: whether another request for the item was answered with 404.
    """
    got: bool | None = None
    failure = None
    try:
        source.get(item_id)
        got = True
    except Missing:
        got = False
    except HistfsError as error:
        log.info("item %s can't be requested: %s", item_id, error)
        failure = error
        if not missing:
            return Evidence(None, None, error=error)  # no list would prove anything
    try:
        return Evidence(got, listed(), missing, failure)
    except HistfsError as error:
        log.info("whether item %s is listed is not known: %s", item_id, error)
        return Evidence(got, None, missing, failure)


def is_listed(
    index: Index,
    key: str,
    date: int,
    *,
    after: float,
    stale: Item | None = None,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Say whether a new list of the source has an item.

    Args:
        index: requests the list.
        key: the item's key.
        date: the item's date, in seconds since the epoch.
        after: the list must have been requested after this moment, in seconds since the epoch.
        stale: the item, to request its time again; None if a fresh listing will do.
        clock: seconds since the epoch.
        sleep: sleeps for a number of seconds.

    Raises:
        HistfsError: the list can't be had.
    """
    span, waiter = Span(date, date + 1), Waiter(CONFIRM_TIMEOUT)
    for attempt in range(_ATTEMPTS):
        if attempt:
            # Coverage of the same second is merged, with the older time: wait for the next second.
            sleep(1 - clock() % 1)
        if stale is not None:
            index.invalidate(stale)
        index.ensure(span, waiter)
        # A single flight may have shared an answer that was requested before.
        if index.asked_after(span, after):
            return index.find(key, date) is not None
        if stale is None:
            break
    raise NotComplete("no list is new enough to tell")
