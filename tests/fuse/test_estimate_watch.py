"""What becomes of the calls of a program that reads a file by an estimate of its size."""

from __future__ import annotations

import errno
import os
import socket
import threading

import pytest

from histfs.core.estimate_readers import ReadCount, ReadRequest
from histfs.core.programs import Process
from histfs.fuse.estimate_watch import EstimateWatch, ProcessId, process_id
from histfs.fuse.read_requests import read_count, read_request
from histfs.fuse.reported_sizes import TIMEOUT
from tests.support.eventually import eventually

ESTIMATE, SIZE = 8776, 8911


class World:
    """A watch whose caller is set by hand.

    Attributes:
        caller: the thread that calls; each is a process of its own.
        request: what it has asked to read; None where that can't be seen.
        count: how many bytes it has read; None where that can't be seen.
        now: the time, in seconds.
        caches: whether the kernel caches attributes.
        learnt: the processes whose programs were learnt.
        archives: whether libarchive is in the memory of the caller.
    """

    def __init__(self):
        self.caller, self.request, self.count, self.now = os.getpid(), None, 0, 100.0
        self.caches, self.archives = True, False
        self.learnt: list[Process] = []
        self.watch = EstimateWatch(
            lambda: self.caller,
            lambda enabled: setattr(self, "caches", enabled),
            self.learnt.append,
            lambda: self.now,
            request=lambda thread: self.request,
            count=lambda thread: (
                None if self.count is None else ReadCount(self.count, int(self.count > 0))
            ),
            process=lambda thread: ProcessId(thread, "1"),
            archives=lambda thread: self.archives,
        )

    def opens(self, path="/a"):
        self.watch.fail_if_owed(path)
        return self.watch.opening(path, 7, SIZE)

    def fails(self, call, *arguments):
        """Say whether a call fails with EIO."""
        try:
            call(*arguments)
        except OSError as error:
            assert error.errno == errno.EIO
            return True
        return False


@pytest.fixture
def world():
    world = World()
    world.watch.shown(7, ESTIMATE)
    return world


def test_a_read_that_ends_at_the_estimate_fails_and_so_do_the_close_and_the_next_open(world):
    file = world.opens()
    world.request = ReadRequest(0, ESTIMATE)
    assert world.fails(world.watch.check, file)
    assert world.fails(world.watch.flushed, file)
    assert world.watch.is_misled()
    assert world.fails(world.opens, "/b")
    assert not world.fails(world.opens, "/c")
    assert world.fails(world.opens, "/b"), "libarchive opens a file twice"
    world.now += 60
    assert not world.fails(world.opens, "/b")
    assert len(world.learnt) == 1
    world.caller += 1
    assert not world.watch.is_misled()


def test_a_reader_whose_requests_are_not_seen_is_found_by_what_it_has_read(world):
    file = world.opens()
    assert not world.fails(world.watch.check, file)
    world.count += ESTIMATE
    assert world.fails(world.watch.flushed, file)
    assert world.fails(world.opens, "/b")


@pytest.mark.parametrize("count", [0, 100, SIZE, None])
def test_who_has_read_otherwise_closes_the_file_and_opens_the_next_one(world, count):
    file = world.opens()
    world.count = count
    assert not world.fails(world.watch.flushed, file)
    assert not world.fails(world.opens, "/b")
    assert not world.watch.is_misled()


def test_what_another_thread_has_read_that_closes_the_file_does_not_count(world):
    file = world.opens()
    world.caller, world.count = world.caller + 1, ESTIMATE
    assert not world.fails(world.watch.flushed, file)


@pytest.mark.parametrize(
    ("archives", "read", "path", "is_found"),
    [
        (True, 0, "/a", True),
        (False, 0, "/a", False),
        (True, SIZE, "/a", False),
        (True, 0, "/b", False),
        (True, None, "/a", False),
    ],
)
def test_libarchive_is_found_by_a_second_open_of_what_it_has_not_read(
    world, archives, read, path, is_found
):
    world.archives = archives
    file = world.opens()
    world.count = read
    world.watch.flushed(file)
    world.watch.closed(file)
    assert world.fails(world.opens, path) == is_found
    assert world.watch.is_misled() == is_found
    assert bool(world.learnt) == is_found


