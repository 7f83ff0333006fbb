"""``histfs sync``."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import click

from histfs import logs
from histfs.audio.cache_warmup import CacheWarmup
from histfs.catalog.details_fetcher import DetailsFetcher
from histfs.cli.exit_codes import warn
from histfs.cli.options import account_options, account_settings, trash_option
from histfs.cli.progress import Display, counted, displayed
from histfs.core.attachments import named, part_of
from histfs.core.errors import (
    ACCOUNT_WIDE,
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
from histfs.core.item import Item
from histfs.core.single_flight import SingleFlight
from histfs.core.terminal_text import shown
from histfs.core.times import Zone
from histfs.mounting import AccountFilesystem, MountedSource, compose
from histfs.settings import Settings

#: Seconds before what failed is asked for again, from one time to the next.
PAUSES = (2, 4, 8, 16)
#: Seconds for which a request may wait while the server allows no more of them: nobody waits for a
#: single one. For half as long one that is refused is sent again.
PATIENCE = 240.0
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
@trash_option
@account_options
def sync(audio: bool, **given: Any) -> None:  # noqa: ANN401 - click's options
    """Bring what is known of the history up to date, without a mount.

    It may be stopped at any time (Ctrl-C), and goes on from there the next time.

    \b
    Examples:
      histfs sync                       # names, texts and metadata
      histfs sync --audio --audio-cache-size 50G
    """  # noqa: D301 - the control character is click's
    settings = replace(account_settings(given), trash=given["trash"].absolute())
    logs.start(foreground=False, debug=False, key=settings.key)
    with displayed() as display, compose(settings, warn, PATIENCE) as filesystem:
        collections = [each for each in filesystem.collections if ask_for_news(each, display)]
        for collection in collections:
            read_history(collection, settings, display)
        details = [
            error for each in collections for error in fetch_details(each, settings, display)
        ]
        clips = _fetch_audio(filesystem, collections, settings, display) if audio else ()
        _reconcile(filesystem, display)
        items = counted(sum(each.store.total() for each in collections), "item")
        cached = counted(filesystem.disk.count(), "clip")
        failed = [counted(len(clips), "clip")] * bool(clips)
        failed += [f"the details of {counted(len(details), 'item')}"] * bool(details)
        state = "Not all was to be had" if failed else "Up to date"
        display.end(f"{state}: {items} known, {cached} cached.")
    if failed:
        raise _kind_of([*clips, *details])(
            f"{' and '.join(failed)} could not be fetched: {logs.log_file()} says why, and the"
            " next sync tries again"
        )


def _reconcile(filesystem: AccountFilesystem, display: Display) -> None:
    """Decide about copies in the trash whose items are not known to be deleted."""
    reconciler = filesystem.reconciler()
    if reconciler is None:
        return
    display.begin("Trash")
    reconciled = reconciler.reconcile()
    if any(reconciled):
        display.end(
            "Trash, of the copies not known to be of deleted items:"
            f" {reconciled.removed:,} removed, as the server has the item;"
            f" {reconciled.deleted:,} of items that are deleted;"
            f" {reconciled.undecided:,} still not known."
        )


def ask_for_news(collection: MountedSource, display: Display) -> bool:
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


def read_history(collection: MountedSource, settings: Settings, display: Display) -> None:
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


def _titled(collection: MountedSource, line: str) -> str:
    """Return a line about a source; the first one needs no name."""
    if collection.in_root:
        return line
    return f"{collection.name}: {line[0].lower()}{line[1:]}"


class _Tries:
    """The tries of something that fails for a while: as many as `PAUSES` without progress.

    Args:
        display: shows what is waited for.
    """

    def __init__(self, display: Display) -> None:
        self._display = display
        self._pauses = iter(PAUSES)

    def progressed(self) -> None:
        """Begin to count anew."""
        self._pauses = iter(PAUSES)

    def wait(self, error: SourceError) -> bool:
        """Wait before the next try; return whether there is one.

        Args:
            error: of the last try.
        """
        pause = next(self._pauses, None)
        if pause is None:
            return False
        self._display.wait(f"{shown(str(error))}: trying again in {pause} seconds")
        time.sleep(pause)
        return True


def _patiently(step: Callable[[], float | None], display: Display) -> float | None:
    """Read the next page, and try a few times again."""
    tries = _Tries(display)
    while True:
        try:
            return step()
        except _PASSING as error:
            if not tries.wait(error):
                raise _resumable(error) from error


def fetch_details(
    collection: MountedSource, settings: Settings, display: Display
) -> Sequence[SourceError]:
    """Fetch what the source doesn't list of its items, and return why some can't be had.

    Raises:
        SourceError: not single items failed, but the server, or the way to it.
    """
    fetcher = collection.fetcher
    if fetcher is None:
        return ()
    tries, fetched = _Tries(display), 0
    while True:
        missing = [i for i in collection.store.newest_first() if fetcher.current(i) is None]
        failed: list[SourceError] = []
        before = fetched
        display.begin(_titled(collection, "Details"), fetched + len(missing))
        for error in _details_of(missing, fetcher, settings.connections):
            fetched += error is None
            failed += [error] if error else []
            display.move(fetched)
        if fetched > before:
            tries.progressed()
        passing = next((error for error in failed if isinstance(error, _PASSING)), None)
        if passing is None or not tries.wait(passing):
            break
    if failed and isinstance(failed[-1], ACCOUNT_WIDE):
        raise _resumable(failed[-1]) from failed[-1]
    display.end(_titled(collection, f"Fetched the details of {counted(fetched, 'item')}."))
    return failed


def _details_of(
    items: Sequence[Item], fetcher: DetailsFetcher, threads: int
) -> Iterator[SourceError | None]:
    """Fetch the details of items, and yield of each why that failed; None where it didn't.

    It ends with a failure that concerns all.

    Raises:
        KeyRefused: the server doesn't accept the key.
    """
    with contextlib.closing(SingleFlight("details", threads)) as flights:
        flying = [flights.submit(item.key, partial(fetcher.fetch, item)) for item in items]
        for item, flight in zip(items, flying, strict=True):
            try:
                flight.result()
            except Missing:
                yield None  # deleted meanwhile
            except KeyRefused as error:
                raise _resumable(error) from error
            except SourceError as error:
                log.warning("the details of %s can't be fetched: %s", item.key, error)
                yield error
                if isinstance(error, ACCOUNT_WIDE):
                    return
            else:
                yield None


def _fetch_audio(
    filesystem: AccountFilesystem,
    collections: Sequence[MountedSource],
    settings: Settings,
    display: Display,
) -> Sequence[SourceError]:
    """Fetch the newest clips that are not in the cache, and return why some can't be had.

    Raises:
        SourceError: not single clips failed, but the server, or the way to it.
        NoSpace, CacheFailed: they can't be kept.
    """
    attached = {each.name: _attached(each) for each in collections}
    total = sum(each.store.total() for each in collections)
    total += sum(len(parts) for each in attached.values() for parts in each.values())
    display.begin("Audio", total)
    failed: list[SourceError] = []
    done = fetched = taken = 0
    full = False
    for collection in collections:
        tries = _Tries(display)
        while True:
            room = settings.audio_cache_size - taken

            def came_to(seen: int, came: int, done: int = done, before: int = fetched) -> None:
                display.move(done + seen, f"{before + came:,} fetched")

            filled = _fill(
                collection, attached[collection.name], room, settings.connections, came_to
            )
            if filled.fetched:
                tries.progressed()
            fetched += filled.fetched
            if filled.passing is None or not tries.wait(filled.passing):
                break
        if filled.stopped is not None:
            raise _resumable(filled.stopped) from filled.stopped
        done += filled.seen
        failed += filled.failed
        taken += filled.filling.taken
        full |= filled.filling.full
    line = f"Fetched {counted(fetched, 'clip')}"
    if full:
        cached = filesystem.disk.count()
        line += f"; {cached:,} of {total:,} fit into the cache: for more raise --audio-cache-size"
    display.end(f"{line}.")
    return failed


class _Filled(NamedTuple):
    """What became of the clips of one collection.

    Attributes:
        filling: has run, or was stopped.
        seen: clips that it came to.
        fetched: those that came.
        failed: why single clips can't be had.
        stopped: what concerned all clips, and so ended it.
    """

    filling: CacheWarmup
    seen: int
    fetched: int
    failed: Sequence[SourceError]
    stopped: SourceError | None

    @property
    def passing(self) -> SourceError | None:
        """What another try, a little later, may help; None when nothing failed so."""
        return next((each for each in self.failed if isinstance(each, _PASSING)), self.stopped)


def _fill(
    collection: MountedSource,
    attached: Mapping[str, Sequence[Item]],
    room: int,
    threads: int,
    came_to: Callable[[int, int], None],
) -> _Filled:
    """Fetch the clips of a collection that are not in the cache.

    Args:
        collection: whose clips.
        attached: its attachments, from `_attached`.
        room: bytes that they may take.
        threads: how many are waited for at once.
        came_to: takes the number of clips so far, and of those that were fetched.

    Raises:
        SourceError: what another try does not help.
    """
    filling = CacheWarmup(collection.audio, partial(_clips_of, collection, attached), room, threads)
    seen = came = 0
    failed: list[SourceError] = []
    stopped: SourceError | None = None
    try:
        for clip in filling.run():
            seen += 1
            came += clip.fetched
            if clip.error is not None and not isinstance(clip.error, _NONE):
                failed.append(clip.error)
            came_to(seen, came)
    except _PASSING as error:
        stopped = error
    except SourceError as error:
        raise _resumable(error) from error
    return _Filled(filling, seen, came, failed, stopped)


def _kind_of(failed: Sequence[SourceError]) -> type[SourceError]:
    """Return what errors have in common, which decides the exit status."""
    kinds = {type(error) for error in failed}
    return kinds.pop() if len(kinds) == 1 else SourceError


def _attached(collection: MountedSource) -> Mapping[str, Sequence[Item]]:
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


def _clips_of(collection: MountedSource, attached: Mapping[str, Sequence[Item]]) -> Iterator[Item]:
    """Yield all that can be fetched of the items, newest first: each one's audio, and the rest."""
    for item in collection.store.newest_first():
        yield item
        yield from attached.get(item.key, ())


def _resumable(error: SourceError) -> SourceError:
    """Return the same error with a word of comfort."""
    return type(error)(f"{error}; the next sync goes on where this one stopped")
