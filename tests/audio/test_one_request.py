"""One request a clip, and never more at once than allowed, whatever the order of reading."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histfs.audio.audio_cache import AudioCache
from histfs.audio.disk_cache import DiskCache
from histfs.audio.download_scheduler import DownloadScheduler
from histfs.audio.size_registry import SizeRegistry
from histfs.core.item import Item
from histfs.core.waiting import Waiter
from tests.audio.conftest import DATE, PATIENCE, PLENTY, MemoryTable
from tests.support.eventually import eventually
from tests.support.memory import MemorySource, record


class CountingSource(MemorySource):
    """A source whose answers take some time, and that knows how many are under way.

    Args:
        voices: of the clips, oldest first; several clips have one second.
        latency: seconds until each answer.
    """

    def __init__(self, voices: str, latency: float = 0.002) -> None:
        super().__init__(
            record(f"k{n * 7919 % 101:03}", DATE + n // 3, voice=voice, voice_name=voice)
            for n, voice in enumerate(voices)
        )
        self.now = self.most = 0
        self._latency = latency
        self._guard = threading.Lock()

    @property
    def items(self) -> list[Item]:
        """The clips, oldest first."""
        return [row.item for row in reversed(self.records())]

    @contextlib.contextmanager
    def audio(self, item_id: str) -> Iterator[object]:
        with self._guard:
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            time.sleep(self._latency)
            with super().audio(item_id) as stream:
                yield stream
        finally:
            with self._guard:
                self.now -= 1


@contextlib.contextmanager
def cache_of(source: CountingSource, connections: int, root: Path) -> Iterator[AudioCache]:
    """Return a cache of clips that reads ahead as a mount does."""
    scheduler = DownloadScheduler(lambda: connections)
    with contextlib.closing(scheduler):
        yield AudioCache(
            source,
            DiskCache(root, PLENTY),
            scheduler,
            SizeRegistry(MemoryTable()),
            max_clip_size=PLENTY,
            following=source.following,
            prefetch_clips=2 * connections,
            prefetch_bytes=PLENTY,
            orders=source.orders,
            set_extension=lambda *_: None,
            invalidate=lambda _: None,
        )


def read_all(readers: list[tuple[AudioCache, list[Item]]]) -> None:
    """Read clips, each list by a thread of its own, to their ends."""

    def read(cache: AudioCache, items: list[Item]) -> None:
        for item in items:
            with contextlib.closing(cache.open(item, Waiter(PATIENCE))) as file:
                assert file.read(0, file.size, Waiter(PATIENCE))

    with ThreadPoolExecutor(len(readers)) as pool:
        for done in [pool.submit(read, *reader) for reader in readers]:
            done.result()
    eventually(lambda: not any(cache.fetching for cache, _ in readers))


@settings(max_examples=40, deadline=None)
@given(
    voices=st.text("abc", min_size=8, max_size=40),
    connections=st.integers(1, 16),
    order=st.sampled_from(["by date", "by voice", "reversed", "random"]),
    readers=st.sampled_from(["one", "four in turn", "two at once", "four anyhow"]),
    random=st.randoms(use_true_random=False),
)
def test_each_clip_is_requested_once(voices, connections, order, readers, random):
    source = CountingSource(voices)
    items = source.items
    if order == "by voice":
        items = sorted(items, key=lambda item: (source.orders(item)[0], item.date, item.key))
    elif order == "reversed":
        items.reverse()
    elif order == "random":
        random.shuffle(items)
    hands = {
        "one": [items],
        "four in turn": [items[n::4] for n in range(4)],
        "two at once": [items, items],
        "four anyhow": [random.sample(items, len(items)) for _ in range(4)],
    }[readers]
    with (
        tempfile.TemporaryDirectory() as root,
        cache_of(source, connections, Path(root)) as cache,
    ):
        read_all([(cache, hand) for hand in hands])
    assert source.count("audio") == len(items)
    assert source.most <= connections


@pytest.mark.parametrize("connections", [1, 8, 16])
@pytest.mark.parametrize("voices", ["a" * 60, "abc" * 20, "aabcabbbca" * 6, "ab" * 30])
@pytest.mark.parametrize("step", [2, 3, 5])
def test_what_a_program_skips_is_not_requested(tmp_path, voices, connections, step):
    source = CountingSource(voices)
    items = source.items[::step]
    with cache_of(source, connections, tmp_path) as cache:
        read_all([(cache, items)])
    assert source.count("audio") == len(items)
