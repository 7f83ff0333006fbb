"""``histfs play``.

A player takes as long to start as the tree takes to open. So where the paths tell how many clips
there are, the player is started first, and what the tree needs is imported after that.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import click

from histfs.cli.clip_names import MOST, clip_name, clip_names
from histfs.cli.config_sources import setting
from histfs.cli.error_reporting import Refused, report_error, warn
from histfs.cli.options import build_settings, tree_options
from histfs.cli.paths import audio_below, direct_tree, for_each, paths_argument
from histfs.cli.patterns import expand
from histfs.cli.players import choose_player
from histfs.cli.quick_play import in_mounts, play_mounted
from histfs.clip_address import ClipAddress
from histfs.core.background_thread import running
from histfs.core.errors import HistfsError
from histfs.core.waiting import Waiter
from histfs.settings import Settings

if TYPE_CHECKING:
    from histfs.clip_server import Clip
    from histfs.mounting import DirectTree


class _NothingToPlay(Exception):
    """No path has a clip; the user knows why."""


@click.command(context_settings={"show_default": True})
@paths_argument
@setting(
    "--player",
    metavar="CMD",
    show_default="the first that is installed of mpv, vlc, ffplay, a browser",
    help="The program that plays, with its options, such as 'mpv --shuffle'.",
)
@tree_options
def play(paths: tuple[str, ...], player: str | None, **given: Any) -> None:  # noqa: ANN401
    """Play clips of your history, without a mount.

    PATH is a path under the mountpoint, of audio, of an item, or of a directory of items, which are
    played in the order of their names; it may also begin with the mountpoint. The player gets audio
    from its first byte on, from a server on this machine that ends with it.

    \b
    Examples:
      histfs play by-date/2024/05/02/2024-05-02T11-45-06_hello-world_ja9x…
      histfs play by-voice/Rachel
      histfs play --player 'mpv --shuffle' search/budget by-date/2024
    """  # noqa: D301 - the control character is click's
    chosen, early = choose_player(player), clip_names(paths)
    if early and (places := in_mounts(paths)):
        click.get_current_context().exit(play_mounted(paths, places, chosen))
    settings = build_settings(given)
    with contextlib.closing(ClipAddress()) as address, _Clips(settings, address) as clips:
        played = 0
        with contextlib.suppress(_NothingToPlay):
            if early:
                urls = address.urls(early)
                played = chosen.play(urls, address.page, lambda: clips.serve_each(paths))
            else:
                clips.serve_all(paths)
                urls = address.urls(clips.names)
                played = chosen.play(urls, address.page)
    click.get_current_context().exit(max(clips.failed, played))


class _Clips(contextlib.ExitStack):
    """The clips that the player gets; a context manager, which ends their server and the tree.

    Args:
        settings: the account's.
        address: where they are served.

    Attributes:
        names: what a player shows of each clip.
        failed: the exit status for what can't be played.
    """

    def __init__(self, settings: Settings, address: ClipAddress) -> None:
        super().__init__()
        self._settings = settings
        self._address = address
        self.names: list[str] = []
        self.failed = 0

    def serve_each(self, paths: Sequence[str]) -> None:
        """Serve the clip of each path.

        Raises:
            _NothingToPlay: there is none.
        """
        tree = self._open()
        self._serve(tree, [next(iter(self._found(tree, [path])), None) for path in paths])

    def serve_all(self, paths: Sequence[str]) -> None:
        """Serve all clips of some paths, up to a limit.

        Raises:
            _NothingToPlay: there is none.
        """
        tree = self._open()
        found = self._found(tree, paths)
        if len(found) > MOST:
            warn(f"more than {MOST} clips: the first {MOST} are played")
        self._serve(tree, found[:MOST])

    def _open(self) -> DirectTree:
        return self.enter_context(direct_tree(self._settings))

    def _found(self, tree: DirectTree, paths: Sequence[str]) -> list[str]:
        """Return the paths of the audio below some paths; what fails is told."""
        found: list[str] = []

        def find(path: str) -> None:
            before = len(found)
            for each in expand(tree, path):
                found.extend(itertools.islice(audio_below(tree, each), MOST + 1))
            if len(found) == before:
                raise Refused("there is no audio in it")

        self.failed = max(self.failed, for_each(paths, find))
        return found

    def _serve(self, tree: DirectTree, found: Sequence[str | None]) -> None:
        from histfs.clip_server import Clip, serve_clips  # noqa: PLC0415
        from histfs.mounting.tree_clips import TreeClips  # noqa: PLC0415

        clips = [None if path is None else Clip(path, clip_name(path)) for path in found]
        first = next(filter(None, clips), None)
        if first is None:
            raise _NothingToPlay
        self.names = [clip.name for clip in clips if clip]
        # A player that root starts may run as another user.
        owner = os.geteuid() or None
        self.enter_context(_begun(tree, first))
        self.enter_context(serve_clips(self._address, TreeClips(tree), clips, _tell, owner))


def _begun(tree: DirectTree, clip: Clip) -> AbstractContextManager[None]:
    """Begin to fetch a clip: its first bytes come while the player starts."""

    def fetch(ended: threading.Event) -> None:
        # What fails is told when the player asks for it.
        with contextlib.suppress(HistfsError):
            tree.stream(clip.path, Waiter(tree.timeout, ended.is_set)).close()

    return running("first clip", fetch)


def _tell(path: str, error: HistfsError) -> None:
    """Say why a clip isn't played; the player goes on."""
    report_error(error, path.lstrip("/"))
