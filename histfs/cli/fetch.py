"""``histfs fetch``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import click

from histfs.cli.error_reporting import Refused, report_error
from histfs.cli.options import build_settings, tree_options
from histfs.cli.paths import (
    audio_below,
    direct_tree,
    for_each,
    paths_argument,
)
from histfs.cli.patterns import expand
from histfs.cli.progress import open_display, pluralize
from histfs.core.errors import HistfsError
from histfs.core.waiting import Waiter

if TYPE_CHECKING:
    from histfs.mounting import DirectTree

#: Clips of one run whose paths are held.
_MOST = 1_000_000


@click.command(context_settings={"show_default": True})
@paths_argument
@tree_options
def fetch(paths: tuple[str, ...], **given: Any) -> None:  # noqa: ANN401 - click's options
    """Fetch clips into the cache.

    Mounts have them at once then, and offline. PATH is a path under the mountpoint, of audio, of an
    item, or of a directory of items; it may also begin with the mountpoint. The cache keeps what
    was used last, up to --audio-cache-size; histfs pin keeps clips for good.

    \b
    Examples:
      histfs fetch by-voice/Rachel
      histfs fetch ~/history/by-date/2024/05
    """  # noqa: D301 - the control character is click's
    with direct_tree(build_settings(given)) as tree:
        status = fetch_below(tree, paths, given["connections"], lambda path, size: None)
    click.get_current_context().exit(status)


def clips_of(tree: DirectTree, paths: Sequence[str]) -> tuple[list[str], int]:
    """Return the paths of the clips below some paths, each once, and the exit status so far."""
    clips: dict[str, None] = {}

    def find(path: str) -> None:
        found = {clip: None for each in expand(tree, path) for clip in audio_below(tree, each)}
        if not found:
            raise Refused("there is no audio in it")
        clips.update(found)
        if len(clips) > _MOST:
            raise Refused(f"there are more than {pluralize(_MOST, 'clip')} in it")

    status = for_each(paths, find)
    return list(clips), status


def fetch_below(
    tree: DirectTree, paths: Sequence[str], connections: int, done: Callable[[str, int], None]
) -> int:
    """Fetch the clips below some paths, several at once.

    Args:
        tree: of the account.
        paths: as the user gave them.
        connections: how many clips are fetched at once.
        done: called with the path and the size in bytes of each clip that is in the cache.

    Returns:
        The exit status: the highest of those of the paths and clips.
    """
    clips, status = clips_of(tree, paths)
    sizes = []
    with open_display() as display, ThreadPoolExecutor(connections, "fetch") as threads:
        display.begin("Audio", len(clips))
        # A download ends within the timeouts of the source.
        running: list[tuple[str, Future[int]]] = [
            (clip, threads.submit(tree.fetch, clip, Waiter(math.inf))) for clip in clips
        ]
        try:
            for number, (clip, future) in enumerate(running, 1):
                try:
                    sizes.append(future.result())
                    done(clip, sizes[-1])
                except HistfsError as error:
                    status = max(status, report_error(error, clip.lstrip("/")))
                display.update(number)
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise
        display.end(f"{pluralize(len(sizes), 'clip')} in the cache, {sum(sizes):,} bytes.")
    return status
