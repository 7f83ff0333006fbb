"""``histfs sync``."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import click

from histfs import logs
from histfs.audio.fill import Filling
from histfs.cli.display import Display, counted, displayed
from histfs.cli.exits import warn
from histfs.cli.options import account_options, account_settings
from histfs.core.attachments import named, part_of
from histfs.core.errors import (
    OF_ALL,
    KeyRefused,
    Missing,
    NoAttachment,
    NoAudio,
    NotOffered,
    NotReady,
    RateLimited,
    ServerFailed,
    SourceError,
    Unreachable,
)
from histfs.core.flights import Flights
from histfs.core.item import Item
from histfs.core.printable import shown
from histfs.core.times import Zone
from histfs.mounting import Collection, Filesystem, compose
from histfs.settings import Settings

#: Seconds before a page that failed is asked for again, from one time to the next.
PAUSES = (2, 4, 8, 16)
#: What another try, a little later, may help.
_PASSING = (RateLimited, ServerFailed, Unreachable)
#: What there is no clip of, yet or at all.
_NONE = (Missing, NoAttachment, NoAudio, NotReady)

log = logging.getLogger(__name__)


@click.command(context_settings={"show_default": True})
@click.option(
    "--audio",
    is_flag=True,
    help="Fetch the clips and attachments, too: the newest, as many as fit.",
)
@account_options
def sync(audio: bool, **given: Any) -> None:  # noqa: ANN401 - click's options
    """Bring what is known of the history up to date, without a mount.

    It may be stopped at any time (Ctrl-C), and goes on from there the next time.

    \b
    Examples:
      histfs sync                       # names, texts and metadata
      histfs sync --audio --audio-cache-size 50G
    """  # noqa: D301 - the control character is click's
    settings = account_settings(given)
    logs.start(foreground=False, debug=False, key=settings.key)
    with displayed() as display, compose(settings, warn) as filesystem:
        collections = [each for each in filesystem.collections if _ask_for_news(each, display)]
        for collection in collections:
            _read_history(collection, settings, display)
        details = sum(_fetch_details(each, settings, display) for each in collections)
        clips = _fetch_audio(filesystem, collections, settings, display) if audio else 0
        items = counted(sum(each.store.total() for each in collections), "item")
        cached = counted(filesystem.disk.count(), "clip")
        failed = [counted(clips, "clip")] * bool(clips)
        failed += [f"the details of {counted(details, 'item')}"] * bool(details)
        state = "Not all was to be had" if failed else "Up to date"
        display.end(f"{state}: {items} known, {cached} cached.")
    if failed:
        raise SourceError(
            f"{' and '.join(failed)} could not be fetched: {logs.log_file()} says why, and the"
            " next sync tries again"
        )


def _ask_for_news(collection: Collection, display: Display) -> bool:
    """Ask for the newest items, and say whether there is anything to be had.

    Raises:
        SourceError: it failed; where it can't be listed at all, only of the first source.
    """
    display.begin(_titled(collection, "New items"))
    try:
        collection.contact.require()
    except (NotOffered, KeyRefused) as error:
        if collection.in_root:
            raise
        display.end(_titled(collection, f"left out: {shown(str(error))}"))
        return False
    total = counted(collection.store.total(), "item")
    display.end(_titled(collection, f"Asked for what is new: {total} known."))
    return True


def _read_history(collection: Collection, settings: Settings, display: Display) -> None:
    """Read what is not known, and what was not asked about for too long."""
    display.begin(_titled(collection, "History"))
    zone = Zone()
    # As of now: what ages while the rest is read is for the next time.
    oldest = time.time() - settings.rescan if settings.rescan else -math.inf
    step = partial(collection.scanner.step, oldest=oldest)
    while (pause := _patiently(step, display)) is not None:
        down_to = collection.scanner.progress().down_to
        note = "" if down_to is None else f"down to {zone.local(down_to):%Y-%m-%d}"
        display.move(collection.store.total(), note)
        time.sleep(pause)
    total = counted(collection.store.total(), "item")
    display.end(_titled(collection, f"The whole history is known: {total}."))


def _titled(collection: Collection, line: str) -> str:
    """Return a line about a source; the first one needs no name."""
    if collection.in_root:
        return line
    return f"{collection.name}: {line[0].lower()}{line[1:]}"


def _patiently(step: Callable[[], float | None], display: Display) -> float | None:
    """Read the next page, and try a few times again."""
    pauses = iter(PAUSES)
    while True:
        try:
            return step()
        except _PASSING as error:
            pause = next(pauses, None)
            if pause is None:
                raise _resumable(error) from error
            display.wait(f"{shown(str(error))}: trying again in {pause} seconds")
            time.sleep(pause)


def _fetch_details(collection: Collection, settings: Settings, display: Display) -> int:
    """Fetch what the source doesn't list of its items, and return how many failed."""
    fetcher = collection.fetcher
    if fetcher is None:
        return 0
    missing = [i for i in collection.store.newest_first() if fetcher.current(i) is None]
    display.begin(_titled(collection, "Details"), len(missing))
    failed = 0
    with contextlib.closing(Flights("details", settings.connections)) as flights:
        flying = [flights.fly(item.key, partial(fetcher.fetch, item)) for item in missing]
        for done, flight in enumerate(flying, 1):
            try:
                flight.result()
            except OF_ALL as error:
                raise _resumable(error) from error
            except Missing:
                pass  # deleted meanwhile
            except SourceError as error:
                log.warning("details can't be fetched: %s", error)
                failed += 1
            display.move(done, "")
    fetched = counted(len(missing) - failed, "item")
    display.end(_titled(collection, f"Fetched the details of {fetched}."))
    return failed


