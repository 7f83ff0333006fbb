"""``scripts/bench beyond``: exports, clusters, tables, fsspec and WebDAV, beside their peers.

An export begins with an empty cache, and lists the history, too. Its peer is a loop with requests,
and boto3 for a bucket, of as many threads as histfs has connections; another one is rsync through a
mount. The bucket is that of moto's server, on this machine. What needs a package that is not
installed (distributed, s3fs, moto, boto3) is left out.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import requests

from scripts.benchmarks import plain, webdav
from scripts.benchmarks.figures import Figure
from scripts.benchmarks.stage import (
    LATENCY,
    Cost,
    Server,
    Spent,
    directory,
    environment,
    mounted,
    server,
    wait_until,
)

#: Requests at once, and threads of the peer; those of workers, limited and as good as not.
_THREADS, _LIMITED, _UNLIMITED = 16, 8, 64
#: Maximum MB of a table of any size.
_RESIDENT = 200
_WORKERS = (1, 2, 4)
#: Items of a listing by WebDAV.
_LISTED = 10_000


def measure(clips: int, items: int, rounds: int) -> list[Figure]:
    """Measure all cases.

    Args:
        clips: the number of clips to export.
        items: the number of rows of the table.
        rounds: the number of runs of each contestant; the best one counts.
    """
    with server("--items", str(clips), *LATENCY) as api, directory() as root, _bucket(root) as s3:
        places = (root / str(number) for number in range(1000))
        figures = _exports(api, places, clips, rounds, s3)
        figures += _cluster(api, places, clips, rounds)
    with server("--items", str(min(clips, 100)), *LATENCY) as api, directory() as root:
        figures += reads(api, root, min(clips, 100))
    return figures + table(items) + webdav.propfind(_LISTED, rounds)


def _exports(
    api: Server, places: Iterator[Path], clips: int, rounds: int, s3: Mapping[str, str] | None
) -> list[Figure]:
    """Compare exports to a folder and to a bucket with a loop, and with rsync through a mount."""
    figures, loop = [], f"loop, threads: {_THREADS}"
    waits = f"latency alone takes {float(LATENCY[1]) * clips / _THREADS:.3g} s"
    for kind, variables in {"a folder": {}, "S3": s3}.items():
        if variables is None:
            continue
        first, again, peers, note = [], [], [], ""
        for _ in range(rounds):
            place = _made(next(places))
            to = f"s3://bench/{place.name}" if variables else str(place / "export")
            run = _export(api, place, to, "--connections", str(_THREADS), variables=variables)
            second = _export(api, place, to, "--connections", str(_THREADS), variables=variables)
            assert (run.audio, second.audio) == (clips, 0)
            first.append(run.seconds)
            again.append(second.seconds)
            note = run.note or note
            peers.append(plain.run(api, place, "export", f"{to}-plain", _THREADS,
                                   variables=variables)[0])  # fmt: skip
        case = f"export of {clips} clips to {kind}, {_THREADS} connections"
        note = "; ".join(filter(None, (waits, note)))
        figures += [
            Figure(case, min(first), "s", peer=min(peers), beside=loop, note=note),
            Figure(f"{case}, again", min(again), "s", note="no clip is asked for"),
        ]
    own, seconds = figures[0].value, []
    for _ in range(rounds):
        place = _made(next(places))
        with mounted(api, place, "--connections", str(_THREADS)) as mount:
            began = time.perf_counter()
            subprocess.run(["rsync", "-a", f"{mount.path}/by-date/", f"{place}/copy/"], check=True)
            seconds.append(time.perf_counter() - began)
    case = f"export of {clips} clips to a folder"
    return [*figures, Figure(case, own, "s", peer=min(seconds), beside="rsync of the mount")]


def _cluster(api: Server, places: Iterator[Path], clips: int, rounds: int) -> list[Figure]:
    """Measure exports with 1, 2 and 4 workers, whose requests are limited, and then are not."""
    if importlib.util.find_spec("distributed") is None:
        return []
    figures = []
    for connections in (_LIMITED, _UNLIMITED):
        alone = None
        for workers in _WORKERS:
            seconds, note = [], ""
            with _workers(_made(next(places)), workers) as scheduler:
                for _ in range(rounds):
                    place = _made(next(places))
                    run = _export(
                        api, place, str(place / "export"), "--dask", scheduler,
                        "--connections", str(connections),
                    )  # fmt: skip
                    assert run.audio == clips
                    seconds.append(run.seconds)
                    note = run.note or note
            case = f"export of {clips} clips, {connections} connections, Dask workers: {workers}"
            figures.append(
                Figure(case, min(seconds), "s", peer=alone, beside="one worker", note=note)
            )
            alone = alone or min(seconds)
    return figures


def reads(api: Server, place: Path, clips: int) -> list[Figure]:
    """Compare cat_file of fsspec, not cached and cached, with plain HTTP.

    Args:
        api: has as many clips.
        place: for the cache.
        clips: their number.
    """
    if importlib.util.find_spec("fsspec") is None:
        return []
    done = subprocess.run(
        [sys.executable, "-c", _CAT, api.url],
        env=environment(place), stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    first, size, seconds, again = map(float, done.stdout.split())
    peer_first, peer_size, peer_seconds, _ = plain.run(api, place, "get", clips)
    assert size == peer_size
    rate, beside = size / 1e6, "requests.get"
    return [
        Figure(f"first byte of histfs:// ({clips} clips, mean)", first, "s", peer=peer_first,
               beside=beside),
        Figure(f"cat_file of {clips} clips, one by one", rate / seconds, "MB/s",
               peer=rate / peer_seconds, beside=beside),
        Figure(f"cat_file of {clips} clips in the cache", rate / again, "MB/s",
               peer=rate / peer_seconds, beside=beside),
    ]  # fmt: skip


#: Prints the mean seconds to the first byte, the bytes of all clips, and the seconds of both runs.
_CAT = """
import sys, time, fsspec
fs = fsspec.filesystem("histfs", base_url=sys.argv[1])
clips = [each for each in fs.glob("by-date/*/*/*/*/audio.*") if not each.endswith(".srt")]
firsts, size, began = [], 0, time.perf_counter()
for clip in clips:
    start = time.perf_counter()
    with fs.open(clip) as file:
        file.read(1)
        firsts.append(time.perf_counter() - start)
    size += len(fs.cat_file(clip))