def test_libarchive_may_do_so_where_it_is_shown_exact_sizes(world):
    world.archives = True
    world.watch.flushed(world.opens())
    assert world.watch.opening("/a", 7, SIZE, lambda: True) is not None


def test_attributes_are_cached_again_once_the_reader_shows_that_it_reads_on(world):
    file = world.opens()
    assert not world.caches
    world.request = ReadRequest(0, 512)
    world.watch.check(file)
    assert not world.caches
    world.request = ReadRequest(512, 131_072)
    world.watch.check(file)
    assert world.caches


def test_an_open_that_has_failed_is_not_watched_beside_the_next_one(world):
    world.watch.opening("/a", 7, SIZE)
    file = world.opens()
    assert not world.caches
    world.request = ReadRequest(0, 131_072)
    world.watch.check(file)
    assert world.caches


def test_a_file_that_is_open_and_not_read_keeps_no_attributes_from_the_cache(world):
    file = world.opens()
    world.now += 0.9 * TIMEOUT
    world.request = ReadRequest(0, 512)
    world.watch.check(file)
    world.now += 0.9 * TIMEOUT
    world.watch.expire()
    assert not world.caches
    world.now += 0.2 * TIMEOUT
    world.watch.expire()
    assert world.caches
    world.watch.check(file)
    assert not world.caches
    world.watch.closed(file)
    assert world.caches


def test_a_reader_whose_requests_are_not_seen_keeps_no_attributes_from_the_cache(world):
    file = world.opens()
    world.now += 2 * TIMEOUT
    world.watch.check(file)
    world.watch.expire()
    assert world.caches


def test_a_file_whose_size_was_shown_right_is_not_watched(world):
    world.watch.shown(8, SIZE)
    assert world.watch.opening("/b", 8, SIZE) is None
    assert world.caches


# What /proc tells


@pytest.fixture
def waiting():
    """A thread that waits in read(2), and the pipe that it reads from."""
    reading, writing = os.pipe()
    ids = []

    def read():
        ids.append(threading.get_native_id())
        os.read(reading, 1234)
        os.read(reading, 4321)

    thread = threading.Thread(target=read)
    thread.start()
    eventually(lambda: ids)
    yield ids[0], writing
    os.write(writing, b"x")
    thread.join(0.2)
    os.close(writing)
    thread.join()
    os.close(reading)


def test_the_request_of_a_thread_is_seen_and_what_it_has_read(waiting):
    thread, writing = waiting
    eventually(lambda: read_request(thread) == ReadRequest(0, 1234))
    before = read_count(thread)
    os.write(writing, b"12345")
    eventually(lambda: read_request(thread) == ReadRequest(0, 4321))
    assert read_count(thread) == ReadCount(before.size + 5, before.calls + 1)


def test_the_offset_of_sendfile_is_seen_in_the_memory_of_the_program(tmp_path):
    (tmp_path / "big").write_bytes(bytes(10_000_000))
    ids = []

    def send(target):
        ids.append(threading.get_native_id())
        with target, (tmp_path / "big").open("rb") as file:
            os.sendfile(target.fileno(), file.fileno(), 4096, 5_000_000)

    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=send, args=[theirs])
    thread.start()
    with ours:
        eventually(lambda: ids and read_request(ids[0]) == ReadRequest(4096, 5_000_000))
        while ours.recv(1_000_000):
            pass
    thread.join()


def test_a_thread_that_is_gone_has_no_request():
    assert read_request(2**22 + 1) is read_count(2**22 + 1) is process_id(2**22 + 1) is None


def test_the_threads_of_a_process_have_its_id(waiting):
    thread, _ = waiting
    assert process_id(thread) == process_id(os.getpid())
    assert process_id(thread).number == os.getpid()
