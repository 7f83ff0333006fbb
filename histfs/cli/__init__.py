"""The command line: one module for each command."""

from __future__ import annotations

import sys

import click

from histfs import __version__
from histfs.cli.exits import reported
from histfs.cli.mount import mount
from histfs.cli.simulate import simulate
from histfs.cli.umount import umount


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="histfs %(version)s")
def histfs() -> None:
    """Mount your ElevenLabs history as a folder.

    Every clip becomes a directory with its audio, its text and its metadata. Audio is fetched when
    it is first read. Deleting audio deletes the item from your history.
    """


histfs.add_command(mount)
histfs.add_command(umount)
histfs.add_command(simulate)


def main() -> None:
    """Run a command; whatever goes wrong on purpose is one line and an exit status."""
    with reported():
        # Not click's standalone mode, which tells of a wrong option in four lines.
        status = histfs(prog_name="histfs", standalone_mode=False)
    sys.exit(status)
