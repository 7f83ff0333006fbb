"""``scripts/bench reads``, the second part: waiting times.

The first bytes of a clip on a slow link, beside the official SDK: with a Content-Length, a reader
gets them as they arrive; without one, open(2) waits for the complete clip, since the program will
need its size. And the responsiveness while all downloads hang.
"""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

from scripts.benchmarks import sdk
from scripts.benchmarks.figures import Figure
from scripts.benchmarks.stage import (
    BINDINGS,
    LATENCY,
    Cost,
    Memory,
    directory,
    mounted,
    server,
    wait_until,
)

CLIP, LINK = 5_000_000, 500_000
READERS = 64
#: The default number of connections of `histfs mount`.
_CONNECTIONS = 8
_DEVNULL = subprocess.DEVNULL


def measure(rounds: int) -> list[Figure]:
    """Measure all cases.

    Args:
        rounds: the number of runs for the first bytes; the shortest wait counts.
    """
    figures = []
    for binding in BINDINGS:
        figures += _first_bytes(binding, rounds, has_length=True)
        figures += _first_bytes(binding, rounds, has_length=False)
    for binding in BINDINGS:
        figures += _hanging(binding)
    return figures


def _first_bytes(binding: str, rounds: int, has_length: bool) -> list[Figure]:
    options = ("--items", "1", "--clip-bytes", str(CLIP), "--bandwidth", str(LINK), *LATENCY)
    framing = ("--no-chunked",) if has_length else ()
    waited = []
    with server(*options, *framing) as api:
        for _ in range(rounds):
            with directory() as place:
                first, last, _ = sdk.run(api, place, "first")
                with mounted(api, place, binding=binding) as mount:
                    [clip] = mount.path.glob("by-date/*/*/*/*/audio.[!s]*")
                    waited.append((_until_first(clip), first, last))
                    memory = Memory.of(mount.pid)
    seconds, first, last = map(min, zip(*waited, strict=True))
    length = "told" if has_length else "not told"
    case = f"first bytes of 5 MB at 500 KB/s, {binding}, length {length}"
    first_of = Figure(case, seconds, "s", peer=first, beside="SDK's first bytes")
    if has_length:
        return [first_of]
    return [
        first_of,
        Figure(case, seconds, "s", peer=last, beside="SDK's last bytes"),
        Figure(f"peak of memory then, {binding}", memory.peak, "MB", note=memory.note),
    ]


def _until_first(clip: Path) -> float:
    began = time.perf_counter()
    with clip.open("rb", buffering=0) as file:
        assert file.read(4096)
        return time.perf_counter() - began


def _hanging(binding: str) -> list[Figure]:
    with (
        directory() as place,
        server("--items", "200", "--days", "2", *LATENCY) as api,
        mounted(api, place, binding=binding) as mount,
    ):
        clips = sorted(mount.path.glob("by-date/*/*/*/*/audio.[!s]*"))[:READERS]
        day = clips[0].parents[1]
        baseline = _ls(day)
        api.control("faults", {"pattern": "/audio$", "kind": "hang"})
        cost = Cost(api)
        readers: list[subprocess.Popen[bytes]] = []
        try:
            for clip in clips:
                readers.append(subprocess.Popen(["cat", clip], stdout=_DEVNULL, stderr=_DEVNULL))
            wait_until(lambda: cost.stop().audio >= _CONNECTIONS, 20)
            time.sleep(1)  # until the other readers wait for those
            listed = _ls(day)
            # Includes readers whose download hangs, and readers whose download is queued.
            interrupted = max(_end(reader, signal.SIGINT) for reader in readers[::16])
            killed = max(_end(reader, signal.SIGKILL) for reader in readers[1::16])
            memory = Memory.of(mount.pid)
        finally:
            for reader in readers:
                reader.kill()
                reader.wait()
    case = f"{READERS} readers hang, {binding}"
    return [
        Figure(f"{case}: ls -l of a day", listed, "s", most=1),
        Figure(f"{case}: ls -l of a day", listed, "s", peer=baseline, beside="no reader hangs"),
        Figure(f"{case}: the last one is gone after SIGINT", interrupted, "s", most=1),
        Figure(f"{case}: the last one is gone after SIGKILL", killed, "s", most=1),
        Figure(f"peak of memory then, {binding}", memory.peak, "MB", note=memory.note),
    ]


def _ls(day: Path) -> float:
    began = time.perf_counter()
    subprocess.run(["ls", "-l", day], stdout=_DEVNULL, check=True)
    return time.perf_counter() - began


def _end(reader: subprocess.Popen[bytes], number: signal.Signals) -> float:
    """Signal a hanging reader, and return the seconds until its process ends."""
    assert reader.poll() is None, "it doesn't hang"
    began = time.perf_counter()
    reader.send_signal(number)
    reader.wait()
    return time.perf_counter() - began
