"""What the driver makes of the tree's answers; the tree is a fake, and nothing is mounted."""

from __future__ import annotations

import errno
import inspect
import logging
import os
import stat

import pytest

from histfs.core import errors
from histfs.core.errors import HistfsError, errno_of
from histfs.core.nodes import Attributes, BytesFile, DirEntry, PlayedFile
from histfs.core.waiting import Waiter
from histfs.fuse.estimate_watch import EstimateWatch
from histfs.fuse.operations import Operations
from tests.support.clock import Clock

READING = ["getattr", "readlink", "opendir", "open", "unlink", "rmdir"]
WRITING = {
    "create": ("/new", 0o644, None),
    "mknod": ("/new", 0o644, 0),
    "mkdir": ("/new", 0o755),
    "symlink": ("/new", "target"),
    "link": ("/new", "/old"),
    "rename": ("/old", "/new"),
    "chmod": ("/a", 0o644),
    "chown": ("/a", 0, 0),
    "truncate": ("/a", 0),
    "write": ("/a", b"x", 0, 1),
    "utimens": ("/a", None),
}
#: Ways of opening a file that would write.
FLAGS = [os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC, os.O_WRONLY | os.O_APPEND]
KINDS = [
    kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, HistfsError)
]


class FakeTree:
    """A tree with one file, one link and one directory.

    Attributes:
        error: what every call raises.
        calls: the names of the calls.
        file: what is opened.
    """

    def __init__(self):
        self.error = None
        self.calls = []
        self.size = 1025
        self.inode, self.exact = 42, True
        self.entries = [
            DirEntry("d", stat.S_IFDIR, 7),
            DirEntry("ä", stat.S_IFREG, 8),
            DirEntry("l", stat.S_IFLNK, 9),
        ]
        self.file = Recorded(b"0123456789")

    def _called(self, name):
        self.calls.append(name)
        if self.error is not None:
            raise self.error

    def stat(self, path, waiter):
        self._called("stat")
        kind = {"/d": stat.S_IFDIR, "/l": stat.S_IFLNK}.get(path, stat.S_IFREG)
        return Attributes(kind, self.inode, 3, self.size, 1_714_650_306, self.exact)

    def stat_files(self, path, waiter):
        self._called("stat_files")
        names = [entry.name for entry in self.entries if entry.kind == stat.S_IFREG]
        return {name: self.stat(f"{path}/{name}", waiter) for name in names}

    def listdir(self, path, waiter):
        self._called("listdir")
        return self.entries

    def readlink(self, path, waiter):
        self._called("readlink")
        return "../target"

    def open(self, path, waiter):
        self._called("open")
        return Attributes(stat.S_IFREG, 43, 1, self.file.size, 1_714_650_306), self.file

    def unlink(self, path, waiter):
        self._called("unlink")

    def rmdir(self, path, waiter):
        self._called("rmdir")


class Recorded(BytesFile):
    """An open file that counts how often it was closed, and raises `error` when it is read."""

    closed = 0
    error = None

    def read(self, offset, size, waiter):
        if self.error is not None:
            raise self.error
        return super().read(offset, size, waiter)

    def close(self):
        self.closed += 1


@pytest.fixture
def tree():
    return FakeTree()


@pytest.fixture
def make(tree):
    def make(read_only=False, umask=0o077, ahead=True, **more):
        given = {"started": lambda: None, "configure": lambda connection, config: None}
        watch = EstimateWatch(lambda: 1, lambda enabled: None, lambda process: None)
        given |= {"caller": lambda: 1, "watch": watch, **more}
        return Operations(
            tree,
            waiter=lambda: Waiter(5),
            read_only=read_only,
            uid=11,
            gid=12,
            umask=umask,
            ahead=ahead,
            **given,
        )

    return make


@pytest.fixture
def operations(make):
    return make()


def call(operations, name, path="/a"):
    more = (os.O_RDONLY,) if name == "open" else ()
    return getattr(operations, name)(path, *more)


def errno_raised(function, *arguments):
    with pytest.raises(OSError) as caught:
        function(*arguments)
    return errno.errorcode[caught.value.errno]


# Errors


