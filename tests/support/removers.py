"""The calls by which programs remove a tree, as recorded with strace(1) on a mount.

`tests/programs` holds these traces against the real programs; `tests/core` runs them on a tree in
memory, where no program and no mount is needed.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import NamedTuple, Protocol

from histfs.core.name_forms import is_audio_name


class Directory(Protocol):
    """The calls of a trace; those that remove raise an exception where they fail."""

    def is_dir(self, path: str) -> bool: ...
    def names(self, path: str) -> list[str]: ...
    def unlink(self, path: str) -> None: ...
    def rmdir(self, path: str) -> None: ...


class Removal(NamedTuple):
    """A call that removes, whether it succeeds or not."""

    call: str
    path: str


class Trace:
    """Make the calls of a program, and record those that remove.

    Args:
        directory: what they are made on.
        failure: the exceptions that a call may fail with.

    Attributes:
        removals: the calls that remove, in order.
        failed: the paths of those that failed.
    """

    def __init__(self, directory: Directory, failure: type[Exception] = OSError) -> None:
        self._directory = directory
        self._failure = failure
        self.removals: list[Removal] = []
        self.failed: list[str] = []

    def is_dir(self, path: str) -> bool:
        return self._directory.is_dir(path)

    def children(self, path: str) -> list[str]:
        return [f"{path}/{name}" for name in self._directory.names(path)]

    def remove(self, path: str, is_dir: bool) -> bool:
        """Remove a file or a directory, and return whether that succeeded."""
        call = "rmdir" if is_dir else "unlink"
        self.removals.append(Removal(call, path))
        try:
            getattr(self._directory, call)(path)
        except self._failure:
            self.failed.append(path)
            return False
        return True


def rm(trace: Trace, path: str) -> bool:
    """``rm -r`` reads a directory once, and leaves those alone in which something is left."""
    is_dir = trace.is_dir(path)
    emptied = [rm(trace, child) for child in trace.children(path)] if is_dir else []
    return all(emptied) and trace.remove(path, is_dir)


def find(trace: Trace, path: str) -> bool:
    """``find -delete`` goes on after an error, and tries the directories above, too."""
    is_dir = trace.is_dir(path)
    emptied = [find(trace, child) for child in trace.children(path)] if is_dir else []
    return trace.remove(path, is_dir) and all(emptied)


def find_audio(trace: Trace, path: str) -> bool:
    """``find -name 'audio.*' -delete`` removes no directory."""
    if trace.is_dir(path):
        emptied = [find_audio(trace, child) for child in trace.children(path)]
        return all(emptied)
    return not path.rpartition("/")[2].startswith("audio.") or trace.remove(path, is_dir=False)


def rmtree(trace: Trace, path: str) -> bool:
    """shutil.rmtree stops at the first error."""
    is_dir = trace.is_dir(path)
    emptied = all(rmtree(trace, child) for child in trace.children(path)) if is_dir else True
    return emptied and trace.remove(path, is_dir)


def gio_remove(trace: Trace, path: str) -> bool:
    """``find -depth -exec gio remove {} +``, as a file manager does: all is read before."""

    def read(path: str) -> list[tuple[str, bool]]:
        is_dir = trace.is_dir(path)
        below = [read(child) for child in trace.children(path)] if is_dir else []
        return [*(entry for entries in below for entry in entries), (path, is_dir)]

    removed = [trace.remove(entry, is_dir) for entry, is_dir in read(path)]
    return all(removed)


#: The trace of each program.
PROGRAMS: dict[str, Callable[[Trace, str], bool]] = {
    "rm -r": rm,
    "rm -rf": rm,
    "find -delete": find,
    "find audio -delete": find_audio,
    "rmtree": rmtree,
    "gio remove": gio_remove,
}


class Snapshot:
    """A directory tree of names alone, of which some files can't be removed.

    Args:
        tree: the names in each directory, by its path.
        undeletable: how many audio files are unlinked before one can't be; None where all can.
    """

    def __init__(self, tree: dict[str, list[str]], undeletable: int | None = None) -> None:
        self._tree = {path: list(names) for path, names in tree.items()}
        self._left = undeletable

    def is_dir(self, path: str) -> bool:
        return path in self._tree

    def names(self, path: str) -> list[str]:
        return list(self._tree[path])

    def unlink(self, path: str) -> None:
        directory, _, name = path.rpartition("/")
        if is_audio_name(name) and self._left is not None:
            self._left -= 1
            if self._left == -1:
                raise OSError(errno.EIO, path)
        self._tree[directory].remove(name)

    def rmdir(self, path: str) -> None:
        if self._tree[path]:
            raise OSError(errno.ENOTEMPTY, path)
        directory, _, name = path.rpartition("/")
        if directory in self._tree:
            self._tree[directory].remove(name)
