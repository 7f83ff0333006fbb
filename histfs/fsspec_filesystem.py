"""The tree of an account as an fsspec filesystem: ``histfs://by-date/2024/05/02/…/audio.mp3``.

It stands on `histfs.mounting.DirectTree`, as `histfs ls` does, and adds nothing but fsspec's names.
What fsspec would take for a missing file after an error is an error here: a listing is complete, or
it fails.

Threads: any number at once. `_lock` guards the opening of the tree, of which each process has one:
a process that was forked opens its own. No other lock is taken while it is held but those that the
opening takes.
"""

# ruff: noqa: ANN401 - fsspec's own signatures

from __future__ import annotations

import contextlib
import os
import posixpath
import stat
import threading
import weakref
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.utils import stringify_path, tokenize

from histfs.account_settings import OPTIONS
from histfs.api import open_history
from histfs.core.errors import HistfsError, errno_of
from histfs.core.nodes import Attributes, OpenFile
from histfs.core.waiting import Waiter, always
from histfs.mounting import DirectTree, HistoryFile

_TYPES = {stat.S_IFDIR: "directory", stat.S_IFREG: "file", stat.S_IFLNK: "directory"}
#: Arguments of fsspec's own.
_FSSPEC = {"use_listings_cache", "listings_expiry_time", "max_paths", "skip_instance_cache"}


