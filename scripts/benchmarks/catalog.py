"""``scripts/bench catalog``: the cost of listings.

The peer of a full scan is a loop over the official SDK's ``history.list`` that stores nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from scripts.benchmarks import sdk
from scripts.benchmarks.figures import Figure
from scripts.benchmarks.stage import Cost, Server, directory, environment, mounted, server

#: Seconds, ``--listing-ttl`` in the cases that wait until a listing is stale.
TTL = 4
WALK = 5000
#: Items in the SDK's loop, which is too slow for all of them.
_SDK_ITEMS = 20_000

#: Runs in a small process: after fork(2), the peak of a large parent would count for its child.
_SCAN = """
import resource, subprocess, sys, time
began = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
sys.exit(done.returncode)
"""


def measure(items: int) -> list[Figure]:
    """Measure all cases.

    Args:
        items: the number of items of the large history.
    """
    return [*_walks(), *_large(items)]


def _walks() -> list[Figure]:
    figures: list[Figure] = []

    def case(name: str, most: int, seconds: float | None = None) -> None:
        spent = cost.stop()
        figures.append(Figure(f"{WALK:,} items: {name}", spent.lists, "requests", most))
        figures.append(Figure(f"{WALK:,} items: {name}", spent.seconds, "s", seconds))

    with directory() as place, server("--items", str(WALK), "--days", "400") as api:
        with mounted(api, place, "--listing-ttl", str(TTL)) as mount:
            cost = Cost(api)
            _find(mount.path, WALK)
            case("cold find by-date", 24)  # includes the request of the mount
            time.sleep(TTL)
            cost = Cost(api)
            _find(mount.path, WALK)
            case("stale find by-date", 12)
            api.control("items", {"count": 3})
            time.sleep(TTL)
            cost = Cost(api)
            _find(mount.path / "by-voice", WALK + 3, depth=2)
            case("3 new items in by-voice", 4)
        cost = Cost(api)
        with mounted(api, place, "--listing-ttl", "600") as mount:
            case("remount", 6, 1)
            _find(mount.path, WALK + 3)
            case("remount and find by-date", 6)
    return figures


def _large(items: int) -> list[Figure]:
    figures: list[Figure] = []
    with server("--items", str(items), "--days", "1200") as api:
        with directory() as place, mounted(api, place) as mount:
            cost = Cost(api)
            count = len(os.listdir(mount.path / "by-date/2025/01/15"))
            spent = cost.stop()
            name = f"{items:,} items, cold: ls of a day ({count} items)"
            figures.append(Figure(name, spent.lists + 1, "requests, with the mount's", 10))
            figures.append(Figure(name, spent.seconds, "s", 1))
        with directory() as place:
            figures += _scan(items, api, place)
            cost = Cost(api)
            with mounted(api, place) as mount:
                assert len(os.listdir(mount.path / "by-date/2024/07/09")) > items / 1300
                spent = cost.stop()
            name = f"{items:,} items known: remount and ls of a day"
            figures.append(Figure(name, spent.lists, "requests", 1))
            figures.append(Figure(name, spent.seconds, "s", 1))
    return figures


def _scan(items: int, api: Server, place: Path) -> list[Figure]:
    """Scan all items with histfs, and a part of them with the SDK."""
    sync = [sys.executable, "-m", "histfs", "sync", "--base-url", api.url]
    scan = subprocess.run(
        [sys.executable, "-c", _SCAN, *sync],
        env=environment(place), stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    seconds, resident = map(float, scan.stdout.split())
    disk = sum(file.stat().st_size for file in (place / "cache").rglob("*") if file.is_file())
    part = min(items, _SDK_ITEMS)
    rate, peer = items / seconds, part / sdk.run(api, place, "list", part)[0]
    name = f"{items:,} items: full scan (histfs sync)"
    return [
        Figure(name, rate, "items/s", least=15_000),
        Figure(name, rate, "items/s", least=1, peer=peer, beside="a loop on the SDK"),
        Figure(name, resident, "MB resident", 250),
        Figure(name, disk / items / 1000, "KB of disk an item", 1.5),
    ]


def _find(path: Path, items: int, depth: int = 4) -> None:
    """Run find(1), and check that it finds all items; by-voice has those of two voices twice."""
    found = subprocess.run(
        ["find", path if depth == 2 else path / "by-date", "-mindepth", str(depth),
         "-maxdepth", str(depth)],
        stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    count = found.stdout.count(b"\n")
    if count < items or (depth != 2 and count != items):
        raise SystemExit(f"find has found {count} items, not {items}")
