"""A directory of deleted items.

    ROOT/20261121T211500Z_KEY/entry.json     when it was archived (UTC), and of which item
                             /audio.mp3 …    the item's own files
                             /files/…        its attachments
    ROOT/.histfs-…                           an entry in the making, or on its way out

An entry is made under another name and gets its own when all of it is on the disk: what has a name
is complete. Directories have mode 0700 and files 0600, whatever the umask.

Threads and processes: any number at once, without a lock of their own: an entry only ever comes and
goes whole, by rename(2). Who makes one holds a lock (flock(2)) on it, so that nobody takes it for
a leftover of a process that was killed; and so does who waits for the answer to the item's DELETE,
so that no other process decides about the copy meanwhile.
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

_UNFINISHED = ".histfs-"

log = logging.getLogger(__name__)


class TrashFailed(HistfsError):
    """The trash can't be read or written."""


class TrashDamaged(HistfsError):
    """What is in the trash is not what was put there."""


class NotInTrash(HistfsError):
    """The trash has no such item."""


class TrashItem(NamedTuple):
    """What lies in the trash.

    Attributes:
        path: its directory.
        entry: what it is; None when that can't be read.
    """

    path: Path
    entry: TrashEntry | None

    @property
    def archived(self) -> float:
        """When it was put there, in seconds since the epoch, as far as can be told."""
        return self.path.stat().st_mtime if self.entry is None else self.entry.archived


class Trash:
    """A directory of deleted items; made when something is first put into it.

    Args:
        root: the directory.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self) -> None:
        """Make the directory, or see to it that nobody else can look into the one that is there.

        What a process that was killed has left is removed.

        Raises:
            TrashFailed: it can't be used.
        """
        with self._failing("can't be used"):
            ensure_private_directory(self.root)
            if not os.access(self.root, os.R_OK | os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            self.remove_leftovers()

    def add(self, entry: TrashEntry, files: Mapping[str, Iterable[bytes]]) -> TrashItem:
        """Put an item into the trash; when this returns it is on the disk.

        Args:
            entry: what it is; its files are counted here.
            files: the bytes of each file, by name.

        Raises:
            TrashFailed: it can't be kept; nothing of it is left then.
        """
        with self._failing("can't be written"):
            ensure_private_directory(self.root)
            with self._unfinished() as place:
                kept = {name: _write(place / name, chunks) for name, chunks in files.items()}
                for folder in _folders(place, files):
                    _sync(folder)
                entry = replace(entry, files=kept)
                _write(place / ENTRY, [entry.to_json().encode(), b"\n"])
                _sync(place)
                path = self._name(place, entry)
            _sync(self.root)
            return TrashItem(path, entry)

    def mark_deleted(self, stored: TrashItem, moment: int) -> None:
        """Note when the server had deleted an item.

        Raises:
            TrashFailed: it can't be noted.
        """
        if stored.entry is None:
            return
        with self._failing("can't be written"):
            noted = replace(stored.entry, deleted=moment)
            work = stored.path / f"{_UNFINISHED}{ENTRY}"
            work.unlink(missing_ok=True)
            _write(work, [noted.to_json().encode(), b"\n"])
            work.rename(stored.path / ENTRY)
            _sync(stored.path)

    def lock_for_delete(self, stored: TrashItem) -> Callable[[], None]:
        """Lock an entry while its item is being deleted, so that `claimed` leaves it alone.

        Returns:
            What ends that. The end of the process ends it, too.

        Raises:
            TrashFailed: the entry can't be opened.
        """
        with self._failing("can't be used"), contextlib.ExitStack() as stack:
            fcntl.flock(stack.enter_context(_opened(stored.path)), fcntl.LOCK_SH)
            return stack.pop_all().close

    @contextlib.contextmanager
    def try_lock(self, stored: TrashItem) -> Iterator[bool]:
        """Lock an entry for whoever decides about it; lend whether that was possible.

        It isn't while a process deletes the item, or another one decides, or when it is gone.
        """
        with contextlib.ExitStack() as stack:
            try:
                number = stack.enter_context(_opened(stored.path))
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
            else:
                yield True

    def items(self, skip: Set[str] = frozenset()) -> Iterator[TrashItem]:
        """Yield what lies in the trash, in the order in which it was put there.

        Args:
            skip: names of entries that are left out.

        Raises:
            TrashFailed: the directory can't be read.
        """
        with self._failing("can't be read"):
            try:
                paths = sorted(self.root.iterdir(), key=_turn)
            except FileNotFoundError:
                return
        for path in paths:
            if not path.name.startswith(".") and path.name not in skip and path.is_dir():
                yield TrashItem(path, _read_entry(path))

    def find(self, wanted: str) -> TrashItem:
        """Return the newest that was put into the trash of an item.

        Args:
            wanted: the name of its directory here, or the item's id, or its key; the first of these
                that anything has.

        Raises:
            NotInTrash: there is none.
            TrashFailed: the directory can't be read.
        """
        by_name, by_id, by_key = {}, {}, {}
        for stored in self.items():
            if stored.entry is not None:
                by_name[stored.path.name] = stored
                by_id[stored.entry.id] = stored
                by_key[stored.entry.key] = stored
        # One item's key may be another's id.
        for found in (by_name, by_id, by_key):
            if wanted in found:
                return found[wanted]
        raise NotInTrash(f"{wanted} is not in the trash {self.root}")

    def export(self, stored: TrashItem, target: Path) -> Path:
        """Copy an item's files out of the trash, into a directory of the name that it had.

        Args:
            stored: what to copy.
            target: the directory to put that one into; made when it isn't there.

        Returns:
            The new directory.

        Raises:
            TrashDamaged: a file is not what it was; nothing is left in the target then.
            TrashFailed: it can't be copied, or something has its name there.
        """
        entry = stored.entry
        if entry is None:
            raise TrashDamaged(f"{stored.path / ENTRY} can't be read")
        place = target / entry.name
        try:
            target.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(place):
                raise TrashFailed(f"{place} is there already: remove it, or give another directory")
            work = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=target))
            try:
                for name, was in entry.files.items():
                    _check(name, was, _write(work / name, _chunks(stored.path / name)))
                    os.utime(work / name, (entry.date, entry.date))
                for folder in _folders(work, entry.files):
                    os.utime(folder, (entry.date, entry.date))
                os.utime(work, (entry.date, entry.date))
                work.rename(place)
            except BaseException:
                shutil.rmtree(work, ignore_errors=True)
                raise
        except OSError as error:
            raise TrashFailed(f"{entry.name} can't be exported: {error.strerror}") from error
        return place

    def remove(self, stored: TrashItem) -> None:
        """Take something out of the trash, for good.

        Raises:
            TrashFailed: it can't be removed.
        """
        with self._failing("can't be written"):
            # Whole or not at all, also for who looks in while it goes.
            mark = hashlib.blake2b(os.fsencode(stored.path.name), digest_size=8).hexdigest()
            gone = stored.path.with_name(f"{_UNFINISHED}{mark}")
            with contextlib.suppress(FileNotFoundError):  # somebody else was faster
                stored.path.rename(gone)
                shutil.rmtree(gone)

    def remove_leftovers(self) -> None:
        """Remove what a process that was killed has left."""
        for path in self.root.glob(f"{_UNFINISHED}*"):
            with contextlib.suppress(OSError), _opened(path) as number:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path)

    @contextlib.contextmanager
    def _unfinished(self) -> Iterator[Path]:
        """Lend a directory for an entry in the making; what is left of it is removed."""
        while True:
            path = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self.root))
            with _opened(path) as number:
                fcntl.flock(number, fcntl.LOCK_SH)
                # Another process may just have taken it for a leftover.
                if not os.fstat(number).st_nlink:
                    continue
                try:
                    path.chmod(0o700)
                    yield path
                finally:
                    shutil.rmtree(path, ignore_errors=True)
                return

    def _name(self, place: Path, entry: TrashEntry) -> Path:
        """Give a complete entry its name."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(entry.archived))
        path = self.root / f"{stamp}_{entry.key}"
        for number in itertools.count(2):
            try:
                place.rename(path)
                break
            except OSError as error:
                # Another one of the same second: rename(2) of directories has both errors for it.
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
            path = path.with_name(f"{stamp}_{entry.key}~{number}")
        return path

    @contextlib.contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TrashFailed(f"the trash {self.root} {what}: {error.strerror}") from error


