"""``scripts/bench sound``: seconds to the first sound of a clip that was never opened.

Players write what they decode into a file; the first sound is the first sample there that is not
silence. Each is measured beside ``curl | mpv -``, which needs no size and gets bytes as they come.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from scripts.benchmarks.figures import Figure
from scripts.benchmarks.listeners import LISTENERS, missing
from scripts.benchmarks.stage import (
    BINDINGS,
    KEY,
    LATENCY,
    Server,
    directory,
    environment,
    mounted,
    server,
)

_MBIT = 1_000_000 // 8
#: Bytes of the clip, and bytes in a second of the link.
_CASES = {
    "1 MB at 4 Mbit/s": (1_000_000, 4 * _MBIT),
    "10 MB at 20 Mbit/s": (10_000_000, 20 * _MBIT),
    "10 MB at 4 Mbit/s": (10_000_000, 4 * _MBIT),
}
#: The wanted ratio to curl's first sound.
_MOST = 1.3
_TIMEOUT = 60
_WAV_HEADER = 128
#: VLC refuses to run as root.
_UNPRIVILEGED = "" if os.geteuid() else "setpriv --reuid=65534 --clear-groups "
_SHARED = () if os.geteuid() else ("-o", "allow_other,umask=022")


class Player(NamedTuple):
    """A player whose sound goes to a file.

    Attributes:
        line: its command line, for a shell, with the clip and the file to be filled in.
        environment: more of the environment, with the same.
    """

    line: str
    environment: Mapping[str, str] = {}


_MPV = "mpv --no-config --really-quiet --no-video --ao=pcm --ao-pcm-file={file} {clip}"
_QUOTED_MPV = shlex.quote(_MPV.removesuffix(" {clip}"))
#: As it is installed.
_PLAY = f"{shlex.quote(str(Path(sys.executable).with_name('histfs')))} play"
_SINK = "wavenc ! filesink buffer-mode=unbuffered location={file}"
_PLAYERS = {
    "mpv": Player(_MPV),
    "ffplay": Player(
        "ffplay -v error -nodisp -autoexit {clip}",
        {"SDL_AUDIODRIVER": "disk", "SDL_DISKAUDIOFILE": "{file}"},
    ),
    "VLC": Player(
        f"{_UNPRIVILEGED}cvlc -q --no-interact --play-and-exit --aout=afile"
        " --audiofile-file={file} {clip}",
        {"HOME": "{home}"},
    ),
    "GStreamer": Player(f"gst-play-1.0 -q --no-interactive --audiosink='{_SINK}' {{clip}}"),
}


def measure(rounds: int) -> list[Figure]:
    """Measure all cases, without a length told by the server.

    Args:
        rounds: the number of runs; the shortest wait counts.
    """
    return [figure for case in _CASES for figure in _measure(case, rounds)]


def _measure(case: str, rounds: int) -> list[Figure]:
    size, rate = _CASES[case]
    options = ("--items", "1", "--clip-bytes", str(size), "--bandwidth", str(rate), *LATENCY)

    def best(run: Callable[[Server], float]) -> float:
        return min(run(api) for _ in range(rounds))

    with server(*options) as api:
        curl = best(_curl)
        waits = {
            f"{name}, {binding}": best(lambda api, n=name, b=binding: _in_mount(api, n, b))  # type: ignore[misc]
            for binding in BINDINGS
            for name in _PLAYERS
        }
        waits["mpv by histfs play"] = best(_by_play)
        waits["mpv by histfs play, no mount"] = best(_without_mount)
        absent = {name: missing(name) for name in LISTENERS}
        for name in (name for name in LISTENERS if not absent[name]):
            waits[f"{name} by histfs play"] = best(lambda api, n=name: _told(api, n))  # type: ignore[misc]
    beside = "curl | mpv -"
    figures = [
        Figure(f"{case}: {name}", wait, "s", most=_MOST, peer=curl, beside=beside)
        for name, wait in waits.items()
    ]
    left_out = [name for name in LISTENERS if absent[name]]
    if left_out and figures:
        note = "; ".join(f"no {name}: install {' and '.join(absent[name])}" for name in left_out)
        figures[-1] = replace(figures[-1], note=note)
    return figures


def _curl(api: Server) -> float:
    with directory() as place, mounted(api, place) as mount:
        item = _clip(mount.path).parent.name.split("_", 2)[2]
    url = f"{api.url}/v1/history/{item}/audio"
    return _first_sound(f"curl -sN -H xi-api-key:{KEY} {url} | {_MPV}", "-", {})


def _in_mount(api: Server, name: str, binding: str) -> float:
    player = _PLAYERS[name]
    with directory() as place, mounted(api, place, *_SHARED, binding=binding) as mount:
        place.chmod(0o711)
        clip = _clip(mount.path)
        return _first_sound(player.line, str(clip), player.environment)


def _by_play(api: Server) -> float:
    with directory() as place, mounted(api, place) as mount:
        clip = shlex.quote(str(_clip(mount.path)))
        return _first_sound(f"{_PLAY} --player {_QUOTED_MPV} {clip}", "", environment(place))


def _without_mount(api: Server) -> float:
    with directory() as place:
        with mounted(api, place) as mount:
            path = _clip(mount.path).relative_to(mount.path)
        options = f"--base-url {api.url} --timezone UTC --player {_QUOTED_MPV}"
        return _first_sound(f"{_PLAY} {options} {path}", "", environment(place))


def _told(api: Server, name: str) -> float:
    """Return the wait for a program that runs already, and is told the address of a clip."""
    listener, _ = LISTENERS[name]
    with directory() as place, mounted(api, place) as mount:
        clip = shlex.quote(str(_clip(mount.path)))
        folder = place / "listener"
        folder.mkdir()
        with listener(folder) as (player, sounds):
            line = f"{_PLAY} --player {shlex.quote(player)} {clip}"
            return _until(sounds, line, environment(place))


def _clip(mountpoint: Path) -> Path:
    [clip] = mountpoint.glob("by-date/*/*/*/*/audio.[!s]*")
    return clip


def _first_sound(line: str, clip: str, more: Mapping[str, str]) -> float:
    """Run a player until it sounds, and return the seconds from its start."""
    with directory() as place:
        place.chmod(0o777)
        file = place / "sound"

        def filled(text: str) -> str:
            return text.replace("{file}", str(file)).replace("{home}", str(place))

        command = filled(line).replace("{clip}", shlex.quote(clip))
        given = {name: filled(value) for name, value in more.items()}
        return _until(lambda: _sounds(file), command, given)


def _until(sounds: Callable[[], bool], command: str, more: Mapping[str, str]) -> float:
    """Run a command until something sounds, and return the seconds from its start."""
    began = time.perf_counter()
    with subprocess.Popen(
        command,
        shell=True,
        env={**os.environ, **more},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            while not sounds():
                if time.perf_counter() - began > _TIMEOUT:
                    raise SystemExit(f"no sound: {command}")
                time.sleep(0.005)
            return time.perf_counter() - began
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)


def _sounds(file: Path) -> bool:
    """Say whether a WAV file has a sample that is not silence."""
    try:
        return any(file.read_bytes()[_WAV_HEADER:])
    except FileNotFoundError:
        return False
