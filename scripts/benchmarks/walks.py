"""``scripts/bench walks``: walk everything with find(1), ``rsync -n`` and others, beside rclone.

The catalog is complete, so that no request is necessary; rclone serves a directory on the disk with
the same names and sizes, and the same texts, which grep(1) reads. Cold is a new mount with an empty
page cache. Warm is a walk after another one; all mounts exist at the same time and take turns, so
that other load on the machine affects all of them. Listings are fresh for five minutes, the default
of rclone. The best of all runs counts; the CPU time of the mount's process, of the run that took
least of it, stands in the notes, since it depends less on other load than the elapsed time.

The minimal filesystem, a tree of dicts (`bare`), is walked as well, except by grep: its time is a
lower bound, and stands in the notes of the warm figures.
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

from scripts.benchmarks import bare, large, rclone
from scripts.benchmarks.figures import Figure, number
from scripts.benchmarks.stage import (
    BINDINGS,
    LATENCY,
    Memory,
    Mount,
    cpu_seconds,
    directory,
    drop_caches,
    environment,
    mounted,
    server,
)

#: A contestant, a program, and cold or warm.
_Run = tuple[str, str, str]
#: The wanted maximum ratio to rclone's time, by the program and the state of the mount.
_WANTED = {
    "fusepy": {
        ("find", "cold"): 0.9,
        ("find", "warm"): 0.7,
        ("rsync -an", "cold"): 0.9,
        ("rsync -an", "warm"): 0.7,
    },
    "mfusepy": {
        ("find", "cold"): 0.45,
        ("find", "warm"): 0.3,
        ("rsync -an", "cold"): 0.6,
        ("rsync -an", "warm"): 0.35,
    },
}
_FRESH = ("--listing-ttl", "300")
_PROGRAMS = ("find", "rsync -an", "du", "grep -r")
#: The files that grep reads.
_TEXT = "text.txt"
#: Measured warm walks in each round; one unmeasured walk precedes them.
_WARM = 2


def measure(items: int, rounds: int) -> list[Figure]:
    """Measure all cases.

    Args:
        items: the number of items.
        rounds: the number of cold and warm runs of each contestant.
    """
    best: dict[_Run, float] = {}
    spent: dict[_Run, float] = {}
    memory: dict[str, Memory] = {}
    with directory() as place, server("--items", str(items), *LATENCY) as api:
        sync = [sys.executable, "-m", "histfs", "sync", "--base-url", api.url]
        subprocess.run(sync, env=environment(place), stdout=subprocess.DEVNULL, check=True)
        with mounted(api, place, *_FRESH) as mount:
            files = _copy_names(mount.path / "by-date", place / "tree/by-date")
        wanted = dict.fromkeys(_PROGRAMS, files) | {"grep -r": items}
        histfs = partial(mounted, api, place, *_FRESH)
        contestants: dict[str, Callable[[], AbstractContextManager[Mount]]] = {
            **{name: partial(histfs, binding=name) for name in BINDINGS},
            "rclone": partial(rclone.mounted, place / "tree", place),
        }
        minimal = {
            _bare(name): partial(bare.mounted, place / "tree", place, name) for name in BINDINGS
        }

        def walk(name: str, program: str, mount: Mount, state: str) -> None:
            key = (name, program, state)
            before = cpu_seconds(mount)
            seconds = _walk(program, mount.path / "by-date", place, wanted[program])
            best[key] = min(seconds, best.get(key, math.inf))
            spent[key] = min(cpu_seconds(mount) - before, spent.get(key, math.inf))

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
                        if program == "grep -r" and name in minimal:
                            continue
                        walk(name, program, mount, "warm" if turn else "first")
                for name in contestants:
                    memory[name] = Memory.of(mounts[name].pid).higher(memory.get(name))
    return [*_figures(items, best, spent, memory), *large.measure(rounds)]


def _figures(
    items: int, best: dict[_Run, float], spent: dict[_Run, float], memory: dict[str, Memory]
) -> list[Figure]:
    figures = []
    for program in _PROGRAMS:
        for state in ("cold", "warm"):
            peer = best["rclone", program, state]
            for name, bounds in _WANTED.items():
                case = f"{program} of {items:,} items, {state}, {name}"
                seconds = best[name, program, state]
                minimum = best.get((_bare(name), program, state))
                note = f"CPU {number(spent[name, program, state])} s"
                note += f", a tree of dicts: {number(minimum)} s" if minimum else ""
                bound = bounds.get((program, state))
                figures.append(
                    Figure(case, seconds, "s", bound, peer=peer, beside="rclone", note=note)
                )
    return figures + [
        Figure(f"peak of memory then, {name}", memory[name].peak, "MB", peer=memory["rclone"].peak,
               beside="rclone", note=memory[name].note)
        for name in BINDINGS
    ]  # fmt: skip


def _bare(binding: str) -> str:
    return f"bare {binding}"


def _copy_names(source: Path, target: Path) -> int:
    """Copy a tree with its names and sizes; return the number of entries.

    The texts are copied; all other files are sparse.
    """
    count = 0
    for folder, _, names in os.walk(source):
        copy = target / os.path.relpath(folder, source)
        copy.mkdir(parents=True)
        for name in names:
            with (copy / name).open("wb") as file:
                if name == _TEXT:
                    file.write((Path(folder) / name).read_bytes())
                else:
                    file.truncate((Path(folder) / name).stat().st_size)
        count += 1 + len(names)
    return count


def _walk(program: str, path: Path, place: Path, wanted: int) -> float:
    """Walk a directory, check the number of files that the program finds; return the seconds."""
    empty = place / "empty"
    empty.mkdir(exist_ok=True)
    command = {
        "find": ["find", path],
        "rsync -an": ["rsync", "-an", "--stats", f"{path}/", f"{empty}/"],
        # A line for each file and directory.
        "du": ["du", "-a", path],
        # A line for each file that has no such byte, which is each one.
        "grep -r": ["grep", "-rLP", f"--include={_TEXT}", r"\x01", path],
    }[program]
    began = time.perf_counter()
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    seconds, walked = time.perf_counter() - began, ended.stdout
    # The status of grep tells whether a byte was found, in some versions the other way round.
    if ended.returncode not in ({0, 1} if program == "grep -r" else {0}):
        raise SystemExit(f"{program} has failed with status {ended.returncode}")
    statistics = re.search(r"Number of files: ([\d,.]+)", walked)
    found = int(re.sub(r"\D", "", statistics[1])) if statistics else walked.count("\n")
    if found != wanted:
        raise SystemExit(f"{program} has found {found} of {wanted} files in {path}")
    return seconds
