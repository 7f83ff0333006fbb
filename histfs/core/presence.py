"""Whether the server still has an item, where the answer to its DELETE does not settle that.

A single answer is not believed: an error status may follow a delete that was done, a proxy answers
404 to every address, a list may be out of date. So the item is asked for by its id, and then looked
for in a list that was asked for after the DELETE:

    GET of the item    list         verdict
    =================  ===========  ==========================================
    has it             shows it     `Verdict.THERE`
    404                lacks it     `Verdict.GONE`
    fails              lacks it     `Verdict.GONE` if the DELETE got a 404, too
    anything else                   `Verdict.UNKNOWN`

Threads: no state of its own; any number at once.
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

#: Seconds in which a list has to say whether an item is there.
CONFIRMING = 30.0
#: Lists that are asked for, at the most, until one is newer than the DELETE.
_LISTS = 3

log = logging.getLogger(__name__)


class Verdict(Enum):
    """What the answers say together."""

    THERE = "there"
    GONE = "gone"
    UNKNOWN = "unknown"


class Evidence(NamedTuple):
    """What the server answered about one item.

    Attributes:
        got: whether it can be had by its id; None where that request failed.
        listed: whether a list shows it; None where no list could be had, or would settle nothing.
        missing: whether another request for the item was answered with 404.
        error: why the request by its id failed; None where it didn't.
    """

    got: bool | None
    listed: bool | None
    missing: bool = False
    error: HistfsError | None = None

    @property
    def verdict(self) -> Verdict:
        """What the answers say together."""
        if self.got and self.listed:
            return Verdict.THERE
        absent = self.got is False or (self.got is None and self.missing)
        return Verdict.GONE if absent and self.listed is False else Verdict.UNKNOWN


def gather(
    source: Source, item_id: str, listed: Callable[[], bool], missing: bool = False
) -> Evidence:
    """Ask the server about an item; a request that fails leaves its part of the evidence open.

    Args:
        source: has the item, or had it.
        item_id: the API's own id.
        listed: says whether a list shows the item; may raise `HistfsError`.
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
        log.info("whether item %s is there can't be asked: %s", item_id, error)
        failure = error
        if not missing:
            return Evidence(None, None, error=error)  # no list would settle it
    try:
        return Evidence(got, listed(), missing, failure)
    except HistfsError as error:
        log.info("whether item %s is listed can't be told: %s", item_id, error)
        return Evidence(got, None, missing, failure)


def is_listed(
    index: Index,
    key: str,
    date: int,
    *,
    after: float,
    doubted: Item | None = None,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Say whether the source lists an item.

    Args:
        index: asks for the list.
        key: the item's key.
        date: when it was made, in seconds since the epoch.
        after: the list must have been asked for after this moment, in seconds since the epoch.
        doubted: the item, to have its time asked for again; None where a fresh listing will do.
        clock: seconds since the epoch.
        sleep: waits for so many seconds.

    Raises:
        HistfsError: the list can't be had.
    """
    span, waiter = Span(date, date + 1), Waiter(CONFIRMING)
    for attempt in range(_LISTS):
        if attempt:
            # Windows that were asked for in the same second are merged, and the older time stands.
            sleep(1 - clock() % 1)
        if doubted is not None:
            index.invalidate(doubted)
        index.ensure(span, waiter)
        # The answer may be one that was on its way before.
        if index.asked_after(span, after):
            return index.find(key, date) is not None
        if doubted is None:
            break
    raise NotComplete("no list is new enough to tell")
