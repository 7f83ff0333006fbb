"""``scripts/bench audio``: the first backup of all clips, and the second.

The first one begins with an empty cache, catalog and all, on a mount that is there. Its peers are
scripts on the official SDK that save audio and text of each item: what one writes first, one clip
after the other, and what one makes of it, 16 at once. A second time they skip what they have.

The contestants take turns. Of their runs the fastest counts, and the most memory and requests. What
they have saved stays until the end: for each new file, ext4 would look through those that were
deleted in the last minutes.
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

#: How many downloads at once histfs has by default, and how many are compared with 16 threads.
DEFAULT, MANY = 8, 16


class _Run(NamedTuple):
    """A first backup, and those after it: at once, and by another process.

    Attributes:
        first: its seconds.
        again: those of the second.
        anew: those of the third, after a remount.
        cached: those of another first one, of which all clips are in the cache.
        fetched: how many clips the first asked for.
        audio: how many the second and the third asked for.
        memory: of the process after the first.
        saved: bytes of audio, all in all.
        note: what the machine says to the first.
    """

    first: float
    again: float
    anew: float
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
        clips: how many there are to save.
        rounds: how often each contestant runs.
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
        raise SystemExit("not everybody has saved the same")
    best = {who: _best(group) for who, group in runs.items()}
    return [
        *_first(clips, best, (DEFAULT, 1), most=0.2),
        *_first(clips, best, (MANY, MANY), most=1.2),
        *_second(clips, best),
    ]


def _best(runs: list[_Run]) -> _Run:
    return min(runs)._replace(
        again=min(run.again for run in runs),
        anew=min(run.anew for run in runs),
        cached=min(run.cached for run in runs),
        fetched=max(run.fetched for run in runs),
        audio=max(run.audio for run in runs),
        memory=max((run.memory for run in runs), key=lambda memory: memory.peak),
    )


def _first(clips: int, best: _Best, at_once: tuple[int, int], most: float) -> list[Figure]:
    """Compare so many connections with so many threads."""
    connections, threads = at_once
    peer, beside = best["sdk", threads], f"SDK, threads: {threads}"
    figures = []
    for binding in BINDINGS:
        mine = best[binding, connections]
        name = f"first rsync of {clips} clips, {binding}, {connections} connections"
        waits = f"latency alone takes {float(LATENCY[1]) * clips / connections:.3g} s"
        kernel = f"rsync, kernel and histfs with all clips cached {mine.cached:.3g} s"
        note = "; ".join(filter(None, (waits, kernel, mine.note)))
        figures += [
            Figure(name, mine.first, "s", most, peer=peer.first, beside=beside, note=note),
            Figure(name, mine.fetched, "audio requests", clips),
            Figure(f"peak of memory then, {binding}", mine.memory.peak, "MB",
                   peer=peer.memory.peak, beside=beside, note=mine.memory.note),
        ]  # fmt: skip
    return figures


def _second(clips: int, best: _Best) -> list[Figure]:
    figures = []
    peer, beside = best["sdk", 1].again, "SDK, skipping what is there"
    for binding in BINDINGS:
        mine = best[binding, DEFAULT]
        case = f"second rsync of {clips} clips, {binding}"
        after = f"{case}, after a remount"
        figures += [
            Figure(f"{case}, and after a remount", mine.audio, "audio requests", 0),
            Figure(case, mine.again, "s", peer=peer, beside=beside),
            Figure(after, mine.anew, "s", peer=peer, beside=beside),
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
        anew = _rsync(api, mount.path, copy)
        cached = _rsync(api, mount.path, place / "other")
    return _Run(
        first.seconds, again.seconds, anew.seconds, cached.seconds,
        fetched=first.audio, audio=again.audio + anew.audio, memory=memory,
        saved=sum(file.stat().st_size for file in copy.rglob("audio.*")), note=first.note,
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
