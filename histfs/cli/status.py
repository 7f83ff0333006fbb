"""``histfs status``."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from pathlib import Path

import click

from histfs.cli.error_reporting import report_error
from histfs.cli.mountpoint_argument import optional_mountpoint
from histfs.core.errors import HistfsError
from histfs.core.filesystem import STATUS_NAME
from histfs.core.terminal_text import shown
from histfs.core.times import Zone
from histfs.fuse.mountpoint import check_histfs, dead_mount_message, is_dead, mounted_histfs
from histfs.status import MountUnresponsive, NoStatus, Status

#: Seconds in which a mount must answer.
_TIMEOUT = 5.0
#: Maximum bytes of a status: any user can mount a filesystem that calls itself histfs.
_MAX_BYTES = 1 << 20


@click.command()
@optional_mountpoint
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, on one line.")
def status(mountpoint: Path | None, as_json: bool) -> None:
    """Show the state of a mount.

    Without MOUNTPOINT: that of each histfs on this machine, one after the other.
    """
    if mountpoint is not None:
        check_histfs(mountpoint)
        _print(read_status(mountpoint), as_json)
        return
    paths = mounted_histfs()
    if not paths and not as_json:
        click.echo("No histfs is mounted.")
    failed = 0
    for path in paths:
        try:
            found = read_status(path)
        except HistfsError as error:
            # A dead mount, or another user's, doesn't hide the others.
            failed = report_error(error)
        else:
            _print(found, as_json)
    click.get_current_context().exit(failed)


def read_status(path: Path) -> Status:
    """Read the status of the histfs that is mounted on a path.

    Raises:
        MountUnresponsive: its process has died or hangs.
        NoStatus: there is no status, or it can't be read.
    """
    named = shown(str(path))
    try:
        return Status.from_json(_read(path / STATUS_NAME))
    except subprocess.TimeoutExpired:
        raise MountUnresponsive(
            f"{named} does not answer within {_TIMEOUT:.0f} seconds: if its process stands still,"
            f" end that, then run histfs umount {named}"
        ) from None
    except FileNotFoundError:
        raise NoStatus(f"{named} has no status: it is of another version of histfs") from None
    except OSError as error:
        if is_dead(error):
            raise MountUnresponsive(dead_mount_message(Path(named))) from None
        raise NoStatus(f"the status of {named} can't be read: {error.strerror}") from None
    except ValueError:
        raise NoStatus(
            f"the status of {named} can't be understood: it is of another version of histfs"
        ) from None


def _read(path: Path) -> bytes:
    """Read a file of a mount in a child process: a call that the mount doesn't answer blocks.

    Raises:
        subprocess.TimeoutExpired: the mount does not answer.
        OSError: the file can't be read.
    """
    reader = subprocess.Popen(  # noqa: S603 - a fixed command, and a path of the table of mounts
        ["head", "-c", str(_MAX_BYTES), "--", path],  # noqa: S607 - found by the user's PATH
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "LC_ALL": "C"},
    )
    try:
        content, message = reader.communicate(timeout=_TIMEOUT)
    except subprocess.TimeoutExpired:
        reader.kill()
        # The kernel may keep it blocked: don't let `Popen` wait for its end.
        reader.returncode = -signal.SIGKILL
        for pipe in (reader.stdout, reader.stderr):
            if pipe is not None:
                pipe.close()
        raise
    if reader.returncode:
        # head(1) ends its message with strerror(3).
        text = os.fsdecode(message).strip().rpartition(": ")[2]
        code = next((code for code in errno.errorcode if os.strerror(code) == text), errno.EIO)
        raise OSError(code, os.strerror(code))
    return content


def _print(status: Status, as_json: bool) -> None:
    for line in [status.to_json()] if as_json else status.lines(Zone()):
        click.echo(line)
