"""``histfs pin``."""

from __future__ import annotations

import math
from typing import Any

import click

from histfs.cli.fetch import fetch_below
from histfs.cli.options import build_settings, tree_options
from histfs.cli.paths import direct_tree, paths_argument
from histfs.core.errors import NoSpace
from histfs.core.waiting import Waiter


@click.command(context_settings={"show_default": True})
@paths_argument
@tree_options
def pin(paths: tuple[str, ...], **given: Any) -> None:  # noqa: ANN401 - click's options
    """Fetch clips, and keep them in the cache.

    They stay until histfs unpin. PATH is as for histfs fetch. Pinned clips count against
    --audio-cache-size, and are not evicted for others; together they may not take more than that.

    \b
    Examples:
      histfs pin by-voice/Rachel
      histfs unpin by-voice/Rachel
    """  # noqa: D301 - the control character is click's
    with direct_tree(build_settings(given)) as tree:
        disk = tree.audio("/").disk
        pinned = disk.pinned

        def keep(path: str, size: int) -> None:
            nonlocal pinned
            if tree.is_pinned(path):
                return
            if pinned + size > disk.cap:
                raise NoSpace("pinned clips fill the cache: raise --audio-cache-size")
            if not tree.set_pinned(path, True):
                # Others that were fetched meanwhile have evicted it.
                tree.fetch(path, Waiter(math.inf))
                if not tree.set_pinned(path, True):
                    raise NoSpace("it was evicted at once: raise --audio-cache-size")
            pinned += size

        status = fetch_below(tree, paths, given["connections"], keep)
    click.get_current_context().exit(status)
