"""The argument MOUNTPOINT: an absolute path without symbolic links."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from histfs.cli.config_sources import Command


class _Mountpoint(click.Path):
    """A path of which the links are resolved: the mount table and fusermount(1) know no links."""

    def convert(
        self,
        value: Any,  # noqa: ANN401 - click's own signature
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:  # noqa: ANN401 - likewise
        """Return the path; an empty one would be that of the working directory."""
        if os.fspath(value) == "":
            self.fail("it is empty: give the directory, such as ~/history", param, ctx)
        return Path(os.path.realpath(os.fsdecode(super().convert(value, param, ctx))))


def mountpoint_argument(command: Command, *, required: bool = True) -> Command:
    """Give a command the argument ``mountpoint``."""
    kind = _Mountpoint(readable=False, path_type=Path)
    return click.argument("mountpoint", required=required, type=kind)(command)


def optional_mountpoint(command: Command) -> Command:
    """Give a command the argument ``mountpoint``, which may be left out."""
    return mountpoint_argument(command, required=False)
