"""``histfs play`` of clips in a mount: the player starts before the command line is imported.

A player sounds some tenths of a second after it was started, while Python imports the command line,
the tree and what speaks HTTP for as long. In the usual case none of these is needed: each path is a
clip in a mount, whose process has everything open. So this module looks at the arguments itself,
starts the player, and imports the rest while that starts. Whatever is not as plain as that it
leaves to `histfs.cli.play`, which checks each option, and says what is wrong.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

from histfs.cli.clip_names import clip_name, clip_names
from histfs.cli.players import Player, choose_player
from histfs.clip_address import ClipAddress
from histfs.fuse.mount_table import histfs_mounts
from histfs.sources.elevenlabs.key_variables import ALIASES, VARIABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from histfs.clip_server import Clip
    from histfs.core.errors import HistfsError

#: The option that counts here, and those that take any text and say nothing about a mount: it has
#: its own account.
_PLAYER = "--player"
_OTHERS = {
    "--api-key-command", "--api-key-file", "--base-url", "--cache-dir", "--timezone",
}  # fmt: skip
#: Variables that choose a player elsewhere than at the usual place.
_ELSEWHERE = ("HISTFS_CONFIG", "HISTFS_PROFILE")


class _NothingToPlay(Exception):
    """No path has a clip; the user knows why."""


def play(arguments: Sequence[str]) -> int | None:
    """Play clips of mounts, and return the exit status.

    Args:
        arguments: of the command line, after ``play``.

    Returns:
        None where not all arguments are clips in a mount, or the options need a closer look.

    Raises:
        KeyboardInterrupt: the user has interrupted it.
        HistfsError: there is no player.
    """
    plain = _plain(arguments)
    if plain is None:
        return None
    paths, player = plain
    places = in_mounts(paths) if clip_names(paths) else None
    if places is None or not (player or _is_default_player()):
        return None
    # As the command line does.
    os.umask(0o077)
    for name in (VARIABLE, *ALIASES):
        os.environ.pop(name, None)
    return play_mounted(paths, places, choose_player(player))


def in_mounts(paths: Sequence[str]) -> list[str] | None:
    """Return the absolute paths of what is below mountpoints that answer; None unless all are."""
    try:
        mountpoints = histfs_mounts()
    except OSError:  # a chroot without /proc
        return None
    found = [_in_mount(path, mountpoints) for path in paths] if mountpoints else []
    places = [place for place in found if place is not None]
    return places if places and len(places) == len(paths) else None


def play_mounted(paths: Sequence[str], places: Sequence[str], player: Player) -> int:
    """Play clips of mounts, and return the exit status.

    Args:
        paths: as the user gave them; each has one clip, by its name.
        places: the absolute paths of the clips, or of their items.
        player: plays them.

    Raises:
        KeyboardInterrupt: the user has interrupted it.
        HistfsError: the player can't be started.
    """
    with contextlib.closing(ClipAddress()) as address, _Clips(paths, places, address) as clips:
        played = 0
        with contextlib.suppress(_NothingToPlay):
            urls = address.urls(map(clip_name, places))
            played = player.play(urls, address.page, clips.serve)
        return max(clips.failed, played)


class _Clips(contextlib.ExitStack):
    """The clips that the player gets; a context manager, which ends their server.

    Args:
        paths: as the user gave them.
        places: the clips, or their items.
        address: where they are served.

    Attributes:
        failed: the exit status for what can't be played.
    """

    def __init__(self, paths: Sequence[str], places: Sequence[str], address: ClipAddress) -> None:
        super().__init__()
        self._given = dict(zip(places, paths, strict=True))
        self._places = places
        self._address = address
        self._died = False
        self.failed = 0

    def serve(self) -> None:
        """Serve the clips; called while the player starts.

        Raises:
            _NothingToPlay: there is none.
        """
        from histfs.cli.mount_streams import MountStreams  # noqa: PLC0415

        streams = MountStreams()
        streams.begin(self._places[0])
        from histfs.clip_server import serve_clips  # noqa: PLC0415

        clips = [self._clip(place) for place in self._places]
        if not any(clips):
            raise _NothingToPlay
        # A player that root starts may run as another user.
        owner = os.geteuid() or None
        self.enter_context(serve_clips(self._address, streams, clips, self._tell, owner))

    def _clip(self, place: str) -> Clip | None:
        from histfs.cli.mount_streams import find_audio  # noqa: PLC0415
        from histfs.clip_server import Clip  # noqa: PLC0415

        try:
            return Clip(place, clip_name(find_audio(place)))
        except Exception as error:
            from histfs.core.errors import HistfsError  # noqa: PLC0415

            if not isinstance(error, HistfsError):
                raise
            self.failed = max(self.failed, self._report(place, error))
            return None

    def _tell(self, place: str, error: HistfsError) -> None:
        """Say why a clip isn't played; the player goes on."""
        from histfs.cli.error_reporting import MountDied  # noqa: PLC0415

        status = self._report(place, error)
        if isinstance(error, MountDied):
            self.failed = max(self.failed, status)

    def _report(self, place: str, error: HistfsError) -> int:
        """Say what failed, once for a mount that has died, and return the exit status."""
        from histfs.cli.error_reporting import MountDied  # noqa: PLC0415
        from histfs.cli.exit_codes import exit_status  # noqa: PLC0415
        from histfs.cli.paths import report_path_error  # noqa: PLC0415

        if isinstance(error, MountDied):
            if self._died:
                return exit_status(error)
            self._died = True
        return report_path_error(error, self._given[place])


def _plain(arguments: Sequence[str]) -> tuple[list[str], str] | None:
    """Return the paths and the player; None for arguments that need a closer look."""
    paths, player = list[str](), os.environ.get("HISTFS_PLAYER", "")
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            paths += rest
            continue
        if not argument.startswith("-"):
            paths.append(argument)
            continue
        name, given, value = argument.partition("=")
        if not given:
            value = next(rest, "")
        if not value or name not in {_PLAYER, *_OTHERS}:
            return None
        if name == _PLAYER:
            player = value
    return paths, player


def _is_default_player() -> bool:
    """Say whether no configuration file can name a player."""
    if any(os.environ.get(name) for name in _ELSEWHERE):
        return False
    # As platformdirs says, which takes long to import.
    folder = os.environ.get("XDG_CONFIG_HOME", "").strip() or "~/.config"
    file = os.path.expanduser(f"{folder}/histfs/config.toml")  # noqa: PTH111
    try:
        with open(file, "rb") as config:  # noqa: PTH123
            return b"player" not in config.read()
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _in_mount(path: str, mountpoints: Sequence[str]) -> str | None:
    """Return the absolute path of what is below a mountpoint that answers; None if it isn't."""
    try:
        full = os.path.abspath(path)  # noqa: PTH100 - links below are left as they are
    except FileNotFoundError:
        return None  # the working directory has been removed
    # A relative path that isn't there is one of the tree, wherever the working directory is.
    if not os.path.isabs(path) and not os.path.lexists(full):  # noqa: PTH117
        return None
    above, name = os.path.split(full)
    for each in (full, os.path.join(os.path.realpath(above), name)):  # noqa: PTH118
        for mountpoint in mountpoints:
            if each.startswith(f"{mountpoint}/") and _answers(mountpoint):
                return each
    return None


def _answers(mountpoint: str) -> bool:
    try:
        os.stat(mountpoint)  # noqa: PTH116 - fails for another user's
        os.statvfs(mountpoint)  # asks its process
    except OSError:
        return False
    return True
