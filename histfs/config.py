"""The configuration file: settings, tables for sources, and profiles that hold the same again.

    views = "by-date+by-voice"          any setting, with dashes or underscores
    [sources.NAME]                      what a source is given as its options
    [profiles.NAME]                     counts more than what stands above, setting by setting
    [profiles.NAME.sources.NAME]        so does this

TOML has no room for ``sources = …`` beside its tables: there the choice is called ``sources.use``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
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
from histfs.settings import DEFAULT_PROFILE, OptionError, SettingsError, split_names

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: Settings that may be given as a list, and what stands between the names of one that is a text.
_NAMES, _BETWEEN = ("views", "files", "sources"), "+"
_OPTIONS = "options"
#: The setting that says which sources there are, and its name beside their tables.
_SOURCES, _USE = "sources", "use"
_PROFILES = "profiles"
#: Bytes of a configuration file, at the most.
_LARGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class Layer:
    """What the configuration file says, for all profiles or for one.

    Attributes:
        values: the settings by name, with underscores, as the command line would give them.
        sources: the options of each source, by its name.
        profile: whose it is; empty for what stands at the top.
        own: the names of the settings that the profile has itself.
    """

    values: dict[str, Any] = field(default_factory=dict)
    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    profile: str = ""
    own: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration file.

    Attributes:
        path: the file, which may not be there.
        top: what it says for all profiles.
        profiles: what it says for each alone.
    """

    path: Path
    top: Layer
    profiles: Mapping[str, Layer]

    def layer(self, profile: str | None) -> Layer:
        """Return what it says for a profile; for None what it says without one.

        Raises:
            OptionError: there is no such profile.
        """
        if profile is None:
            return self.top
        if profile not in self.profiles:
            known = ", ".join(self.profiles) or "none"
            raise OptionError(f"there is no profile {profile!r}: {self.path} has {known}")
        own = self.profiles[profile]
        named = {*self.top.sources, *own.sources}
        return Layer(
            values={**self.top.values, **own.values},
            sources={
                name: {**self.top.sources.get(name, {}), **own.sources.get(name, {})}
                for name in named
            },
            profile=profile,
            own=frozenset(own.values),
        )


def read_config(file: Path | None, known: Iterable[str]) -> Config:
    """Read the configuration file (TOML).

    Args:
        file: the file; None for the user's own, which needn't be there.
        known: the names of the settings that may stand in it, with underscores.

    Raises:
        SettingsError: it can't be read, or holds what is not known.
    """
    path = file or platformdirs.user_config_path("histfs") / "config.toml"
    if file is None and not path.exists():
        return Config(path, Layer(), {})
    try:
        with opened(path) as number:
            _check_trusted(path, os.fstat(number))
            values = tomllib.loads(read_all(number, max_bytes=_LARGEST).decode())
    except OSError as error:
        raise SettingsError(f"{path} can't be read: {error.strerror}") from error
    except InputFailed as error:
        raise SettingsError(f"{path} can't be read: {error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not TOML: {error}") from error
    tables = _tables(f"{path}: {_PROFILES}", values.pop(_PROFILES, {}))
    if DEFAULT_PROFILE in tables:
        raise SettingsError(
            f"{path}: no profile can be called {DEFAULT_PROFILE}: that is the mount without one,"
            " whose settings stand at the top"
        )
    top = _layer(str(path), values, known)
    profiles = {
        name: _layer(f"{path}: {_PROFILES}.{name}", table, known) for name, table in tables.items()
    }
    return Config(path, top, profiles)


def _check_trusted(path: Path, found: os.stat_result) -> None:
    """Refuse a configuration that another user can change: it names a command and a server.

    Args:
        path: the file.
        found: the file as it was opened.

    Raises:
        SettingsError: the file, its directory or a link on the way is another user's, or others can
            write it.
    """
    refused = distrust_links(path) or distrust_owner(path, found) or distrust_writers(path, found)
    # A link stands in one directory, what it leads to in another one.
    for directory in dict.fromkeys([path.parent, Path(os.path.realpath(path)).parent]):
        refused = refused or distrust_directory(directory)
    if refused:
        raise SettingsError(f"the configuration is not used: {refused}")


def parse_profiles(text: str) -> list[str]:
    """Return the names in a list that has commas between them, each once.

    Raises:
        OptionError: one of them is empty.
    """
    advice = f"--profiles {text!r}: give names with commas between them: work,home"
    return list(split_names(text, ",", advice))


def _layer(where: str, table: Mapping[str, Any], known: Iterable[str]) -> Layer:
    """Read what stands at the top, or in one profile.

    Args:
        where: for errors: the file, and the profile.
        table: what stands there.
        known: as of `read_config`.
    """
    found = {name.replace("-", "_"): value for name, value in table.items()}
    sources: dict[str, Mapping[str, Any]] = {}
    if isinstance(found.get(_SOURCES), dict):
        tables = found.pop(_SOURCES)
        if not isinstance(tables.get(_USE, {}), dict):
            found[_SOURCES] = tables.pop(_USE)
        sources = _tables(f"{where}: {_SOURCES}", tables)
    unknown = sorted(set(found) - set(known))
    if unknown:
        raise SettingsError(f"{where}: {unknown[0]} is not a setting; see histfs mount --help")
    return Layer({name: _as_given(where, name, value) for name, value in found.items()}, sources)


def _tables(where: str, value: object) -> dict[str, Mapping[str, Any]]:
    """Return tables by their names; anything else is refused."""
    if not isinstance(value, dict):
        raise SettingsError(f"{where} is not a table")
    for name, table in value.items():
        # What stands there instead isn't told: it may be a key.
        if not isinstance(table, dict):
            raise SettingsError(f"{where}.{name} is not a table")
        if not is_plain_name(name):
            raise SettingsError(f"{where}: {name!r} can't be a name: {PLAIN_NAME}")
    return value


def _as_given(where: str, name: str, value: object) -> str | list[str]:
    """Return a value of the configuration file as the command line would give it."""
    several = name == _OPTIONS or name in _NAMES
    values = value if several and isinstance(value, list) else [value]
    if not all(isinstance(v, (str, bool, int, float)) for v in values):
        raise SettingsError(f"{where}: {name} can't be {value!r}")
    texts = [str(v) for v in values]
    if name == _OPTIONS:
        return texts
    return _BETWEEN.join(texts)
