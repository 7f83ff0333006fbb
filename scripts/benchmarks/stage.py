"""Run a simulated server and mounts of it, each in a process of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import requests

KEY = "bench"
BINDINGS = ("fusepy", "mfusepy")
#: The latency of a server on the internet, for the cases that compare speed.
LATENCY = ("--latency", "0.05")

_LIST, _AUDIO = "GET /v1/history", "GET /v1/history/{id}/audio"
#: The share of busy CPU time above which the machine, not the program, limits a figure.
_BUSY = 0.8


class Server:
    """A simulated server in another process."""

    def __init__(self, url: str, pid: int) -> None:
        self.url = url
        self._pid = pid

    def control(self, path: str, body: object | None = None) -> dict[str, Any]:
        """Call one of the simulator's control endpoints: GET without a body, else POST."""
        method = "GET" if body is None else "POST"
        answer = requests.request(method, f"{self.url}/_simulator/{path}", json=body, timeout=60)
        answer.raise_for_status()
        return answer.json() if answer.content else {}

    def requests(self) -> tuple[int, int]:
        """Return the number of list requests and of audio requests so far."""
        counts = self.control("counts")["counts"]
        return counts.get(_LIST, 0), counts.get(_AUDIO, 0)

    def ticks(self) -> int:
        """Return the CPU time that it has used so far, in clock ticks."""
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])


class Spent(NamedTuple):
    """The cost of a case: seconds, list and audio requests, and a note about the machine."""

    seconds: float
    lists: int
    audio: int
    note: str


class Cost:
    """Measure time and requests from its creation on."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._requests = server.requests()
        self._ticks = (*_ticks(), server.ticks())
        self._began = time.perf_counter()

    def stop(self) -> Spent:
        """Return the cost since its creation."""
        seconds = time.perf_counter() - self._began
        ticks = zip((*_ticks(), self._server.ticks()), self._ticks, strict=True)
        busy, total, server = (now - before for now, before in ticks)
        note = ""
        if busy > _BUSY * total:
            note = f"CPUs {busy / total:.0%} busy (the simulator: {server / total:.0%})"
        lists, audio = self._server.requests()
        return Spent(seconds, lists - self._requests[0], audio - self._requests[1], note)


class Memory(NamedTuple):
    """The resident memory of a process, now and at its peak, in MB."""

    now: float
    peak: float

    @classmethod
    def of(cls, pid: int | str) -> Memory:
        """Read the memory of a process (proc(5))."""
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        now, peak = (int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
        return cls(now, peak)

    @property
    def note(self) -> str:
        """The note beside the peak."""
        return f"{self.now:.0f} MB in the end"

    def higher(self, other: Memory | None) -> Memory:
        """Return this one or another, whichever has the higher peak."""
        return other if other and other.peak > self.peak else self


class Mount(NamedTuple):
    """A mounted filesystem, and the process that serves it."""

    path: Path
    pid: int


@contextlib.contextmanager
def directory() -> Iterator[Path]:
    """Yield a directory for mountpoints, caches and logs; TMPDIR chooses its disk."""
    with tempfile.TemporaryDirectory(prefix="histfs-bench-") as path:
        yield Path(path)


@contextlib.contextmanager
def server(*options: str) -> Iterator[Server]:
    """Run a simulated server."""
    command = [sys.executable, "-m", "histfs", "simulate", "--port", "0", "--quiet"]
    # The peers have no conversations.
    command += ["--conversations", "0"]
    with subprocess.Popen(
        [*command, "--api-key", KEY, *options],
        stdout=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout
            yield Server(process.stdout.readline().split()[-1], process.pid)
        finally:
            process.terminate()


@contextlib.contextmanager
def mounted(
    server: Server, place: Path, *options: str, binding: str | None = None
) -> Iterator[Mount]:
    """Mount the history of a server; mounts with the same place share the cache."""
    path = place / f"mnt-{binding}" if binding else place / "mnt"
    command = [sys.executable, "-m", "histfs", "mount", str(path), "--foreground"]
    account = ["--timezone", "UTC", "--base-url", server.url]
    with mounting([*command, *account, *options], path, environment(place, binding)) as mount:
        yield mount


@contextlib.contextmanager
def mounting(command: list[str], path: Path, environment: dict[str, str]) -> Iterator[Mount]:
    """Run a command that serves a mount in the foreground, and terminate it after the block.

    The command runs in a session of its own: a Ctrl-C reaches only this process, which then ends
    the others in order.
    """
    path.mkdir(exist_ok=True)
    log = path.with_suffix(".log")
    with log.open("w") as file:
        process = subprocess.Popen(
            command, env=environment, stdout=file, stderr=file, start_new_session=True
        )
    try:
        wait_until(lambda: os.path.ismount(path) or process.poll() is not None, 30)
        if process.poll() is not None:
            raise SystemExit(f"{' '.join(command)}: {log.read_text()}")
        yield Mount(path, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            print(f"{' '.join(command)}: it had to be killed", file=sys.stderr)
            process.kill()
            process.wait()
        # Unmount what a killed process has left.
        subprocess.run(["fusermount3", "-uqz", path], capture_output=True, check=False)


def environment(place: Path, binding: str | None = None) -> dict[str, str]:
    """Return the environment of a process with its cache, configuration and state in a place.

    Args:
        place: the directory.
        binding: the FUSE binding of histfs; None for the default.
    """
    # What is installed has its bytecode, whatever a developer's environment says.
    dropped = ("HISTFS_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    chosen = {"HISTFS_FUSE": binding} if binding else {}
    folders = {"HISTFS_CACHE_DIR": "cache", "XDG_CONFIG_HOME": "config", "XDG_STATE_HOME": "state"}
    homes = {name: str(place / folder) for name, folder in folders.items()}
    return {**kept, **homes, **chosen, "ELEVENLABS_API_KEY": KEY}


def cpu_seconds(mount: Mount) -> float:
    """Return the CPU time of a mount's process so far, in seconds."""
    fields = Path(f"/proc/{mount.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def drop_caches() -> bool:
    """Drop the page cache, dentries and inodes (proc(5)); return whether it was permitted."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError:
        return False
    return True


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until a condition is true; exit after the seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("it took too long")
        time.sleep(0.01)


def _ticks() -> tuple[int, int]:
    """Return the busy time and the total time of all CPUs so far, in clock ticks."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)  # without idle and iowait
