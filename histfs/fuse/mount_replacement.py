"""Put a mount in the place of one whose process has died, with no empty directory in between.

What lies under the dead mount is an empty directory, which a program that copies takes for an empty
history: ``rsync --delete`` would empty the backup and succeed. So the dead mount answers ENOTCONN
until the next one is there.

Root lets libfuse mount in a private directory. When all has succeeded, the kernel attaches that
mount beneath the dead one, and the dead one is detached (move_mount(2) with MOVE_MOUNT_BENEATH,
Linux 6.5); there is no moment without a mount. An older kernel detaches and attaches by two system
calls in a row. Other users can move no mounts: theirs is detached right before libfuse mounts.

Threads: each object belongs to one mount. `prepare` is called by the thread that mounts, `attach`
by the one of libfuse that begins to serve, both once. The mount answers no call before `attach` has
returned, so that nothing there may look at it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from histfs.fuse.mountpoint import MountpointError, check_mountpoint, detach, detached, holds_dead

# System calls that the C library may lack, by their numbers, the same on all architectures.
_OPEN_TREE = 428
_MOVE_MOUNT = 429
# <fcntl.h>, <linux/mount.h>, <sys/mount.h>
_AT_FDCWD = -100
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH = 0x4
_MOVE_MOUNT_BENEATH = 0x200
_MS_BIND = 4096

_LIBC = ctypes.CDLL(None, use_errno=True)


class MountSite(Protocol):
    """Where a mount is made, and how it gets to its mountpoint.

    Attributes:
        path: where libfuse mounts.
        replaces: whether the mount takes the place of a dead one.
    """

    path: Path
    replaces: bool

    def prepare(self) -> None:
        """Do what has to be done right before libfuse mounts.

        Raises:
            MountpointError: the mountpoint can't be used.
        """

    def attach(self) -> None:
        """Bring the mount to its mountpoint; called when libfuse has mounted.

        Raises:
            MountpointError: it can't be done; what was at the mountpoint is still there.
        """


@contextlib.contextmanager
def mount_site(mountpoint: Path, nonempty: bool) -> Iterator[MountSite]:
    """Check a mountpoint, and lend the place where libfuse is to mount.

    Args:
        mountpoint: an absolute path.
        nonempty: whether it may have files in it.

    Raises:
        MountpointError: it can't be used.
    """
    if not holds_dead(mountpoint):
        check_mountpoint(mountpoint, nonempty)
        yield _EmptySite(mountpoint, nonempty)
    elif os.geteuid() != 0:
        yield _DetachedSite(mountpoint)
    else:
        # No TemporaryDirectory: it would delete, through the mount, the history itself.
        directory = Path(tempfile.mkdtemp(prefix="histfs-"))
        try:
            private = directory / "mnt"
            private.mkdir()
            yield _MovedSite(private, mountpoint)
        finally:
            with contextlib.suppress(OSError):
                private.unlink() if private.is_symlink() else private.rmdir()
                directory.rmdir()


class _EmptySite:
    """A directory on which nothing is mounted."""

    replaces = False

    def __init__(self, path: Path, nonempty: bool) -> None:
        self.path = path
        self._nonempty = nonempty

    def prepare(self) -> None:
        # To contact the server may have taken a while: another process may have mounted since.
        check_mountpoint(self.path, self._nonempty)

    def attach(self) -> None:
        pass


class _DetachedSite:
    """A mountpoint with a dead mount, which is detached at the last moment."""

    replaces = True

    def __init__(self, path: Path) -> None:
        self.path = path

    def prepare(self) -> None:
        _check_dead(self.path)
        detach(self.path)

    def attach(self) -> None:
        pass


class _MovedSite:
    """A private directory, from where the mount is moved to where a dead one is."""

    replaces = True

    def __init__(self, private: Path, mountpoint: Path) -> None:
        self.path = private
        self._mountpoint = mountpoint

    def prepare(self) -> None:
        _check_dead(self._mountpoint)

    def attach(self) -> None:
        try:
            _check_dead(self._mountpoint)
            if not _attach_beneath(self.path, self._mountpoint):
                _attach_after_detaching(self.path, self._mountpoint)
        finally:
            # Where nothing was attached this ends the mount.
            detached(self.path)
        # libfuse unmounts the path that it was given when a signal ends the process.
        self.path.rmdir()
        self.path.symlink_to(self._mountpoint)


def _check_dead(mountpoint: Path) -> None:
    """See to it that a dead mount is still where it was when the command began.

    Raises:
        MountpointError: it isn't.
    """
    if not holds_dead(mountpoint):
        raise MountpointError(f"{mountpoint} was unmounted or mounted meanwhile: try again")


def _attach_beneath(private: Path, mountpoint: Path) -> bool:
    """Attach a mount beneath another one, and detach that one.

    Returns:
        Whether the kernel can do that.
    """
    tree = _LIBC.syscall(_OPEN_TREE, _AT_FDCWD, bytes(private), _OPEN_TREE_CLONE | os.O_CLOEXEC)
    if tree < 0:
        return False
    try:
        flags = _MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_BENEATH
        if _LIBC.syscall(_MOVE_MOUNT, tree, b"", _AT_FDCWD, bytes(mountpoint), flags) != 0:
            return False
    finally:
        os.close(tree)
    detach(mountpoint)
    return True


def _attach_after_detaching(private: Path, mountpoint: Path) -> None:
    """Detach a dead mount and bind another one to its place.

    Raises:
        MountpointError: it can't be done.
    """
    source, target = bytes(private), bytes(mountpoint)
    # A rehearsal, over the dead mount: what may not be bound is not bound after detaching either.
    if _LIBC.mount(source, target, None, _MS_BIND, None) != 0:
        error = os.strerror(ctypes.get_errno())
        raise MountpointError(f"nothing can be mounted on {mountpoint}: {error}")
    detached(mountpoint)
    detach(mountpoint)
    _LIBC.mount(source, target, None, _MS_BIND, None)
