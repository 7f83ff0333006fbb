"""A destination of fsspec: S3, Google Cloud Storage, SFTP and whatever else has a URL.

Threads: any number at once; the filesystem guards itself.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from histfs.catalog.file_lock import locked
from histfs.core.errors import NoSpace
from histfs.core.secret import redact
from histfs.exporting.destination import PART, Destination, Folder
from histfs.exporting.errors import DestinationBusy, DestinationFailed

#: Protocols whose objects are there as a whole, or not at all, when they are written.
_OBJECTS = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oci", "oss", "memory"}
#: Bytes of the largest object that is sent from memory.
_IN_MEMORY = 32 << 20
_CHUNK = 1 << 20


def destination_of(text: str, scratch: Path) -> Destination:
    """Return the folder or the bucket that a text names.

    Args:
        text: a path, or a URL.
        scratch: a folder of this machine for what is being made for a bucket.

    Raises:
        DestinationFailed: it can't be used, or a package for it is not installed.
    """
    protocol, found, rest = text.partition("://")
    if not found:
        return Folder(Path(text).absolute())
    return Folder(Path(rest)) if protocol == "file" else Bucket(text, scratch)


class Bucket:
    """A place in a filesystem of fsspec. Implements `Destination`.

    Args:
        url: of the place.
        scratch: a folder of this machine for what is being made.

    Attributes:
        scratch: as given.

    Raises:
        DestinationFailed: a package is not installed, or the URL can't be used.
    """

    def __init__(self, url: str, scratch: Path) -> None:
        self.scratch = scratch
        self._url = url.rstrip("/")
        try:
            # Only an export to such a place needs it.
            from fsspec.core import url_to_fs  # noqa: PLC0415

            with self._errors("used"):
                self._fs, root = url_to_fs(self._url, use_listings_cache=False)
        except ImportError as error:
            raise DestinationFailed(
                f"{self}: {error}; pip install 'histfs[fsspec]' and the package of this protocol"
            ) from error
        self._root = str(root).rstrip("/")
        protocols = self._fs.protocol
        names = {protocols} if isinstance(protocols, str) else set(protocols)
        self._whole = bool(names & _OBJECTS)

    def __str__(self) -> str:
        # A URL may have a password in it.
        protocol, _, rest = self._url.partition("://")
        return f"{protocol}://{rest.rpartition('@')[2]}"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other commands of this machine and account away."""
        name = hashlib.sha256(self._url.encode()).hexdigest()[:24]
        with locked(self.scratch / f"export-{name}.lock", wait=False) as held:
            if not held:
                raise DestinationBusy(f"another histfs writes to {self}")
            yield

    def sizes(self, folder: str) -> Mapping[str, int]:
        """Return the sizes of the objects below a folder."""
        with self._errors("read", folder):
            try:
                self._fs.invalidate_cache()
                found: Mapping[str, Any] = self._fs.find(self._path(folder), detail=True)
            except FileNotFoundError:
                return {}
        start = len(self._root.lstrip("/")) + 1
        return {
            name.lstrip("/")[start:]: int(entry["size"])
            for name, entry in found.items()
            if not name.rpartition("/")[2].startswith(PART)
        }

    def open(self, name: str) -> contextlib.AbstractContextManager[IO[bytes]] | None:
        """Open an object for reading, all of which is fetched; None if there is none."""
        # The file deletes itself when it is closed, also if nothing else does.
        file: IO[bytes] = tempfile.TemporaryFile(dir=self.scratch)  # noqa: SIM115
        try:
            with self._errors("read", name), self._fs.open(self._path(name), "rb") as source:
                shutil.copyfileobj(source, file, _CHUNK)
        except BaseException as error:
            file.close()
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise
        file.seek(0)
        return file

    def put(self, name: str, content: IO[bytes]) -> None:
        """Write an object: at once, or under another name that is changed at the end."""
        path = self._path(name)
        with self._errors("written", name):
            if self._whole:
                self._send(content, path)
                return
            above, _, last = path.rpartition("/")
            self._fs.makedirs(above, exist_ok=True)
            part = f"{above}/{PART}{uuid.uuid4().hex}-{last}"
            try:
                self._send(content, part)
                if self._fs.exists(path):
                    self._fs.rm_file(path)
                self._fs.mv(part, path)
            except BaseException:
                with contextlib.suppress(Exception):
                    self._fs.rm_file(part)
                raise

    def remove(self, name: str) -> None:
        """Remove an object."""
        with self._errors("written", name), contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(self._path(name))

    def _send(self, content: IO[bytes], path: str) -> None:
        content.seek(0, 2)
        size = content.tell()
        content.seek(0)
        if size <= _IN_MEMORY:
            self._fs.pipe_file(path, content.read())
            return
        with tempfile.NamedTemporaryFile(dir=self.scratch) as file:
            shutil.copyfileobj(content, file, _CHUNK)
            file.flush()
            self._fs.put_file(file.name, path)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    @contextlib.contextmanager
    def _errors(self, participle: str, name: str = "") -> Iterator[None]:
        where = f"{self}/{name}" if name else str(self)
        try:
            yield
        except ImportError:
            raise
        except Exception as error:  # each filesystem has exceptions of its own
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NoSpace(f"no space left for {where}") from error
            reason = " ".join(redact(str(error) or type(error).__name__).split())
            raise DestinationFailed(f"{where} can't be {participle}: {reason}") from error
