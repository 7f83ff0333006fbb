"""Mounts that are killed and replaced, and what can be observed of their processes.

Threads: a mount is killed and replaced by one thread; `_lock` guards `_down`, which any thread may
read.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from histfs.core.filesystem import STATUS_NAME
from histfs.fuse.mountpoint import mounted_on

TTL, TIMEOUT, CONNECTIONS = 3.0, 8.0, 4
CACHE_SIZE = 8_000_000
#: Exit statuses of a mount that the server keeps from starting: unavailable, try later, the key.
_REFUSED = {69, 75, 77}
#: The timeout of a mount that is to fail, in seconds.
_SHORT_TIMEOUT = 2.0
#: What a log must not contain.
_ALARMS = ("Traceback", " ERROR ", " CRITICAL ", "unexpectedly")
_TIMEOUT = 60.0


class MountFailed(Exception):
    """A mount failed, or ended, in a way that no fault of the server explains."""


def command(*arguments: object) -> list[str]:
    """Return the command line of a histfs command."""
    return [sys.executable, "-m", "histfs", *map(str, arguments)]


class Mount:
    """A mount of the account, one of several with the same cache.

    Args:
        number: tells it from the others.
        directory: where its mountpoint and its log are made.
        url: the server.
        environment: of its process.
    """

    def __init__(self, number: int, directory: Path, url: str, environment: dict[str, str]) -> None:
        self.number = number
        self.path = directory / f"mount-{number}"
        self.path.mkdir()
        self.log = directory / f"mount-{number}.log"
        self._other_cache = directory / f"other-cache-{number}"
        self._environment = environment
        self._command = command(
            "mount", "--foreground", self.path, "--base-url", url, "--timezone", "UTC",
            "--listing-ttl", TTL, "--timeout", TIMEOUT, "--connections", CONNECTIONS,
            "--audio-cache-size", CACHE_SIZE, "--rescan", "20",
        )  # fmt: skip
        self._lock = threading.Lock()
        self._down: list[tuple[float, float]] = []
        self._process: subprocess.Popen[bytes] | None = None
        #: How many mount commands the server kept from succeeding.
        self.refused = 0

    @property
    def pid(self) -> int:
        """The process that serves it."""
        assert self._process is not None
        return self._process.pid

    def mount(self) -> None:
        """Mount; also over a dead mount.

        Raises:
            MountFailed: it can't be done, and the server isn't to blame.
        """
        deadline = time.monotonic() + _TIMEOUT
        while not self._run():
            if time.monotonic() > deadline:
                raise MountFailed(f"{self.path} can't be mounted: {self._log_tail()}")
            time.sleep(0.5)
        with self._lock:
            self._down = [(start, min(end, time.monotonic())) for start, end in self._down]

    def _run(self, *options: object) -> bool:
        """Run the mount command, and say whether it serves; if not, the server refused it.

        Args:
            options: added to the command line.

        Raises:
            MountFailed: the command failed, and the server isn't to blame.
        """
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [*self._command, *map(str, options)], env=self._environment, stdout=log,
                stderr=log, start_new_session=True,
            )  # fmt: skip
        self._process = process
        while not self._serves():
            status = process.poll()
            if status is not None and status not in _REFUSED:
                raise MountFailed(f"histfs mount exits with {status}: {self._log_tail()}")
            if status is not None:
                self.refused += 1
                return False
            time.sleep(0.05)
        return True

    def _serves(self) -> bool:
        """Say whether the process that was started is the one that answers."""
        if mounted_on(self.path) is None:
            return False
        with contextlib.suppress(OSError):
            return bool(self._status()["pid"] == self.pid)
        return False

    def _status(self) -> Any:  # noqa: ANN401 - JSON
        return json.loads((self.path / STATUS_NAME).read_bytes())

    def _log_tail(self) -> str:
        return self.log.read_text()[-2000:]

    def kill(self) -> None:
        """Kill the process, which leaves a dead mount."""
        with self._lock:
            if not self._down or self._down[-1][1] != float("inf"):
                self._down.append((time.monotonic(), float("inf")))
        assert self._process is not None
        self._process.kill()
        self._process.wait(_TIMEOUT)

    def mount_without_cache(self) -> bool:
        """Mount over the dead mount while the server fails, with an empty cache.

        With the cache of before the mount might come up without the server.

        Returns:
            Whether it came up all the same, and was killed again.
        """
        options = ("--cache-dir", self._other_cache, "--timeout", _SHORT_TIMEOUT)
        served = self._run(*options)
        if served:
            self.kill()
        return served

    def down_within(self, began: float, ended: float) -> bool:
        """Say whether it was dead for a part of a time, in monotonic seconds."""
        with self._lock:
            return any(start <= ended and began <= end for start, end in self._down)

    def unmount(self) -> None:
        """Unmount.

        Raises:
            MountFailed: it does not end as it should.
        """
        done = subprocess.run(
            command("umount", self.path), env=self._environment, check=False,
            capture_output=True, text=True, timeout=_TIMEOUT,
        )  # fmt: skip
        assert self._process is not None
        if done.returncode:
            raise MountFailed(f"histfs umount exits with {done.returncode}: {done.stderr}")
        status = self._process.wait(_TIMEOUT)
        if status:
            raise MountFailed(f"{self.path} ends with {status}: {self._log_tail()}")

    def clean_up(self) -> None:
        """End the process and the mount, whatever has happened."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if mounted_on(self.path) is not None:
            subprocess.run(["umount", "-l", self.path], check=False)

    def alarms(self) -> list[str]:
        """Return the lines of the log that tell of an unforeseen failure."""
        lines = self.log.read_text().splitlines()
        return [line for line in lines if any(alarm in line for alarm in _ALARMS)]

    def open_files(self) -> list[str]:
        """Return what the process has open, by the names that the kernel has for it."""
        return _link_targets(Path(f"/proc/{self.pid}/fd"))

    def descriptors(self) -> Counter[str]:
        """Return how many files of each kind the process has open."""
        return Counter(map(_kind, self.open_files()))

    def sources(self) -> list[str]:
        """Return the names of its sources."""
        return ["history", *self._status()["sources"]]

    def connections(self) -> list[str]:
        """Return the TCP connections of the process: the two addresses and the state of each."""
        inodes = {link[len("socket:[") : -1] for link in self.open_files() if "socket:[" in link}
        lines = Path(f"/proc/{self.pid}/net/tcp").read_text().splitlines()[1:]
        fields = [line.split() for line in lines]
        return [" ".join(field[1:4]) for field in fields if field[9] in inodes]

    def threads(self) -> int:
        """Return how many threads the process has."""
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))


def _link_targets(directory: Path) -> list[str]:
    targets = []
    for entry in directory.iterdir():
        with contextlib.suppress(FileNotFoundError):
            targets.append(str(entry.readlink()))
    return targets


def _kind(target: str) -> str:
    """Say of what kind an open file is, as far as their number may grow."""
    if target.startswith("socket:"):
        return "sockets"
    for kind, mark in (("catalog", "catalog.sqlite"), ("clips", "/audio/"), ("parts", ".part")):
        if mark in target:
            return kind
    return "others"
