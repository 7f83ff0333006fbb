"""The peer of exports and tables: loops with requests and boto3, in a process of its own.

    python -m scripts.benchmarks.plain URL export DEST THREADS
    python -m scripts.benchmarks.plain URL table FILE
    python -m scripts.benchmarks.plain URL get COUNT

It prints seconds, without the time of imports, and its peak of resident memory in MB; before those
`get` prints the mean seconds to the first byte of a clip, and the bytes of all.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import requests

from scripts.benchmarks.stage import KEY, Memory, Server, environment

_PAGE = 1000


def run(
    server: Server, place: Path, *arguments: object, variables: Mapping[str, str] | None = None
) -> list[float]:
    """Run this module as a process, and return the numbers that it prints."""
    command = [sys.executable, "-m", "scripts.benchmarks.plain", server.url, *map(str, arguments)]
    process = subprocess.run(
        command, env={**environment(place), **(variables or {})},
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return [float(word) for word in process.stdout.split()]


class _Api:
    """The API, with a connection for each thread."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._local = threading.local()

    def get(self, path: str, *, stream: bool = False) -> requests.Response:
        """Send a GET."""
        session = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.headers["xi-api-key"] = KEY
        answer = session.get(f"{self._url}{path}", stream=stream, timeout=60)
        answer.raise_for_status()
        return answer

    def items(self) -> Iterator[dict[str, Any]]:
        """Yield all items."""
        after = ""
        while True:
            page = self.get(f"/v1/history?page_size={_PAGE}{after}").json()
            yield from page["history"]
            if not page["has_more"]:
                return
            after = f"&start_after_history_item_id={page['last_history_item_id']}"


def _writer(destination: str) -> Callable[[str, bytes], object]:
    """Return a function that writes an object."""
    if not destination.startswith("s3://"):
        folder = Path(destination)
        folder.mkdir(parents=True)
        return lambda name, content: (folder / name).write_bytes(content)
    import boto3  # noqa: PLC0415 - needed for a bucket alone
    from botocore.config import Config  # noqa: PLC0415

    client = boto3.client("s3", config=Config(max_pool_connections=64))
    bucket, _, prefix = destination.removeprefix("s3://").partition("/")
    return lambda name, content: client.put_object(
        Bucket=bucket, Key=f"{prefix}/{name}", Body=content
    )


def _export(api: _Api, destination: str, threads: int) -> None:
    put = _writer(destination)

    def save(item: dict[str, Any]) -> None:
        key = item["history_item_id"]
        put(f"{key}.mp3", api.get(f"/v1/history/{key}/audio").content)
        put(f"{key}.txt", (item["text"] or "").encode())
        put(f"{key}.json", json.dumps(item).encode())

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(save, api.items()))


def _table(api: _Api, file: Path) -> None:
    fields = (
        "history_item_id",
        "date_unix",
        "voice_name",
        "voice_id",
        "model_id",
        "source",
        "text",
    )
    with file.open("w") as table:
        for item in api.items():
            table.write(json.dumps({name: item[name] for name in fields}) + "\n")


def _get(api: _Api, number: int) -> None:
    firsts, size = [], 0
    for item in islice(api.items(), number):
        began = time.perf_counter()
        with api.get(f"/v1/history/{item['history_item_id']}/audio", stream=True) as answer:
            chunks = answer.iter_content(1 << 20)
            size += len(next(chunks))
            firsts.append(time.perf_counter() - began)
            size += sum(map(len, chunks))
    print(sum(firsts) / len(firsts), size)


def _main(url: str, case: str, *arguments: str) -> None:
    api = _Api(url)
    began = time.perf_counter()
    if case == "export":
        _export(api, arguments[0], int(arguments[1]))
    elif case == "table":
        _table(api, Path(arguments[0]))
    else:
        _get(api, int(arguments[0]))
    print(time.perf_counter() - began)
    print(Memory.of("self").peak)


if __name__ == "__main__":
    _main(*sys.argv[1:])
