"""Sources of an option's value: command line, environment, profile, top of the file, default.

The first of them that has a value wins. A setting is an option that may also be set by a variable
and in the configuration file. All commands share that file: a command ignores the settings that it
has no option for.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from histfs.cli import import_commands
from histfs.config import ConfigLayer, read_config

Command = TypeVar("Command", bound=Callable[..., Any])
Built = TypeVar("Built")
#: The values of a command's options, parsed by click, by parameter name.
Given = Mapping[str, Any]

#: The names of the settings that are declared so far.
_configurable = {"options"}
#: Keys of a context's `meta`: the values of `CONFIG_OPTIONS`, and the arguments.
_CONFIG_VALUES, _ARGUMENTS = f"{__name__}.config", f"{__name__}.arguments"


def setting(flag: str, **attributes: Any) -> Callable[[Command], Command]:  # noqa: ANN401
    """Declare an option that may also be set by a variable and in the configuration file."""
    name = flag.removeprefix("--").replace("-", "_")
    _configurable.add(name)
    return click.option(flag, envvar=f"HISTFS_{name.upper()}", show_envvar=True, **attributes)


def _load_config(context: click.Context, option: click.Parameter, value: Path | str | None) -> None:
    """Read the configuration file into the context's `default_map`, and its layer into `obj`.

    click calls this for ``--config`` and for ``--profile``, in the order of the command line; the
    second call has both values.
    """
    values = context.meta.setdefault(_CONFIG_VALUES, {})
    values[option.name] = value
    if values.keys() == {"config", "profile"}:
        del context.meta[_CONFIG_VALUES]
        config = read_config(values["config"], _SettingNames())
        context.obj = config.for_profile(values["profile"])
        context.default_map = context.obj.values


class _SettingNames(Container[str]):
    """The names that are allowed in the configuration file."""

    def __contains__(self, name: object) -> bool:
        if name not in _configurable:
            # Commands are imported when they are run: it may be a setting of another one.
            import_commands()
        return name in _configurable


#: The options of every command that has settings.
CONFIG_OPTIONS = [
    click.option(
        "--profile",
        envvar="HISTFS_PROFILE",
        show_envvar=True,
        metavar="NAME",
        is_eager=True,
        expose_value=False,
        callback=_load_config,
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
        callback=_load_config,
        show_default="~/.config/histfs/config.toml",
        help="A TOML file with these settings.",
    ),
]


class Repeatable(click.Command):
    """A command whose arguments `map_profiles` can parse again."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep a copy of the arguments: click consumes the list."""
        ctx.meta[_ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)


def map_profiles(names: Iterable[str], build: Callable[[str, Given], Built]) -> list[Built]:
    """Parse the arguments of the running `Repeatable` command again with each profile.

    Args:
        names: the names of the profiles.
        build: called with each name and the options' values, in their context.

    Returns:
        The results of `build`.
    """
    outer = click.get_current_context()
    arguments = outer.meta[_ARGUMENTS]  # contexts share `meta`: each parse replaces this
    built = []
    for name in names:
        repeated = ["--profile", name, *arguments]
        with outer.command.make_context(outer.info_name, repeated, outer.parent) as context:
            built.append(build(name, context.params))
    return built


def config_layer() -> ConfigLayer:
    """Return what the configuration file says to the running command."""
    found = click.get_current_context().obj
    assert isinstance(found, ConfigLayer), "a command with settings has CONFIG_OPTIONS"
    return found


#: The rank of an option that has its default.
DEFAULT_RANK = 4


def rank(name: str) -> int:
    """Return the rank of the source that an option's value comes from; 0, a flag, wins."""
    source = click.get_current_context().get_parameter_source(name)
    if source is ParameterSource.COMMANDLINE:
        return 0
    if source is ParameterSource.ENVIRONMENT:
        return 1
    if source is ParameterSource.DEFAULT_MAP:
        return 2 if name in config_layer().own else 3
    return DEFAULT_RANK


def is_from_file(name: str) -> bool:
    """Return whether an option's value comes from the configuration file."""
    return rank(name) in (2, 3)


def is_given(name: str) -> bool:
    """Return whether an option has another value than its default."""
    return rank(name) < DEFAULT_RANK
