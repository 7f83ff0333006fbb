"""Where an option comes from: the command line, the environment, a profile, the top of the file.

What is given nearer by counts more, in this order. A setting is an option that may also stand in
the environment and in the configuration file. That file is for all commands: one that doesn't have
a setting passes over it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from histfs.config import Layer, read_config

Command = TypeVar("Command", bound=Callable[..., Any])
Made = TypeVar("Made")
Given = Mapping[str, Any]

#: What may stand in the configuration file.
_configurable = {"options"}
#: Where a context keeps what it was told of the file and the profile, and its arguments.
_TOLD, _ARGUMENTS = f"{__name__}.told", f"{__name__}.arguments"


def setting(flag: str, **attributes: Any) -> Callable[[Command], Command]:  # noqa: ANN401
    """Declare an option that may also stand in the environment and the configuration file."""
    name = flag.removeprefix("--").replace("-", "_")
    _configurable.add(name)
    return click.option(flag, envvar=f"HISTFS_{name.upper()}", show_envvar=True, **attributes)


def _use_file(context: click.Context, option: click.Parameter, value: Path | str | None) -> None:
    """Put the configuration file's values below flags and environment.

    Called for the file and for the profile, in the order in which they were given.
    """
    told = context.meta.setdefault(_TOLD, {})
    told[option.name] = value
    if told.keys() == {"config", "profile"}:
        del context.meta[_TOLD]
        context.obj = read_config(told["config"], _configurable).layer(told["profile"])
        context.default_map = context.obj.values


#: The options of a command that has settings.
FROM_FILE = [
    click.option(
        "--profile",
        envvar="HISTFS_PROFILE",
        show_envvar=True,
        metavar="NAME",
        is_eager=True,
        expose_value=False,
        callback=_use_file,
        help="Use the settings of [profiles.NAME] in the configuration file.",
    ),
    click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar="HISTFS_CONFIG",
        show_envvar=True,
        metavar="FILE",
        is_eager=True,
        expose_value=False,
        callback=_use_file,
        show_default="~/.config/histfs/config.toml",
        help="A TOML file with these settings.",
    ),
]


class Repeatable(click.Command):
    """A command that `for_profiles` can tell the same again for each of several profiles."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Remember the arguments, which click takes to pieces."""
        ctx.meta[_ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)


def for_profiles(names: Iterable[str], make: Callable[[str, Given], Made]) -> list[Made]:
    """Tell a `Repeatable` command the same again with each of several profiles.

    Args:
        names: of the profiles.
        make: called with each, and with what click's options are then; what it gives is returned.
    """
    outer = click.get_current_context()
    arguments = outer.meta[_ARGUMENTS]
    made = []
    for name in names:
        told = ["--profile", name, *arguments]
        with outer.command.make_context(outer.info_name, told, outer.parent) as context:
            made.append(make(name, context.params))
    return made


def layer() -> Layer:
    """Return what the configuration file says to the command that runs."""
    found = click.get_current_context().obj
    assert isinstance(found, Layer), "a command with settings has the options of FROM_FILE"
    return found


def rank(name: str) -> int:
    """Return how near by an option was given: 0 for a flag, more for what counts less."""
    source = click.get_current_context().get_parameter_source(name)
    if source is ParameterSource.COMMANDLINE:
        return 0
    if source is ParameterSource.ENVIRONMENT:
        return 1
    if source is ParameterSource.DEFAULT_MAP:
        return 2 if name in layer().own else 3
    return 4


def in_file(name: str) -> bool:
    """Say whether an option comes from the configuration file."""
    return click.get_current_context().get_parameter_source(name) is ParameterSource.DEFAULT_MAP


def given_at_all(name: str) -> bool:
    """Say whether an option was given anywhere."""
    return rank(name) < 4
