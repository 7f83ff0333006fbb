"""Cases of ``scripts/bench walks``: a voice with very many clips, and copies of a few.

``ls -l`` lists a voice's folder of links; rclone serves a directory with as many directories of the
same names, since it shows no links.

The copies are of clips that were never fetched: cp(1), borg(1) and rsync, each with a cache of its
own. Programs that read in the order of inodes take no longer than rsync, which reads by name.
"""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
import time
from pathlib import Path

from scripts.benchmarks import rclone
from scripts.benchmarks.figures import Figure, number
from scripts.benchmarks.stage import (
    Mount,
    cpu_seconds,
    directory,
    drop_caches,
    environment,
    mounted,
    server,
)

#: Clips of the voice, and clips that are copied.
_VOICE, _COPIED = 100_000, 150
#: Seconds before each answer of the server of the copies.
_LATENCY = "0.3"
#: The wanted maximum ratio of a copy to rsync.
_MOST = 1.3


def measure(rounds: int) -> list[Figure]:
    """Measure all cases.

    Args:
        rounds: the number of runs of each; the best one counts.
    """
    return [*_voice(rounds), *_copies(rounds)]


def _voice(rounds: int) -> list[Figure]:
    # The simulator has more than one voice: so many items give one of them about so many clips.
    with directory() as place, server("--items", str(_VOICE * 6), "--days", "1200") as api:
        sync = [sys.executable, "-m", "histfs", "sync", "--base-url", api.url]
        subprocess.run(sync, env=environment(place), stdout=subprocess.DEVNULL, check=True)
        with mounted(api, place, "--listing-ttl", "3600") as mount:
            voices = mount.path / "by-voice"
            names = {each: _names(each) for each in voices.iterdir()}
            voice = max(names, key=lambda each: len(names[each]))
            tree = place / "tree"
            for name in names[voice]:
                (tree / name).mkdir(parents=True)
            with rclone.mounted(tree, place) as peer:
                ours, theirs, cpu = math.inf, math.inf, math.inf
                for _ in range(rounds):
                    drop_caches()
                    before = cpu_seconds(mount)
                    ours = min(ours, _list(voice, len(names[voice])))
                    cpu = min(cpu, cpu_seconds(mount) - before)
                    theirs = min(theirs, _list(peer.path, len(names[voice])))
    case = f"ls -l of a voice with {len(names[voice]):,} clips"
    note = f"CPU {number(cpu)} s"
    return [Figure(case, ours, "s", peer=theirs, beside="directories, rclone", note=note)]


def _names(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


def _list(folder: Path, wanted: int) -> float:
    """Run ls(1), check the number of lines, and return the seconds."""
    began = time.perf_counter()
    listed = subprocess.run(["ls", "-l", folder], stdout=subprocess.PIPE, check=True).stdout
    seconds = time.perf_counter() - began
    found = listed.count(b"\n") - 1  # the first line is the total
    if found != wanted:
        raise SystemExit(f"ls has found {found} of {wanted} entries in {folder}")
    return seconds


def _copies(rounds: int) -> list[Figure]:
    programs = ["rsync -a", "cp -r", *(["borg"] if shutil.which("borg") else [])]
    best = dict.fromkeys(programs, math.inf)
    asked = dict.fromkeys(programs, 0)
    for program in programs * rounds:
        options = ("--items", str(_COPIED), "--latency", _LATENCY)
        with directory() as place, server(*options) as api:
            sync = [sys.executable, "-m", "histfs", "sync", "--base-url", api.url]
            subprocess.run(sync, env=environment(place), stdout=subprocess.DEVNULL, check=True)
            with mounted(api, place, "--listing-ttl", "3600") as mount:
                best[program] = min(best[program], _copy(program, mount, place))
                asked[program] = max(asked[program], api.requests()[1])
    peer = best["rsync -a"]
    return [
        Figure(
            f"{program} of {_COPIED} clips that were never fetched",
            best[program], "s", _MOST, peer=peer, beside="rsync -a",
            note=f"{asked[program]} audio requests at the most",
        )
        for program in programs
        if program != "rsync -a"
    ]  # fmt: skip


def _copy(program: str, mount: Mount, place: Path) -> float:
    """Copy everything with a program, and return the seconds."""
    source, target = mount.path / "by-date", place / "copy"
    kept = environment(place) | {"BORG_BASE_DIR": str(place / "borg")}
    if program == "borg":
        subprocess.run(["borg", "init", "-e", "none", target], env=kept, check=True)
    command = {
        "rsync -a": ["rsync", "-a", f"{source}/", f"{target}/"],
        "cp -r": ["cp", "-r", source, target],
        "borg": ["borg", "create", f"{target}::first", source],
    }[program]
    began = time.perf_counter()
    subprocess.run(command, env=kept, check=True)
    return time.perf_counter() - began
