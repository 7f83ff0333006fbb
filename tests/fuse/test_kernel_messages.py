"""Replies to the kernel have what their call wants, all others pass unchanged."""

from __future__ import annotations

import ctypes
import os
import struct
import threading

import pytest

from histfs.fuse.kernel_messages import KernelMessages

# linux/fuse.h
HEADER = struct.Struct("=IiQ")  # len, error, unique
ENTRY = struct.Struct("=QQQQII88s")  # nodeid, generation, the timeouts, nanoseconds, attributes
ATTRIBUTES = struct.Struct("=QII88s")  # timeout, nanoseconds, unused, attributes
OPEN = struct.Struct("=QII")  # handle, flags, unused

ENTRY_REPLY = ENTRY.pack(5, 6, 1, 1, 0, 0, b"a" * 88)
OPEN_REPLY = OPEN.pack(9, 0, 0)


class Wire:
    """The descriptor to which replies go."""

    def __init__(self):
        self._reader, self._writer = os.pipe()
        self.messages = KernelMessages()
        self.messages._descriptor = self._writer

    def send(self, body=b"", *, error=0, unique=3):
        """Return the body of a message as it arrives."""
        header = HEADER.pack(HEADER.size + len(body), error, unique)
        parts = [ctypes.create_string_buffer(part, len(part)) for part in (header, body) if part]
        vectors = b"".join(struct.pack("@PN", ctypes.addressof(p), len(p)) for p in parts)
        kept = ctypes.create_string_buffer(vectors)
        size = self.messages._io.writev(self._writer, ctypes.addressof(kept), len(parts), None)
        arrived = os.read(self._reader, 1000)
        assert (size, arrived[: HEADER.size]) == (len(header) + len(body), header)
        return arrived[HEADER.size :]

    def close(self):
        os.close(self._reader)
        os.close(self._writer)


@pytest.fixture
def wire():
    made = Wire()
    yield made
    made.close()


def test_a_lookup_gets_the_timeout_for_name_and_attributes(wire):
    wire.messages.cache_attributes(30.5, 9.0)
    half = 500_000_000
    assert ENTRY.unpack(wire.send(ENTRY_REPLY)) == (5, 6, 30, 30, half, half, b"a" * 88)
    assert wire.send(ENTRY_REPLY) == ENTRY_REPLY


def test_a_lookup_says_which_node_the_path_is(wire):
    nodes = {}
    wire.messages.cache_attributes(30.0, 20.0, "/a", nodes.update)
    wire.send(ENTRY_REPLY)
    wire.messages.cache_attributes(30.0, 20.0, "/b", nodes.update)
    wire.send(ATTRIBUTES.pack(1, 5, 0, b"a" * 88))
    assert nodes == {"/a": 5}


def test_a_directory_says_which_nodes_its_entries_are(wire):
    def entry(node, name):
        header = struct.pack("=QQII", node, 1, len(name), 8)
        content = ENTRY.pack(node, 0, 1, 1, 0, 0, b"a" * 88) + header + name
        return content + bytes(-len(content) % 8)

    names = [b".", b"a" * 8, b"text.txt", b"longer than eight"]
    body = b"".join(entry(number, name) for number, name in enumerate(names))
    nodes = {}
    paths = [None, "/a", "/text", "/longer", "/that did not fit"]
    wire.messages.take_nodes(paths, nodes.update)
    assert wire.send(body) == body
    assert nodes == {"/a": 1, "/text": 2, "/longer": 3}


def test_a_reply_that_cannot_be_changed_is_sent(wire, caplog):
    def fail(nodes):
        raise ValueError

    wire.messages.cache_attributes(30.0, 20.0, "/a", fail)
    assert len(wire.send(ENTRY_REPLY)) == ENTRY.size
    assert "could not be changed" in caplog.text
    caplog.clear()


def test_a_stat_gets_the_timeout(wire):
    wire.messages.cache_attributes(30.0, 20.0)
    reply = ATTRIBUTES.pack(1, 5, 0, b"a" * 88)
    assert ATTRIBUTES.unpack(wire.send(reply)) == (20, 0, 0, b"a" * 88)


def test_while_no_attributes_may_be_cached_only_the_name_is(wire):
    wire.messages.caches_attributes = False
    wire.messages.cache_attributes(30.0, 20.0)
    assert ENTRY.unpack(wire.send(ENTRY_REPLY)) == (5, 6, 30, 0, 0, 0, b"a" * 88)


@pytest.mark.parametrize(("keep", "flags"), [(False, 1 << 3), (True, 1 << 3 | 1 << 1)])
def test_an_open_directory_gets_its_flags(wire, keep, flags):
    wire.messages.cache_listing(keep=keep)
    assert OPEN.unpack(wire.send(OPEN_REPLY)) == (9, flags, 0)
    assert wire.send(OPEN_REPLY) == OPEN_REPLY


def test_an_error_has_no_body_and_ends_what_was_wanted(wire):
    wire.messages.cache_attributes(30.0, 20.0)
    assert wire.send(error=-2) == b""
    assert wire.send(ENTRY_REPLY) == ENTRY_REPLY


def test_a_notification_in_between_is_not_the_reply(wire):
    wire.messages.cache_listing(keep=True)
    notification = b"n" * OPEN.size
    assert wire.send(notification, unique=0) == notification
    assert OPEN.unpack(wire.send(OPEN_REPLY))[1] != 0


def test_a_body_of_another_size_is_no_answer_to_the_call(wire):
    wire.messages.cache_attributes(30.0, 20.0)
    assert wire.send(b"x" * 80) == b"x" * 80
    wire.messages.cache_listing(keep=True)
    assert wire.send(ENTRY_REPLY) == ENTRY_REPLY


def test_what_one_thread_wants_is_not_in_the_reply_of_another(wire):
    wire.messages.cache_attributes(30.0, 20.0)
    arrived = []
    other = threading.Thread(target=lambda: arrived.append(wire.send(ENTRY_REPLY)))
    other.start()
    other.join()
    assert arrived == [ENTRY_REPLY]


def test_the_kernel_is_told_to_forget_the_attributes_of_a_node_and_keeps_the_pages(wire):
    wire.messages.forget_attributes(7)
    arrived = os.read(wire._reader, 1000)
    # FUSE_NOTIFY_INVAL_INODE: node id, offset, length
    assert struct.unpack("=IiQQqq", arrived) == (len(arrived), 2, 0, 7, -1, 0)


def test_without_a_mount_nothing_is_wanted_and_nobody_told():
    messages = KernelMessages()
    messages.cache_listing(keep=True)
    messages.forget_attributes(7)
    assert (messages.attached, messages._wanted.change) == (False, None)


@pytest.mark.parametrize("version", [(2, 9), (3, 12)])
def test_a_library_without_the_function_is_left_alone(version):
    messages = KernelMessages(ctypes.CDLL(None), version)
    messages.attach(1)
    assert not messages.attached
