"""Clips of a mount as streams, from which `histfs play` serves a player.

A mount gives audio to this program as from a pipe until it is whole, and as a file afterwards: it
is a listener (programs.toml). So bytes come as they arrive at the mount's process, which has all
open that the tree of an account would open here first. Errors are imported when there is one.

Threads: any number; a stream is for one of them. The thread of the first clip opens it while the
server is imported, and sets `_Opening._done` when it has ended.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator

from histfs.core.name_forms import is_audio_name

#: Seconds in which a clip that has come whole should be a file: pauses between the attempts.
_PAUSES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)
_CHUNK = 128 << 10


class MountStreams:
    """The clips of mounts; implements `histfs.clip_server.ClipSource`."""

    def __init__(self) -> None:
        # Popped by the thread that wants it, which is atomic.
        self._begun: dict[str, _Opening] = {}

    def begin(self, path: str) -> None:
        """Open a clip, while this thread does something else: so its first bytes come.

        Args:
            path: of the clip, or of its item.
        """
        opening = self._begun[path] = _Opening(path)
        threading.Thread(target=opening.run, name="first clip", daemon=True).start()

    def stream(self, path: str, ended: Callable[[], bool]) -> _MountStream:
        """Open a clip to be read as its bytes come.

        Args:
            path: of the clip, or of its item.
            ended: not used: the mount has a deadline of its own.

        Raises:
            HistfsError: the mount doesn't give it.
        """
        begun = self._begun.pop(path, None)
        return _MountStream(path) if begun is None else begun.result()


class _Opening:
    """A clip that a thread opens."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._done = threading.Event()
        self._opened: _MountStream | Exception | None = None

    def run(self) -> None:
        """Open it."""
        try:
            self._opened = _MountStream(self._path)
        except Exception as error:  # noqa: BLE001 - it is raised by `result`
            self._opened = error
        self._done.set()

    def result(self) -> _MountStream:
        """Wait for the clip, and return it; called once."""
        self._done.wait()
        if isinstance(self._opened, Exception):
            raise self._opened
        assert self._opened is not None
        return self._opened


class _MountStream:
    """A clip that is read from a mount; implements `histfs.clip_server.ClipStream`."""

    def __init__(self, path: str) -> None:
        self._path = path
        with _translated(path):
            self._file, self._size = _opened(path)
        # Of a pipe: what was read last, and where that began.
        self._piece, self._start = b"", 0

    @property
    def whole_size(self) -> int | None:
        """The size in bytes once the clip is whole; None before."""
        return self._size

    def wait_until_whole(self) -> int:
        """Read the clip to its end, upon which it is a file; return its size in bytes.

        Where the disk of the mount has no room for it, it is a pipe once more.
        """
        with _translated(self._path):
            size = self._start + len(self._piece)
            while self._size is None and (piece := os.read(self._file, _CHUNK)):
                size += len(piece)
            for pause in _PAUSES if self._size is None else ():
                time.sleep(pause)
                again = _opened(self._path)
                os.close(self._file)
                self._file, self._size = again
                self._piece, self._start = b"", 0
                if self._size is not None:
                    break
        return size if self._size is None else self._size

    def read(self, offset: int, size: int) -> bytes:
        """Return bytes at an offset as soon as there is one, at most ``size``; none at the end.

        Of a pipe they are those of the last read, or the next ones.
        """
        with _translated(self._path):
            if self._size is not None:
                return os.pread(self._file, size, offset)
            assert offset >= self._start, "a pipe is read forwards"
            while offset >= self._start + len(self._piece):
                piece = os.read(self._file, size)
                if not piece:
                    return b""
                self._start += len(self._piece)
                self._piece = piece
            start = offset - self._start
            return self._piece[start : start + size]

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):  # of a mount that has died
            os.close(self._file)


def find_audio(path: str) -> str:
    """Return the path of a clip: of a file itself, or of the audio of an item.

    Args:
        path: in a mount.

    Raises:
        Refused: the item has no audio.
        HistfsError: there is no such path, or the mount fails.
    """
    with _translated(path):
        if not stat.S_ISDIR(os.stat(path).st_mode):  # noqa: PTH116
            return path
        found = min(filter(is_audio_name, os.listdir(path)), default=None)  # noqa: PTH208
    if found is None:
        from histfs.cli.error_reporting import Refused  # noqa: PLC0415

        raise Refused("there is no audio in it")
    return f"{path}/{found}"


def _opened(path: str) -> tuple[int, int | None]:
    """Open a clip; return its descriptor, and its size in bytes, None for a pipe."""
    file = os.open(find_audio(path), os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.lseek(file, 0, os.SEEK_CUR)
        return file, os.fstat(file).st_size
    except OSError as error:
        if error.errno == errno.ESPIPE:
            return file, None
        os.close(file)
        raise


@contextlib.contextmanager
def _translated(path: str) -> Iterator[None]:
    """Raise the errors of a mount as those of histfs."""
    try:
        yield
    except OSError as error:
        raise _error(path, error) from error


def _error(path: str, error: OSError) -> Exception:
    from histfs.cli.error_reporting import MountDied, MountFailed  # noqa: PLC0415
    from histfs.core.errors import NoSuchPath, NotADirectory  # noqa: PLC0415

    if error.errno in (errno.ENOTCONN, errno.ECONNABORTED):
        return MountDied("the process of the mount has died: run histfs umount")
    if error.errno == errno.ENOENT:
        return NoSuchPath(path)
    if error.errno == errno.ENOTDIR:
        return NotADirectory(path)
    return MountFailed(f"the mount does not give it ({error.strerror}): histfs status may say why")
