"""A directory of deleted items.

    ROOT/20261121T211500Z_KEY/entry.json     when it was archived (UTC), and of which item
                             /audio.mp3 …    the item's own files
                             /files/…        its attachments
    ROOT/.histfs-…                           an item that is being added or removed

An item is written to a staging directory and renamed when all of it is on the disk: an item with
a final name is complete. Directories have mode 0700 and files 0600, whatever the umask.

Threads and processes: any number at once. No lock in memory is needed: an item appears and
disappears atomically, by rename(2). flock(2) on an item's directory marks its use: the process that
writes it holds a shared lock, so that it is not removed as a leftover of a killed process, and the
process that waits for the answer to the item's DELETE holds one, so that no other process decides
about the copy meanwhile (`Trash.lock_for_delete`, `Trash.try_lock`).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import itertools
import logging
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from histfs.core.errors import HistfsError
from histfs.core.file_trust import distrust_directory, distrust_links
from histfs.trash.trash_entry import ENTRY, FileDigest, TrashEntry

_STAGING_PREFIX = ".histfs-"

log = logging.getLogger(__name__)


class TrashFailed(HistfsError):
    """The trash can't be read or written."""


class TrashDamaged(HistfsError):
    """A file in the trash differs from its SHA-256, or an entry can't be read."""


class NotInTrash(HistfsError):
    """The trash has no such item."""


class TrashItem(NamedTuple):
    """One item in the trash.

    Attributes:
        path: the directory of the item.
        entry: the metadata; None when ``entry.json`` can't be read.
    """

    path: Path
    entry: TrashEntry | None

    @property
    def archived(self) -> float:
        """When the item was archived, in seconds since the epoch; without an entry, the mtime."""
        return self.path.stat().st_mtime if self.entry is None else self.entry.archived


