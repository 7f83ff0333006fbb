"""A minimal filesystem: names and sizes from dicts, served with the FUSE binding of histfs.

It has no logic and never changes, so a walk costs only what the kernel, two context switches for
each call, libfuse, the binding and Python need: a lower bound for filesystems in Python.

    python -m scripts.benchmarks.bare DIRECTORY MOUNTPOINT
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from histfs.fuse import binding
from histfs.fuse.directory_reader import Listed
from histfs.fuse.operations import Operations
from histfs.fuse.reported_sizes import TIMEOUT
from scripts.benchmarks.stage import Mount, environment, mounting


@contextlib.contextmanager
def mounted(source: Path, place: Path, library: str) -> Iterator[Mount]:
    """Mount the names and sizes of a directory."""
    path = place / f"bare-{library}"
    command = [sys.executable, "-m", "scripts.benchmarks.bare", str(source), str(path)]
    with mounting(command, path, environment(place, library)) as mount:
        yield mount


class Bare:
    """The FUSE operations.

    Args:
        source: the directory whose names and sizes are served.
        served: the FUSE binding.
    """

    use_ns = True
    flag_nullpath_ok = 1
    flag_nopath = 1

    def __init__(self, source: Path, served: binding.Binding) -> None:
        self.started = False
        self._served = served
        self._attributes: dict[str, dict[str, float]] = {"/": _attributes(source)}
        self._listings: dict[str, list[Listed]] = {}
        self._handles = itertools.count(1)
        self._open: dict[int, str] = {}
        for folder, directories, files in os.walk(source):
            within = Path(folder).relative_to(source)
            names = directories + files
            entries = {str(Path("/", within, name)): Path(folder, name) for name in names}
            self._attributes.update({at: _attributes(entry) for at, entry in entries.items()})
            listed = [(".", {"st_mode": stat.S_IFDIR}, 0), ("..", {"st_mode": stat.S_IFDIR}, 0)]
            listed += [(Path(at).name, self._attributes[at], 0) for at in entries]
            self._listings[str(Path("/", within))] = listed

    def init(self, path: str) -> None:
        """Report the mount as complete."""
        self.started = True
        self._served.mounted()

    def init_with_config(self, connection: Any, config: Any) -> None:  # noqa: ANN401
        """Configure the connection; mfusepy calls this instead of `init`."""
        if config is not None:
            self._served.configure(connection, config)
        self.init("/")

    def getattr(self, path: str, handle: int | None = None) -> dict[str, float]:
        """Answer stat(2)."""
        try:
            return self._attributes[path]
        except KeyError:
            raise OSError(errno.ENOENT, path) from None

    def opendir(self, path: str) -> int:
        """Answer opendir(3)."""
        handle = next(self._handles)
        self._open[handle] = path
        return handle

    def readdir(
        self, path: str | None, handle: int, offset: int = 0, plus: bool = False
    ) -> Iterator[Listed]:
        """Answer readdir(3), with all attributes for readdirplus, as histfs does."""
        listing = self._listings[self._open[handle]]
        if not (plus or offset):
            return iter(listing)
        rest = itertools.islice(listing, offset, None)
        return ((name, attributes, at) for at, (name, attributes, _) in enumerate(rest, offset + 1))

    def releasedir(self, path: str | None, handle: int) -> None:
        """Answer closedir(3)."""
        del self._open[handle]


def _attributes(path: Path) -> dict[str, float]:
    found = path.stat()
    names = ("st_mode", "st_ino", "st_nlink", "st_size", "st_blocks", "st_uid", "st_gid")
    times = {f"st_{name}": found.st_mtime_ns for name in ("atime", "mtime", "ctime")}
    return {**{name: getattr(found, name) for name in names}, **times, "timeout": TIMEOUT}


if __name__ == "__main__":
    library = binding.load()
    least = cast(Operations, Bare(Path(sys.argv[1]), library))
    library.run(least, sys.argv[2], debug=False, last_step=lambda: None, default_permissions=True)
