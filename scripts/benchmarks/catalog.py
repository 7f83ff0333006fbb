"""``scripts/bench catalog``: what listings cost.

The peer of a full scan is a loop over the official SDK's ``history.list``, which keeps nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from scripts.benchmarks.figures import Figure
from scripts.benchmarks.stage import KEY, Cost, Server, directory, mounted, server

#: Seconds for which a listing is fresh in the cases that wait for it to be stale.
TTL = 4
WALK = 5000

_SDK = """
import sys, time
from elevenlabs.client import ElevenLabs
client = ElevenLabs(base_url=sys.argv[1], api_key=sys.argv[2])
began, count, cursor = time.perf_counter(), 0, None
while count < int(sys.argv[3]):
    page = client.history.list(page_size=1000, start_after_history_item_id=cursor)
    count, cursor = count + len(page.history), page.last_history_item_id
    if not page.has_more:
        break
print(count / (time.perf_counter() - began))
"""
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
        items: items of the large history.
    """
    return [*_walks(), *_large(items)]


def _walks() -> list[Figure]:
    figures = []

    def case(name: str, most: int, seconds: float | None = None) -> None:
        took, lists = cost.stop()
        figures.append(Figure(f"{WALK:,} items: {name}", lists, "requests", most))
        figures.append(Figure(f"{WALK:,} items: {name}", took, "s", seconds))

    with directory() as place, server("--items", str(WALK), "--days", "400") as api:
        with mounted(api, place, "--listing-ttl", str(TTL)) as mount:
            cost = Cost(api)
            _find(mount, WALK)
            case("cold find by-date", 24)  # and the mount's own
            time.sleep(TTL)
            cost = Cost(api)
            _find(mount, WALK)
            case("stale find by-date", 12)
            api.control("items", {"count": 3})
            time.sleep(TTL)
            cost = Cost(api)
            _find(mount / "by-voice", WALK + 3, depth=2)
            case("3 new items in by-voice", 4)
        cost = Cost(api)
        with mounted(api, place, "--listing-ttl", "600"):
            case("remount", 6, 1)
            _find(mount, WALK + 3)
            case("remount and find by-date", 6)
    return figures


def _large(items: int) -> list[Figure]:
    figures = []
    with directory() as place, server("--items", str(items), "--days", "1200") as api:
        with mounted(api, place) as mount:
            cost = Cost(api)
            shown = len(os.listdir(mount / "by-date/2025/01/15"))
            seconds, lists = cost.stop()
            name = f"{items:,} items, cold: ls of a day ({shown} items)"
            figures.append(Figure(name, lists + 1, "requests, with the mount's", 10))
            figures.append(Figure(name, seconds, "s", 1))
        figures += _scan(items, api, place)
        cost = Cost(api)
        with mounted(api, place) as mount:
            assert len(os.listdir(mount / "by-date/2024/07/09")) > items / 1300
            seconds, lists = cost.stop()
        name = f"{items:,} items known: remount and ls of a day"
        figures += [Figure(name, lists, "requests", 1), Figure(name, seconds, "s", 1)]
    return figures


def _scan(items: int, api: Server, place: Path) -> list[Figure]:
    """Scan the whole, and a part of it with the SDK."""
    environment = {**os.environ, "ELEVENLABS_API_KEY": KEY, "HISTFS_CACHE_DIR": str(place / "all")}
    sync = [sys.executable, "-m", "histfs", "sync", "--base-url", api.url]
    scan = subprocess.run(
        [sys.executable, "-c", _SCAN, *sync],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    seconds, resident = map(float, scan.stdout.split())
    disk = sum(file.stat().st_size for file in (place / "all").rglob("*") if file.is_file())
    sdk = subprocess.run(
        [sys.executable, "-c", _SDK, api.url, KEY, str(min(items, 20_000))],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    rate, peer = items / seconds, float(sdk.stdout)
    (place / "all").rename(place / "cache-of-all")
    (place / "cache").rename(place / "cache-of-some")
    (place / "cache-of-all").rename(place / "cache")
    name = f"{items:,} items: full scan (histfs sync)"
    return [
        Figure(name, rate, "items/s", least=15_000),
        Figure(f"{name}, beside the SDK's loop", rate / peer, "times as fast", least=1),
        Figure(name, resident, "MB resident", 250),
        Figure(name, disk / items / 1000, "KB of disk an item", 1.5),
    ]


def _find(path: Path, items: int, depth: int = 4) -> None:
    """Run find(1), and see that it finds all."""
    found = subprocess.run(
        ["find", path if depth == 2 else path / "by-date", "-mindepth", str(depth),
         "-maxdepth", str(depth)],
        capture_output=True, check=True,
    )  # fmt: skip
    if found.stdout.count(b"\n") != items:
        raise SystemExit(f"find has found {found.stdout.count(10)} items, not {items}")
