"""``scripts/bench million``: directories and searches with most items of a very large history.

The peer is a directory on the disk with as many symlinks of the same names.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from scripts.benchmarks.figures import Figure
from scripts.benchmarks.stage import (
    Memory,
    Mount,
    cpu_seconds,
    directory,
    environment,
    mounted,
    server,
)

#: The maximum seconds of the largest listings, and the maximum MB of the mount's process.
SECONDS, RESIDENT = 8, 250
#: Words in a third and in half of the simulated items.
_WORDS = ("the", "a")


def measure(items: int) -> list[Figure]:
    """Measure all cases.

    Args:
        items: the number of items.
    """
    figures: list[Figure] = []
    with directory() as place, server("--items", str(items), "--days", "1200") as api:
        sync = [sys.executable, "-m", "histfs", "sync", "--base-url", api.url]
        subprocess.run(sync, env=environment(place), stdout=subprocess.DEVNULL, check=True)
        with mounted(api, place, "--listing-ttl", "3600") as mount:
            figures += _directory(mount, place)
            figures += _searches(mount, items)
            memory = Memory.of(mount.pid)
    figures.append(Figure("all of this", memory.peak, "MB resident", RESIDENT, note=memory.note))
    return figures


def _directory(mount: Mount, place: Path) -> list[Figure]:
    links = mount.path / "by-source" / "TTS"
    # The first access to a view waits for the refresh of the catalog.
    links.stat()
    began = cpu_seconds(mount)
    first, names = _listed(links)
    middle = cpu_seconds(mount)
    second, again = _listed(links)
    ended = cpu_seconds(mount)
    assert names == again
    assert len(names) == len(set(names))
    peer = place / "links"
    peer.mkdir()
    for name in names:
        (peer / name).symlink_to("../target")
    peer_seconds, _ = _listed(peer)
    name = f"ls -f of {len(names):,} links"
    return [
        Figure(name, first, "s", SECONDS, note=_cpu_note(middle - began)),
        Figure(f"{name}, again", second, "s", SECONDS, note=_cpu_note(ended - middle)),
        Figure(name, second, "s", peer=peer_seconds, beside="links on the disk"),
    ]


def _searches(mount: Mount, items: int) -> list[Figure]:
    figures = []
    for words in _WORDS:
        seconds, names = _listed(mount.path / "search" / words)
        name = f"ls -f of search/{words} in {items:,} items ({len(names):,} links)"
        figures.append(Figure(name, seconds, "s", SECONDS))
    return figures


def _cpu_note(seconds: float) -> str:
    """Return a note with the CPU time, which depends less on other load than the elapsed time."""
    return f"{seconds:.1f} s of CPU"


def _listed(path: Path) -> tuple[float, list[str]]:
    """Run ls(1); return the seconds and the names."""
    began = time.perf_counter()
    output = subprocess.run(["ls", "-f", path], stdout=subprocess.PIPE, check=True).stdout
    seconds = time.perf_counter() - began
    return seconds, [name for name in os.fsdecode(output).splitlines() if name not in {".", ".."}]
