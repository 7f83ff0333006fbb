"""The configuration file: settings, tables of options for sources, and profiles.

    views = "by-date+by-voice"          any setting, with dashes or underscores
    [sources.NAME]                      the options of a source
    [profiles.NAME]                     overrides the top of the file, setting by setting
    [profiles.NAME.sources.NAME]        likewise

TOML doesn't allow ``sources = …`` beside ``[sources.NAME]``: there it is called ``sources.use``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs

from histfs.core.bounded_input import InputFailed, opened, read_all
from histfs.core.file_trust import (
    distrust_directory,
    distrust_links,
    distrust_owner,
    distrust_writers,
)
from histfs.core.names import PLAIN_NAME, is_plain_name
from histfs.settings import DEFAULT_PROFILE, OptionError, SettingsError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: Settings that may be a list, and the separator of the same list in one text.
_NAMES, _SEPARATOR = ("views", "files", "sources"), "+"
_OPTIONS = "options"
#: The setting that chooses the sources, and its name inside the table of their tables.
_SOURCES, _USE = "sources", "use"
_PROFILES = "profiles"
#: Maximum size of a TOML file in bytes.
_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ConfigLayer:
    """The settings of the top of the file, or of a profile over the top.

    Attributes:
        values: the settings by name, with underscores, as texts of the command line.
        sources: the options of each source, by its name.
        profile: the name of the profile; empty for the top of the file.
        own: the names of the settings that the profile itself has.
    """

    values: dict[str, Any] = field(default_factory=dict)
    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    profile: str = ""
    own: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration file.

    Attributes:
        path: the file, which may not exist.
        top: the settings for all profiles.
        profiles: the settings of each profile alone.
    """

    path: Path
    top: ConfigLayer
    profiles: Mapping[str, ConfigLayer]

    def for_profile(self, profile: str | None) -> ConfigLayer:
        """Return the settings of a profile over those of the top; for None those of the top.

        Raises:
            OptionError: the file has no such profile.
        """
        if profile is None:
            return self.top
        if profile not in self.profiles:
            known = ", ".join(self.profiles) or "none"
            raise OptionError(f"there is no profile {profile!r}: {self.path} has {known}")
        own = self.profiles[profile]
        return ConfigLayer(
            values={**self.top.values, **own.values},
            sources={
                name: {**self.top.sources.get(name, {}), **own.sources.get(name, {})}
                for name in {*self.top.sources, *own.sources}
            },
            profile=profile,
            own=frozenset(own.values),
        )


def read_config(file: Path | None, known: Container[str]) -> Config:
    """Read the configuration file (TOML).

    Args:
        file: the file; None for the user's own file, which may not exist.
        known: the names of the settings that are allowed in it, with underscores.

    Raises:
        SettingsError: the file can't be read, isn't trusted, or has an unknown setting.
    """
    path = file or platformdirs.user_config_path("histfs") / "config.toml"
    if file is None and not path.exists():
        return Config(path, ConfigLayer(), {})
    values = read_toml(path, lambda status: _check_trusted(path, status))
    tables = _tables(f"{path}: {_PROFILES}", values.pop(_PROFILES, {}))
    if DEFAULT_PROFILE in tables:
        raise SettingsError(
            f"{path}: no profile can be called {DEFAULT_PROFILE}: that is the mount without one,"
            " whose settings stand at the top"
        )
    return Config(
        path,
        top=_parse_layer(str(path), values, known),
        profiles={
            name: _parse_layer(f"{path}: {_PROFILES}.{name}", table, known)
            for name, table in tables.items()
        },
    )


def read_toml(
    path: Path, check: Callable[[os.stat_result], None] = lambda _: None
) -> dict[str, Any]:
    """Read a file of the user.

    Args:
        path: the file.
        check: takes the status of the opened file, before it is read.

    Raises:
        SettingsError: it can't be read, or is not TOML; or as `check`.
    """
    try:
        with opened(path) as fd:
            check(os.fstat(fd))
            return parse_toml(str(path), read_all(fd, max_bytes=_MAX_BYTES).decode())
    except OSError as error:
        raise SettingsError(f"{path} can't be read: {error.strerror}") from error
    except InputFailed as error:
        raise SettingsError(f"{path} can't be read: {error}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not TOML: {error}") from error


def parse_toml(where: str, text: str) -> dict[str, Any]:
    """Parse a text.

    Args:
        where: its name, for the error.
        text: of the file.

    Raises:
        SettingsError: it is not TOML.
    """
    try:
        values: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{where} is not TOML: {error}") from error
    return values


def _check_trusted(path: Path, status: os.stat_result) -> None:
    """Refuse a file that another user can change: it names a command to run and a server.

    Args:
        path: the file.
        status: of the opened file.

    Raises:
        SettingsError: the file, its directory or a link in the path belongs to another user, or
            others can write it.
    """
    refused = distrust_links(path) or distrust_owner(path, status) or distrust_writers(path, status)
    # The directory of a link, and that of its target.
    for directory in dict.fromkeys([path.parent, Path(os.path.realpath(path)).parent]):
        refused = refused or distrust_directory(directory)
    if refused:
        raise SettingsError(f"the configuration is not used: {refused}")


def _parse_layer(where: str, table: Mapping[str, Any], known: Container[str]) -> ConfigLayer:
    """Parse the top of the file, or the table of one profile.

    Args:
        where: the file and the profile, for errors.
        table: the TOML table.
        known: see `read_config`.
    """
    found = {name.replace("-", "_"): value for name, value in table.items()}
    sources: dict[str, Mapping[str, Any]] = {}
    if isinstance(found.get(_SOURCES), dict):
        tables = found.pop(_SOURCES)
        if not isinstance(tables.get(_USE, {}), dict):
            found[_SOURCES] = tables.pop(_USE)
        sources = _tables(f"{where}: {_SOURCES}", tables)
    unknown = sorted(name for name in found if name not in known)
    if unknown:
        raise SettingsError(f"{where}: {unknown[0]} is not a setting; see histfs mount --help")
    return ConfigLayer({name: _to_text(where, name, v) for name, v in found.items()}, sources)


def _tables(where: str, value: object) -> dict[str, Mapping[str, Any]]:
    """Return a table of tables; refuse anything else."""
    if not isinstance(value, dict):
        raise SettingsError(f"{where} is not a table")
    for name, table in value.items():
        # The value is not shown in the error: it may be a key.
        if not isinstance(table, dict):
            raise SettingsError(f"{where}.{name} is not a table")
        if not is_plain_name(name):
            raise SettingsError(f"{where}: {name!r} can't be a name: {PLAIN_NAME}")
    return value


def _to_text(where: str, name: str, value: object) -> str | list[str]:
    """Return a value of the file as the text, or texts, that the command line would have."""
    may_be_list = name == _OPTIONS or name in _NAMES
    values = value if may_be_list and isinstance(value, list) else [value]
    if not all(isinstance(v, (str, bool, int, float)) for v in values):
        raise SettingsError(f"{where}: {name} can't be {value!r}")
    texts = [str(v) for v in values]
    return texts if name == _OPTIONS else _SEPARATOR.join(texts)
