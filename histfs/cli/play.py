"""``histfs play``."""

from __future__ import annotations

import contextlib
import itertools
import os
import posixpath
import threading
from contextlib import AbstractContextManager
from typing import Any

import click

from histfs.cli.config_sources import setting
from histfs.cli.error_reporting import Refused, report_error, warn
from histfs.cli.options import build_settings, tree_options
from histfs.cli.paths import audio_below, direct_tree, for_each, paths_argument
from histfs.cli.patterns import expand
from histfs.cli.players import choose_player
from histfs.core.audio_format import is_audio_name
from histfs.core.background_thread import running
from histfs.core.errors import HistfsError
from histfs.core.waiting import Waiter
from histfs.mounting import DirectTree
from histfs.mounting.clip_server import Clip, serve_clips

#: The most clips that are played: their addresses are arguments of the player.
_MOST = 1000


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
    chosen = choose_player(player)
    clips: list[Clip] = []
    with direct_tree(build_settings(given)) as tree:

        def find(path: str) -> None:
            before = len(clips)
            for each in expand(tree, path):
                clips.extend(map(_clip, itertools.islice(audio_below(tree, each), _MOST + 1)))
            if len(clips) == before:
                raise Refused("there is no audio in it")

        failed = for_each(paths, find)
        if len(clips) > _MOST:
            warn(f"more than {_MOST} clips: the first {_MOST} are played")
            del clips[_MOST:]
        played = 0
        if clips:
            # A player that root starts may run as another user.
            owner = os.geteuid() or None
            with _begun(tree, clips[0]), serve_clips(tree, clips, _tell, owner) as server:
                played = chosen.play(server.urls, server.page)
    click.get_current_context().exit(max(failed, played))


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


def _clip(path: str) -> Clip:
    """Return the clip of an audio file, with the name of its item."""
    item, name = posixpath.split(path)
    is_audio = is_audio_name(name)
    return Clip(path, posixpath.basename(item) + name.removeprefix("audio") if is_audio else name)
