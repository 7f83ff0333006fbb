"""What the kernel may cache for long, and when it is told to forget it."""

from __future__ import annotations

import stat

import pytest

from histfs.core.errors import CacheFailed
from histfs.core.nodes import Attributes, directory
from histfs.fuse.kernel_cache import MAX_PATHS, QUIET, KernelCache
from histfs.fuse.reported_sizes import DELIVERY, TIMEOUT
from tests.support.clock import Clock

TTL = 30.0
ITEM = "/by-date/2026/11/27/a_hello"
TEXT = f"{ITEM}/text.txt"
DIRECTORY = directory(7, 1, is_lasting=True)
FILE = Attributes(stat.S_IFREG, 8, 1, 100, 1, is_lasting=True)
NAMES = ["text.txt", "audio.mp3"]


class Kernel:
    """A cache that is in use, and the paths whose nodes the kernel was told to forget."""

    def __init__(self, ttl=TTL):
        self.clock = Clock()
        self.index = 1
        self.told = []
        self.nodes = {}
        self.cache = KernelCache(ttl, lambda: self.index, self._tell, self.clock)
        self.cache.start()

    def _tell(self, node):
        self.told.append(self.nodes[node])

    def keep(self, path, attributes=FILE):
        """Look a path up, and return for how long it may be cached."""
        timeouts = self.cache.keep(path, attributes, self.cache.version())
        node = len(self.nodes) + 1
        self.nodes[node] = path
        self.cache.take_nodes([(path, node)])
        return timeouts.looked_up

    def change(self):
        self.index += 1
        self.clock.now += 0.1

    def listed(self, *, with_files=False):
        self.keep(ITEM, DIRECTORY)
        self.cache.listed(ITEM, NAMES, self.cache.version(), with_files=with_files)


@pytest.fixture
def kernel():
    return Kernel()


def test_what_depends_on_the_index_alone_is_cached_as_long_as_a_listing_is_fresh(kernel):
    assert kernel.keep(TEXT) == kernel.keep(ITEM, DIRECTORY) == TTL
    assert kernel.keep(TEXT, FILE._replace(is_lasting=False)) == TIMEOUT


@pytest.mark.parametrize("ttl", [0, 0.5])
def test_a_listing_that_is_hardly_fresh_lets_nothing_be_cached_for_long(ttl):
    kernel = Kernel(ttl)
    assert (kernel.keep(TEXT), kernel.cache.version()) == (TIMEOUT, None)
    kernel.cache.changed()
    assert kernel.told[0] == TEXT


def test_an_answer_from_before_a_change_is_not_cached_for_long(kernel):
    version = kernel.cache.version()
    kernel.change()
    assert kernel.cache.version() is None
    kernel.clock.now += QUIET
    assert kernel.cache.keep(TEXT, FILE, version) == (TIMEOUT, TIMEOUT)
    assert kernel.keep(TEXT) == TTL


def test_the_kernel_is_told_of_all_that_it_has_when_the_index_changes_and_once_more(kernel):
    kernel.keep(TEXT)
    kernel.keep(ITEM, DIRECTORY)
    kernel.change()
    assert kernel.keep(TEXT) == TIMEOUT
    assert sorted(kernel.told) == sorted([ITEM, TEXT])
    kernel.clock.now += DELIVERY
    kernel.cache.version()
    assert sorted(kernel.told) == sorted([ITEM, ITEM, TEXT, TEXT])
    kernel.clock.now += DELIVERY
    kernel.cache.version()
    assert len(kernel.told) == 4


def test_further_changes_do_not_put_off_the_second_time(kernel):
    kernel.keep(TEXT)
    kernel.change()
    kernel.keep(ITEM, DIRECTORY)
    kernel.change()
    kernel.keep(TEXT)
    kernel.change()
    kernel.cache.version()
    assert kernel.told == [TEXT, ITEM, TEXT, TEXT]


def test_while_the_index_cannot_be_read_nothing_is_cached_for_long(kernel):
    def fail():
        raise CacheFailed("the disk is gone")

    kernel.keep(TEXT)
    kernel.cache._index_version = fail
    kernel.clock.now += 0.1
    assert kernel.keep(TEXT) == TIMEOUT
    assert kernel.told == [TEXT]
    kernel.clock.now += 100
    assert kernel.keep(TEXT) == TIMEOUT


def test_what_was_removed_here_is_forgotten_at_once_in_all_views(kernel):
    elsewhere = "/by-voice/Rachel/a_hello"
    for path in (ITEM, elsewhere):
        kernel.keep(path, DIRECTORY)
        kernel.keep(f"{path}/text.txt")
    kernel.cache.changed()
    assert {ITEM, TEXT, elsewhere, f"{elsewhere}/text.txt"} == set(kernel.told)
    assert kernel.keep(TEXT) == TIMEOUT