def test_each_exception_of_the_core_becomes_its_errno_in_every_call(operations, tree):
    for kind in KINDS:
        expected = errno.errorcode[errno_of(kind("why"))]
        tree.error = None
        number = operations.open("/a", os.O_RDONLY)
        tree.error = tree.file.error = kind("why")
        assert {errno_raised(call, operations, name) for name in READING} == {expected}, kind
        assert errno_raised(operations.read, "/a", 1, 0, number) == expected, kind


def test_the_log_has_one_line_for_a_fault_and_none_for_an_ordinary_answer(operations, tree, caplog):
    faults = (errors.SourceError, errors.NoSpace, errors.CacheFailed, errors.DeadlineExceeded)
    for kind in KINDS:
        caplog.clear()
        tree.error = kind("why it failed")
        errno_raised(operations.getattr, "/some/path")
        lines = [record.getMessage() for record in caplog.records]
        logged = ["getattr '/some/path': why it failed"] if issubclass(kind, faults) else []
        assert lines == logged, kind


def test_a_file_whose_size_the_kernel_was_told_wrong_is_looked_up_anew_before_it_is_open(
    operations, tree
):
    tree.size = 8
    operations.getattr("/a")
    assert errno_raised(operations.open, "/a", os.O_RDONLY) == "ESTALE"
    assert tree.file.closed
    tree.size = tree.file.size
    operations.getattr("/a")
    number = operations.open("/a", os.O_RDONLY)
    assert operations.read(None, 99, 0, number) == b"0123456789"


@pytest.mark.parametrize("in_listing", [False, True], ids=["stat", "with a listing"])
def test_a_look_at_an_estimate_that_ends_after_an_open_tells_the_size_of_the_handle(
    operations, tree, monkeypatch, in_listing
):
    """The kernel answers fstat(2) of the open file with the size reported by path."""
    tree.entries = [DirEntry("a", stat.S_IFREG, 8)]
    look = "stat_files" if in_listing else "stat"
    answer = getattr(tree, look)

    def slow(path, waiter):
        found = answer(path, waiter)
        monkeypatch.setattr(tree, look, answer)
        numbers.append(operations.open("/d/a", os.O_RDONLY))
        return found

    numbers = []
    directory = operations.opendir("/d")
    operations.getattr("/another")  # so that a listing comes with sizes
    monkeypatch.setattr(tree, look, slow)
    if in_listing:
        attributes = list(operations.readdir(None, directory, 0, True))[-1][1]
    else:
        attributes = operations.getattr("/d/a")
    assert attributes["st_size"] == 10
    assert operations.getattr("/d/a")["st_size"] == 10
    operations.release(None, numbers[0])


class Strange(Exception):
    """An exception that no code expects."""


@pytest.mark.parametrize("name", READING)
def test_what_nobody_foresaw_is_an_io_error_and_logged_with_its_trace(
    operations, tree, name, caplog
):
    tree.error = Strange("boom")
    assert errno_raised(call, operations, name) == "EIO"
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info[0] is Strange
    caplog.clear()


@pytest.mark.parametrize("name", ["read", "getattr", "readdir", "release", "releasedir"])
def test_a_handle_that_nobody_opened_is_an_error(operations, name, caplog):
    arguments = {"read": (None, 1, 0, 99)}.get(name, (None, 99))

    def call():
        list(getattr(operations, name)(*arguments) or [])

    assert errno_raised(call) in ("EIO", "EBADF")
    caplog.clear()


def test_an_os_error_keeps_its_errno(operations, tree):
    tree.error = OSError(errno.EMFILE, "too many open files")
    assert errno_raised(operations.opendir, "/d") == "EMFILE"


# Attributes


@pytest.mark.parametrize(
    ("umask", "read_only", "modes"),
    [
        (0o000, False, (0o755, 0o444, 0o777)),
        (0o022, False, (0o755, 0o444, 0o777)),
        (0o077, False, (0o700, 0o400, 0o777)),
        (0o077, True, (0o500, 0o400, 0o777)),
        (0o000, True, (0o555, 0o444, 0o777)),
    ],
)
def test_modes_are_what_the_umask_leaves(make, umask, read_only, modes):
    operations = make(read_only=read_only, umask=umask)
    found = [operations.getattr(path)["st_mode"] for path in ("/d", "/a", "/l")]
    assert [stat.S_IFMT(mode) for mode in found] == [stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK]
    assert tuple(stat.S_IMODE(mode) for mode in found) == modes


