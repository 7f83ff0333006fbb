"""Check, detach and unmount mountpoints; read the mount table (/proc/self/mountinfo)."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from histfs.core.errors import HistfsError
from histfs.fuse.binding import FuseUnavailable
from histfs.fuse.mount_table import FILESYSTEM_TYPE, MOUNTS, read_mounts

#: Where root allows other users ``allow_other`` (fuse(8)).
FUSE_CONFIG = Path("/etc/fuse.conf")

_DEVICE = Path("/dev/fuse")
_MOUNTS = Path(MOUNTS)
#: Flag of umount2(2): detach at once, also where the mount is in use (<sys/mount.h>).
_MNT_DETACH = 2
_UNMOUNTERS = (("fusermount3", "-u"), ("fusermount", "-u"), ("umount",))
#: Seconds for which unmounting is retried while the mount is busy, and the pause between two tries.
#: `histfs status`, a file manager or a monitoring agent open a file of each mount for a moment.
_BUSY_TIMEOUT, _BUSY_PAUSE = 2.0, 0.1


class MountpointError(HistfsError):
    """The mountpoint can't be used; the message says why and what to do."""


class MountpointBusy(MountpointError):
    """A process uses the mount that is to be unmounted."""


class Mounted(NamedTuple):
    """A mount: its filesystem type, such as ``fuse.histfs``, and its source."""

    kind: str
    source: str


def mounted_on(path: Path) -> Mounted | None:
    """Return what is mounted on a path, alive or dead; None when nothing is.

    ``os.path.ismount`` returns False for a mount whose process has died; the mount table lists it.
    """
    return dict(_mounts()).get(os.path.realpath(path))


def mounted_histfs() -> list[Path]:
    """Return the mountpoints of histfs on this machine, alive or dead."""
    return [Path(path) for path, mount in dict(_mounts()).items() if mount.kind == FILESYSTEM_TYPE]


def check_histfs(path: Path) -> None:
    """Check that a histfs is mounted on a path, alive or dead.

    Raises:
        MountpointError: there is none.
    """
    if not is_histfs(path):
        raise MountpointError(f"no histfs is mounted on {path}")


def is_dead(error: OSError) -> bool:
    """Say whether a call failed because the process behind a mount has died."""
    return error.errno in (errno.ENOTCONN, errno.ECONNABORTED)


def dead_mount_message(path: Path) -> str:
    """Return the message for the user about a mount whose process has died."""
    return f"{path} holds a mount whose process has died: run histfs umount {path}"


def holds_dead(path: Path) -> bool:
    """Say whether a path holds a histfs whose process has died."""
    return is_histfs(path) and has_died(path)


def detach(path: Path) -> None:
    """Detach a histfs from a path as fast as possible; never another filesystem.

    The path is an empty directory then, which a program that copies takes for an empty history:
    call this only when mounting the next one is the only step left.

    Args:
        path: absolute.

    Raises:
        MountpointError: there is none, or it can't be detached.
    """
    check_histfs(path)
    # A system call first: starting a process takes several milliseconds.
    if not umount_detach(path):
        unmount(path, lazy=True)


def umount_detach(path: Path) -> bool:
    """Detach any mount from a path by umount2(2), which only root may call.

    Unlike `detach` this makes no call on the mount itself, which may not answer yet.

    Args:
        path: absolute.

    Returns:
        Whether it was detached.
    """
    return bool(ctypes.CDLL(None).umount2(os.fsencode(path), _MNT_DETACH) == 0)


def check_device() -> None:
    """Check that the kernel has FUSE.

    Raises:
        FuseUnavailable: it has not.
    """
    if not _DEVICE.exists():
        raise FuseUnavailable(
            "there is no /dev/fuse: load the kernel's module with modprobe fuse; a container needs"
            " --device /dev/fuse"
        )


def find_fusermount() -> str | None:
    """Return the path of the program by which users mount and unmount; None if there is none."""
    return next(filter(None, map(shutil.which, ("fusermount3", "fusermount"))), None)


def check_user_may_mount(allow_other: bool) -> None:
    """Check that the user of this process may mount; root may always.

    Args:
        allow_other: whether other users are let in, ``-o allow_other`` or ``allow_root``.

    Raises:
        FuseUnavailable: there is no fusermount(1).
        MountpointError: root has not allowed ``allow_other``.
    """
    if os.geteuid() == 0:
        return
    if find_fusermount() is None:
        raise FuseUnavailable("there is no fusermount3, by which users mount: apt install fuse3")
    if allow_other and not may_allow_other(FUSE_CONFIG):
        raise MountpointError(
            f"allow_other needs the line user_allow_other in {FUSE_CONFIG}: add it as root"
        )


def may_allow_other(config: Path) -> bool:
    """Return whether users other than root may give ``-o allow_other``.

    Args:
        config: the file that says so.
    """
    try:
        lines = config.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return "user_allow_other" in map(str.strip, lines)


