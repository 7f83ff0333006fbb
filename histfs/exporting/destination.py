"""Where a table or an export is written: objects by name, each there as a whole or not at all.

Threads: any number at once; no state changes after the making but on the disk.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Protocol

from histfs.core.errors import NoSpace
from histfs.exporting.errors import DestinationBusy, DestinationFailed

#: Names of files that are being written begin so; what is left of them is removed.
PART = ".histfs-part-"
LOCK = ".histfs-lock"
_CHUNK = 1 << 20
#: Bytes of a file that is being made which are kept in memory.
_SPOOLED = 8 << 20


class Destination(Protocol):
    """A folder, or a bucket. All methods raise `DestinationFailed`, or `NoSpace`.

    Attributes:
        scratch: a folder of this machine for files that are being made.
    """

    scratch: Path

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Keep other commands away for the time of a block, or raise `DestinationBusy`."""

    def sizes(self, folder: str) -> Mapping[str, int]:
        """Return the sizes in bytes of the objects below a folder, by name; empty without one."""

    def open(self, name: str) -> contextlib.AbstractContextManager[IO[bytes]] | None:
        """Open an object for reading; None if there is none."""

    def put(self, name: str, content: IO[bytes]) -> None:
        """Write an object, from the start of an open file, in place of one that is there."""

    def remove(self, name: str) -> None:
        """Remove an object; one that is not there is no error."""


def read(destination: Destination, name: str) -> bytes | None:
    """Return an object; None if there is none."""
    opened = destination.open(name)
    if opened is None:
        return None
    with opened as file:
        return file.read()


def write(destination: Destination, name: str, content: bytes) -> None:
    """Write a small object."""
    destination.put(name, io.BytesIO(content))


def fingerprint(destination: Destination, name: str) -> tuple[int, str] | None:
    """Read an object, and return its size and its SHA-256; None if there is none."""
    opened = destination.open(name)
    if opened is None:
        return None
    size, digest = 0, hashlib.sha256()
    with opened as file:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            digest.update(chunk)
    return size, digest.hexdigest()


@contextlib.contextmanager
def spooled(destination: Destination) -> Iterator[IO[bytes]]:
    """Yield a file without a name for what is being made.

    Raises:
        NoSpace: the disk is full.
    """
    try:
        with tempfile.SpooledTemporaryFile(_SPOOLED, dir=str(destination.scratch)) as file:
            yield file
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise DestinationFailed(f"{destination.scratch} can't be written: {error}") from error
        raise NoSpace(f"no space left in {destination.scratch}") from error


class Folder:
    """A folder of this machine. Implements `Destination`.

    Args:
        root: made if it is missing.

    Attributes:
        scratch: the folder itself.

    Raises:
        DestinationFailed: it can't be made.
    """

    def __init__(self, root: Path) -> None:
        self._root = self.scratch = root
        with self._errors("made"):
            root.mkdir(parents=True, exist_ok=True)

    def __str__(self) -> str:
        return str(self._root)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other commands away; also removes what a killed one left."""
        with self._errors("written"):
            file = os.open(self._root / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DestinationBusy(f"another histfs writes to {self._root}") from None
            with self._errors("written"):
                for part in self._root.rglob(f"{PART}*"):
                    part.unlink(missing_ok=True)
            yield
        finally:
            os.close(file)

    def sizes(self, folder: str) -> Mapping[str, int]:
        """Return the sizes of the files below a folder, without those that are not whole."""
        found: dict[str, int] = {}
        with self._errors("read"):
            # A folder may hold a million files: no `Path` of each.
            left = [folder]
            while left:
                above = left.pop()
                with contextlib.suppress(FileNotFoundError), os.scandir(self._root / above) as all_:
                    for entry in all_:
                        if entry.is_dir(follow_symlinks=False):
                            left.append(f"{above}/{entry.name}")
                        elif not entry.name.startswith(PART) and entry.is_file():
                            found[f"{above}/{entry.name}"] = entry.stat().st_size
        return found

    def open(self, name: str) -> contextlib.AbstractContextManager[IO[bytes]] | None:
        """Open a file for reading; None if there is none."""
        try:
            with self._errors("read", name):
                return (self._root / name).open("rb")
        except DestinationFailed as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise

    def put(self, name: str, content: IO[bytes]) -> None:
        """Write a file beside its place, sync it, and rename it."""
        path = self._root / name
        # The workers of a cluster may write to one folder from several machines.
        part = path.parent / f"{PART}{uuid.uuid4().hex}"
        with self._errors("written", name):
            try:
                with _created(part) as file:
                    content.seek(0)
                    shutil.copyfileobj(content, file, _CHUNK)
                    file.flush()
                    os.fsync(file.fileno())
                part.replace(path)
            except BaseException:
                with contextlib.suppress(OSError):
                    part.unlink(missing_ok=True)
                raise

    def remove(self, name: str) -> None:
        """Remove a file, and its folder if that is empty then."""
        path = self._root / name
        with self._errors("written", name):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            path.parent.rmdir()

    @contextlib.contextmanager
    def _errors(self, participle: str, name: str = "") -> Iterator[None]:
        try:
            yield
        except OSError as error:
            where = self._root / name if name else self._root
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NoSpace(f"no space left for {where}") from error
            reason = error.strerror or str(error)
            raise DestinationFailed(f"{where} can't be {participle}: {reason}") from error


def _created(path: Path) -> IO[bytes]:
    """Open a new file, and make its folder where it is missing."""
    with contextlib.suppress(FileNotFoundError):
        return path.open("wb")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("wb")
