"""``histfs rm``."""

from __future__ import annotations

import posixpath
import shlex
import stat
from typing import TYPE_CHECKING, Any

import click

from histfs.cli.error_reporting import Refused
from histfs.cli.options import (
    build_settings,
    no_trash_option,
    read_only_option,
    trash_option,
    tree_options,
)
from histfs.cli.output import Output
from histfs.cli.paths import direct_tree, for_each, paths_argument
from histfs.core.errors import IsADirectory, NotPermitted
from histfs.core.names import LISTEN
from histfs.trash import Trash

if TYPE_CHECKING:
    from histfs.mounting import DirectTree


@click.command(context_settings={"show_default": True})
@paths_argument
@click.option("-v", "--verbose", is_flag=True, help="Print each deleted path.")
@read_only_option
@trash_option
@no_trash_option
@tree_options
def rm(paths: tuple[str, ...], verbose: bool, **given: Any) -> None:  # noqa: ANN401
    """Delete items from your history, without a mount.

    PATH is a path under the mountpoint, of an item's directory or its audio. A copy goes into the
    trash first (histfs trash --help). Whole days, and links, are not deleted.

    \b
    Examples:
      histfs rm -v by-date/2024/05/02/2024-05-02T11-45-06_hello-world_ja9x…
    """  # noqa: D301 - the control character is click's
    settings = build_settings(given)
    if settings.options.read_only:
        raise Refused(
            "nothing is deleted: leave out --read-only, HISTFS_READ_ONLY, or ro among the options"
        )
    if settings.trash is not None:
        Trash(settings.trash).open()
    output = Output()
    with direct_tree(settings) as tree:

        def delete(path: str) -> None:
            deleted = _delete(tree, path)
            if verbose:
                output.line(f"deleted {deleted}")

        status = for_each(paths, delete)
    output.flush()
    click.get_current_context().exit(status)


def _delete(tree: DirectTree, path: str) -> str:
    """Delete an item, and return its path, without links.

    Raises:
        Refused: the path is not an item's.
        HistfsError: the item can't be deleted.
    """
    path, attributes = tree.resolve(path, last=False)
    if attributes.kind == stat.S_IFLNK:
        item, _ = tree.resolve(path)
        raise Refused(f"a link is not deleted, its item is: histfs rm {_argument(item)}")
    try:
        tree.delete(path)
    except IsADirectory:
        raise Refused("it is no item: give each of the items in it that is to be deleted") from None
    except NotPermitted:
        if path.startswith(f"/{LISTEN}/"):
            raise Refused(f"nothing in {LISTEN} is deleted: give the item's directory") from None
        above = _argument(posixpath.dirname(path))
        raise Refused(f"a file alone is not deleted, its item is: histfs rm {above}") from None
    return path.lstrip("/")


def _argument(path: str) -> str:
    return shlex.quote(path.lstrip("/"))