def check_mountpoint(path: Path, nonempty: bool) -> None:
    """Check that a path can be mounted on.

    A path that holds a histfs whose process has died can't be: see `holds_dead`.

    Args:
        path: absolute.
        nonempty: whether it may have files in it.

    Raises:
        MountpointError: it can't.
    """
    mount = mounted_on(path)
    try:
        entries = os.listdir(path)  # noqa: PTH208 - the names are all that is needed
    except FileNotFoundError:
        raise MountpointError(f"{path} is not there: make it with mkdir -p {path}") from None
    except NotADirectoryError:
        raise MountpointError(f"{path} is not a directory") from None
    except OSError as error:
        if is_dead(error) and mount is not None:
            raise MountpointError(
                f"{path} holds a mount ({mount.kind}) whose process has died:"
                f" run fusermount -u {path}"
            ) from None
        raise MountpointError(f"{path} can't be used: {error.strerror}") from None
    if mount is not None and mount.kind == FILESYSTEM_TYPE:
        raise MountpointError(
            f"{mount.source} is mounted on {path} already: histfs status {path} shows it, and"
            f" histfs umount {path} ends it"
        )
    if mount is not None and mount.kind.startswith("fuse"):
        raise MountpointError(f"{mount.source} is mounted on {path} already ({mount.kind})")
    _check_owner(path)
    if entries and not nonempty:
        raise MountpointError(f"{path} is not empty: choose another one, or add -o nonempty")


def _check_owner(path: Path) -> None:
    """Check that fusermount(1) lets this user mount on a directory.

    Raises:
        MountpointError: the directory is another user's.
    """
    user, status = os.geteuid(), path.stat()
    shared = status.st_mode & stat.S_ISVTX and status.st_uid != user
    if user == 0 or not (shared or not os.access(path, os.W_OK)):
        return
    owner = "root" if status.st_uid == 0 else f"user {status.st_uid}"
    if status.st_uid == user:
        raise MountpointError(f"{path} is not writable: run chmod u+w {path}")
    raise MountpointError(f"{path} belongs to {owner}: mount on a directory of your own")


def unmount(path: Path, lazy: bool) -> None:
    """Unmount a histfs, dead or alive; never anything else.

    Unmounting is retried for a moment while the mount is busy.

    Args:
        path: absolute.
        lazy: whether to detach a mount that is in use.

    Raises:
        MountpointBusy: it is in use.
        MountpointError: there is none, or it can't be unmounted.
    """
    check_histfs(path)
    commands = [command for command in _UNMOUNTERS if shutil.which(command[0])]
    if not commands:
        raise MountpointError("neither fusermount nor umount is there: apt install fuse3")
    deadline = time.monotonic() + _BUSY_TIMEOUT
    while True:
        errors = _try_commands(commands, path, lazy)
        if errors is None:
            return
        if not _is_busy(errors[-1], path):
            raise MountpointError(f"{path} can't be unmounted: {errors[0]}")
        if time.monotonic() >= deadline:
            raise MountpointBusy(f"{path} is in use: close what uses it, or add --lazy")
        time.sleep(_BUSY_PAUSE)


def _try_commands(commands: Sequence[Sequence[str]], path: Path, lazy: bool) -> list[str] | None:
    """Try one command after the other; return their error messages, None on success.

    fusermount needs /etc/mtab, which a chroot may lack; umount(8) reads the kernel's own table.
    """
    # umount(8) translates its messages.
    untranslated = {**os.environ, "LC_ALL": "C"}
    errors = []
    for program, *flags in commands:
        if lazy:
            flags.append("-l" if program == "umount" else "-z")
        done = subprocess.run(  # noqa: S603 - fixed commands
            [program, *flags, str(path)],
            capture_output=True, text=True, check=False, env=untranslated,
        )  # fmt: skip
        if done.returncode == 0:
            return None
        errors.append(" ".join(done.stderr.split()))
        if _is_busy(errors[-1], path):
            break
    return errors


def _is_busy(error: str, path: Path) -> bool:
    return "busy" in error.replace(str(path), "").lower()


def is_histfs(path: Path) -> bool:
    """Say whether a histfs is mounted on a path, alive or dead."""
    mount = mounted_on(path)
    return mount is not None and mount.kind == FILESYSTEM_TYPE


def has_died(path: Path) -> bool:
    """Say whether the process behind the mount on a path has died."""
    try:
        # Not stat: attributes that the kernel caches outlive the process.
        os.scandir(path).close()
    except OSError as error:
        return is_dead(error)
    return False


def _mounts() -> Iterator[tuple[str, Mounted]]:
    """Yield each mount of the mount table; of several on one path the last one counts."""
    for path, kind, source in read_mounts(str(_MOUNTS)):
        yield path, Mounted(kind, source)
