"""``histfs umount``."""

from __future__ import annotations

from pathlib import Path

import click

from histfs.cli.mountpoint_argument import mountpoint_argument
from histfs.fuse.mountpoint import unmount


@click.command()
@mountpoint_argument
@click.option("--lazy", "-z", is_flag=True, help="Detach it even while a program uses it.")
def umount(mountpoint: Path, lazy: bool) -> None:
    """Unmount a history.

    umount(8) and fusermount(1) do the same; this command refuses any mount but that of a histfs.
    """
    unmount(mountpoint, lazy)
