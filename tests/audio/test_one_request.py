"""One request a clip, and never more at once than allowed, whatever the order of reading."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histfs.audio.audio_cache import AudioCache
from histfs.audio.disk_cache import DiskCache
from histfs.audio.download_scheduler import DownloadScheduler
from histfs.audio.reading_orders import ReadingOrders
from histfs.audio.size_registry import SizeRegistry
from histfs.audio.told_sizes import ToldSizes
from histfs.core.errors import DeadlineExceeded
from histfs.core.index import Listed
from histfs.core.item import Item
from histfs.core.listed_directories import ListedDirectories, ListedDirectory
from histfs.core.single_flight import SingleFlight
from histfs.core.waiting import Waiter
from tests.audio.conftest import DATE, PLENTY, TIMEOUT, MemoryTable
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
            record(
                f"k{n * 7919 % 101:03}",
                DATE + n // 3,
                text=f"{n * 31 % 101}",
                voice=voice,
                voice_name=voice,
            )
            for n, voice in enumerate(voices)
        )
        self.now = self.most = 0
        self._latency = latency
        self._guard = threading.Lock()

    @property
    def items(self) -> list[Item]:
        """The clips, as they are listed."""
        return sorted((row.item for row in self.records()), key=lambda item: (item.date, item.key))

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
def cache_of(
    source: CountingSource, connections: int, root: Path, listed: Sequence[Sequence[Item]] = ()
) -> Iterator[AudioCache]:
    """Return a cache of clips that reads ahead as a mount does, after directories were listed."""
    directories = ListedDirectories()
    for number, each in enumerate(listed):
        items = [Listed(item.date, item.key, item.slug) for item in each]
        directory = ListedDirectory([item.key for item in items], items)
        directories.note(("view", str(number)), directory)
    scheduler, sizes = DownloadScheduler(lambda: connections), SizeRegistry(MemoryTable())
    flights = SingleFlight("size", connections)
    with contextlib.closing(scheduler), contextlib.closing(flights):
        yield AudioCache(
            source,
            DiskCache(root, PLENTY),
            scheduler,
            sizes,
            ToldSizes(source, sizes, flights=flights, following=source.following, ahead=0),
            max_clip_size=PLENTY,
            orders=ReadingOrders(
                source.following, source.orders, source.preceding, directories, source.find
            ),
            prefetch_clips=2 * connections,
            prefetch_bytes=PLENTY,
            set_extension=lambda *_: None,
            invalidate=lambda _: None,
        )


def read_all(readers: list[tuple[AudioCache, list[Item]]]) -> None:
    """Read clips, each list by a thread of its own, to their ends."""

    def read(cache: AudioCache, items: list[Item]) -> None:
        for item in items:
            with contextlib.closing(cache.open(item, Waiter(TIMEOUT))) as file:
                assert file.read(0, file.size, Waiter(TIMEOUT))

    with ThreadPoolExecutor(len(readers)) as pool:
        for done in [pool.submit(read, *reader) for reader in readers]:
            done.result()
    eventually(lambda: not any(cache.fetching for cache, _ in readers))


@settings(max_examples=40, deadline=None)
@given(
    voices=st.text("abc", min_size=8, max_size=40),
    connections=st.integers(1, 16),
    order=st.sampled_from(
        ["by date", "by name", "by voice", "reversed", "random", "listed", "walked"]
    ),
    readers=st.sampled_from(["one", "four in turn", "two at once", "four anyhow"]),
    random=st.randoms(use_true_random=False),
)
def test_each_clip_is_requested_once(voices, connections, order, readers, random):
    source = CountingSource(voices)
    items = source.items
    if order == "by voice":
        items = sorted(items, key=lambda item: (source.orders(item)[0], item.date, item.key))
    elif order == "by name":
        items = sorted(items, key=lambda item: (item.date, item.slug))
    elif order == "reversed":
        items.reverse()
    elif order in ("random", "listed", "walked"):
        random.shuffle(items)
    listed = {"listed": [items], "walked": [items[n : n + 3] for n in range(0, len(items), 3)]}
    hands = {
        "one": [items],
        "four in turn": [items[n::4] for n in range(4)],
        "two at once": [items, items],
        "four anyhow": [random.sample(items, len(items)) for _ in range(4)],
    }[readers]
    with (
        tempfile.TemporaryDirectory() as root,
        cache_of(source, connections, Path(root), listed.get(order, ())) as cache,
    ):
        read_all([(cache, hand) for hand in hands])
    assert source.count("audio") == len(items)
    assert source.most <= connections


@settings(max_examples=10, deadline=None)
@given(
    voices=st.text("abc", min_size=8, max_size=30),
    connections=st.integers(1, 16),
    shuffled=st.booleans(),
    random=st.randoms(use_true_random=False),
)
def test_two_processes_of_one_cache_request_each_clip_once(voices, connections, shuffled, random):
    source = CountingSource(voices)
    items = source.items
    if shuffled:
        random.shuffle(items)
    with (
        tempfile.TemporaryDirectory() as root,
        cache_of(source, connections, Path(root)) as one,
        cache_of(source, connections, Path(root)) as other,
    ):
        read_all([(one, items), (other, items)])
        assert not list(Path(root, "fetching").iterdir())
    assert source.count("audio") == len(items)


def test_a_claim_that_a_killed_process_left_keeps_nothing_waiting(tmp_path):
    source = CountingSource("a")
    with cache_of(source, 1, tmp_path) as cache:
        (item,) = source.items
        pid = os.fork()
        if not pid:
            cache.disk.claim(item.key).take()
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
        assert (tmp_path / "claims").exists()
        read_all([(cache, [item])])
    assert source.count("audio") == 1


def test_a_call_that_waits_for_another_process_has_its_deadline(tmp_path):
    source = CountingSource("a")
    with cache_of(source, 1, tmp_path) as cache:
        (item,) = source.items
        claim = cache.disk.claim(item.key)
        assert claim.take()
        with pytest.raises(DeadlineExceeded):
            cache.open(item, Waiter(0.3))
        assert source.count("audio") == 0
        claim.release()
        read_all([(cache, [item])])
    assert source.count("audio") == 1


@pytest.mark.parametrize("connections", [1, 8, 16])
@pytest.mark.parametrize("voices", ["a" * 60, "abc" * 20, "aabcabbbca" * 6, "ab" * 30])
@pytest.mark.parametrize("step", [2, 3, 5])
def test_what_a_program_skips_is_not_requested(tmp_path, voices, connections, step):
    source = CountingSource(voices)
    items = source.items[::step]
    with cache_of(source, connections, tmp_path) as cache:
        read_all([(cache, items)])
    assert source.count("audio") == len(items)
