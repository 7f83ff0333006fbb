"""The programs that play clips from URLs.

This module imports little: a player is started before anything else is done.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import signal
import subprocess
import time
from collections.abc import Callable, Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, NoReturn

#: Options of players that are given by their name alone: each ends when it has played all.
_OPTIONS = {
    "vlc": ["--play-and-exit"],
    "cvlc": ["--play-and-exit"],
    "ffplay": ["-autoexit"],
}
#: Players that root can't start.
_NOT_FOR_ROOT = {"vlc", "cvlc"}
#: Players that take one URL.
_ONE_AT_A_TIME = {"ffplay"}
#: Programs that show a page, and may return before it is closed.
_BROWSERS = {
    "xdg-open", "sensible-browser", "x-www-browser", "firefox", "chromium", "google-chrome",
}  # fmt: skip
#: Seconds that a player has to end by itself.
_END_TIMEOUT = 2.0
#: Seconds of a wait for a player; in between the handlers of signals run.
_WAIT = 1.0


def _nothing() -> None:
    """Do nothing."""


class Player:
    """A program that plays clips.

    Args:
        command: its command line, without the URLs.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.command = command

    @property
    def name(self) -> str:
        """The name of the program."""
        return posixpath.basename(self.command[0])

    def play(self, urls: Sequence[str], page: str, meanwhile: Callable[[], None] = _nothing) -> int:
        """Play clips, and return the exit status.

        Args:
            urls: the clips, at least one.
            page: a page with all of them, for a browser; the call ends with Ctrl-C then.
            meanwhile: is called while the player starts; what it raises ends the player at once.

        Raises:
            KeyboardInterrupt: the user has interrupted a player.
            NoPlayer: it can't be started.
        """
        if self.name in _BROWSERS:
            # Ctrl-C is the only end; it may come while the program that opens the page ends.
            with contextlib.suppress(KeyboardInterrupt):
                return self._run([page], meanwhile) or _wait_for_interrupt()
            return 0
        if self.name in _ONE_AT_A_TIME:
            first, *others = urls
            return max([self._run([first], meanwhile), *map(self._run, ([url] for url in others))])
        return self._run(urls, meanwhile)

    def _run(self, urls: Sequence[str], meanwhile: Callable[[], None] = _nothing) -> int:
        with _Signals() as signals:
            try:
                process = subprocess.Popen([*self.command, *urls])  # noqa: S603 - the user's own
            except OSError as error:
                from histfs.cli.error_reporting import NoPlayer  # noqa: PLC0415

                raise NoPlayer(f"{self.name} can't be started: {error.strerror}") from error
            try:
                signals.arm()
                try:
                    meanwhile()
                except BaseException:
                    process.terminate()
                    raise
                status = _status_of(process)
            finally:
                # On Ctrl-C the terminal has told the player, too.
                _end(process)
        return status if status >= 0 else 128 - status


def choose_player(given: str | None) -> Player:
    """Return the player that the user chose, else the first one that is installed.

    Args:
        given: a command line; None or empty for none.

    Raises:
        OptionError: it isn't a command line, or there is no such program.
        NoPlayer: none is installed.
    """
    if given:
        words = _words(given)
        name = posixpath.basename(words[0])
        return Player(words if words[1:] else [*words, *_OPTIONS.get(name, [])])
    has_display = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    names = ["mpv", "vlc", "cvlc", "ffplay", "xdg-open"] if has_display else ["mpv", "cvlc"]
    if os.geteuid() == 0:
        names = [name for name in names if name not in _NOT_FOR_ROOT]
    for name in names:
        if _is_installed(name):
            return Player([name, *_OPTIONS.get(name, [])])
    if _is_installed("ffplay"):
        return Player(["ffplay", "-nodisp", "-autoexit"])
    from histfs.cli.error_reporting import NoPlayer  # noqa: PLC0415

    raise NoPlayer("there is no player: install mpv, VLC or ffplay, or name one with --player")


def _words(line: str) -> Sequence[str]:
    """Return the words of a command line whose program is installed.

    Raises:
        OptionError: it isn't a command line, or there is no such program.
    """
    import shlex  # noqa: PLC0415 - it takes as long as all the others

    try:
        words = shlex.split(line)
    except ValueError as error:
        raise _unusable(f"--player {line!r} can't be read: {error}") from error
    if not words or not _is_installed(words[0]):
        raise _unusable(f"the player {line!r} is not installed")
    return words


def _unusable(message: str) -> Exception:
    from histfs.settings import OptionError  # noqa: PLC0415

    return OptionError(message)


def _is_installed(program: str) -> bool:
    """Say whether there is a program, as `shutil.which` does, whose import takes longer."""
    folders = [""] if "/" in program else os.get_exec_path()
    files = (posixpath.join(folder, program) for folder in folders)
    return any(os.access(file, os.X_OK) and not os.path.isdir(file) for file in files)  # noqa: PTH112


def _status_of(process: subprocess.Popen[bytes]) -> int:
    """Wait for a player to end by itself, and return its status.

    A signal that comes just before waitpid(2), or to another thread, does not end that: its handler
    would run when the player has ended. So the wait is one of many.
    """
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(_WAIT)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Wait for a player to end; one that doesn't is ended."""
    for end in (process.terminate, process.kill):
        try:
            process.wait(_END_TIMEOUT)
        except subprocess.TimeoutExpired:
            end()
    process.wait()


def _wait_for_interrupt() -> NoReturn:
    """Wait until a signal raises `KeyboardInterrupt` or `SystemExit`."""
    with _Signals() as signals:
        signals.arm()
        while True:
            time.sleep(_WAIT)  # as in `_status_of`: the signal may come just before


class _Signals:
    """Raises an exception on SIGINT and SIGTERM, so that the player and the server end.

    Not before `arm`: an exception while the player is started would leave it running.
    """

    def __init__(self) -> None:
        self._armed = False
        self._received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Signals:
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def arm(self) -> None:
        """Raise for the signal that has come, and from now on at once."""
        self._armed = True
        if self._received is not None:
            self._raise(self._received)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self._received = number
        if self._armed:
            self._raise(number)

    def _raise(self, number: int) -> None:
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
