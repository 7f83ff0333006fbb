"""The settings of an account for a program that uses histfs as a library, without the command line.

The options are those of `histfs ls`, and their values have the same sources and the same ranks: the
caller, the environment, the profile, the top of the configuration file, the default. Only the
parser differs: the command line uses click, which takes longer to import than a small program runs.
``tests/test_account_settings.py`` holds both to the same options, defaults and results.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from histfs import key_store, plugins
from histfs.config import ConfigLayer, read_config
from histfs.core.errors import HistfsError
from histfs.core.secret import Secret
from histfs.core.service import Service
from histfs.keys import process_key
from histfs.mounting.account_zone import require_known
from histfs.settings import (
    DEFAULT_PROFILE,
    OFFICIAL_BASE_URL,
    OptionError,
    Settings,
    SettingsError,
    default_cache_dir,
    default_trash,
    parse_base_url,
    parse_duration,
    parse_mount_options,
    parse_names,
    parse_size,
    parse_size_limit,
)
from histfs.sources.elevenlabs.service import ELEVENLABS, REGIONS

_CALLER, _ENVIRONMENT, _PROFILE, _TOP, _DEFAULT = range(5)
_TRUE, _FALSE = {"1", "true", "t", "yes", "y", "on"}, {"0", "false", "f", "no", "n", "off"}


def _flag(text: str) -> bool:
    value = text.strip().lower()
    if value not in _TRUE | _FALSE:
        raise OptionError(f"{text!r} is neither true nor false")
    return value in _TRUE


def _seconds(least: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            number = parse_duration(text)
        except OptionError:
            number = math.nan
        if not math.isfinite(number) or number < least:
            raise OptionError(f"{text!r} is not a number of seconds from {least:g} on")
        return number

    return parse


def _connections(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if not 1 <= number <= 64:
        raise OptionError(f"{text!r} is not a number from 1 to 64")
    return number


def _region(text: str) -> str:
    if text.lower() not in REGIONS:
        raise OptionError(f"{text!r} is no region: choose of {', '.join(REGIONS)}")
    return text.lower()


def _names(name: str) -> Callable[[str], tuple[str, ...]]:
    return lambda text: parse_names(f"--{name}", text)


#: The options: how the text of each is parsed, and its default.
OPTIONS: Mapping[str, tuple[Callable[[str], Any], Callable[[], Any]]] = {
    "base_url": (str, lambda: ELEVENLABS.base_url),
    "region": (_region, lambda: None),
    "insecure_http": (_flag, lambda: False),
    "sources": (_names("sources"), lambda: None),
    "api_key_file": (Path, lambda: None),
    "api_key_command": (str, lambda: None),
    "cache_dir": (Path, default_cache_dir),
    "audio_cache_size": (parse_size, lambda: parse_size("2G")),
    "max_clip_size": (parse_size_limit, lambda: parse_size("4G")),
    "connections": (_connections, lambda: 8),
    "rescan": (parse_duration, lambda: parse_duration("24h")),
    "timeout": (_seconds(1), lambda: 30.0),
    "options": (lambda text: parse_mount_options([text]), lambda: parse_mount_options([])),
    "views": (_names("views"), lambda: None),
    "files": (_names("files"), lambda: None),
    "listing_ttl": (_seconds(0), lambda: 30.0),
    "timezone": (str, lambda: None),
    "trash": (Path, default_trash),
    "no_trash": (_flag, lambda: False),
    "read_only": (_flag, lambda: False),
}
#: Settings of the configuration file that only commands have.
COMMANDS_ONLY = frozenset({"sizes", "player", "crawlers", "programs"})
#: The options that choose the configuration and the profile in it.
_CONFIG = ("config", "profile")
#: The fields of `Settings` whose values are those of the options with the same names.
_FIELDS = (
    "listing_ttl", "rescan", "audio_cache_size", "max_clip_size", "connections", "timezone",
    "timeout",
)  # fmt: skip
_CHOICES = {"sources": plugins.SOURCES, "views": plugins.VIEWS, "files": plugins.FILES}


def settings_of(api_key: str | None, options: Mapping[str, Any]) -> Settings:
    """Return the settings that options stand for.

    Args:
        api_key: the API key; None to find it as a command does. The environment keeps its variable.
        options: values by the names of the options, with underscores.

    Raises:
        HistfsError: one of them can't be used, or there is no key.
        TypeError: there is no such option.
    """
    for name in options:
        if name not in OPTIONS and name not in _CONFIG:
            raise TypeError(f"histfs.open() has no option {name!r}")
    config, profile = (options.get(n) or os.environ.get(f"HISTFS_{n.upper()}") for n in _CONFIG)
    known = OPTIONS.keys() | COMMANDS_ONLY
    layer = read_config(Path(config) if config else None, known).for_profile(profile or None)
    values = _Values({name: _value(name, options, layer) for name in OPTIONS})
    service = plugins.primary_service(plugins.sources(values.chosen("sources")))
    mount_options = values["options"]
    read_only = mount_options.read_only or values["read_only"]
    no_trash = read_only or (values["no_trash"] and values.rank("no_trash") <= values.rank("trash"))
    settings = Settings(
        base_url=_base_url(values, service, layer),
        key=Secret(api_key, "histfs.open()")
        if api_key is not None
        else _key(values, service, layer.profile),
        cache_dir=values["cache_dir"].absolute(),
        service=service,
        profile=layer.profile or DEFAULT_PROFILE,
        source_options=layer.sources,
        trash=None if no_trash else values["trash"].absolute(),
        options=replace(mount_options, read_only=read_only),
        sources=values.chosen("sources"),
        views=values.chosen("views"),
        files=values.chosen("files"),
        **{name: values[name] for name in _FIELDS},
    )
    plugins.choose(plugins.SOURCES, settings.source_options)
    for name, kind in _CHOICES.items():
        plugins.choose(kind, getattr(settings, name) or ())
    if settings.timezone is not None:
        require_known(settings.timezone)
    return settings


@dataclass(frozen=True, slots=True)
class _Values:
    """The values of the options, each with the rank of its source; 0, the caller, wins."""

    ranked: Mapping[str, tuple[Any, int]]

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - of any option
        return self.ranked[name][0]

    def rank(self, name: str) -> int:
        """Return the rank of an option's source."""
        return self.ranked[name][1]

    def chosen(self, name: str) -> tuple[str, ...] | None:
        """Return the names that an option, or the mount option of its name, chose."""
        names: tuple[str, ...] | None = getattr(self["options"], name)
        if names is None or self.rank("options") > self.rank(name):
            names = self[name]
        return names