seconds, began = time.perf_counter() - began, time.perf_counter()
assert size == sum(len(fs.cat_file(clip)) for clip in clips)
print(sum(firsts) / len(firsts), size, seconds, time.perf_counter() - began)
"""


def table(items: int, forms: Sequence[str] = ("jsonl", "parquet")) -> list[Figure]:
    """Measure a table of many items, with and without its listing, beside a loop over the lists."""
    figures = []
    with server("--items", str(items), "--days", "1200") as api, directory() as place:
        listed, _ = _timed(place, "sync", "--base-url", api.url)
        seconds, peak = plain.run(api, place, "table", place / "plain.jsonl")
        for form in forms:
            if form == "parquet" and importlib.util.find_spec("pyarrow") is None:
                continue
            command = ("table", "--base-url", api.url, "--format", form, str(place / form))
            spent, memory = _timed(place, *command)
            again, _ = _timed(place, *command)
            case = f"table of {items:,} items, {form}"
            figures += [
                Figure(case, items / spent, "rows/s", note="all items were listed before"),
                Figure(f"{case}, and the listing", items / (listed + spent), "rows/s",
                       peer=items / seconds, beside="loop that writes seven fields"),
                Figure(f"{case}: peak of memory", memory, "MB", _RESIDENT,
                       note=f"the loop: {peak:.0f} MB"),
                Figure(f"{case}, again", again, "s"),
            ]  # fmt: skip
    return figures


def _made(place: Path) -> Path:
    place.mkdir()
    return place


def _export(
    api: Server, place: Path, *arguments: str, variables: Mapping[str, str] | None = None
) -> Spent:
    """Run an export, and return its cost."""
    cost = Cost(api)
    subprocess.run(
        [sys.executable, "-m", "histfs", "export", "--base-url", api.url, *arguments],
        env={**environment(place), **(variables or {})}, stdout=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    return cost.stop()


def _timed(place: Path, *arguments: str) -> tuple[float, float]:
    """Run a command of histfs; return its seconds, and its peak of resident memory in MB."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "histfs", *arguments],
        env=environment(place), stdout=subprocess.DEVNULL,
    )  # fmt: skip
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"histfs {arguments[0]} has failed")
    return time.perf_counter() - began, usage.ru_maxrss / 1024


@contextlib.contextmanager
def _bucket(root: Path) -> Iterator[Mapping[str, str] | None]:
    """Run a server of S3 with the bucket ``bench``; yield the variables by which it is found."""
    program = shutil.which("moto_server", path=str(Path(sys.executable).parent))
    lacks = [name for name in ("s3fs", "boto3") if importlib.util.find_spec(name) is None]
    if program is None or lacks:
        print("S3 is left out: pip install s3fs boto3 'moto[server]'", file=sys.stderr)
        yield None
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with (
        (root / "moto.log").open("w") as log,
        _ended(subprocess.Popen([program, "-p", str(port)], stdout=log, stderr=log)),
    ):
        wait_until(lambda: _answers(url), 30)
        requests.put(f"{url}/bench", timeout=10).raise_for_status()
        yield {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_DEFAULT_REGION": "us-east-1",
        }


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False


@contextlib.contextmanager
def _workers(place: Path, number: int) -> Iterator[str]:
    """Run a Dask scheduler and workers of one thread; yield the path of the scheduler file."""
    file = place / "scheduler.json"
    common = ["--scheduler-file", str(file), "--no-dashboard"]
    commands = [["scheduler", "--host", "127.0.0.1", "--port", "0", *common]]
    commands += [
        ["worker", "--no-nanny", "--nthreads", "1", "--local-directory", str(place), *common]
    ] * number
    with (place / "dask.log").open("w") as log, contextlib.ExitStack() as stack:
        for command in commands:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *command],
                env=environment(place), stdout=log, stderr=log,
            )  # fmt: skip
            stack.enter_context(_ended(process))
            wait_until(file.exists, 30)
        wait_until(lambda: (place / "dask.log").read_text().count("Registered to") >= number, 60)
        yield str(file)


@contextlib.contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        process.kill()
        process.wait()
