"""``histfs sync``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import click

from histfs import logs
from histfs.audio.cache_warmup import CacheWarmup, WarmedClip
from histfs.audio.size_collection import learn_sizes
from histfs.cli.error_reporting import warn
from histfs.cli.options import account_options, build_settings, trash_option
from histfs.cli.progress import Display, format_size, open_display, pluralize
from histfs.cli.sync_steps import (
    TRANSIENT,
    Retries,
    fetch_details,
    list_newest,
    resumable,
    scan_history,
)
from histfs.core.attachments import part_of, unique_names
from histfs.core.errors import Missing, NoAttachment, NoAudio, NotReady, SourceError
from histfs.core.item import Item
from histfs.core.terminal_text import shown
from histfs.mounting import AccountFilesystem, MountedSource, compose
from histfs.settings import Settings

#: Seconds for which a request may wait for the server's limit of requests: no user waits for a
#: single one. A refused request is repeated for half as long.
WAIT_BUDGET = 240.0
#: The errors of an item that has no clip, or none yet.
_WITHOUT_CLIP = (Missing, NoAttachment, NoAudio, NotReady)

Attachments = Mapping[str, Sequence[Item]]
#: Returns the clips of a source, newest first.
Items = Callable[[], Iterator[Item]]


@click.command(context_settings={"show_default": True})
@click.option(
    "--audio",
    is_flag=True,
    help="Fetch the clips and attachments, too: the newest, as many as fit.",
)
@click.option(
    "--sizes",
    "missing_sizes",  # `sizes` is the option of mount, which a configuration file may set
    is_flag=True,
    help="Learn the exact sizes that are missing, by fetching what has them; kept is what fits.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print errors alone, for cron.")
@click.option("-v", "--verbose", is_flag=True, help="Print each clip that could not be fetched.")
@trash_option
@account_options
def sync(
    audio: bool,
    missing_sizes: bool,
    quiet: bool,
    verbose: bool,
    **given: Any,  # noqa: ANN401 - click's options
) -> None:
    """Update the catalog of your history, without a mount.

    It may be stopped at any time (Ctrl-C), and goes on from there the next time.

    \b
    Examples:
      histfs sync                       # names, texts and metadata
      histfs sync --audio --audio-cache-size 50G
      histfs sync --sizes               # for archivers that trust the size of stat
      histfs sync --quiet && rsync -a ~/history/ /backup/history/
    """  # noqa: D301 - the control character is click's
    settings = build_settings(given)
    logs.start(foreground=False, debug=False, key=settings.key)
    with open_display(silent=quiet) as display, compose(settings, warn, WAIT_BUDGET) as filesystem:
        sources = [each for each in filesystem.sources if list_newest(each, display)]
        for mounted in sources:
            scan_history(mounted, settings, display)
        details = [error for each in sources for error in fetch_details(each, settings, display)]
        clips: list[SourceError] = []
        for wanted, run in ((audio, _fetch_audio), (missing_sizes, _learn_sizes)):
            if wanted:
                result = run(filesystem, sources, settings, display)
                clips += [error for _, error in result.failed]
                for line in result.lines() if verbose else ():
                    display.message(line)
        _reconcile(filesystem, display)
        items = pluralize(sum(each.store.total() for each in sources), "item")
        cached = pluralize(filesystem.disk.count(), "clip")
        failed = [pluralize(len(clips), "clip")] * bool(clips)
        failed += [f"the details of {pluralize(len(details), 'item')}"] * bool(details)
        state = "Incomplete" if failed else "Up to date"
        display.end(f"{state}: {items} known, {cached} cached.")
    if failed:
        raise _common_type([*clips, *details])(
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


def _fetch_audio(
    filesystem: AccountFilesystem,
    sources: Sequence[MountedSource],
    settings: Settings,
    display: Display,
) -> _Run:
    """Fetch the newest clips that are not in the cache.

    Raises:
        SourceError: the server or the way to it failed.
        NoSpace, CacheFailed: the clips can't be cached.
    """
    warmups: dict[str, CacheWarmup] = {}

    def begin(mounted: MountedSource, items: Items) -> Iterator[WarmedClip]:
        used = sum(each.taken for name, each in warmups.items() if name != mounted.name)
        capacity = settings.audio_cache_size - used
        warmup = CacheWarmup(mounted.audio, items, capacity, settings.connections)
        warmups[mounted.name] = warmup
        return warmup.run()

    whole = _run_sources(sources, begin, "Audio", display)
    line = f"Fetched {pluralize(whole.fetched, 'clip')}{whole.summary()}"
    if any(each.full for each in warmups.values()):
        cached = filesystem.disk.count()
        line += (
            f"; {cached:,} of {whole.total:,} fit into the cache: for more raise --audio-cache-size"
        )
    display.end(f"{line}.")
    return whole


def _learn_sizes(
    filesystem: AccountFilesystem,
    sources: Sequence[MountedSource],
    settings: Settings,
    display: Display,
) -> _Run:
    """Learn the exact sizes that are missing.

    Raises:
        SourceError: the server or the way to it failed.
        NoSpace, CacheFailed: the catalog or the cache failed.
    """

    def begin(mounted: MountedSource, items: Items) -> Iterator[WarmedClip]:
        return learn_sizes(mounted.audio, items, settings.connections)

    whole = _run_sources(sources, begin, "Sizes", display)
    display.end(f"Learnt {pluralize(whole.fetched, 'size')}{whole.summary()}.")
    return whole


def _run_sources(
    sources: Sequence[MountedSource],
    begin: Callable[[MountedSource, Items], Iterator[WarmedClip]],
    title: str,
    display: Display,
) -> _Run:
    """Run through the clips of all sources, and show the progress.

    Args:
        sources: of the account.
        begin: begins a run through the clips of a source; takes what returns them.
        title: of the display.
        display: its line is left open.

    Returns:
        The sum of the sources' last runs.

    Raises:
        SourceError: the server or the way to it failed.
    """
    attachments = [_known_attachments(each) for each in sources]
    whole = _Run(total=sum(each.store.total() for each in sources))
    whole.total += sum(len(parts) for each in attachments for parts in each.values())
    display.begin(title, whole.total)
    began = time.monotonic()

    def report(run: _Run) -> None:
        size = whole.size + run.size
        rate = size / max(time.monotonic() - began, 0.1)
        note = f"{format_size(size)}, {format_size(rate)}/s" if size else ""
        display.update(whole.seen + run.seen, note)

    for mounted, attached in zip(sources, attachments, strict=True):
        items = partial(_clips_of, mounted, attached)
        run = _run_retried(partial(begin, mounted, items), report, display)
        whole.seen += run.seen
        whole.fetched += run.fetched
        whole.size += run.size
        whole.failed += run.failed
        whole.without += run.without
    return whole


@dataclass
class _Run:
    """One run through the clips of a source, or of all.

    Attributes:
        total: number of clips, where it is known.
        seen: number of clips examined.
        fetched: number of clips fetched.
        size: bytes fetched.
        failed: the errors of single clips.
        without: the clips that are not there, or not yet, and why.
        stopped: the error that ended the run, because it concerns all clips.
    """

    total: int = 0
    seen: int = 0
    fetched: int = 0
    size: int = 0
    failed: list[tuple[Item, SourceError]] = field(default_factory=list)
    without: list[tuple[Item, SourceError]] = field(default_factory=list)
    stopped: SourceError | None = None

    @property
    def transient(self) -> SourceError | None:
        """An error that a retry may not have; None if there is none."""
        errors = (error for _, error in self.failed if isinstance(error, TRANSIENT))
        return next(errors, self.stopped)

    def summary(self) -> str:
        """Return the bytes that were fetched, and how many clips were not, for the last line."""
        kinds = [isinstance(error, NotReady) for _, error in self.without]
        gone = [isinstance(error, Missing) for _, error in self.without]
        counts = {
            "without a recording": len(kinds) - sum(kinds) - sum(gone),
            "still being made": sum(kinds),
            "no longer at the server": sum(gone),
            "failed": len(self.failed),
        }
        size = f" ({format_size(self.size)})" if self.size else ""
        return size + "".join(f"; {number:,} {what}" for what, number in counts.items() if number)

    def lines(self) -> list[str]:
        """Return a line for each clip that was not fetched."""
        return [shown(f"  {item.key}: {error}") for item, error in [*self.without, *self.failed]]


def _run_retried(
    begin: Callable[[], Iterator[WarmedClip]], report: Callable[[_Run], None], display: Display
) -> _Run:
    """Run through the clips of a source, again after errors that a retry may not have.

    Args:
        begin: begins a run.
        report: called after each clip; `_Run.fetched` counts the clips of all runs.
        display: shows the reason of a pause.

    Returns:
        The last run.

    Raises:
        SourceError: the server or the way to it failed.
    """
    retries, fetched, size = Retries(display), 0, 0
    while True:
        run = _Run(fetched=fetched, size=size)
        try:
            for clip in begin():
                run.seen += 1
                run.fetched += clip.fetched
                run.size += clip.size or 0 if clip.fetched and not clip.is_told else 0
                if clip.error is not None:
                    without = isinstance(clip.error, _WITHOUT_CLIP)
                    (run.without if without else run.failed).append((clip.item, clip.error))
                report(run)
        except TRANSIENT as error:
            run.stopped = error
        except SourceError as error:
            raise resumable(error) from error
        if run.fetched > fetched:
            retries.reset()
        fetched, size = run.fetched, run.size
        transient = run.transient
        if transient is None or not retries.wait(transient):
            break
    if run.stopped is not None:
        raise resumable(run.stopped) from run.stopped
    return run


def _common_type(errors: Sequence[SourceError]) -> type[SourceError]:
    """Return the type that all errors have, which decides the exit status."""
    types = {type(error) for error in errors}
    return types.pop() if len(types) == 1 else SourceError


def _known_attachments(mounted: MountedSource) -> Attachments:
    """Return the attachments of each item, by the item's key, as items of the audio store."""
    fetcher = mounted.fetcher
    if fetcher is None or not mounted.source.traits.attachments:
        return {}
    found: dict[str, Sequence[Item]] = {}
    for item in mounted.store.newest_first():
        details = fetcher.known(item)
        if details is not None and details.attachments:
            parts = unique_names(details.attachments).values()
            found[item.key] = [part_of(item, part) for part in parts]
    return found


def _clips_of(mounted: MountedSource, attached: Attachments) -> Iterator[Item]:
    """Yield the audio and then the attachments of each item, newest first."""
    for item in mounted.store.newest_first():
        yield item
        yield from attached.get(item.key, ())
