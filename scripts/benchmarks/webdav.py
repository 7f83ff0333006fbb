"""PROPFIND of ``histfs serve``, beside ``rclone serve webdav`` over folders of the same names."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

import requests

from scripts.benchmarks.figures import Figure
from scripts.benchmarks.stage import directory, environment, server, wait_until

_DATES = "/by-date/"
_HREF = re.compile("<D:href>([^<]+)</D:href>")


def propfind(items: int, rounds: int) -> list[Figure]:
    """Compare the time in which clients list all items of a few days.

    Args:
        items: their number.
        rounds: the number of runs; the best one counts.
    """
    lacks = [name for name in ("wsgidav", "cheroot") if importlib.util.find_spec(name) is None]
    if lacks or shutil.which("rclone") is None:
        return []
    with server("--items", str(items), "--days", "0.3") as api, directory() as place:
        line = [sys.executable, "-m", "histfs", "serve", "--port", "0", "--base-url", api.url]
        with _running(line, place, subprocess.PIPE) as process:
            assert process.stdout is not None
            url = process.stdout.readline().split()[1].rstrip("/")
            first = time.perf_counter()
            days = list(_days(url, _DATES, 3))
            first = time.perf_counter() - first
            own = _best(url, days, items, rounds)
            copy = place / "copy"
            for name in (name for day in days for name in _list(url, day)):
                (copy / unquote(name).lstrip("/")).mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        line = [
            "rclone",
            "serve",
            "webdav",
            "--read-only",
            "--addr",
            f"127.0.0.1:{port}",
            str(copy),
        ]
        peer_url = f"http://127.0.0.1:{port}"
        with _running(line, place, subprocess.DEVNULL):
            wait_until(lambda: _answers(peer_url), 30)
            peer = _best(peer_url, days, items, rounds)
    case = f"PROPFIND of {items:,} items"
    note = f"the first listing, from the server: {first:.3g} s"
    return [Figure(case, own, "s", peer=peer, beside="rclone serve webdav", note=note)]


def _days(url: str, path: str, levels: int) -> Iterator[str]:
    """Yield the paths of the days; each is listed once, so that its items are known."""
    if not levels:
        _list(url, path)
        yield path
        return
    for below in _list(url, path):
        yield from _days(url, below, levels - 1)


def _list(url: str, path: str) -> list[str]:
    """Return the paths of what a directory holds."""
    answer = requests.request("PROPFIND", url + path, headers={"Depth": "1"}, timeout=300)
    answer.raise_for_status()
    return [found for found in _HREF.findall(answer.text) if found != path]


def _best(url: str, days: Sequence[str], items: int, rounds: int) -> float:
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        listed = sum(len(_list(url, day)) for day in days)
        seconds.append(time.perf_counter() - began)
        assert listed >= items
    return min(seconds)


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False


@contextlib.contextmanager
def _running(line: Sequence[str], place: Path, output: int) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        line, env=environment(place), stdout=output, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()
