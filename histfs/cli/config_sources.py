"""Sources of an option's value: command line, environment, profile, top of the file, default.

The first of them that has a value wins. A setting is an option that may also be set by a variable
and in the configuration file. All commands share that file: a command ignores the settings that it
has no option for.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from histfs.cli.command_group import import_commands
from histfs.config import Config, ConfigLayer, read_config
from histfs.core.errors import HistfsError
from histfs.settings import OptionError, SettingsError

Command = TypeVar("Command", bound=Callable[..., Any])
Built = TypeVar("Built")
#: The values of a command's options, parsed by click, by parameter name.
Given = Mapping[str, Any]

#: The names of the settings that are declared so far.
_configurable = {"options"}
#: Keys of a context's `meta`: the values of `CONFIG_OPTIONS`, the file, the arguments, and the
#: settings before they were converted.
_CONFIG_VALUES, _CONFIG = f"{__name__}.config", f"{__name__}.file"
_ARGUMENTS, _TEXTS = f"{__name__}.arguments", f"{__name__}.texts"


class Setting(click.Option):
    """An option that may also be set by a variable and in the configuration file.

    A value that can't be used is reported with the place where it was set.
    """

    def process_value(self, ctx: click.Context, value: Any) -> Any:  # noqa: ANN401 - click's own
        """Convert a value.

        Raises:
            SettingsError: the value of the configuration file can't be used.
            OptionError: that of the variable or the command line can't.
            click.BadParameter: likewise.
        """
        name = str(self.name)
        ctx.meta.setdefault(_TEXTS, {})[name] = value
        source = ctx.get_parameter_source(name)
        try:
            if source is ParameterSource.DEFAULT_MAP and isinstance(self.type, click.Path):
                value = _absolute(value)
            return super().process_value(ctx, value)
        except (click.BadParameter, OptionError) as error:
            message = error.message if isinstance(error, click.BadParameter) else str(error)
            if source is ParameterSource.DEFAULT_MAP:
                raise _misplaced(ctx, name, message) from error
            if source is ParameterSource.ENVIRONMENT:
                raise OptionError(f"{self.envvar}: {message}") from error
            if isinstance(error, OptionError) and not message.startswith("-"):
                raise OptionError(f"{self.opts[0]}: {message}") from error
            raise


def _misplaced(context: click.Context, name: str, message: str) -> SettingsError:
    """Return the error of a value of the configuration file."""
    place = context.obj.places.get(name, "the configuration file")
    return SettingsError(f"{place}: {name.replace('_', '-')}: {message}")


@contextlib.contextmanager
def placed(name: str) -> Iterator[None]:
    """Report an error about the value of a setting with its place in the configuration file.

    Args:
        name: the setting; if its value is not from the file an error passes as it is.

    Raises:
        SettingsError: the block raised an error, and the value is from the file.
    """
    try:
        yield
    except HistfsError as error:
        if not is_from_file(name):
            raise
        raise _misplaced(click.get_current_context(), name, str(error)) from error


def _absolute(text: str) -> str:
    """Return a path of the configuration file, which is read from any working directory.

    Raises:
        OptionError: the path is relative.
    """
    path = os.path.expanduser(text)  # noqa: PTH111 - `Path` raises where there is no home
    if not os.path.isabs(path):  # noqa: PTH117
        raise OptionError(f"{text!r} is a relative path: begin it with / or ~/")
    return path


def setting(flag: str, **attributes: Any) -> Callable[[Command], Command]:  # noqa: ANN401
    """Declare an option that may also be set by a variable and in the configuration file."""
    name = flag.removeprefix("--").replace("-", "_")
    _configurable.add(name)
    variable = f"HISTFS_{name.upper()}"
    attributes = {"cls": Setting, **attributes}
    return click.option(flag, envvar=variable, show_envvar=True, **attributes)


def _load_config(context: click.Context, option: click.Parameter, value: Path | str | None) -> None:
    """Read the configuration file into the context's `default_map`, and its layer into `obj`.

    click calls this for ``--config`` and for ``--profile``, in the order of the command line; the
    second call has both values.
    """
    values = context.meta.setdefault(_CONFIG_VALUES, {})
    values[option.name] = value
    if values.keys() == {"config", "profile"}:
        del context.meta[_CONFIG_VALUES]
        config = read_config(values["config"], known_settings())
        context.meta[_CONFIG] = config
        context.obj = config.for_profile(values["profile"])
        context.default_map = context.obj.values


def known_settings() -> Collection[str]:
    """Return the names that are allowed in the configuration file."""
    return _SettingNames()


class _SettingNames(Collection[str]):
    """The names that are allowed in the configuration file."""

    def __iter__(self) -> Iterator[str]:
        import_commands()
        return iter(sorted(_configurable))

    def __len__(self) -> int:
        return len(_configurable)

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


def config_file() -> Config:
    """Return the configuration file that the running command has read."""
    found = click.get_current_context().meta[_CONFIG]
    assert isinstance(found, Config)
    return found


def given_text(name: str) -> Any:  # noqa: ANN401 - as click has it
    """Return the value of a setting before it was converted."""
    return click.get_current_context().meta[_TEXTS].get(name)


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
