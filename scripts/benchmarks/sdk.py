"""The peer: a script on the official SDK, in a process of its own.

    python -m scripts.benchmarks.sdk URL list COUNT
    python -m scripts.benchmarks.sdk URL backup DIRECTORY THREADS
    python -m scripts.benchmarks.sdk URL first

It prints seconds, without the time of imports, and its peak of resident memory in MB.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from elevenlabs.client import ElevenLabs

from scripts.benchmarks.stage import Memory, Server, environment


def run(server: Server, place: Path, *arguments: object) -> list[float]:
    """Run this module as a process, and return the numbers that it prints."""
    command = [sys.executable, "-m", "scripts.benchmarks.sdk", server.url, *map(str, arguments)]
    process = subprocess.run(
        command, env=environment(place), stdout=subprocess.PIPE, text=True, check=True
    )
    return [float(word) for word in process.stdout.split()]


def _items(client: ElevenLabs) -> Iterator[Any]:
    cursor = None
    while True:
        page = client.history.list(page_size=1000, start_after_history_item_id=cursor)
        yield from page.history
        cursor = page.last_history_item_id
        if not page.has_more:
            return


def _backup(client: ElevenLabs, directory: Path, threads: int) -> None:
    """Save the audio and the text of each item whose audio is not saved yet."""

    def save(item: Any) -> None:  # noqa: ANN401 - a type of the SDK
        audio = directory / f"{item.history_item_id}.audio"
        if audio.exists():
            return
        with audio.open("wb") as file:
            file.writelines(client.history.get_audio(item.history_item_id))
        audio.with_suffix(".txt").write_text(item.text or "")

    directory.mkdir(exist_ok=True)
    if threads == 1:
        for item in _items(client):
            save(item)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(save, _items(client)))


def _main(url: str, case: str, *arguments: str) -> None:
    client = ElevenLabs(base_url=url)
    audio = iter(b"")
    if case == "first":
        audio = client.history.get_audio(next(_items(client)).history_item_id)
    began = time.perf_counter()
    if case == "list":
        list(itertools.islice(_items(client), int(arguments[0])))
    elif case == "backup":
        _backup(client, Path(arguments[0]), int(arguments[1]))
    else:
        next(audio)
        print(time.perf_counter() - began)
        list(audio)
    print(time.perf_counter() - began)
    print(Memory.of("self").peak)


if __name__ == "__main__":
    _main(*sys.argv[1:])