def _turn(path: Path) -> tuple[str, int]:
    """Return what entries are sorted by: the second in their names, then what happened in it."""
    try:
        return path.name.partition("_")[0], path.stat().st_mtime_ns
    except FileNotFoundError:
        return path.name, 0


def ensure_private_directory(directory: Path) -> None:
    """Make a directory that only its owner may look into, or make one that is there so.

    Raises:
        TrashFailed: it is another user's, or the way there is.
    """
    refused = distrust_links(directory)
    if refused is None:
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
        refused = distrust_directory(directory, writers=False)
    if refused is not None:
        raise TrashFailed(f"the trash is not used: {refused}")
    if stat.S_IMODE(directory.stat().st_mode) != 0o700:
        directory.chmod(0o700)


def _write(path: Path, chunks: Iterable[bytes]) -> FileDigest:
    """Write a new file, in a folder that may be new, and wait until it is on the disk."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    size, hashed = 0, hashlib.sha256()
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(number, "wb") as file:
        os.fchmod(number, 0o600)
        for chunk in chunks:
            file.write(chunk)
            hashed.update(chunk)
            size += len(chunk)
        file.flush()
        os.fsync(number)
    return FileDigest(size, hashed.hexdigest())


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            yield chunk


def _folders(place: Path, names: Iterable[str]) -> set[Path]:
    """Return the folders of an entry in which files stand."""
    return {(place / name).parent for name in names} - {place}


def _check(name: str, was: FileDigest, found: FileDigest) -> None:
    if found != was:
        raise TrashDamaged(f"{name} is not what was put into the trash (SHA-256)")


def _read_entry(path: Path) -> TrashEntry | None:
    try:
        return TrashEntry.from_json((path / ENTRY).read_bytes())
    except (OSError, ValueError) as error:
        log.warning("%s can't be read: %s", path / ENTRY, error)
        return None


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[int]:
    """Lend a descriptor of a directory."""
    number = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield number
    finally:
        os.close(number)


def _sync(directory: Path) -> None:
    """Wait until the names in a directory are on the disk."""
    with _opened(directory) as number:
        os.fsync(number)
