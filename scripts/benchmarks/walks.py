"""``scripts/bench walks``: find(1) and ``rsync -n`` through everything, beside rclone.

The history is known, so that no request is in the way; rclone shows a directory on the disk with
the same names and sizes. Cold is a new mount with nothing in the page cache. Warm is a walk after
another one; all mounts are there at once and take turns, so that a machine that is busy with
something else is so for each of them. What was listed is fresh for five minutes, as it is by
default with rclone. The best of all runs counts.

The least filesystem there can be, a tree of dicts, walks as well: what it takes nobody can save,
and stands beside the warm figures.
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

#: What a walk may take of rclone's time.
WANTED = {"fusepy": 1.0, "mfusepy": 0.7}
_FRESH = ("--listing-ttl", "300")
_PROGRAMS = ("find", "rsync -an")
#: Warm walks that count, of each round; one more comes before them.
_WARM = 2


def measure(items: int, rounds: int) -> list[Figure]:
    """Measure all cases.

    Args:
        items: how many items there are.
        rounds: how often each contestant walks cold, and then warm.
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
        least = {
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
                every = {**contestants, **least}.items()
                mounts = {name: stack.enter_context(mounting()) for name, mounting in every}
                for program, turn in itertools.product(_PROGRAMS, range(_WARM + 1)):
                    for name, mount in mounts.items():
                        walk(name, program, mount, "warm" if turn else "first")
                for name in contestants:
                    memory[name] = Memory.of(mounts[name].pid).worse(memory.get(name))
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
                seconds, least = best[name, program, state], best.get((_bare(name), program, state))
                note = f"a tree of dicts: {number(least)} s" if least else ""
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
    """Make a tree of the same names and sizes, with nothing in the files; return how many."""
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
    """Walk, see that it finds all, and return the seconds."""
    empty = place / "empty"
    empty.mkdir(exist_ok=True)
    began = time.perf_counter()
    copy = ["rsync", "-an", "--stats", f"{path}/", f"{empty}/"]
    command = ["find", str(path)] if program == "find" else copy
    walked = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    seconds = time.perf_counter() - began
    told = re.search(r"Number of files: ([\d,.]+)", walked)
    found = int(re.sub(r"\D", "", told[1])) if told else walked.count("\n")
    if found != files:
        raise SystemExit(f"{program} has found {found} of {files} files in {path}")
    return seconds
