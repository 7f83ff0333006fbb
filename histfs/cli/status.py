"""``histfs status``."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from pathlib import Path

import click

from histfs.cli.exit_codes import tell
from histfs.core.errors import HistfsError
from histfs.core.filesystem import STATUS_NAME
from histfs.core.terminal_text import shown
from histfs.core.times import Zone
from histfs.fuse.mountpoint import check_histfs, dead_mount_message, is_dead, mounted_histfs
from histfs.status import MountUnresponsive, NoStatus, Status

#: Seconds in which a mount has to answer.
_PATIENCE = 5.0
#: What is read of a status at the most: whoever mounts something calls it what he likes.
_LARGEST = 1 << 20


@click.command()
@click.argument("mountpoint", required=False, type=click.Path(readable=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, on one line.")
def status(mountpoint: Path | None, as_json: bool) -> None:
    """Show what a mount knows, keeps and does.

    Without MOUNTPOINT: each histfs that is mounted on this machine, one after the other.
    """
    if mountpoint is not None:
        path = mountpoint.absolute()
        check_histfs(path)
        _print(read_status(path), as_json)
        return
    paths = mounted_histfs()
    if not paths and not as_json:
        click.echo("No histfs is mounted.")
    failed = 0
    for path in paths:
        try:
            found = read_status(path)
        except HistfsError as error:
            # One that is dead, or somebody else's, doesn't hide the others.
            failed = tell(error)
        else:
            _print(found, as_json)
    click.get_current_context().exit(failed)


def read_status(path: Path) -> Status:
    """Read the status of the histfs that is mounted on a path.

    Raises:
        Unanswered: it has died, or its process stands still.
        NoStatus: it has none, or it can't be read.
    """
    named = shown(str(path))
    try:
        return Status.from_json(_content(path / STATUS_NAME))
    except subprocess.TimeoutExpired:
        raise MountUnresponsive(
            f"{named} does not answer within {_PATIENCE:.0f} seconds: if its process stands still,"
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


def _content(path: Path) -> bytes:
    """Read a file of a mount, in a process of its own: the call can't be ended while it waits.

    Raises:
        subprocess.TimeoutExpired: the mount does not answer.
        OSError: the file can't be read.
    """
    reader = subprocess.Popen(  # noqa: S603 - a fixed command, and a path of the table of mounts
        ["head", "-c", str(_LARGEST), "--", path],  # noqa: S607 - of the system, wherever it is
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "LC_ALL": "C"},
    )
    try:
        content, said = reader.communicate(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        reader.kill()
        # It ends when the kernel lets it; this process must not wait for that.
        reader.returncode = -signal.SIGKILL
        for pipe in (reader.stdout, reader.stderr):
            if pipe is not None:
                pipe.close()
        raise
    if reader.returncode:
        words = os.fsdecode(said).strip().rpartition(": ")[2]
        number = next((each for each in errno.errorcode if os.strerror(each) == words), errno.EIO)
        raise OSError(number, os.strerror(number))
    return content


def _print(found: Status, as_json: bool) -> None:
    for line in [found.to_json()] if as_json else found.lines(Zone()):
        click.echo(line)
