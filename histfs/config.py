"""The configuration file: settings, tables of options for sources, and profiles.

    views = "by-date+by-voice"          any setting, with dashes or underscores
    [sources.NAME]                      the options of a source
    [profiles.NAME]                     overrides the top of the file, setting by setting
    [profiles.NAME.sources.NAME]        likewise

TOML doesn't allow ``sources = …`` beside ``[sources.NAME]``: there it is called ``sources.use``.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Collection, Mapping
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
from histfs.core.toml_lines import key_lines
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
#: What users write for a key, which does not belong into the file.
_KEY_NAMES = ("api_key", "key", "elevenlabs_api_key", "xi_api_key")
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
        places: where each setting stands: the file, and the line if it is known.
    """

    values: dict[str, Any] = field(default_factory=dict)
    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    profile: str = ""
    own: frozenset[str] = frozenset()
    places: Mapping[str, str] = field(default_factory=dict)


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
        """Return the settings of a profile over those of the top.

        For None, and for ``default``, these are those of the top.

        Raises:
            OptionError: the file has no such profile.
        """
        if profile in (None, DEFAULT_PROFILE):
            return self.top
        if profile not in self.profiles:
            known = ", ".join(self.profiles) or "none"
            raise OptionError(
                f"there is no profile {profile!r}: {self.path} has {known}; histfs config edit adds"
                f" [profiles.{profile}]"
            )
        own = self.profiles[profile]
        return ConfigLayer(
            values={**self.top.values, **own.values},
            sources={
                name: {**self.top.sources.get(name, {}), **own.sources.get(name, {})}
                for name in {*self.top.sources, *own.sources}
            },
            profile=profile,
            own=frozenset(own.values),
            places={**self.top.places, **own.places},
        )


def config_path() -> Path:
    """Return the user's own configuration file, which may not exist."""
    return platformdirs.user_config_path("histfs") / "config.toml"


def read_config(file: Path | None, known: Collection[str]) -> Config:
    """Read the configuration file (TOML).

    Args:
        file: the file; None for the user's own file, which may not exist.
        known: the names of the settings that are allowed in it, with underscores.

    Raises:
        SettingsError: the file can't be read, isn't trusted, or has an unknown setting.
    """
    path = file or config_path()
    if file is None and not path.exists():
        return Config(path, ConfigLayer(), {})
    text = _read_text(path, lambda status: _check_trusted(path, status))
    values, lines = parse_toml(str(path), text), key_lines(text)
    tables = _tables(f"{path}: {_PROFILES}", values.pop(_PROFILES, {}))
    if DEFAULT_PROFILE in tables:
        raise SettingsError(
            f"{path}: no profile can be called {DEFAULT_PROFILE}: that is the mount without one,"
            " whose settings stand at the top"
        )
    return Config(
        path,
        top=_parse_layer(path, "", values, known, lines),
        profiles={
            name: _parse_layer(path, name, table, known, lines) for name, table in tables.items()
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
    return parse_toml(str(path), _read_text(path, check))


def _read_text(path: Path, check: Callable[[os.stat_result], None]) -> str:
    """Read the text of a file of the user; see `read_toml`."""
    try:
        with opened(path) as fd:
            check(os.fstat(fd))
            return read_all(fd, max_bytes=_MAX_BYTES).decode("utf-8-sig")
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


def _parse_layer(
    path: Path,
    profile: str,
    table: Mapping[str, Any],
    known: Collection[str],
    lines: Mapping[tuple[str, ...], int],
) -> ConfigLayer:
    """Parse the top of the file, or the table of one profile.

    Args:
        path: the file.
        profile: the name of the profile; empty for the top.
        table: the TOML table.
        known: see `read_config`.
        lines: see `key_lines`.
    """
    above = (_PROFILES, profile.replace("-", "_")) if profile else ()
    within = f"{_PROFILES}.{profile}: " if profile else ""
    found = {name.replace("-", "_"): value for name, value in table.items()}
    sources: dict[str, Mapping[str, Any]] = {}
    if isinstance(found.get(_SOURCES), dict):
        tables = found.pop(_SOURCES)
        if not isinstance(tables.get(_USE, {}), dict):
            found[_SOURCES] = tables.pop(_USE)
        sources = _tables(f"{path}: {within}{_SOURCES}", tables)
    places = {}
    for name in found:
        line = lines.get((*above, name), lines.get((*above, name, _USE)))
        places[name] = str(path) if line is None else f"{path}:{line}"
    for name in sorted(found):
        if name not in known:
            raise SettingsError(f"{places[name]}: {within}{_unknown(name, known)}")
    values = {name: _to_text(f"{places[name]}: {within}", name, v) for name, v in found.items()}
    return ConfigLayer(values, sources, places=places)


def _unknown(name: str, known: Collection[str]) -> str:
    """Return the message about a name that is no setting."""
    if name in _KEY_NAMES:
        return (
            f"{name} is not a setting, as a key does not belong into this file: run histfs login,"
            " or put the key into a file of its own, and name that with api-key-file"
        )
    nearest = difflib.get_close_matches(name, known, 1)
    guess = f"did you mean {nearest[0]}?" if nearest else "see histfs config show"
    return f"{name} is not a setting: {guess}"


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
        raise SettingsError(f"{where}{name} can't be {value!r}")
    texts = [str(v) for v in values]
    return texts if name == _OPTIONS else _SEPARATOR.join(texts)
