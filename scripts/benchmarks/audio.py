"""``scripts/bench audio``: the first and the second backup of all clips.

The first one begins with an empty catalog and cache on an existing mount. The peers are scripts on
the official SDK that save audio and text of each item: sequentially, and with 16 threads. In a
second run they skip existing files.

The contestants take turns. The fastest of their runs counts, with the highest memory and number of
requests. Saved files stay until the end: with recently deleted inodes, ext4 creates files slowly.
"""

from __future__ import annotations

import subprocess
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import NamedTuple

from scripts.benchmarks import sdk
from scripts.benchmarks.figures import Figure
from scripts.benchmarks.stage import (
    BINDINGS,
    LATENCY,
    Cost,
    Memory,
    Server,
    Spent,
    directory,
    mounted,
    server,
)

#: Connections: the default of histfs, and those that are compared with as many threads.
DEFAULT, MANY = 8, 16


class _Run(NamedTuple):
    """The backups of one run of a contestant.

    Attributes:
        first: seconds of the first backup.
        again: seconds of the second.
        remounted: seconds of the third, after a remount.
        cached: seconds of a first backup to another directory, with all clips in the cache.
        fetched: audio requests of the first.
        audio: audio requests of the second and the third.
        memory: of the process after the first.
        saved: bytes of audio in the backup.
        note: about the machine during the first.
    """

    first: float
    again: float
    remounted: float
    cached: float
    fetched: int
    audio: int
    memory: Memory
    saved: int
    note: str = ""


_Best = dict[tuple[str, int], _Run]


def measure(clips: int, rounds: int) -> list[Figure]:
    """Measure all cases.

    Args:
        clips: the number of clips to save.
        rounds: the number of runs of each contestant.
    """
    contestants = [(name, n) for n in (DEFAULT, MANY) for name in BINDINGS]
    contestants += [("sdk", 1), ("sdk", MANY)]
    runs = defaultdict[tuple[str, int], list[_Run]](list)
    with server("--items", str(clips), *LATENCY) as api, directory() as root:
        for turn in range(rounds):
            for name, at_once in contestants:
                place = root / f"{turn}-{name}-{at_once}"
                place.mkdir()
                run = _sdk if name == "sdk" else partial(_histfs, name)
                runs[name, at_once].append(run(api, place, at_once))
    if len({run.saved for group in runs.values() for run in group}) != 1:
        raise SystemExit("the contestants have not saved the same bytes")
    best = {contestant: _best(group) for contestant, group in runs.items()}
    return [
        *_first(clips, best, (DEFAULT, 1), most=0.2),
        *_first(clips, best, (MANY, MANY), most=1.2),
        *_second(clips, best),
    ]


def _best(runs: list[_Run]) -> _Run:
    return min(runs)._replace(
        again=min(run.again for run in runs),
        remounted=min(run.remounted for run in runs),
        cached=min(run.cached for run in runs),
        fetched=max(run.fetched for run in runs),
        audio=max(run.audio for run in runs),
        memory=max((run.memory for run in runs), key=lambda memory: memory.peak),
    )


def _first(clips: int, best: _Best, at_once: tuple[int, int], most: float) -> list[Figure]:
    """Compare a number of connections with a number of threads."""
    connections, threads = at_once
    peer, peer_name = best["sdk", threads], f"SDK, threads: {threads}"
    figures = []
    for binding in BINDINGS:
        own = best[binding, connections]
        name = f"first rsync of {clips} clips, {binding}, {connections} connections"
        waits = f"latency alone takes {float(LATENCY[1]) * clips / connections:.3g} s"
        kernel = f"rsync, kernel and histfs with all clips cached {own.cached:.3g} s"
        note = "; ".join(filter(None, (waits, kernel, own.note)))
        figures += [
            Figure(name, own.first, "s", most, peer=peer.first, beside=peer_name, note=note),
            Figure(name, own.fetched, "audio requests", clips),
            Figure(f"peak of memory then, {binding}", own.memory.peak, "MB",
                   peer=peer.memory.peak, beside=peer_name, note=own.memory.note),
        ]  # fmt: skip
    return figures


def _second(clips: int, best: _Best) -> list[Figure]:
    figures = []
    peer, peer_name = best["sdk", 1].again, "SDK, skipping what is there"
    for binding in BINDINGS:
        own = best[binding, DEFAULT]
        case = f"second rsync of {clips} clips, {binding}"
        after = f"{case}, after a remount"
        figures += [
            Figure(f"{case}, and after a remount", own.audio, "audio requests", 0),
            Figure(case, own.again, "s", peer=peer, beside=peer_name),
            Figure(after, own.remounted, "s", peer=peer, beside=peer_name),
        ]
    return figures


def _histfs(binding: str, api: Server, place: Path, connections: int) -> _Run:
    options = ("--connections", str(connections))
    copy = place / "copy"
    with mounted(api, place, *options, binding=binding) as mount:
        first = _rsync(api, mount.path, copy)
        memory = Memory.of(mount.pid)
        again = _rsync(api, mount.path, copy)
    with mounted(api, place, *options, binding=binding) as mount:
        remounted = _rsync(api, mount.path, copy)
        cached = _rsync(api, mount.path, place / "other")
    return _Run(
        first.seconds, again.seconds, remounted.seconds, cached.seconds,
        fetched=first.audio, audio=again.audio + remounted.audio, memory=memory,
        saved=sum(file.stat().st_size for file in copy.rglob("audio.[!s]*")), note=first.note,
    )  # fmt: skip


def _rsync(api: Server, mount: Path, copy: Path) -> Spent:
    cost = Cost(api)
    subprocess.run(["rsync", "-a", f"{mount}/by-date/", f"{copy}/"], check=True)
    return cost.stop()


def _sdk(api: Server, place: Path, threads: int) -> _Run:
    copy = place / "copy"
    first, peak = sdk.run(api, place, "backup", copy, threads)
    again, _ = sdk.run(api, place, "backup", copy, threads)
    saved = sum(file.stat().st_size for file in copy.glob("*.audio"))
    return _Run(first, again, again, again, 0, 0, Memory(peak, peak), saved)
