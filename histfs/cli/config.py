"""``histfs config``: the settings, where each comes from, and the file that holds them."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
from click.core import ParameterSource

from histfs.cli import COMMANDS
from histfs.cli.account_options import key_of
from histfs.cli.command_group import histfs
from histfs.cli.config_sources import (
    CONFIG_OPTIONS,
    Given,
    Setting,
    config_file,
    config_layer,
    given_text,
    known_settings,
)
from histfs.cli.error_reporting import Refused
from histfs.cli.groups import ListingGroup
from histfs.cli.options import service_of
from histfs.config import config_path, read_config
from histfs.core.errors import HistfsError
from histfs.core.terminal_text import shown

_EDITORS = ("editor", "nano", "vi")
#: What a new file has in it.
_TEMPLATE = """\
# Settings of histfs, one a line: those of `histfs config show`, by the same names.
# They are explained in histfs(1). The key does not belong here: run `histfs login`.

# read-only = true
# audio-cache-size = "20G"
# timezone = "Europe/Berlin"

# Settings of a second account, for `histfs mount --profile work`:
# [profiles.work]
# region = "eu"
"""

_config_option = click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="HISTFS_CONFIG",
    show_envvar=True,
    metavar="FILE",
    show_default="~/.config/histfs/config.toml",
    help="Another file.",
)


@click.group(cls=ListingGroup)
def config() -> None:
    """Show the settings, and edit the file that holds them."""


class _WithEverySetting(click.Command):
    """A command with the settings of all commands."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return its own parameters, and each setting once."""
        own = super().get_params(ctx)
        return [*own, *_settings().values()]


class _Row(NamedTuple):
    """A setting as it is shown.

    Attributes:
        name: as in the file.
        value: as a user would write it; None where it has none.
        origin: where it comes from.
    """

    name: str
    value: str | None
    origin: str


@config.command(cls=_WithEverySetting)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, an object a line.")
def show(as_json: bool, **given: Any) -> None:  # noqa: ANN401 - click's options
    """Show each setting, its value, and where that comes from.

    Keys are not shown, only where the key is. The options of other commands may be given to see
    what they would change.
    """
    context = click.get_current_context()
    rows = [_row(context, name, each) for name, each in sorted(_settings().items())]
    rows = [_key_row(given), *rows]
    if as_json:
        for row in rows:
            click.echo(json.dumps({"name": row.name, "value": row.value, "from": row.origin}))
        return
    path = config_file().path
    click.echo(
        shown(f"{path}{'' if path.exists() else ' (not there: histfs config edit makes it)'}")
    )
    width = max(len(row.name) for row in rows)
    column = min(32, max(len(row.value or "-") for row in rows))
    for row in rows:
        click.echo(shown(f"{row.name:{width}}  {row.value or '-':{column}}  {row.origin}"))
    for line in _more():
        click.echo(shown(line))


for _option in reversed(CONFIG_OPTIONS):
    show = _option(show)


@config.command()
@_config_option
def path(file: Path | None) -> None:
    """Print the path of the file, which need not be there."""
    click.echo((file or config_path()).absolute())


@config.command()
@_config_option
def edit(file: Path | None) -> None:
    """Open the file in $VISUAL or $EDITOR, and check it afterwards.

    A file that isn't there is made, with a few settings as comments.
    """
    chosen = (file or config_path()).absolute()
    if not chosen.exists():
        _make(chosen)
    _run_editor(chosen)
    profiles = read_config(chosen, known_settings()).profiles
    # The values are checked by a command that has all settings.
    for arguments in ([], *(["--profile", name] for name in profiles)):
        with show.make_context("show", ["--config", str(chosen), *arguments]):
            pass
    click.echo(shown(f"{chosen} can be used."))


def _settings() -> dict[str, click.Option]:
    """Return the settings of all commands, each once, by name."""
    found: dict[str, click.Option] = {}
    context = click.get_current_context()
    for name in COMMANDS:
        for command in _leaves(histfs.get_command(context, name)):
            for option in command.params:
                if isinstance(option, Setting):
                    found.setdefault(str(option.name), option)
    return found


def _leaves(command: click.Command | None) -> Iterator[click.Command]:
    """Yield the commands of a group, or the command itself."""
    if isinstance(command, click.Group):
        yield from command.commands.values()
    elif command is not None:
        yield command


def _row(context: click.Context, name: str, option: click.Option) -> _Row:
    source, text = context.get_parameter_source(name), given_text(name)
    if source is ParameterSource.COMMANDLINE:
        origin = "the command line"
    elif source is ParameterSource.ENVIRONMENT:
        origin = f"the variable {option.envvar}"
    elif source is ParameterSource.DEFAULT_MAP:
        origin = config_layer().places.get(name, str(config_file().path))
    else:
        origin = "default"
        if isinstance(option.show_default, str):
            text = option.show_default
    return _Row(name.replace("_", "-"), _to_text(name, text), origin)


def _to_text(name: str, value: object) -> str | None:
    """Return a value as a user would write it, without what may be a key or a password."""
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value)) or None
    if isinstance(value, bool):
        return "true" if value else "false"
    text = "" if value is None or not isinstance(value, (str, int, float, Path)) else str(value)
    if name == "api_key_command" and text:
        command, _, arguments = text.partition(" ")
        return f"{command} …" if arguments else command
    if name == "base_url" and "@" in text:
        return "***"
    return text or None


def _key_row(given: Given) -> _Row:
    """Return where the key comes from; the key itself is not shown."""
    try:
        return _Row("(key)", None, key_of(given, service_of(given)).origin)
    except HistfsError as error:
        return _Row("(key)", None, str(error))


def _more() -> Iterator[str]:
    """Yield lines about what is in the file beside settings."""
    for name, options in config_layer().sources.items():
        names = ", ".join(options) or "nothing"
        yield f"[sources.{name}] has {names}."
    profiles = ", ".join(config_file().profiles)
    if profiles and not config_layer().profile:
        yield f"Profiles: {profiles} (histfs config show --profile NAME)."


def _make(path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(_TEMPLATE, encoding="utf-8")
    except OSError as error:
        raise Refused(f"{path} can't be made: {error.strerror}") from error


def _run_editor(path: Path) -> None:
    """Run the user's editor.

    Raises:
        Refused: there is none, or it fails.
    """
    chosen = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not chosen and not sys.stdin.isatty():
        raise Refused(f"there is no terminal to edit on: edit {path} yourself, or set EDITOR")
    commands = [shlex.split(chosen)] if chosen else [[name] for name in _EDITORS]
    for command in commands:
        try:
            done = subprocess.run([*command, str(path)], check=False)  # noqa: S603 - the user's own
        except FileNotFoundError:
            continue
        except OSError as error:
            raise Refused(f"{command[0]} can't be run: {error.strerror}") from error
        if done.returncode:
            raise Refused(f"{command[0]} ended with status {done.returncode}")
        return
    raise Refused(f"there is no editor: set EDITOR, or edit {path} yourself")
