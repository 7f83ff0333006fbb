"""``scripts/bench reads``, the second part: what there is to wait for, and for how long.

The first bytes of a clip on a slow link, beside the official SDK: where the server says how long
the clip is, a reader gets them as they come; where it doesn't, open(2) waits for the whole clip,
since the program that opens it will ask for its size. And what goes on while all downloads hang.
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
#: What `histfs mount` fetches at once, of what so many readers ask for.
_CONNECTIONS = 8
_NOWHERE = subprocess.DEVNULL


def measure(rounds: int) -> list[Figure]:
    """Measure all cases.

    Args:
        rounds: how often the first bytes are waited for; the shortest wait counts.
    """
    figures = []
    for binding in BINDINGS:
        figures += _first_bytes(binding, rounds, told=True)
        figures += _first_bytes(binding, rounds, told=False)
    for binding in BINDINGS:
        figures += _hanging(binding)
    return figures


def _first_bytes(binding: str, rounds: int, told: bool) -> list[Figure]:
    options = ("--items", "1", "--clip-bytes", str(CLIP), "--bandwidth", str(LINK), *LATENCY)
    length = ("--no-chunked",) if told else ()
    waited = []
    with server(*options, *length) as api:
        for _ in range(rounds):
            with directory() as place:
                first, last, _ = sdk.run(api, place, "first")
                with mounted(api, place, binding=binding) as mount:
                    [clip] = mount.path.glob("by-date/*/*/*/*/audio.*")
                    waited.append((_until_first(clip), first, last))
                    memory = Memory.of(mount.pid)
    seconds, first, last = map(min, zip(*waited, strict=True))
    case = f"first bytes of 5 MB at 500 KB/s, {binding}, length " + ("told" if told else "not told")
    first_of = Figure(case, seconds, "s", peer=first, beside="SDK's first bytes")
    if told:
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
        clips = sorted(mount.path.glob("by-date/*/*/*/*/audio.*"))[:READERS]
        day = clips[0].parents[1]
        usual = _ls(day)
        api.control("faults", {"pattern": "/audio$", "kind": "hang"})
        cost = Cost(api)
        readers: list[subprocess.Popen[bytes]] = []
        try:
            for clip in clips:
                readers.append(subprocess.Popen(["cat", clip], stdout=_NOWHERE, stderr=_NOWHERE))
            wait_until(lambda: cost.stop().audio >= _CONNECTIONS, 20)
            time.sleep(1)  # until the others, who wait for those, are there as well
            listed = _ls(day)
            # Of those whose clip hangs, and of those whose turn hasn't come.
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
        Figure(f"{case}: ls -l of a day", listed, "s", peer=usual, beside="nobody hangs"),
        Figure(f"{case}: the last one is gone after SIGINT", interrupted, "s", most=1),
        Figure(f"{case}: the last one is gone after SIGKILL", killed, "s", most=1),
        Figure(f"peak of memory then, {binding}", memory.peak, "MB", note=memory.note),
    ]


def _ls(day: Path) -> float:
    began = time.perf_counter()
    subprocess.run(["ls", "-l", day], stdout=_NOWHERE, check=True)
    return time.perf_counter() - began


def _end(reader: subprocess.Popen[bytes], how: signal.Signals) -> float:
    """End a reader that hangs, and return the seconds until it is gone."""
    assert reader.poll() is None, "it doesn't hang"
    began = time.perf_counter()
    reader.send_signal(how)
    reader.wait()
    return time.perf_counter() - began