class Trash:
    """A directory of deleted items; made when the first item is added.

    Args:
        root: the directory.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self) -> None:
        """Make the directory, or make an existing one private; remove leftovers.

        Raises:
            TrashFailed: the directory can't be used.
        """
        with self._map_errors("can't be used"):
            ensure_private_directory(self.root)
            if not os.access(self.root, os.R_OK | os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            self.remove_leftovers()

    def add(self, entry: TrashEntry, files: Mapping[str, Iterable[bytes]]) -> TrashItem:
        """Add an item; it is on the disk when this returns.

        Args:
            entry: the metadata; its `files` are filled in here.
            files: the bytes of each file, by name.

        Returns:
            The item in the trash.

        Raises:
            TrashFailed: the item can't be written; nothing of it is left.
        """
        with self._map_errors("can't be written"):
            ensure_private_directory(self.root)
            with self._staging_directory() as staging:
                digests = {name: _write(staging / name, chunks) for name, chunks in files.items()}
                for folder in _folders(staging, files):
                    _fsync_directory(folder)
                entry = replace(entry, files=digests)
                _write(staging / ENTRY, [entry.to_json().encode(), b"\n"])
                _fsync_directory(staging)
                path = self._rename_complete(staging, entry)
            _fsync_directory(self.root)
            return TrashItem(path, entry)

    def mark_deleted(self, item: TrashItem, timestamp: int) -> None:
        """Record when the server deleted an item; do nothing when its entry can't be read.

        Args:
            item: the item.
            timestamp: in seconds since the epoch.

        Raises:
            TrashFailed: the entry can't be written.
        """
        if item.entry is None:
            return
        with self._map_errors("can't be written"):
            updated = replace(item.entry, deleted=timestamp)
            staging = item.path / f"{_STAGING_PREFIX}{ENTRY}"
            staging.unlink(missing_ok=True)
            _write(staging, [updated.to_json().encode(), b"\n"])
            staging.rename(item.path / ENTRY)
            _fsync_directory(item.path)

    def lock_for_delete(self, item: TrashItem) -> Callable[[], None]:
        """Take the shared lock of an item while it is deleted at the server.

        Returns:
            A function that releases the lock. The end of the process releases it, too.

        Raises:
            TrashFailed: the item can't be opened.
        """
        with self._map_errors("can't be used"), contextlib.ExitStack() as stack:
            fcntl.flock(stack.enter_context(_opened(item.path)), fcntl.LOCK_SH)
            return stack.pop_all().close

    @contextlib.contextmanager
    def try_lock(self, item: TrashItem) -> Iterator[bool]:
        """Try to take the exclusive lock of an item, and yield whether that succeeded.

        It fails while another process deletes the item or decides about it, and when it is gone.
        """
        with contextlib.ExitStack() as stack:
            try:
                descriptor = stack.enter_context(_opened(item.path))
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
            else:
                yield True

    def items(self, skip: Set[str] = frozenset()) -> Iterator[TrashItem]:
        """Yield the items, oldest archived first.

        Args:
            skip: directory names to leave out.

        Raises:
            TrashFailed: the directory can't be read.
        """
        with self._map_errors("can't be read"):
            try:
                paths = sorted(self.root.iterdir(), key=_sort_key)
            except FileNotFoundError:
                return
        for path in paths:
            if not path.name.startswith(".") and path.name not in skip and path.is_dir():
                yield TrashItem(path, _read_entry(path))

    def find(self, wanted: str) -> TrashItem:
        """Return an item; the newest where it was deleted more than once.

        Args:
            wanted: the directory name in the trash, the item's id, its key, or the name that its
                directory had in the mount, in this order.

        Raises:
            NotInTrash: nothing matches.
            TrashFailed: the directory can't be read.
        """
        by_name, by_id, by_key, by_label = {}, {}, {}, {}
        for item in self.items():
            if item.entry is not None:
                by_name[item.path.name] = item
                by_id[item.entry.id] = item
                by_key[item.entry.key] = item
                by_label[item.entry.name] = item
        # One item's key may be another's id.
        for index in (by_name, by_id, by_key, by_label):
            if wanted in index:
                return index[wanted]
        raise NotInTrash(
            f"{wanted} is not in the trash {self.root}: histfs trash list shows what is"
        )

    def export(self, item: TrashItem, target: Path) -> Path:
        """Copy an item's files out of the trash, into a directory of the item's original name.

        Args:
            item: the item.
            target: the parent of the new directory; made when it doesn't exist.

        Returns:
            The new directory.

        Raises:
            TrashDamaged: a file doesn't match its digest; nothing is left in the target.
            TrashFailed: the files can't be copied, or the name exists in the target.
        """
        entry = item.entry
        if entry is None:
            raise TrashDamaged(f"{item.path / ENTRY} can't be read")
        destination = target / entry.name
        try:
            target.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(destination):
                raise TrashFailed(
                    f"{destination} already exists: remove it, or give another directory"
                )
            staging = Path(tempfile.mkdtemp(prefix=_STAGING_PREFIX, dir=target))
            try:
                for name, expected in entry.files.items():
                    _check(name, expected, _write(staging / name, _chunks(item.path / name)))
                    os.utime(staging / name, (entry.date, entry.date))
                for folder in _folders(staging, entry.files):
                    os.utime(folder, (entry.date, entry.date))
                os.utime(staging, (entry.date, entry.date))
                staging.rename(destination)
            except BaseException:
                shutil.rmtree(staging, ignore_errors=True)
                raise
        except OSError as error:
            raise TrashFailed(f"{entry.name} can't be exported: {error.strerror}") from error
        return destination

    def remove(self, item: TrashItem) -> None:
        """Remove an item for good; do nothing when another process has removed it.

        Raises:
            TrashFailed: the item can't be removed.
        """
        with self._map_errors("can't be written"):
            # Renamed first: a reader sees the item complete or not at all.
            digest = hashlib.blake2b(os.fsencode(item.path.name), digest_size=8).hexdigest()
            staging = item.path.with_name(f"{_STAGING_PREFIX}{digest}")
            with contextlib.suppress(FileNotFoundError):
                item.path.rename(staging)
                shutil.rmtree(staging)

    def remove_leftovers(self) -> None:
        """Remove the staging directories of processes that were killed."""
        for path in self.root.glob(f"{_STAGING_PREFIX}*"):
            with contextlib.suppress(OSError), _opened(path) as descriptor:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path)

    @contextlib.contextmanager
    def _staging_directory(self) -> Iterator[Path]:
        """Yield a new locked directory; remove it at the end unless it was renamed."""
        while True:
            path = Path(tempfile.mkdtemp(prefix=_STAGING_PREFIX, dir=self.root))
            with _opened(path) as descriptor:
                fcntl.flock(descriptor, fcntl.LOCK_SH)
                # Another process may have removed it as a leftover before it was locked.
                if not os.fstat(descriptor).st_nlink:
                    continue
                try:
                    path.chmod(0o700)
                    yield path
                finally:
                    shutil.rmtree(path, ignore_errors=True)
                return

    def _rename_complete(self, staging: Path, entry: TrashEntry) -> Path:
        """Give a complete item its final name, and return that path."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(entry.archived))
        path = self.root / f"{stamp}_{entry.key}"
        for number in itertools.count(2):
            try:
                staging.rename(path)
                break
            except OSError as error:
                # The name exists, from the same second: rename(2) has both errors for directories.
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
            path = path.with_name(f"{stamp}_{entry.key}~{number}")
        return path

    @contextlib.contextmanager
    def _map_errors(self, problem: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TrashFailed(f"the trash {self.root} {problem}: {error.strerror}") from error


def _sort_key(path: Path) -> tuple[str, int]:
    """Return the sort key of an item: the second in its name, then the mtime."""
    try:
        return path.name.partition("_")[0], path.stat().st_mtime_ns
    except FileNotFoundError:
        return path.name, 0


def ensure_private_directory(directory: Path) -> None:
    """Make a directory of mode 0700, or give an existing one this mode.

    Raises:
        TrashFailed: the directory, or a link on the way to it, belongs to another user.
    """
    distrust = distrust_links(directory)
    if distrust is None:
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
        distrust = distrust_directory(directory, writers=False)
    if distrust is not None:
        raise TrashFailed(f"the trash is not used: {distrust}")
    if stat.S_IMODE(directory.stat().st_mode) != 0o700:
        directory.chmod(0o700)


def _write(path: Path, chunks: Iterable[bytes]) -> FileDigest:
    """Write a new file, and its folder where that is new; return when it is on the disk."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    size, sha256 = 0, hashlib.sha256()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)
        for chunk in chunks:
            file.write(chunk)
            sha256.update(chunk)
            size += len(chunk)
        file.flush()
        os.fsync(descriptor)
    return FileDigest(size, sha256.hexdigest())


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            yield chunk


def _folders(directory: Path, names: Iterable[str]) -> set[Path]:
    """Return the subfolders of an item's directory that hold files."""
    return {(directory / name).parent for name in names} - {directory}


def _check(name: str, expected: FileDigest, actual: FileDigest) -> None:
    if actual != expected:
        raise TrashDamaged(f"{name} does not match its SHA-256")


def _read_entry(path: Path) -> TrashEntry | None:
    try:
        return TrashEntry.from_json((path / ENTRY).read_bytes())
    except (OSError, ValueError) as error:
        log.warning("%s can't be read: %s", path / ENTRY, error)
        return None


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[int]:
    """Yield a descriptor of a directory."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _fsync_directory(directory: Path) -> None:
    """Wait until the names in a directory are on the disk."""
    with _opened(directory) as descriptor:
        os.fsync(descriptor)
