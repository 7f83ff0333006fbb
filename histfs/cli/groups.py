"""Groups of commands below one of `histfs.cli.COMMANDS`."""

from __future__ import annotations

import click


class ListingGroup(click.Group):
    """A group whose help has the whole first sentence of each command; click would cut it."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands."""
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        rows = [
            (name, command.get_short_help_str(limit=1000))
            for name, command in commands.items()
            if command is not None
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
