"""The steps of `histfs sync` that `histfs purge` needs, too: lists and details of one source.

A request that fails for the moment is retried after each of `RETRY_PAUSES`.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from histfs.catalog.details_fetcher import DetailsFetcher
from histfs.cli.progress import Display, pluralize
from histfs.core.errors import (
    ACCOUNT_WIDE,
    KeyRefused,
    Missing,
    NotOffered,
    RateLimited,
    ServerFailed,
    SourceError,
    Unreachable,
)
from histfs.core.item import Item
from histfs.core.single_flight import SingleFlight
from histfs.core.terminal_text import shown
from histfs.core.times import Zone
from histfs.mounting import MountedSource
from histfs.settings import Settings

#: Seconds before each retry of a failed request.
RETRY_PAUSES = (2, 4, 8, 16)
#: The errors that a later retry may not have.
TRANSIENT = (RateLimited, ServerFailed, Unreachable)

log = logging.getLogger(__name__)


class Retries:
    """Counts the retries of a step: `RETRY_PAUSES` of them since its last progress.

    Args:
        display: shows the reason of a pause.
    """

    def __init__(self, display: Display) -> None:
        self._display = display
        self.reset()

    def reset(self) -> None:
        """Begin again, after progress."""
        self._pauses = iter(RETRY_PAUSES)

    def wait(self, error: SourceError) -> bool:
        """Wait before the next retry; return False if there is none.

        Args:
            error: the failure of the last try.
        """
        pause = next(self._pauses, None)
        if pause is None:
            return False
        self._display.wait(f"{shown(str(error))}: trying again in {pause} seconds")
        time.sleep(pause)
        return True


def list_newest(mounted: MountedSource, display: Display) -> bool:
    """List the newest items of a source; return False if the source can't be listed.

    Raises:
        SourceError: the request failed. If the source can't be listed, only that of the root
            raises.
    """
    display.begin(titled(mounted, "New items"))
    try:
        mounted.probe.require()
    except (NotOffered, KeyRefused) as error:
        if mounted.in_root:
            raise
        display.end(titled(mounted, f"left out: {shown(str(error))}"))
        return False
    total = pluralize(mounted.store.total(), "item")
    display.end(titled(mounted, f"Asked for what is new: {total} known."))
    return True


def scan_history(mounted: MountedSource, settings: Settings, display: Display) -> None:
    """List the spans of time that are unknown, or older than `Settings.rescan`."""
    display.begin(titled(mounted, "History"))
    zone = Zone()
    # Measured from the start: spans that expire during the scan are left for the next one.
    oldest = time.time() - settings.rescan if settings.rescan else -math.inf
    step = partial(mounted.scanner.step, oldest=oldest)
    while (pause := _retry(step, display)) is not None:
        down_to = mounted.scanner.progress().down_to
        note = "" if down_to is None else f"down to {zone.local(down_to):%Y-%m-%d}"
        display.update(mounted.store.total(), note)
        time.sleep(pause)
    total = pluralize(mounted.store.total(), "item")
    display.end(titled(mounted, f"The whole history is known: {total}."))


def fetch_details(
    mounted: MountedSource, settings: Settings, display: Display
) -> Sequence[SourceError]:
    """Fetch the details of the items that have none, and return the errors of single items.

    Raises:
        SourceError: the server or the way to it failed.
    """
    fetcher = mounted.fetcher
    if fetcher is None:
        return ()
    retries, fetched = Retries(display), 0
    while True:
        missing = [item for item in mounted.store.newest_first() if fetcher.current(item) is None]
        failed: list[SourceError] = []
        before = fetched
        display.begin(titled(mounted, "Details"), fetched + len(missing))
        for error in _fetch_each(missing, fetcher, settings.connections):
            fetched += error is None
            failed += [error] if error else []
            display.update(fetched)
        if fetched > before:
            retries.reset()
        transient = next((error for error in failed if isinstance(error, TRANSIENT)), None)
        if transient is None or not retries.wait(transient):
            break
    if failed and isinstance(failed[-1], ACCOUNT_WIDE):
        raise resumable(failed[-1]) from failed[-1]
    display.end(titled(mounted, f"Fetched the details of {pluralize(fetched, 'item')}."))
    return failed


def titled(mounted: MountedSource, line: str) -> str:
    """Return a line with the name of its source, unless that is the source of the root."""
    return line if mounted.in_root else f"{mounted.name}: {line[0].lower()}{line[1:]}"


def resumable(error: SourceError) -> SourceError:
    """Return the same error with a note that the next sync continues."""
    return type(error)(f"{error}; the next sync goes on where this one stopped")


def _retry(step: Callable[[], float | None], display: Display) -> float | None:
    """Run a step, with retries, and return its result."""
    retries = Retries(display)
    while True:
        try:
            return step()
        except TRANSIENT as error:
            if not retries.wait(error):
                raise resumable(error) from error


def _fetch_each(
    items: Sequence[Item], fetcher: DetailsFetcher, threads: int
) -> Iterator[SourceError | None]:
    """Fetch the details of items; yield the error of each, or None.

    An error that concerns all items is the last one.

    Raises:
        KeyRefused: the server refuses the key.
    """
    with contextlib.closing(SingleFlight("details", threads)) as flights:
        futures = [flights.submit(item.key, partial(fetcher.fetch, item)) for item in items]
        for item, future in zip(items, futures, strict=True):
            try:
                future.result()
            except Missing:
                yield None  # deleted meanwhile
            except KeyRefused as error:
                raise resumable(error) from error
            except SourceError as error:
                log.warning("the details of %s can't be fetched: %s", item.key, error)
                yield error
                if isinstance(error, ACCOUNT_WIDE):
                    return
            else:
                yield None