def _value(name: str, options: Mapping[str, Any], layer: ConfigLayer) -> tuple[Any, int]:
    """Return the value of an option, and the rank of its source.

    Raises:
        OptionError: the value can't be used.
        SettingsError: likewise, and it is from the configuration file.
    """
    parse, default = OPTIONS[name]
    given, rank, where = options.get(name), _CALLER, name.replace("_", "-")
    if given is None and name != "options":
        variable = f"HISTFS_{name.upper()}"
        given, rank, where = os.environ.get(variable) or None, _ENVIRONMENT, variable
    if given is None and name in layer.values:
        given, rank = layer.values[name], _PROFILE if name in layer.own else _TOP
    if given is None:
        return default(), _DEFAULT
    try:
        text = _text(name, given)
        if rank in (_PROFILE, _TOP) and parse is Path:
            text = _absolute(text)
        return parse(text), rank
    except OptionError as error:
        if rank in (_PROFILE, _TOP):
            raise _misplaced(name, layer, error) from error
        raise OptionError(f"{where}: {error}") from error


def _misplaced(name: str, layer: ConfigLayer, error: HistfsError) -> SettingsError:
    """Return the error of a value of the configuration file."""
    place = layer.places.get(name, "the configuration file")
    return SettingsError(f"{place}: {name.replace('_', '-')}: {error}")


def _absolute(text: str) -> str:
    """Return a path of the configuration file, which is read from any working directory."""
    path = os.path.expanduser(text)  # noqa: PTH111 - `Path` raises where there is no home
    if not os.path.isabs(path):  # noqa: PTH117
        raise OptionError(f"{text!r} is a relative path: begin it with / or ~/")
    return path


def _text(name: str, given: Any) -> str:  # noqa: ANN401 - a value of any type
    """Return a value as the text that the command line would have."""
    if isinstance(given, Sequence) and not isinstance(given, str):
        return ("," if name == "options" else "+").join(map(str, given))
    return os.fspath(given) if isinstance(given, os.PathLike) else str(given)


def _base_url(values: _Values, service: Service, layer: ConfigLayer) -> str:
    """Return the base URL: of an address and a region the one whose source has the lower rank."""
    url, region = values.rank("base_url"), values.rank("region")
    if url == region != _DEFAULT:
        where = f" of the profile {layer.profile}" if url == _PROFILE else ""
        kind = SettingsError if url in (_PROFILE, _TOP) else OptionError
        raise kind(f"base-url and region{where} exclude each other: give one of them")
    if region < url:
        if values["region"] not in service.regions:
            raise OptionError(f"{service.name} has no region {values['region']!r}")
        return service.regions[values["region"]]
    if url == _DEFAULT and service is not ELEVENLABS:
        return service.base_url
    # That of the official command line counts less than the configuration file.
    official = os.environ.get(OFFICIAL_BASE_URL) if url == _DEFAULT else None
    try:
        return parse_base_url(official or values["base_url"], values["insecure_http"])
    except OptionError as error:
        if url in (_PROFILE, _TOP):
            raise _misplaced("base_url", layer, error) from error
        raise


def _key(values: _Values, service: Service, profile: str) -> Secret:
    """Return the API key: of a file, a command, systemd's credentials, the variable or a login.

    A key that ``histfs login`` keeps for a profile counts more than the variable.
    """
    if service.credential is None:
        return Secret("", "nowhere: none is needed")
    file, command = values["api_key_file"], values["api_key_command"]
    if command is not None and values.rank("api_key_command") < values.rank("api_key_file"):
        file = None
    credential = service.credential
    # The process's own environment stays as it is.
    variable = process_key(credential, dict(os.environ))
    return key_store.account_key(credential, profile, file, command, variable)
