"""``histfs sync``."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import click

from histfs import logs
from histfs.audio.fill import Filling
from histfs.cli.display import Display, counted, displayed
from histfs.cli.options import account_options, account_settings
from histfs.core.errors import Missing, RateLimited, ServerFailed, SourceError, Unreachable
from histfs.core.printable import shown
from histfs.core.times import Zone
from histfs.mounting import Filesystem, compose
from histfs.settings import Settings

#: Seconds before a page that failed is asked for again, from one time to the next.
PAUSES = (2, 4, 8, 16)
#: What another try, a little later, may help.
_PASSING = (RateLimited, ServerFailed, Unreachable)


@click.command(context_settings={"show_default": True})
@click.option("--audio", is_flag=True, help="Fetch the clips, too: the newest, as many as fit.")
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
    with displayed() as display, compose(settings) as filesystem:
        _ask_for_news(filesystem, display)
        _read_history(filesystem, settings, display)
        failed = _fetch_audio(filesystem, settings, display) if audio else 0
        items = counted(filesystem.store.total(), "item")
        clips = counted(filesystem.audio.disk.count(), "clip")
        state = "Not all was to be had" if failed else "Up to date"
        display.end(f"{state}: {items} known, {clips} cached.")
    if failed:
        raise SourceError(
            f"{counted(failed, 'clip')} could not be fetched: {logs.log_file()} says why, and the"
            " next sync tries again"
        )


def _ask_for_news(filesystem: Filesystem, display: Display) -> None:
    """Ask for the newest items."""
    display.begin("New items")
    filesystem.contact()
    display.end(f"Asked for what is new: {counted(filesystem.store.total(), 'item')} known.")


def _read_history(filesystem: Filesystem, settings: Settings, display: Display) -> None:
    """Read what is not known of the history, and what was not asked about for too long."""
    display.begin("History")
    zone = Zone()
    # As of now: what ages while the rest is read is for the next time.
    oldest = time.time() - settings.rescan if settings.rescan else -math.inf
    step = partial(filesystem.scanner.step, oldest=oldest)
    while (pause := _patiently(step, display)) is not None:
        down_to = filesystem.scanner.progress().down_to
        note = "" if down_to is None else f"down to {zone.local(down_to):%Y-%m-%d}"
        display.move(filesystem.store.total(), note)
        time.sleep(pause)
    display.end(f"The whole history is known: {counted(filesystem.store.total(), 'item')}.")


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


def _fetch_audio(filesystem: Filesystem, settings: Settings, display: Display) -> int:
    """Fetch the newest clips that are not in the cache, and return how many failed."""
    total = filesystem.store.total()
    display.begin("Audio", total)
    filling = Filling(
        filesystem.audio,
        filesystem.store.newest_first,
        settings.audio_cache_size,
        settings.connections,
    )
    done = fetched = failed = 0
    try:
        for clip in filling.run():
            done += 1
            fetched += clip.fetched
            failed += clip.error is not None and not isinstance(clip.error, Missing)
            display.move(done, f"{fetched:,} fetched")
    except SourceError as error:
        raise _resumable(error) from error
    line = f"Fetched {counted(fetched, 'clip')}"
    if filling.full:
        cached = filesystem.audio.disk.count()
        line += f"; {cached:,} of {total:,} fit into the cache: for more raise --audio-cache-size"
    display.end(f"{line}.")
    return failed


def _resumable(error: SourceError) -> SourceError:
    """Return the same error with a word of comfort."""
    return type(error)(f"{error}; the next sync goes on where this one stopped")
