"""Real mounts for tests: a mount whose process dies fails the test at once, nothing is left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from histfs.fuse.mountpoint import mounted_on
from histfs.simulator import Simulator
from tests.support.bindings import variables

#: Seconds that a mount, and its end, may take.
TIMEOUT = 20


def count_clips(listing: str) -> int:
    """Return how many clips are in what a program prints of directories."""
    return listing.count("audio.") - listing.count("audio.srt")


def command(*arguments: object, program: str = "histfs") -> list[str]:
    """Return the command line of a histfs command."""
    return [sys.executable, "-m", program, *map(str, arguments)]


def environment(binding: str, key: str = "demo-key", **more: str) -> dict[str, str]:
    """Return the environment for a mount of the simulator."""
    return {**os.environ, **variables(binding), "ELEVENLABS_API_KEY": key, **more}


def id_of(item: Path) -> str:
    """Return the key of an item from the name of its directory; a plain id is its own key."""
    return item.name.split("_", 2)[2]


@dataclass
class Mount:
    """A mount, its process and its log."""

    path: Path
    process: subprocess.Popen[str]
    log: Path

    def items(self, view: str = "by-date") -> list[Path]:
        """Return the item directories of a view, in the order of their names."""
        pattern = "*/*/*/*" if view == "by-date" else "*/*"
        return sorted((self.path / view).glob(pattern), key=lambda path: path.name)

    def audio(self) -> list[Path]:
        """Return the audio files, in the order of their items' names."""
        return [next(item.glob("audio.[!s]*")) for item in self.items()]

    def kill(self) -> None:
        """Kill the process with SIGKILL."""
        self.process.kill()
        self.process.wait(TIMEOUT)


@contextlib.contextmanager
def mounted(
    simulator: Simulator | None,
    directory: Path,
    binding: str,
    *arguments: object,
    env: Mapping[str, str] | None = None,
    may_log: str = "",
    program: str = "histfs",
) -> Iterator[Mount]:
    """Mount the simulator's history; the process must end with status 0 and a clean log.

    Args:
        simulator: the server; None where the arguments name a server and a key.
        directory: holds the mountpoint, the cache, the trash and the log.
        binding: the FUSE binding.
        arguments: more of the command line.
        env: more of the environment.
        may_log: a text of error lines that are expected.
        program: the module that is run.
    """
    mountpoint, log = directory / "mnt", directory / "log"
    mountpoint.mkdir(exist_ok=True, parents=True)
    server = [] if simulator is None else ["--base-url", simulator.base_url]
    line = command(
        "mount", "-f", mountpoint, *server,
        "--cache-dir", directory / "cache", "--trash", directory / "trash", "--timezone", "UTC",
        *arguments, program=program,
    )  # fmt: skip
    key = "no-key" if simulator is None else simulator.api_key
    full = environment(binding, key, **(env or {}))
    with log.open("w") as output:
        process = subprocess.Popen(line, env=full, stdout=output, stderr=output, text=True)
    mount = Mount(mountpoint, process, log)
    try:
        _await_mount(mount)
        yield mount
    except BaseException:
        print(log.read_text())  # pytest shows it with the failure
        raise
    finally:
        status = _end(mount)
    lines = log.read_text().splitlines()
    bad = [text for text in lines if "Traceback" in text or " ERROR " in text or "CRITICAL" in text]
    bad = [text for text in bad if not may_log or may_log not in text]
    assert not bad, log.read_text()
    assert status in (0, -signal.SIGKILL), f"exit status {status}\n{log.read_text()}"


def _await_mount(mount: Mount) -> None:
    deadline = time.monotonic() + TIMEOUT
    while mounted_on(mount.path) is None:
        assert mount.process.poll() is None, f"the mount died:\n{mount.log.read_text()}"
        assert time.monotonic() < deadline, f"no mount:\n{mount.log.read_text()}"
        time.sleep(0.02)


def _end(mount: Mount) -> int:
    if mounted_on(mount.path) is not None:
        subprocess.run(["umount", "-l", str(mount.path)], check=False)
    try:
        return mount.process.wait(TIMEOUT)
    except subprocess.TimeoutExpired:
        mount.process.kill()
        mount.process.wait()
        raise
