"""Options that several commands have: those that tell about the account and the cache.

A setting is an option that may also stand in the environment and in the configuration file. That
file is for all commands: one that doesn't have a setting passes over it.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from histfs.cli.exits import reported
from histfs.core.secret import Secret
from histfs.keys import find_key
from histfs.settings import (
    DEFAULT_BASE_URL,
    Settings,
    default_cache_dir,
    default_trash,
    parse_base_url,
    parse_duration,
    parse_size,
    read_config,
)

Command = TypeVar("Command", bound=Callable[..., Any])

#: What may stand in the configuration file.
_configurable = {"options"}


def setting(flag: str, **attributes: Any) -> Callable[[Command], Command]:  # noqa: ANN401
    """Declare an option that may also stand in the environment and the configuration file."""
    name = flag.removeprefix("--").replace("-", "_")
    _configurable.add(name)
    return click.option(flag, envvar=f"HISTFS_{name.upper()}", show_envvar=True, **attributes)


class MaybeEmpty(click.Option):
    """An option that an empty environment variable sets; click takes that for none."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Return what the variable holds, None when it isn't there."""
        return os.environ.get(str(self.envvar))


class Seconds(click.FloatRange):
    """A number of seconds; click takes nan and inf for some."""

    def convert(
        self,
        value: Any,  # noqa: ANN401 - what click gives
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        """Return the number; fail for anything else."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a number of seconds.", param, ctx)
        return number


def _use_config(context: click.Context, option: click.Parameter, value: Path | None) -> None:
    """Put the configuration file's values below flags and environment."""
    with reported():
        context.default_map = read_config(value, _configurable)


_CACHE = [
    setting(
        "--base-url",
        default=DEFAULT_BASE_URL,
        metavar="URL",
        help="The API's address; data residency has others.",
    ),
    setting(
        "--insecure-http",
        is_flag=True,
        help="Let the key go to another machine over http, for all on the way to read.",
    ),
    setting(
        "--api-key-file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="A file that holds the API key; else $ELEVENLABS_API_KEY is used.",
    ),
    setting(
        "--api-key-command",
        metavar="CMD",
        help="A command that prints the API key, such as 'pass show elevenlabs'.",
    ),
    setting(
        "--cache-dir",
        type=click.Path(path_type=Path, file_okay=False),
        default=default_cache_dir,
        metavar="DIR",
        show_default="~/.cache/histfs",
        help="Where the catalog and the audio are kept.",
    ),
]
_ACCOUNT = [
    *_CACHE,
    setting(
        "--audio-cache-size",
        default="2G",
        metavar="SIZE",
        help="How much audio is kept on this machine.",
    ),
    setting(
        "--connections",
        type=click.IntRange(1, 64),
        default=8,
        metavar="N",
        help="Downloads at once.",
    ),
    setting(
        "--rescan",
        default="24h",
        metavar="TIME",
        help="How long before what is known is asked for again; 0 for never.",
    ),
    setting(
        "--timeout",
        type=Seconds(1),
        default=30.0,
        metavar="SECONDS",
        help="When any call on the mount, and any request, ends at the latest.",
    ),
]
_TREE = [
    setting(
        "--listing-ttl",
        type=Seconds(0),
        default=30.0,
        metavar="SECONDS",
        help="How long a listing is taken for fresh.",
    ),
    setting(
        "--timezone",
        metavar="ZONE",
        show_default="the machine's",
        help="The zone in which days begin, such as Europe/Berlin.",
    ),
    *_ACCOUNT,
]
trash_option = setting(
    "--trash",
    type=click.Path(path_type=Path, file_okay=False),
    default=default_trash,
    metavar="DIR",
    show_default="~/.local/share/histfs/trash",
    help="Where copies of deleted items are kept.",
)
no_trash_option = setting(
    "--no-trash",
    is_flag=True,
    help="Delete without keeping a copy.",
)
read_only_option = setting(
    "--read-only",
    is_flag=True,
    help="Delete nothing; the same as -o ro.",
)
_CONFIG = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="HISTFS_CONFIG",
    show_envvar=True,
    metavar="FILE",
    is_eager=True,
    expose_value=False,
    callback=_use_config,
    show_default="~/.config/histfs/config.toml",
    help="A TOML file with these settings.",
)


def account_options(command: Command) -> Command:
    """Give a command the options that tell about the account and the cache."""
    return _with([*_ACCOUNT, _CONFIG], command)


def tree_options(command: Command) -> Command:
    """Give a command those, and what tells how names are made and how fresh they are."""
    return _with([*_TREE, _CONFIG], command)


def trash_options(command: Command) -> Command:
    """Give a command the option that tells which trash it is."""
    return _with([trash_option, _CONFIG], command)


def cache_options(command: Command) -> Command:
    """Give a command those of them that tell which cache it is."""
    return _with([*_CACHE, _CONFIG], command)


def _with(options: Sequence[Callable[[Command], Command]], command: Command) -> Command:
    return functools.reduce(lambda made, option: option(made), reversed(options), command)


def account_settings(given: Mapping[str, Any], key: Secret | None = None) -> Settings:
    """Return the settings that `account_options` gave; any other has its default.

    Args:
        given: click's options.
        key: the API key; None to find it where the user put it.

    Raises:
        SettingsError: one of them can't be used, or there is no key.
    """
    return replace(
        cache_settings(given, key),
        rescan=parse_duration(given["rescan"]),
        audio_cache_size=parse_size(given["audio_cache_size"]),
        connections=given["connections"],
        timeout=given["timeout"],
    )


def tree_settings(given: Mapping[str, Any], key: Secret | None = None) -> Settings:
    """Return the settings that `tree_options` gave; any other has its default.

    Args and Raises:
        As `account_settings`.
    """
    return replace(
        account_settings(given, key),
        listing_ttl=given["listing_ttl"],
        timezone=given["timezone"],
    )


def cache_settings(given: Mapping[str, Any], key: Secret | None = None) -> Settings:
    """Return the settings that `cache_options` gave; any other has its default.

    Args and Raises:
        As `account_settings`.
    """
    return Settings(
        base_url=parse_base_url(given["base_url"], given["insecure_http"]),
        key=key_of(given) if key is None else key,
        cache_dir=given["cache_dir"].absolute(),
    )


def key_of(given: Mapping[str, Any]) -> Secret:
    """Return the API key that `cache_options` gave, or that is where it is without them.

    Raises:
        SettingsError: there is none, or it can't be used.
    """
    context = click.get_current_context()
    file, command = given["api_key_file"], given["api_key_command"]
    both = file is not None and command is not None
    if both and _rank(context, "api_key_command") < _rank(context, "api_key_file"):
        file = None
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    # The variable was taken out of the environment when the program began.
    variable = context.find_root().obj
    return find_key(file, command, Path(credentials) if credentials else None, variable)


def _rank(context: click.Context, name: str) -> int:
    """Return a number for where an option was given: a lower one counts more."""
    sources = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
    source = context.get_parameter_source(name)
    return sources.index(source) if source in sources else len(sources)
