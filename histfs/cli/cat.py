"""``histfs cat``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from histfs.cli.direct_tree import DirectTree, direct_tree, paths_argument
from histfs.cli.options import build_settings, tree_options
from histfs.cli.output import Output

_CHUNK_BYTES = 128 << 10


@click.command(context_settings={"show_default": True})
@paths_argument
@tree_options
def cat(paths: tuple[str, ...], **given: Any) -> None:  # noqa: ANN401 - click's options
    """Print files of your history, without a mount.

    PATH is a path under the mountpoint, of a text, metadata or audio. Audio is kept in the cache,
    as by a mount.

    \b
    Examples:
      histfs cat conversations/by-call/CALL_SID/text.txt
      histfs cat by-date/2024/05/02/2024-05-02T11-45-06_hello-world_ja9x…/audio.mp3 | mpv -
    """  # noqa: D301 - the control character is click's
    output = Output()
    with direct_tree(build_settings(given)) as direct:
        status = direct.each(paths, lambda path: output.copy(_chunks(direct, path)))
    click.get_current_context().exit(status)


def _chunks(direct: DirectTree, path: str) -> Iterator[bytes]:
    """Yield the chunks of a file as they arrive."""
    path, _ = direct.followed(path)
    _, file = direct.tree.open(path, direct.waiter())
    try:
        offset = 0
        while chunk := file.read(offset, _CHUNK_BYTES, direct.waiter()):
            yield chunk
            offset += len(chunk)
    finally:
        file.close()
