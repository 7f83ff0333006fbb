"""``histfs help`` and ``histfs version``, for those who expect commands of these names."""

from __future__ import annotations

import click

from histfs import __version__


@click.command("help")
@click.argument("names", nargs=-1, metavar="[COMMAND]…")
@click.pass_context
def help_(context: click.Context, names: tuple[str, ...]) -> None:
    """Print the help of a command, as ``histfs COMMAND --help`` does."""
    above = context.find_root()
    for name in names:
        group = above.command
        command = group.get_command(above, name) if isinstance(group, click.Group) else None
        if command is None:
            raise click.UsageError(f"No such command {name!r}.", above)
        above = click.Context(command, above, name, **command.context_settings)
    click.echo(above.get_help())


@click.command()
def version() -> None:
    """Print the version, as ``histfs --version`` does."""
    click.echo(f"histfs {__version__}")
