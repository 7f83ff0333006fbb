"""``histfs page``."""

from __future__ import annotations

import io
import os
import posixpath
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from histfs.cli.error_reporting import Refused, warn
from histfs.cli.options import build_settings, tree_options_without_o
from histfs.cli.output import Output
from histfs.cli.paths import direct_tree, for_each, paths_argument
from histfs.cli.patterns import expand
from histfs.cli.waiting_line import waiting_line
from histfs.core.name_forms import key_in
from histfs.exporting.destination import Folder
from histfs.exporting.errors import DestinationFailed
from histfs.fuse.mountpoint import mounted_histfs
from histfs.mounting.page_clips import page_clips
from histfs.page import PageClip
from histfs.page import page as page_of
from histfs.page.clip import audio_address
from histfs.page.folder import clip_of, items_below

#: Lines about single files that are printed.
_LINES = 20
_TITLE = "History"


@click.command(context_settings={"show_default": True})
@paths_argument
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    show_default="standard output",
    help="Write the page to FILE, as a whole or not at all.",
)
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    metavar="DIR",
    show_default="the folder of the page",
    help="Where the history is, or will be, for paths of the tree.",
)
@tree_options_without_o
def page(
    paths: tuple[str, ...],
    output: Path | None,
    root: Path | None,
    **given: Any,  # noqa: ANN401 - click's options
) -> None:
    """Print a web page to listen to your history: one HTML file, which needs no network.

    PATH is a folder, of a mount or of a copy of one, or else a path under the mountpoint, which
    needs no mount. The page plays the audio files where they are now, by their paths relative to
    the page: both can be moved together. Nothing is downloaded.

    \b
    Examples:
      histfs page ~/history/by-voice/Rachel > rachel.html
      histfs page /backup/history -o /backup/history/index.html
      histfs page by-date/2024 --root ~/history > 2024.html
    """  # noqa: D301 - the control character is click's
    if output is None and sys.stdout.isatty():
        raise click.UsageError("The page is for a browser: redirect it (> page.html), or give -o.")
    start = _folder_of(output)
    unreadable: list[str] = []
    found: dict[str, PageClip] = {}
    folders = [path for path in paths if _is_folder(path)]
    for path in folders:
        found.update(_in_folder(path, start, unreadable))
    in_tree = [path for path in paths if path not in folders]
    if in_tree:
        above = start if root is None else os.path.abspath(root)  # noqa: PTH100 - links stay
        _add_from_tree(in_tree, given, found, lambda path: audio_address(above + path, start))
    clips = sorted(found.values(), key=lambda clip: (clip.when, clip.audio or ""), reverse=True)
    content = page_of(clips, _title(paths))
    if output is None:
        Output().copy([content])
    else:
        Folder(output.parent).put(output.name, io.BytesIO(content))
    for line in unreadable[:_LINES]:
        warn(line)
    if unreadable[_LINES:]:
        warn(f"and {len(unreadable) - _LINES:,} more")
    click.get_current_context().exit(1 if unreadable else 0)


def _folder_of(output: Path | None) -> str:
    """Return the folder in which the page will be, from the root.

    Raises:
        DestinationFailed: the page can't be there.
    """
    if output is None:
        # The file that the shell has opened; into a pipe the page goes for this folder.
        is_file = stat.S_ISREG(os.fstat(1).st_mode)
        return str(Path("/proc/self/fd/1").readlink().parent) if is_file else str(Path.cwd())
    if output.exists() and not output.is_file():
        raise DestinationFailed(f"{output} is not a file")
    if not output.parent.is_dir():
        raise DestinationFailed(f"there is no folder {output.parent}")
    return os.path.abspath(output.parent)  # noqa: PTH100 - links stay


def _is_folder(path: str) -> bool:
    """Say whether a path is one of this machine, and not one of the tree."""
    return path.strip("/") != "" and (os.path.lexists(path) or _is_mounted(path))


def _is_mounted(path: str) -> bool:
    full = Path(os.path.abspath(path))  # noqa: PTH100 - links below are left as they are
    places = [full, Path(os.path.realpath(full.parent), full.name)]
    return Path(path).is_absolute() and any(
        place.is_relative_to(mountpoint) for mountpoint in mounted_histfs() for place in places
    )


def _in_folder(path: str, start: str, unreadable: list[str]) -> Iterator[tuple[str, PageClip]]:
    """Yield the items in a folder, by their names, and what the page shows of each.

    Raises:
        Refused: there is none, or it can't be read.
    """
    full = os.path.abspath(path)  # noqa: PTH100 - links stay
    mounted, empty = _is_mounted(full), True

    def tell(file: Path, reason: str) -> None:
        unreadable.append(f"{file}: {reason}")

    def address(file: Path) -> str:
        return audio_address(str(file), start)

    try:
        for folder, names in items_below(Path(full)):
            empty = False
            # A folder of another name is no other item's.
            name = folder.name if key_in(folder.name) else str(folder)
            yield name, clip_of(folder, names, address, tell, mounted=mounted)
    except OSError as error:
        raise Refused(f"{error.filename or path}: {error.strerror or error}") from error
    if empty:
        raise Refused(f"{path}: there is no clip in it")


def _add_from_tree(
    paths: Sequence[str],
    given: dict[str, Any],
    found: dict[str, PageClip],
    address: Callable[[str], str],
) -> None:
    """Add the items below paths of the tree; one that fails ends the command without a page."""
    with direct_tree(build_settings(given)) as tree:

        def add(path: str) -> None:
            before = len(found)
            with waiting_line(tree.known):
                for each in expand(tree, path):
                    for home, clip in page_clips(tree, each, address):
                        found[posixpath.basename(home)] = clip
            if len(found) == before:
                raise Refused("there is no clip in it")

        status = for_each(paths, add)
    if status:
        click.get_current_context().exit(status)


def _title(paths: Sequence[str]) -> str:
    """Return the heading: the last names of the paths."""
    names = [Path(os.path.abspath(path)).name for path in paths]  # noqa: PTH100
    return ", ".join(filter(None, names)) or _TITLE
