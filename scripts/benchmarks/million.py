"""``scripts/bench million``: directories and searches that hold most of a very large history.

The peer is a directory of the disk with as many links of the same names.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from scripts.benchmarks.figures import Figure
from scripts.benchmarks.stage import Memory, Mount, directory, environment, mounted, server

#: What the largest directory and the largest search may take: seconds, and MB of the whole mount.
SECONDS, RESIDENT = 8, 250
#: Words that a third of the simulated items have, and half of them.
_WORDS = ("the", "a")


def measure(items: int) -> list[Figure]:
    """Measure all cases.

    Args:
        items: items of the history.
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
    # The first look at a whole view waits for news of the history.
    links.stat()
    began = _processor(mount)
    first, names = _listed(links)
    middle = _processor(mount)
    second, again = _listed(links)
    ended = _processor(mount)
    assert names == again
    assert len(names) == len(set(names))
    peer = place / "links"
    peer.mkdir()
    for name in names:
        (peer / name).symlink_to("../target")
    beside, _ = _listed(peer)
    name = f"ls -f of {len(names):,} links"
    return [
        Figure(name, first, "s", SECONDS, note=_used(middle - began)),
        Figure(f"{name}, again", second, "s", SECONDS, note=_used(ended - middle)),
        Figure(name, second, "s", peer=beside, beside="links on the disk"),
    ]


def _searches(mount: Mount, items: int) -> list[Figure]:
    figures = []
    for words in _WORDS:
        spent, names = _listed(mount.path / "search" / words)
        name = f"ls -f of search/{words} in {items:,} items ({len(names):,} links)"
        figures.append(Figure(name, spent, "s", SECONDS))
    return figures


def _processor(mount: Mount) -> float:
    """Return the seconds for which the process of a mount has had a processor."""
    fields = Path(f"/proc/{mount.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _used(seconds: float) -> str:
    """Return what to tell beside a time, which depends on what else the machine does."""
    return f"{seconds:.1f} s of a processor"


def _listed(path: Path) -> tuple[float, list[str]]:
    """Run ls(1); return the seconds that it took, and the names."""
    began = time.perf_counter()
    listed = subprocess.run(["ls", "-f", path], stdout=subprocess.PIPE, check=True).stdout
    spent = time.perf_counter() - began
    return spent, [name for name in os.fsdecode(listed).splitlines() if name not in {".", ".."}]
