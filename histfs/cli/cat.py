"""``histfs cat``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from histfs.cli.options import build_settings, tree_options
from histfs.cli.output import Output
from histfs.cli.paths import direct_tree, for_each, paths_argument
from histfs.cli.patterns import expand

if TYPE_CHECKING:
    from histfs.mounting import DirectTree

#: Bytes that are read at once, at the most.
_CHUNK = 128 << 10


@click.command(context_settings={"show_default": True})
@paths_argument
@tree_options
def cat(paths: tuple[str, ...], **given: Any) -> None:  # noqa: ANN401 - click's options
    """Print files of your history, without a mount.

    PATH is a path under the mountpoint, or in a mount, or a pattern, of a text, metadata or audio.
    Audio is printed as it comes, from its first byte on, and kept in the cache, as by a mount.

    \b
    Examples:
      histfs cat conversations/by-call/CALL_SID/text.txt
      histfs cat by-date/2024/05/02/2024-05-02T11-45-06_hello-world_ja9x…/audio.mp3 | mpv -
    """  # noqa: D301 - the control character is click's
    output = Output()
    with direct_tree(build_settings(given)) as tree:

        def show(path: str) -> None:
            for each in expand(tree, path):
                output.refuse_audio(each)
                output.copy(_chunks(tree, each))

        status = for_each(paths, show)
    click.get_current_context().exit(status)


def _chunks(tree: DirectTree, path: str) -> Iterator[bytes]:
    """Yield the chunks of a file as they arrive."""
    with contextlib.closing(tree.stream(path)) as file:
        offset = 0
        while chunk := file.read(offset, _CHUNK, tree.waiter()):
            yield chunk
            offset += len(chunk)
