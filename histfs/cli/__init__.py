"""The command line: one module for each command."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from histfs import __version__
from histfs.cli.cache import cache
from histfs.cli.cat import cat
from histfs.cli.doctor import doctor
from histfs.cli.exit_codes import reported
from histfs.cli.ls import ls
from histfs.cli.mount import mount
from histfs.cli.plugins import plugins
from histfs.cli.purge import purge
from histfs.cli.rm import rm
from histfs.cli.simulate import simulate
from histfs.cli.status import status
from histfs.cli.sync import sync
from histfs.cli.trash import trash
from histfs.cli.umount import umount
from histfs.keys import take_key
from histfs.sources.elevenlabs.service import KEY as ELEVENLABS_KEY


class _Group(click.Group):
    """A group whose commands end in one line when they are interrupted."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's own signature
        """Run the command; click would put an empty line before ours, terminal or not."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            if sys.stderr.isatty():
                click.echo(err=True)  # behind the ^C
            raise click.Abort from None


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="histfs %(version)s")
def histfs() -> None:
    """Mount your ElevenLabs history as a folder.

    Every clip becomes a directory with its audio, its text and its metadata. Audio is fetched when
    it is first read. Deleting audio deletes the item from your history.
    """
    # What any command makes is for its user alone, and can be used by him.
    os.umask(0o077)
    # No process that one starts, such as fusermount, gets the key with its environment.
    click.get_current_context().obj = take_key(os.environ, ELEVENLABS_KEY)


histfs.add_command(mount)
histfs.add_command(umount)
histfs.add_command(ls)
histfs.add_command(cat)
histfs.add_command(rm)
histfs.add_command(purge)
histfs.add_command(sync)
histfs.add_command(status)
histfs.add_command(doctor)
histfs.add_command(cache)
histfs.add_command(trash)
histfs.add_command(plugins)
histfs.add_command(simulate)


def main() -> None:
    """Run a command; whatever goes wrong on purpose is one line and an exit status."""
    with reported():
        # Not click's standalone mode, which tells of a wrong option in four lines.
        ended = histfs(prog_name="histfs", standalone_mode=False)
    sys.exit(ended)