def test_attributes_are_the_trees_with_owner_blocks_and_nanoseconds(operations):
    found = operations.getattr("/a")
    moment = 1_714_650_306 * 10**9
    assert found.pop("st_mode")
    assert found == {
        "st_ino": 42, "st_nlink": 3, "st_size": 1025, "st_blocks": 3, "st_uid": 11, "st_gid": 12,
        "st_mtime": moment, "st_ctime": moment, "st_atime": moment,
    }  # fmt: skip
    assert operations.use_ns


def test_an_open_file_has_the_size_that_it_was_opened_with(operations, tree):
    number = operations.open("/a", os.O_RDONLY)
    assert operations.getattr("/a", number)["st_size"] == 10
    assert operations.getattr(None, number)["st_size"] == 10
    assert "stat" not in tree.calls


def test_names_may_have_255_bytes(operations):
    assert operations.statfs("/")["f_namemax"] == 255


# Directories


def test_a_listing_has_the_dots_and_each_entry_with_kind_and_inode(operations):
    number = operations.opendir("/d")
    assert [
        (name, attributes["st_mode"], attributes.get("st_ino"), offset)
        for name, attributes, offset in operations.readdir("/d", number)
    ] == [
        (".", stat.S_IFDIR, 0, 0),
        ("..", stat.S_IFDIR, 0, 0),
        ("d", stat.S_IFDIR, 7, 0),
        ("ä", stat.S_IFREG, 8, 0),
        ("l", stat.S_IFLNK, 9, 0),
    ]


def test_a_listing_is_made_when_the_directory_is_opened_and_stays_as_it_was(operations, tree):
    number = operations.opendir("/d")
    tree.error = errors.Unreachable("no network")
    first, again = (list(operations.readdir(None, number)) for _ in range(2))
    assert first == again
    assert len(first) == 5
    assert tree.calls == ["listdir"]


def listed(operations, number, offset=0, plus=True):
    """Return for each entry its name, whether it has all attributes, and the offset after it."""
    entries = operations.readdir(None, number, offset, plus)
    return [(name, "st_size" in attributes, after) for name, attributes, after in entries]


def test_attributes_that_the_listing_has_are_told_with_it_in_pieces(operations, tree):
    tree.entries = [
        DirEntry(name, stat.S_IFDIR, inode, Attributes(stat.S_IFDIR, inode, 1, 4096, 5))
        for inode, name in enumerate("abc", 7)
    ]
    number = operations.opendir("/d")
    expected = [
        (".", False, 1), ("..", False, 2), ("a", True, 3), ("b", True, 4), ("c", True, 5)
    ]  # fmt: skip
    assert listed(operations, number) == expected
    for offset in range(6):
        assert listed(operations, number, offset) == expected[offset:]
    assert listed(operations, number, 3, plus=False) == [("b", False, 4), ("c", False, 5)]
    assert {offset for *_, offset in listed(operations, number, plus=False)} == {0}
    assert "stat" not in tree.calls


def test_attributes_of_files_are_told_with_the_listing_only_while_somebody_looks_at_files(
    make, tree
):
    clock = Clock()
    operations = make(clock=clock)
    number = operations.opendir("/d")
    assert not any(complete for _, complete, _ in listed(operations, number))
    operations.getattr("/d")
    assert not any(complete for _, complete, _ in listed(operations, number))
    operations.getattr("/d/ä")
    assert [name for name, complete, _ in listed(operations, number) if complete] == ["ä"]
    tree.error = errors.Unreachable("no network")
    assert not any(complete for _, complete, _ in listed(operations, number))
    tree.error = None
    clock.now += 1.1
    assert not any(complete for _, complete, _ in listed(operations, number))


def test_a_size_told_with_a_listing_is_not_believed_longer_than_another(operations, tree):
    operations.getattr("/d/x")
    listed(operations, operations.opendir("/d"))
    with pytest.raises(OSError, match="size") as raised:
        operations.open("/d/ä", os.O_RDONLY)
    assert raised.value.errno == errno.ESTALE


def test_nothing_is_looked_up_ahead_where_that_may_fetch(make):
    operations = make(ahead=False)
    operations.getattr("/d/x")
    assert not any(complete for _, complete, _ in listed(operations, operations.opendir("/d")))


def test_a_directory_that_was_closed_is_closed(operations, caplog):
    number = operations.opendir("/d")
    operations.releasedir(None, number)
    assert errno_raised(operations.releasedir, None, number)
    caplog.clear()


