"""Audio on disk: whole files by key, files in the making, and the cap on their size.

    ROOT/audio/7f/KEY       a whole clip; its mtime is when it was last opened
    ROOT/incoming/….part    a clip on its way, locked (flock) by the process that fetches it

Threads: any number at once. `_lock` guards the count of bytes; the files themselves are only ever
made whole, by rename(2), and removed. Several processes may share a directory.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import logging
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from histfs.core.errors import CacheFailed, NoSpace

#: Seconds for which the count of bytes is trusted: another process may share the directory.
_RECOUNT = 60.0

log = logging.getLogger(__name__)


class Descriptor:
    """A file descriptor that is closed when the last one who holds this object lets go of it.

    Args:
        number: an open descriptor, owned from here on.
    """

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


class Disk:
    """A directory of clips.

    Args:
        root: the directory; made, with mode 0700, when it isn't there.
        cap: bytes that the whole clips may take together.

    Raises:
        CacheFailed, NoSpace: the directory can't be used.
    """

    def __init__(self, root: Path, cap: int) -> None:
        self.root = root
        self._audio = root / "audio"
        self._incoming = root / "incoming"
        self._cap = cap
        self._lock = threading.Lock()
        with translated("can't be used", root):
            for directory in (root, self._audio, self._incoming):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._clean()
            self._count()
        self._make_room()

    def open(self, key: str) -> Descriptor | None:
        """Open a clip; None when it isn't here."""
        with translated("can't be read", self._audio):
            try:
                found = Descriptor(os.open(self._path(key), os.O_RDONLY | os.O_CLOEXEC))
            except FileNotFoundError:
                return None
            # A read-only cache still serves; it merely forgets what was used last.
            with contextlib.suppress(OSError):
                _touch(found.number)
            return found

    def size(self, key: str) -> int | None:
        """Return the size of a clip, which is not used thereby; None when it isn't here."""
        with translated("can't be read", self._audio):
            try:
                return self._path(key).stat().st_size
            except FileNotFoundError:
                return None

    def rank(self, key: str, moment: int) -> None:
        """Say when a clip was used last, if it is here.

        Args:
            key: the item's key.
            moment: in nanoseconds since the epoch.
        """
        with contextlib.suppress(OSError):
            os.utime(self._path(key), ns=(moment, moment))

    def count(self) -> int:
        """Return the number of clips."""
        with translated("can't be read", self._audio):
            return sum(1 for _ in self._audio.glob("*/*"))

    @property
    def used(self) -> int:
        """The bytes that all clips take; what another process did may be `_RECOUNT` late."""
        with self._lock, translated("can't be read", self._audio):
            self._recount()
            return self._used

    def entries(self) -> Iterator[Path]:
        """Yield all that lies where clips are, a directory at a time; not all of it may be a clip.

        What comes or goes meanwhile may be missed.
        """
        with translated("can't be read", self._audio):
            for directory in sorted(self._audio.iterdir()):
                try:
                    yield from sorted(directory.iterdir())
                except NotADirectoryError:
                    yield directory
                except FileNotFoundError:
                    pass

    def key_at(self, path: Path) -> str | None:
        """Return the key of the clip whose place a path from `entries` is; None where none is."""
        key = path.name
        return key if key.isascii() and path == self._path(key) else None

    def look(self, key: str) -> Descriptor | None:
        """Open whatever is in a clip's place, which is not used thereby; None when nothing is.

        Raises:
            OSError: it can't be opened.
        """
        try:
            # What is no file must not hold this up: a FIFO waits for a writer.
            return Descriptor(os.open(self._path(key), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))
        except FileNotFoundError:
            return None

    def holds(self, key: str, file: Descriptor) -> bool:
        """Say whether a file from `look` is still the one in a clip's place."""
        try:
            return os.path.samestat(self._path(key).stat(), os.fstat(file.number))
        except FileNotFoundError:
            return False

    def create(self) -> tuple[Descriptor, Path]:
        """Make an empty file for a clip on its way."""
        with translated("can't be written", self._incoming):
            while True:
                number, path = tempfile.mkstemp(suffix=".part", dir=self._incoming)
                file = Descriptor(number)
                fcntl.flock(number, fcntl.LOCK_EX)
                # Another mount that starts just now may have taken it for a leftover.
                if os.fstat(number).st_nlink:
                    return file, Path(path)

    def keep(self, path: Path, key: str, size: int) -> None:
        """Put a clip that is whole in its place, and make room for it.

        Args:
            path: from `create`.
            key: the item's key.
            size: in bytes.
        """
        with translated("can't be written", self._audio):
            final = self._path(key)
            final.parent.mkdir(mode=0o700, exist_ok=True)
            _touch(path)
            path.rename(final)
        with self._lock:
            self._used += size
        self._make_room()

    def drop(self, key: str) -> None:
        """Remove a clip."""
        size = self.size(key)
        if size is not None:
            with translated("can't be written", self._audio):
                self._path(key).unlink(missing_ok=True)
            with self._lock:
                self._used -= size

    def _path(self, key: str) -> Path:
        return self._audio / hashlib.sha256(key.encode()).hexdigest()[:2] / key

    def _clips(self) -> Iterator[tuple[float, int, Path]]:
        """Yield time of last use, size in bytes and path of each clip."""
        for path in self._audio.glob("*/*"):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                yield status.st_mtime, status.st_size, path

    def _make_room(self) -> None:
        """Remove what was not used for longest, until the rest is under the cap."""
        with self._lock, translated("can't be cleaned", self._audio):
            self._recount()
            if self._used <= self._cap:
                return
            # The newest stays, however large: somebody is about to read it.
            for _, size, path in sorted(self._count())[:-1]:
                if self._used <= self._cap:
                    break
                path.unlink(missing_ok=True)
                self._used -= size

    def _recount(self) -> None:
        """Count the bytes anew if that was long ago; called with `_lock` held."""
        if time.monotonic() - self._counted >= _RECOUNT:
            self._count()

    def _count(self) -> list[tuple[float, int, Path]]:
        """Count the bytes anew, and return all clips; called with `_lock` held."""
        clips = list(self._clips())
        self._used = sum(size for _, size, _ in clips)
        self._counted = time.monotonic()
        return clips

    def _clean(self) -> None:
        """Remove what a killed process left behind; what a live one writes is locked."""
        for path in self._incoming.glob("*.part"):
            with contextlib.suppress(OSError):
                descriptor = Descriptor(os.open(path, os.O_RDWR | os.O_CLOEXEC))
                fcntl.flock(descriptor.number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
                log.info("removed the rest of an unfinished download")


def _touch(file: int | Path) -> None:
    """Note that a clip is used now; the kernel's own time is too coarse to tell two clips apart."""
    now = time.time_ns()
    os.utime(file, ns=(now, now))


@contextlib.contextmanager
def translated(what: str, path: Path) -> Iterator[None]:
    """Turn the disk's errors into the core's."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace(f"no space left for the cache in {path}") from error
        raise CacheFailed(f"the cache {path} {what}: {error.strerror}") from error
