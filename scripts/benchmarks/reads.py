"""``scripts/bench reads``, the first part: read a cached clip.

The peers are rclone, which reads the same file from its own cache, and this process, which reads it
from the disk: an upper bound for both. The page cache is empty before each run.

The contestants take turns, and the best of their runs counts.
"""

from __future__ import annotations

import math
import os
import random
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

from scripts.benchmarks import rclone
from scripts.benchmarks.figures import Figure
from scripts.benchmarks.stage import (
    BINDINGS,
    LATENCY,
    Memory,
    Mount,
    directory,
    drop_caches,
    mounted,
    server,
)

RANDOM_READS = 20_000
_BLOCK = 4096
#: Without the second option rclone computes a checksum of the complete file before the first read.
_CACHED = ("--vfs-cache-mode", "full", "--vfs-fast-fingerprint")


def measure(megabytes: int, rounds: int) -> list[Figure]:
    """Measure all cases.

    Args:
        megabytes: the size of the clip.
        rounds: the number of runs of each contestant.
    """
    best: dict[tuple[str, str], float] = {}
    memory: dict[str, Memory] = {}
    one = ("--items", "1", "--clip-bytes", str(megabytes << 20), *LATENCY)
    with directory() as place, server(*one) as api:
        served = place / "served"
        with mounted(api, place) as mount:
            [clip] = mount.path.glob("by-date/*/*/*/*/audio.[!s]*")
            path = clip.relative_to(mount.path)
            (served / path).parent.mkdir(parents=True)
            shutil.copyfile(clip, served / path)
        cached = partial(rclone.mounted, served, place, *_CACHED)
        with cached() as mount:
            (mount.path / path).read_bytes()
        contestants: dict[str, Callable[[], AbstractContextManager[Mount]]] = {
            **{name: partial(mounted, api, place, binding=name) for name in BINDINGS},
            "rclone": cached,
            "the disk": lambda: nullcontext(Mount(served, os.getpid())),
        }
        for _ in range(rounds):
            for way, read in (("through", _through), ("at random", _at_random)):
                for name, mounting in contestants.items():
                    with mounting() as mount:
                        drop_caches()
                        rate = read(mount.path / path)
                        best[name, way] = max(rate, best.get((name, way), 0))
                        memory[name] = Memory.of(mount.pid).higher(memory.get(name))
        return _figures(megabytes, best, memory)


def _figures(
    megabytes: int, best: dict[tuple[str, str], float], memory: dict[str, Memory]
) -> list[Figure]:
    figures = []
    cases = (
        ("through", f"read {megabytes} MB that are cached", "MB/s"),
        ("at random", f"{RANDOM_READS:,} reads of 4 KB of them at random", "reads/s"),
    )
    for way, case, unit in cases:
        for name in BINDINGS:
            for peer, least in (("rclone", 1.0), ("the disk", None)):
                rate, other = best[name, way], best[peer, way]
                figures.append(
                    Figure(f"{case}, {name}", rate, unit, least=least, peer=other, beside=peer)
                )
    return figures + [
        Figure(f"peak of memory then, {name}", memory[name].peak, "MB", peer=memory["rclone"].peak,
               beside="rclone", note=memory[name].note)
        for name in BINDINGS
    ]  # fmt: skip


def _through(path: Path) -> float:
    """Read a file sequentially, and return MB per second."""
    block = bytearray(1 << 20)
    with path.open("rb", buffering=0) as file:
        began = time.perf_counter()
        while file.readinto(block):
            pass
        return file.tell() / 1e6 / (time.perf_counter() - began)


def _at_random(path: Path) -> float:
    """Read random blocks of a file, the same in each run, and return blocks per second."""
    rng = random.Random(0)
    with path.open("rb", buffering=0) as file:
        blocks = math.ceil(os.fstat(file.fileno()).st_size / _BLOCK)
        offsets = [rng.randrange(blocks) * _BLOCK for _ in range(RANDOM_READS)]
        began = time.perf_counter()
        for offset in offsets:
            os.pread(file.fileno(), _BLOCK, offset)
        return RANDOM_READS / (time.perf_counter() - began)