def _fetch_audio(
    filesystem: Filesystem, collections: Sequence[Collection], settings: Settings, display: Display
) -> int:
    """Fetch the newest clips that are not in the cache, and return how many failed."""
    attached = {each.name: _attached(each) for each in collections}
    total = sum(each.store.total() for each in collections)
    total += sum(len(parts) for each in attached.values() for parts in each.values())
    display.begin("Audio", total)
    done = fetched = failed = taken = 0
    full = False
    for collection in collections:
        filling = Filling(
            collection.audio,
            partial(_clips_of, collection, attached[collection.name]),
            settings.audio_cache_size - taken,
            settings.connections,
        )
        try:
            for clip in filling.run():
                done += 1
                fetched += clip.fetched
                failed += clip.error is not None and not isinstance(clip.error, _NONE)
                display.move(done, f"{fetched:,} fetched")
        except SourceError as error:
            raise _resumable(error) from error
        taken += filling.taken
        full |= filling.full
    line = f"Fetched {counted(fetched, 'clip')}"
    if full:
        cached = filesystem.disk.count()
        line += f"; {cached:,} of {total:,} fit into the cache: for more raise --audio-cache-size"
    display.end(f"{line}.")
    return failed


def _attached(collection: Collection) -> Mapping[str, Sequence[Item]]:
    """Return the attachments of the items that have some, by key, as the audio store knows them."""
    fetcher = collection.fetcher
    if fetcher is None or not collection.source.traits.attachments:
        return {}
    found: dict[str, Sequence[Item]] = {}
    for item in collection.store.newest_first():
        known = fetcher.known(item)
        if known is not None and known.attachments:
            found[item.key] = [part_of(item, each) for each in named(known.attachments).values()]
    return found


def _clips_of(collection: Collection, attached: Mapping[str, Sequence[Item]]) -> Iterator[Item]:
    """Yield all that can be fetched of the items, newest first: each one's audio, and the rest."""
    for item in collection.store.newest_first():
        yield item
        yield from attached.get(item.key, ())


def _resumable(error: SourceError) -> SourceError:
    """Return the same error with a word of comfort."""
    return type(error)(f"{error}; the next sync goes on where this one stopped")
