"""Replace a mount whose process has died, without an empty directory in between.

The directory under a dead mount is empty. A program that copies takes that for an empty history:
``rsync --delete`` would empty the backup and exit with 0. So the mountpoint answers ENOTCONN until
the next mount is there.

As root, libfuse mounts in a private directory. When all has succeeded, the kernel attaches that
mount beneath the dead one, and the dead one is detached (move_mount(2) with MOVE_MOUNT_BENEATH,
Linux 6.5). There is no moment without a mount. On an older kernel the dead mount is detached and
the new one bound by two system calls in a row. Other users may not move mounts: the dead one is
detached immediately before libfuse mounts.

Threads: each `MountSite` belongs to one mount. `prepare` is called by the thread that mounts,
`attach` by the libfuse thread that begins to serve, each once. There is no lock and no state. The
mount answers no call before `attach` has returned: `attach` must not access it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from histfs.fuse.mountpoint import (
    MountpointError,
    check_mountpoint,
    detach,
    holds_dead,
    umount_detach,
)

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


def _do_nothing() -> None:
    """Leave the mount where libfuse has mounted it."""


@dataclass(frozen=True, slots=True)
class MountSite:
    """Where libfuse mounts, and how the mount gets to its mountpoint.

    Attributes:
        path: where libfuse mounts.
        replaces: whether the mount takes the place of a dead one.
        prepare: called immediately before libfuse mounts; raises MountpointError where the
            mountpoint can't be used.
        attach: called when libfuse has mounted: brings the mount to its mountpoint, or raises
            MountpointError and leaves there what was there.
    """

    path: Path
    replaces: bool
    prepare: Callable[[], None]
    attach: Callable[[], None] = _do_nothing


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
        # Checked again before libfuse mounts: contacting the server may have taken a while.
        check = partial(check_mountpoint, mountpoint, nonempty)
        check()
        yield MountSite(mountpoint, replaces=False, prepare=check)
    elif os.geteuid() != 0:
        yield MountSite(mountpoint, replaces=True, prepare=partial(_detach_dead, mountpoint))
    else:
        # No TemporaryDirectory: it would delete, through the mount, the history itself.
        directory = Path(tempfile.mkdtemp(prefix="histfs-"))
        try:
            private = directory / "mnt"
            private.mkdir()
            yield MountSite(
                private,
                replaces=True,
                prepare=partial(_check_dead, mountpoint),
                attach=partial(_move, private, mountpoint),
            )
        finally:
            with contextlib.suppress(OSError):
                private.unlink() if private.is_symlink() else private.rmdir()
                directory.rmdir()


def _detach_dead(mountpoint: Path) -> None:
    """Detach a dead mount.

    Raises:
        MountpointError: it is no longer there, or can't be detached.
    """
    _check_dead(mountpoint)
    detach(mountpoint)


def _move(private: Path, mountpoint: Path) -> None:
    """Move a mount from a private directory to where a dead one is.

    Raises:
        MountpointError: it can't be done; the dead mount is still there.
    """
    try:
        _check_dead(mountpoint)
        if not _attach_beneath(private, mountpoint):
            _attach_after_detaching(private, mountpoint)
    finally:
        # Where nothing was attached this ends the mount.
        umount_detach(private)
    # libfuse unmounts the path that it was given when a signal ends the process.
    private.rmdir()
    private.symlink_to(mountpoint)


def _check_dead(mountpoint: Path) -> None:
    """Check that a dead mount is still where it was when the command began.

    Raises:
        MountpointError: it is not.
    """
    if not holds_dead(mountpoint):
        raise MountpointError(f"{mountpoint} was unmounted or mounted meanwhile: try again")


def _attach_beneath(private: Path, mountpoint: Path) -> bool:
    """Attach a mount beneath another one, and detach that one.

    Returns:
        Whether the kernel supports that.
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
    # Try it over the dead mount first: a bind that is refused here is refused after detaching, too.
    if _LIBC.mount(source, target, None, _MS_BIND, None) != 0:
        error = os.strerror(ctypes.get_errno())
        raise MountpointError(f"nothing can be mounted on {mountpoint}: {error}")
    umount_detach(mountpoint)
    detach(mountpoint)
    _LIBC.mount(source, target, None, _MS_BIND, None)
