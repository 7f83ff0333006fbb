"""A simulated server and mounts of it, each in a process of its own, as users have them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import requests

KEY = "bench"


class Server:
    """A simulated server in another process."""

    def __init__(self, url: str) -> None:
        self.url = url

    def control(self, path: str, body: object | None = None) -> dict:
        """Turn one of the simulator's knobs."""
        method = "GET" if body is None else "POST"
        answer = requests.request(method, f"{self.url}/_simulator/{path}", json=body, timeout=60)
        answer.raise_for_status()
        return answer.json() if answer.content else {}

    def lists(self) -> int:
        """Return how many lists were asked for so far."""
        return self.control("counts")["counts"].get("GET /v1/history", 0)


class Cost:
    """What something cost: seconds, and requests for lists."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._lists = server.lists()
        self._began = time.perf_counter()

    def stop(self) -> tuple[float, int]:
        """Return seconds and requests since it began."""
        seconds = time.perf_counter() - self._began
        return seconds, self._server.lists() - self._lists


@contextlib.contextmanager
def server(*options: str) -> Iterator[Server]:
    """Run a simulated server."""
    command = [sys.executable, "-m", "histfs", "simulate", "--port", "0", "--quiet"]
    process = subprocess.Popen(
        [*command, "--api-key", KEY, *options], stdout=subprocess.PIPE, text=True
    )
    try:
        line = process.stdout.readline()
        yield Server(line.split()[-1])
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def directory() -> Iterator[Path]:
    """Lend a directory for a mountpoint, a cache and a log."""
    with tempfile.TemporaryDirectory(prefix="histfs-bench-") as path:
        yield Path(path)


@contextlib.contextmanager
def mounted(server: Server, place: Path, *options: str) -> Iterator[Path]:
    """Mount the history of a server; the cache of a place is used again."""
    mountpoint = place / "mnt"
    mountpoint.mkdir(exist_ok=True)
    histfs(server, place, "mount", mountpoint, "--timezone", "UTC", *options)
    try:
        yield mountpoint
    finally:
        histfs(server, place, "umount", mountpoint)


def histfs(server: Server, place: Path, command: str, *arguments: object) -> str:
    """Run a command of histfs, and return what it prints."""
    account = () if command in ("umount", "status") else ("--base-url", server.url)
    done = subprocess.run(
        [sys.executable, "-m", "histfs", command, *map(str, arguments), *account],
        env={**os.environ, "ELEVENLABS_API_KEY": KEY, "HISTFS_CACHE_DIR": str(place / "cache"),
             "XDG_STATE_HOME": str(place)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"histfs {command}: {done.stderr}")
    return done.stdout


def wait_until(true: Callable[[], bool], seconds: float) -> None:
    """Wait for something to become true."""
    ends = time.monotonic() + seconds
    while not true():
        if time.monotonic() > ends:
            raise SystemExit("it took too long")
        time.sleep(0.05)