def test_a_stat_of_a_node_is_cached_for_long_only_if_the_kernel_could_be_told(kernel):
    version = kernel.cache.version()
    assert kernel.cache.keep(TEXT, FILE, version) == (TTL, TIMEOUT)
    kernel.cache.take_nodes([(TEXT, 5)])
    assert kernel.cache.keep(TEXT, FILE, version) == (TTL, TTL)


def test_a_node_whose_answer_comes_after_a_change_is_forgotten_too(kernel):
    kernel.cache.keep(TEXT, FILE, kernel.cache.version())
    kernel.change()
    assert kernel.cache.version() is None
    kernel.nodes[5] = TEXT
    kernel.cache.take_nodes([(TEXT, 5)])
    kernel.clock.now += DELIVERY
    kernel.cache.version()
    assert kernel.told == [TEXT]


def test_after_a_change_a_node_is_cached_for_long_again(kernel):
    kernel.keep(TEXT)
    kernel.change()
    assert kernel.keep(TEXT) == TIMEOUT
    kernel.clock.now += QUIET
    assert kernel.cache.keep(TEXT, FILE, kernel.cache.version()) == (TTL, TTL)


def test_what_is_cached_for_a_moment_is_forgotten_at_once_too(kernel):
    audio = f"{ITEM}/audio.mp3"
    kernel.keep(audio, FILE._replace(is_lasting=False))
    kernel.cache.changed()
    assert kernel.told[0] == audio


def test_a_second_removal_tells_only_of_what_was_asked_for_since(kernel):
    kernel.keep(TEXT)
    kernel.keep(ITEM, DIRECTORY)
    kernel.cache.changed()
    kernel.told.clear()
    kernel.keep(TEXT)
    kernel.cache.changed()
    assert kernel.told == [TEXT]


def test_the_size_that_the_kernel_may_have_is_known_as_long_as_it_may_have_it(kernel):
    kernel.keep(TEXT)
    kernel.clock.now += TTL
    assert kernel.cache.size(TEXT) == 100
    kernel.clock.now += 1
    assert kernel.cache.size(TEXT) is None
    assert kernel.cache.size(ITEM) is None


def test_a_file_that_was_forgotten_is_told_once(kernel):
    kernel.keep(TEXT)
    kernel.cache.forget(TEXT)
    kernel.cache.forget(TEXT)
    assert (kernel.told, kernel.cache.size(TEXT)) == ([TEXT], None)


def test_a_path_that_becomes_something_else_is_noticed(kernel):
    kernel.keep(ITEM, DIRECTORY)
    assert kernel.cache.has_other_kind(ITEM, stat.S_IFLNK)
    assert not kernel.cache.has_other_kind(ITEM, stat.S_IFDIR)
    assert not kernel.cache.has_other_kind(TEXT, stat.S_IFLNK)


# Listings


def test_a_listing_is_kept_while_its_names_are_the_same(kernel):
    kernel.listed()
    assert kernel.cache.listing(ITEM, NAMES, kernel.cache.version(), with_files=False) is True
    assert (
        kernel.cache.listing(
            ITEM, ["text.txt", "audio.opus"], kernel.cache.version(), with_files=False
        )
        is False
    )


def test_a_listing_is_cached_anew_for_a_program_that_needs_the_attributes(kernel):
    kernel.listed()
    assert kernel.cache.listing(ITEM, NAMES, kernel.cache.version(), with_files=True) is False
    kernel.listed(with_files=True)
    assert kernel.cache.listing(ITEM, NAMES, kernel.cache.version(), with_files=True) is True
    assert kernel.cache.listing(ITEM, NAMES, kernel.cache.version(), with_files=False) is True


def test_a_listing_is_dropped_before_the_attributes_in_it_are(kernel):
    kernel.listed(with_files=True)
    kernel.clock.now += TTL - TIMEOUT
    kernel.keep(ITEM, DIRECTORY)
    assert kernel.cache.listing(ITEM, NAMES, kernel.cache.version(), with_files=True) is False


def test_the_listing_of_what_is_not_lasting_is_not_cached(kernel):
    kernel.cache.listed("/by-voice", ["Rachel"], kernel.cache.version(), with_files=False)
    assert (
        kernel.cache.listing("/by-voice", ["Rachel"], kernel.cache.version(), with_files=False)
        is None
    )


def test_after_a_change_no_listing_is_cached(kernel):
    kernel.listed()
    kernel.change()
    assert kernel.cache.listing(ITEM, NAMES, kernel.cache.version(), with_files=False) is None


def test_the_number_of_paths_is_bounded_and_old_ones_make_room(kernel):
    for number in range(MAX_PATHS):
        assert kernel.keep(f"/{number}") == TTL
    assert kernel.keep(TEXT) == TIMEOUT
    assert kernel.keep("/0") == TTL
    kernel.clock.now += TTL
    assert kernel.keep(TEXT) == TTL
