"""The group of the commands: each has a module of its own, imported when the command is used."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click
from click.shell_completion import CompletionItem

from histfs import __version__
from histfs.cli import COMMANDS

#: Names that users try, too, each with its module and function; ``histfs --help`` lists none.
_HIDDEN = {
    "help": ("help_command", "help_"),
    "unmount": ("umount", "umount"),
    "version": ("help_command", "version"),
}


def _import_command(name: str) -> click.Command:
    module, function = _HIDDEN.get(name, (name, name))
    command: click.Command = getattr(importlib.import_module(f"histfs.cli.{module}"), function)
    return command


def import_commands() -> None:
    """Import all commands, and with them the settings that they declare."""
    for name in COMMANDS:
        _import_command(name)


class _LazyGroup(click.Group):
    """A group that imports a command when it is used. ``--help`` imports none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; return None if there is none of this name."""
        return _import_command(cmd_name) if cmd_name in COMMANDS or cmd_name in _HIDDEN else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is named first; tell the nearest one when there is none."""
        known = args[0] in COMMANDS or args[0] in _HIDDEN
        if not known and not ctx.resilient_parsing:
            import difflib  # noqa: PLC0415 - for a wrong name alone

            if nearest := difflib.get_close_matches(args[0], [*COMMANDS, *_HIDDEN], 1):
                ctx.fail(f"No such command {args[0]!r}: did you mean {nearest[0]}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands that begin with what was typed; none of them is imported."""
        found = [(name, line) for name, line in COMMANDS.items() if name.startswith(incomplete)]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [*(CompletionItem(name, help=line) for name, line in found), *options]

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's own signature
        """Run the command; on Ctrl-C click would print an empty line, terminal or not."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            if sys.stderr.isatty():
                click.echo(err=True)  # ends the terminal's line, which shows ^C
            raise click.Abort from None


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", message="histfs %(version)s")
def histfs() -> None:
    """Mount your ElevenLabs history as a folder.

    Every clip becomes a directory with its audio, its text and its metadata. Audio is fetched when
    it is first read. Deleting audio deletes the item from your history.

    \b
    First steps:
      histfs mount --demo DIR           # a sample history: no key, no network
      histfs login                      # keeps your API key
      histfs mount --read-only DIR      # your own history; without --read-only, rm deletes
    """  # noqa: D301 - the control character is click's
    # Files that a command makes are for its user alone, and usable by that user.
    os.umask(0o077)
    # Imported here: ``--help`` and a wrong command need no key.
    from histfs.keys import process_key  # noqa: PLC0415
    from histfs.sources.elevenlabs.service import KEY as ELEVENLABS_KEY  # noqa: PLC0415

    # Child processes, such as fusermount, inherit the environment: take the key out of it.
    process_key(ELEVENLABS_KEY)
