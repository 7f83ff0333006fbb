"""``histfs unpin``."""

from __future__ import annotations

from typing import Any

import click

from histfs.cli.fetch import clips_of
from histfs.cli.options import build_settings, tree_options
from histfs.cli.paths import direct_tree, paths_argument


@click.command(context_settings={"show_default": True})
@paths_argument
@tree_options
def unpin(paths: tuple[str, ...], **given: Any) -> None:  # noqa: ANN401 - click's options
    """Let pinned clips go from the cache again.

    PATH is as for histfs pin.
    """
    with direct_tree(build_settings(given)) as tree:
        clips, status = clips_of(tree, paths)
        for clip in clips:
            tree.set_pinned(clip, False)
    click.get_current_context().exit(status)
