"""Programs that run before they are told what to play: the Music Player Daemon, and a browser.

Each writes what sounds where `scripts.benchmarks.sound` looks for the first sample.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from scripts.benchmarks.stage import wait_until

_MPD = """
music_directory "{place}"
log_file "{place}/mpd.log"
bind_to_address "{place}/socket"
zeroconf_enabled "no"
audio_output {{
    type "pipe"
    name "file"
    command "cat > {place}/sound"
}}
"""
#: ALSA's default device is a FIFO.
_ALSA = """
pcm.!default {{
    type plug
    slave.pcm "fifo"
}}
pcm.fifo {{
    type file
    file "{place}/sound"
    format "raw"
    slave.pcm "null"
}}
"""
_CHROMIUM = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
    "--disable-background-networking", "--autoplay-policy=no-user-gesture-required",
    "--alsa-output-device=default", "--remote-debugging-port=0", "about:blank",
)  # fmt: skip
#: A script in place of a player ends as one does, when `histfs play` ends.
_STAYS = "exec sleep 60"
_PIPE = 1 << 16


class Listener(NamedTuple):
    """A program that plays what it is told.

    Attributes:
        player: the command line that tells it, for ``histfs play --player``.
        sounds: says whether it has played a sample that is not silence.
    """

    player: str
    sounds: Callable[[], bool]


@contextlib.contextmanager
def mpd(place: Path) -> Iterator[Listener]:
    """Run the Music Player Daemon with an empty queue."""
    config, socket, sound = place / "mpd.conf", place / "socket", place / "sound"
    config.write_text(_MPD.format(place=place))
    tell = f"mpc -q --host={socket}"
    player = _script(place / "tell-mpd", f'{tell} add "$1" && {tell} play')
    with _running(["mpd", "--no-daemon", str(config)], {}):
        wait_until(socket.exists, 10)
        yield Listener(player, lambda: sound.exists() and any(sound.read_bytes()))


@contextlib.contextmanager
def chromium(place: Path) -> Iterator[Listener]:
    """Run Chromium with an empty page; it gets the page of ``histfs play`` in a new one."""
    (place / ".asoundrc").write_text(_ALSA.format(place=place))
    profile, sound = place / "profile", place / "sound"
    os.mkfifo(sound)
    heard = os.open(sound, os.O_RDONLY | os.O_NONBLOCK)
    command = ["chromium", *_CHROMIUM, f"--user-data-dir={profile}"]
    try:
        with _running(command, {"HOME": str(place)}):
            port = profile / "DevToolsActivePort"
            wait_until(lambda: port.exists() and len(port.read_text().split()) == 2, 20)
            api = f"http://127.0.0.1:{port.read_text().split()[0]}/json"
            _warm_up(api)
            # By this name `histfs play` knows a browser, which gets a page.
            player = _script(place / "chromium", f'curl -s -X PUT "{api}/new?$1" >"{place}/tab"')

            def sounds() -> bool:
                with contextlib.suppress(BlockingIOError):
                    return any(os.read(heard, _PIPE))
                return False

            yield Listener(player, sounds)
    finally:
        os.close(heard)


#: The listeners, and the programs that each needs.
LISTENERS = {"MPD": (mpd, ("mpd", "mpc")), "Chromium": (chromium, ("chromium", "curl"))}


def missing(name: str) -> list[str]:
    """Return the programs of a listener that are not installed."""
    return [program for program in LISTENERS[name][1] if shutil.which(program) is None]


def _warm_up(api: str) -> None:
    """Wait until the browser answers: it goes on to start after it has its port."""
    with urllib.request.urlopen(f"{api}/list") as answer:
        answer.read()
    time.sleep(1)


def _script(file: Path, line: str) -> str:
    file.write_text(f"#!/bin/sh\n{line}\n{_STAYS}\n")
    file.chmod(0o755)
    return shlex.quote(str(file))


@contextlib.contextmanager
def _running(command: list[str], more: dict[str, str]) -> Iterator[None]:
    with subprocess.Popen(
        command,
        env={**os.environ, **more},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