class HistoryFileSystem(AbstractFileSystem):  # type: ignore[misc] # fsspec has no types
    """The history of an account.

    Reading any part of a file, and `info`, know its exact size: audio whose size is not known is
    fetched for it. `ls` fetches nothing; the size of such a file is None there. Links count as the
    directories that they lead to.

    Args:
        api_key: the API key, which is pickled with the filesystem; better None, and an option or
            the environment that names its place.
        delete: whether `rm` may delete items; each is copied to the trash first.
        options: those of `histfs.open`, such as ``profile``.

    Raises:
        TypeError: there is no such option.
    """

    protocol = "histfs"
    root_marker = ""
    cachable = True

    def __init__(
        self,
        api_key: str | None = None,
        delete: bool = False,
        **options: Any,
    ) -> None:
        own = {name: options.pop(name) for name in _FSSPEC & options.keys()}
        for name in options:
            if name not in OPTIONS and name not in ("profile", "config"):
                raise TypeError(f"histfs has no option {name!r}")
        super().__init__(**own)
        self._api_key = api_key
        self._delete = delete
        self._options = options
        self._lock = threading.Lock()
        self._tree: tuple[int, DirectTree] | None = None

    @property
    def fsid(self) -> str:
        """A name of the filesystem."""
        return f"histfs_{tokenize(self._options)}"

    @property
    def tree(self) -> DirectTree:
        """The tree in this process; opened when it is first used.

        Raises:
            OSError: it can't be opened.
        """
        found = self._tree
        if found is None or found[0] != os.getpid():
            with self._lock, _os_errors():
                found = self._tree
                if found is None or found[0] != os.getpid():
                    stack = contextlib.ExitStack()
                    tree = stack.enter_context(open_history(self._api_key, **self._options))
                    weakref.finalize(self, _close, os.getpid(), stack)
                    found = self._tree = (os.getpid(), tree)
        return found[1]

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in path]
        text = stringify_path(path).removeprefix("histfs://")
        return text.strip("/") or cls.root_marker

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """Return all that a directory holds, or a file itself."""
        path = self._strip_protocol(path)
        with _os_errors():
            where, attributes = self.tree.resolve(path)
            if attributes.kind != stat.S_IFDIR:
                return [self.info(path)] if detail else [path]
            entries = list(self.tree.listdir(where))
            names = [posixpath.join(path, entry.name) for entry in entries]
            if not detail:
                return names
            known = self.tree.filesystem.stat_files(where, self.tree.waiter())
            return [
                self._entry(name, entry.kind, known.get(entry.name, entry.attributes))
                for name, entry in zip(names, entries, strict=True)
            ]

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Return the name, the exact size, the type and the time of a path."""
        path = self._strip_protocol(path)
        with _os_errors():
            where, attributes = self.tree.resolve(path)
            link = self.tree.stat(path, follow_symlinks=False).kind == stat.S_IFLNK
            if attributes.kind == stat.S_IFREG and not attributes.size_is_exact:
                waiter = Waiter(self.tree.timeout, needs_size=always)
                attributes = self.tree.filesystem.stat(where, waiter)
            return self._entry(path, stat.S_IFLNK if link else attributes.kind, attributes)

    def walk(self, path: str, *args: Any, on_error: Any = "omit", **kwargs: Any) -> Iterator[Any]:
        """Yield the directories below a path; only a path that is not there is left out."""

        def strict(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError):
                raise error

        chosen = strict if on_error == "omit" else on_error
        yield from super().walk(path, *args, on_error=chosen, **kwargs)

    def exists(self, path: str, **_: Any) -> bool:
        """Say whether a path is there; an error is an error, not an absence."""
        return self._kind(path) is not None

    def isdir(self, path: str) -> bool:
        """Say whether a path is a directory, or a link to one."""
        return self._kind(path) == stat.S_IFDIR

    def isfile(self, path: str) -> bool:
        """Say whether a path is a file."""
        return self._kind(path) == stat.S_IFREG

    def created(self, path: str) -> datetime:
        """Return when an item was created, in UTC."""
        with _os_errors():
            moment = self.tree.stat(self._strip_protocol(path)).mtime
        return datetime.fromtimestamp(moment, timezone.utc)

    modified = created

    def ukey(self, path: str) -> str:
        """Return the SHA-256 of audio, which is fetched for it, else a hash of `info`."""
        with _os_errors():
            found = self.tree.sha256(self._strip_protocol(path), fetch=True)
        return found or str(tokenize(self.info(path)))

    def get_file(self, rpath: str, lpath: Any, **kwargs: Any) -> None:
        """Copy a file to a local one; after an error there is no part of it."""
        try:
            super().get_file(rpath, lpath, **kwargs)
        except BaseException:
            if isinstance(lpath, str | os.PathLike):
                with contextlib.suppress(OSError):
                    Path(lpath).unlink()
            raise

    def rm_file(self, path: str) -> None:
        """Delete the item whose directory or audio a path is, after a copy of it is in the trash.

        Raises:
            PermissionError: the filesystem was opened without ``delete=True``.
        """
        if not self._delete:
            raise PermissionError(f"{path}: nothing is deleted without delete=True")
        with _os_errors():
            self.tree.delete(self._strip_protocol(path))

    def rm(
        self, path: str | Sequence[str], recursive: bool = False, maxdepth: int | None = None
    ) -> None:
        """Delete items, one by one; a directory above items is refused.

        Args:
            path: of an item's directory, or of its audio; a pattern; or a list of them.
            recursive: has to be true for a directory.
            maxdepth: is not used.
        """
        for each in self.expand_path([path] if isinstance(path, str) else list(path)):
            if self.isdir(each) and not recursive:
                raise IsADirectoryError(each)
            self.rm_file(each)

    def _open(self, path: str, mode: str = "rb", *_: Any, **__: Any) -> HistoryFile:
        if mode != "rb":
            raise OSError(f"{path}: a history can be read, not written")
        with _os_errors():
            where, _ = self.tree.resolve(self._strip_protocol(path))
            _, file = self.tree.filesystem.open(where, self.tree.waiter())
            return HistoryFile(_OsErrorFile(file), self.tree.waiter)

    def _kind(self, path: str) -> int | None:
        try:
            with _os_errors():
                return self.tree.stat(self._strip_protocol(path)).kind
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _entry(self, name: str, kind: int, attributes: Attributes | None) -> dict[str, Any]:
        entry: dict[str, Any] = {"name": name, "type": _TYPES[kind], "size": None}
        if kind == stat.S_IFLNK:
            entry["islink"] = True
        if _TYPES[kind] == "directory":
            entry["size"] = 0
        elif attributes is not None and attributes.size_is_exact:
            entry["size"] = attributes.size
        if attributes is not None:
            entry["mtime"] = entry["created"] = attributes.mtime
        return entry


class _OsErrorFile:
    """An `OpenFile` whose reads fail with an OSError, as those of any file of Python's.

    Args:
        file: the file.
    """

    def __init__(self, file: OpenFile) -> None:
        self._file = file
        self.size = file.size
        self.close = file.close

    def read(self, offset: int, size: int, waiter: Waiter) -> bytes:
        """Return the bytes at an offset."""
        with _os_errors():
            return self._file.read(offset, size, waiter)


@contextlib.contextmanager
def _os_errors() -> Iterator[None]:
    """Raise what a mount would answer with."""
    try:
        yield
    except HistfsError as error:
        raise OSError(errno_of(error), str(error) or type(error).__name__) from error


def _close(process: int, stack: contextlib.ExitStack) -> None:
    """Close a tree in the process that opened it; a fork has neither its threads nor its files."""
    if process == os.getpid():
        stack.close()
