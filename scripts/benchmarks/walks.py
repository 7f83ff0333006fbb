"""``scripts/bench walks``: walk everything with find(1) and ``rsync -n``, beside rclone.

The catalog is complete, so that no request is necessary; rclone serves a directory on the disk with
the same names and sizes. Cold is a new mount with an empty page cache. Warm is a walk after another
one; all mounts exist at the same time and take turns, so that other load on the machine affects all
of them. Listings are fresh for five minutes, the default of rclone. The best of all runs counts.

The minimal filesystem, a tree of dicts (`bare`), is walked as well: its time is a lower bound, and
stands in the notes of the warm figures.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from scripts.benchmarks import bare, rclone
from scripts.benchmarks.figures import Figure, number
from scripts.benchmarks.stage import (
    BINDINGS,
    LATENCY,
    Memory,
    Mount,
    directory,
    drop_caches,
    environment,
    mounted,
    server,
)

#: The wanted maximum ratio to rclone's time.
WANTED = {"fusepy": 1.0, "mfusepy": 0.7}
_FRESH = ("--listing-ttl", "300")
_PROGRAMS = ("find", "rsync -an")
#: Measured warm walks in each round; one unmeasured walk precedes them.
_WARM = 2


def measure(items: int, rounds: int) -> list[Figure]:
    """Measure all cases.

    Args:
        items: the number of items.
        rounds: the number of cold and warm runs of each contestant.
    """
    best: dict[tuple[str, str, str], float] = {}
    memory: dict[str, Memory] = {}
    with directory() as place, server("--items", str(items), *LATENCY) as api:
        sync = [sys.executable, "-m", "histfs", "sync", "--base-url", api.url]
        subprocess.run(sync, env=environment(place), stdout=subprocess.DEVNULL, check=True)
        with mounted(api, place, *_FRESH) as mount:
            files = _copy_names(mount.path / "by-date", place / "tree/by-date")
        histfs = partial(mounted, api, place, *_FRESH)
        contestants: dict[str, Callable[[], AbstractContextManager[Mount]]] = {
            **{name: partial(histfs, binding=name) for name in BINDINGS},
            "rclone": partial(rclone.mounted, place / "tree", place),
        }
        minimal = {
            _bare(name): partial(bare.mounted, place / "tree", place, name) for name in BINDINGS
        }

        def walk(name: str, program: str, mount: Mount, state: str) -> None:
            seconds = _walk(program, mount.path / "by-date", place, files)
            key = (name, program, state)
            best[key] = min(seconds, best.get(key, math.inf))

        for _ in range(rounds):
            for program, (name, mounting) in itertools.product(_PROGRAMS, contestants.items()):
                with mounting() as mount:
                    drop_caches()
                    walk(name, program, mount, "cold")
            with contextlib.ExitStack() as stack:
                walked = {**contestants, **minimal}.items()
                mounts = {name: stack.enter_context(mounting()) for name, mounting in walked}
                for program, turn in itertools.product(_PROGRAMS, range(_WARM + 1)):
                    for name, mount in mounts.items():
                        walk(name, program, mount, "warm" if turn else "first")
                for name in contestants:
                    memory[name] = Memory.of(mounts[name].pid).higher(memory.get(name))
    return _figures(items, best, memory)


def _figures(
    items: int, best: dict[tuple[str, str, str], float], memory: dict[str, Memory]
) -> list[Figure]:
    figures = []
    for program in _PROGRAMS:
        for state in ("cold", "warm"):
            peer = best["rclone", program, state]
            for name, most in WANTED.items():
                case = f"{program} of {items:,} items, {state}, {name}"
                seconds = best[name, program, state]
                minimum = best.get((_bare(name), program, state))
                note = f"a tree of dicts: {number(minimum)} s" if minimum else ""
                figures.append(
                    Figure(case, seconds, "s", most, peer=peer, beside="rclone", note=note)
                )
    return figures + [
        Figure(f"peak of memory then, {name}", memory[name].peak, "MB", peer=memory["rclone"].peak,
               beside="rclone", note=memory[name].note)
        for name in BINDINGS
    ]  # fmt: skip


def _bare(binding: str) -> str:
    return f"bare {binding}"


def _copy_names(source: Path, target: Path) -> int:
    """Copy a tree with the names and sizes, as sparse files; return the number of entries."""
    count = 0
    for folder, _, names in os.walk(source):
        copy = target / os.path.relpath(folder, source)
        copy.mkdir(parents=True)
        for name in names:
            with (copy / name).open("wb") as file:
                file.truncate((Path(folder) / name).stat().st_size)
        count += 1 + len(names)
    return count


def _walk(program: str, path: Path, place: Path, files: int) -> float:
    """Walk a directory, check the number of files, and return the seconds."""
    empty = place / "empty"
    empty.mkdir(exist_ok=True)
    began = time.perf_counter()
    copy = ["rsync", "-an", "--stats", f"{path}/", f"{empty}/"]
    command = ["find", str(path)] if program == "find" else copy
    walked = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    seconds = time.perf_counter() - began
    statistics = re.search(r"Number of files: ([\d,.]+)", walked)
    found = int(re.sub(r"\D", "", statistics[1])) if statistics else walked.count("\n")
    if found != files:
        raise SystemExit(f"{program} has found {found} of {files} files in {path}")
    return seconds