# Files


@pytest.mark.parametrize(
    "flags", [os.O_RDONLY, os.O_RDONLY | os.O_NOFOLLOW, os.O_RDONLY | os.O_NONBLOCK | 0x8000]
)
def test_a_file_opens_for_reading(operations, flags):
    number = operations.open("/a", flags)
    assert number > 0
    assert operations.read(None, 4, 3, number) == b"3456"
    assert operations.read(None, 99, 8, number) == b"89"
    assert operations.read(None, 4, 10, number) == b""


@pytest.mark.parametrize("flags", FLAGS)
def test_a_file_does_not_open_for_writing(make, tree, flags):
    assert errno_raised(make().open, "/a", flags) == "EPERM"
    assert errno_raised(make(read_only=True).open, "/a", flags) == "EROFS"
    assert tree.calls == []


def test_a_file_is_closed_once_when_it_is_released(operations, tree):
    one, two = (operations.open("/a", os.O_RDONLY) for _ in range(2))
    assert one != two
    operations.release(None, one)
    assert tree.file.closed == 1
    assert operations.read(None, 1, 0, two) == b"0"


# Programs that read by an estimate


def test_the_close_of_a_file_is_of_interest_whose_size_was_shown_as_an_estimate(operations, tree):
    assert not operations.is_watched(operations.open("/a", os.O_RDONLY))
    tree.exact = False
    operations.getattr("/b")
    assert not operations.is_watched(operations.open("/a", os.O_RDONLY)), "another file"
    tree.inode = 43
    operations.getattr("/b")
    assert operations.is_watched(operations.open("/a", os.O_RDONLY))


# What is refused


@pytest.mark.parametrize("name", WRITING)
def test_writing_is_refused_as_not_permitted_or_as_read_only(make, tree, name):
    assert errno_raised(getattr(make(), name), *WRITING[name]) == "EPERM"
    assert errno_raised(getattr(make(read_only=True), name), *WRITING[name]) == "EROFS"
    assert tree.calls == []


@pytest.mark.parametrize("name", ["unlink", "rmdir"])
def test_removing_goes_to_the_tree_but_for_a_read_only_mount(make, tree, name):
    call(make(), name)
    assert tree.calls == [name]
    assert errno_raised(call, make(read_only=True), name) == "EROFS"
    assert tree.calls == [name]


@pytest.mark.parametrize(
    "name",
    ["access", "bmap", "copy_file_range", "fallocate", "fsync", "fsyncdir", "getxattr",
     "ioctl", "listxattr", "lock", "lseek", "poll", "read_buf", "removexattr", "setxattr",
     "write_buf"],
)  # fmt: skip
def test_what_libfuse_answers_by_itself_is_not_defined(operations, name):
    assert not hasattr(operations, name)


# The mount


@pytest.mark.parametrize("config", [None, object()], ids=["libfuse 2", "libfuse 3"])
def test_the_mount_tells_when_it_is_there(make, config):
    started, configured = [], []
    operations = make(
        started=lambda: started.append(True), configure=lambda *structs: configured.append(structs)
    )
    assert not operations.started
    operations.init_with_config("connection", config)
    assert operations.started
    assert started == [True]
    assert configured == ([] if config is None else [("connection", config)])


# Players


class Played(Recorded, PlayedFile):
    """A file that a player reads as it comes."""


def test_a_file_of_a_player_opens_whatever_size_the_kernel_has_and_may_grow(operations, tree):
    tree.file = Played(b"0123456789")
    operations.getattr("/b")
    handle = operations.open("/b", os.O_RDONLY)
    assert operations.is_played(handle)
    assert operations.read(None, 4, 2, handle) == b"2345"
    tree.size = 20
    assert operations.getattr("/b")["st_size"] == 20
    operations.release(None, handle)
    assert tree.file.closed == 1


@pytest.mark.parametrize("listens", [False, True])
def test_only_a_listener_gets_a_pipe_and_only_of_what_comes(make, tree, listens):
    operations = make(listens=lambda: listens)
    handle = operations.open("/a", os.O_RDONLY)
    assert not (operations.is_played(handle) or operations.is_pipe(handle))
    tree.file = Played(b"0123456789")
    assert operations.is_pipe(operations.open("/a", os.O_RDONLY)) is listens
