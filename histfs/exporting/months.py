"""The months of UTC in which an account has items, and whether one has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timezone

from histfs.catalog import table_query
from histfs.core.times import ALWAYS, Span, utc_day
from histfs.mounting import MountedSource

#: Raised when the same items give other rows: all months are written anew then.
VERSION = 1


def months_of(sources: Sequence[MountedSource], since: int = ALWAYS.start) -> list[str]:
    """Return the months with items, such as ``2024-05``, oldest first."""
    return sorted({month for each in sources for month in table_query.months(each.store, since)})


def span_of(month: str) -> Span:
    """Return the span of a month of UTC."""
    year, number = int(month[:-3]), int(month[-2:])
    after = (year + 1, 1) if number == 12 else (year, number + 1)
    last = ALWAYS.end if after[0] > 9999 else _moment(*after)
    return Span(_moment(year, number), last)


def month_of(moment: int) -> str:
    """Return the month of a moment in seconds since the epoch."""
    return utc_day(moment)[:7]


def state_of(
    sources: Sequence[MountedSource], month: str, *, audio: bool = True
) -> tuple[int, str]:
    """Return the number of a month's items, and a checksum of all that is known of them.

    Args:
        sources: of the account.
        month: such as ``2024-05``.
        audio: whether what is learnt of audio when it is fetched counts.
    """
    total, digest = 0, hashlib.sha256(b"%d" % VERSION)
    for mounted in sources:
        count, state = table_query.state_of(mounted.store, span_of(month), audio=audio)
        total += count
        digest.update(f"{mounted.name} {state}\n".encode())
    return total, digest.hexdigest()


def _moment(year: int, month: int) -> int:
    return int(datetime(year, month, 1, tzinfo=timezone.utc).timestamp())
