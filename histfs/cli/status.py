"""``histfs status``."""

from __future__ import annotations

from pathlib import Path

import click

from histfs.cli.exits import tell
from histfs.core.errors import HistfsError
from histfs.core.forest import STATUS_NAME
from histfs.core.printable import shown
from histfs.core.times import Zone
from histfs.fuse.mountpoint import check_histfs, is_dead, mounted_histfs, said_of_dead
from histfs.status import NoStatus, Status

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
        NoStatus: it has none, or doesn't answer.
    """
    named = shown(str(path))
    try:
        with (path / STATUS_NAME).open("rb") as file:
            return Status.from_json(file.read(_LARGEST))
    except FileNotFoundError:
        raise NoStatus(f"{named} has no status: it is of another version of histfs") from None
    except OSError as error:
        if is_dead(error):
            raise NoStatus(said_of_dead(Path(named))) from None
        raise NoStatus(f"the status of {named} can't be read: {error.strerror}") from None
    except ValueError:
        raise NoStatus(
            f"the status of {named} can't be understood: it is of another version of histfs"
        ) from None


def _print(found: Status, as_json: bool) -> None:
    for line in [found.to_json()] if as_json else found.lines(Zone()):
        click.echo(line)
