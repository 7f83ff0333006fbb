"""The registry of plugins: the sources, views and item files of all installed packages, by name.

A plugin is an entry point (PyPA, entry points specification) in one of three groups. histfs
registers its own in the same way:

    histfs.sources    called with a `SourceContext`, returns a `Source`; see
                      `histfs.core.service.source_of`
    histfs.views      called with a `Zone`, returns a `View`
    histfs.files      called with a `FileContext`, returns an `ItemFile`

A plugin that can't be loaded is left out, with the reason.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from histfs.core.errors import HistfsError
from histfs.core.names import PLAIN_NAME, is_plain_name
from histfs.core.plugin_calls import reason, run_once
from histfs.core.service import NO_SERVICE, Service
from histfs.core.terminal_text import shown

SOURCES, VIEWS, FILES = "source", "view", "file"
#: The group of entry points of each kind.
GROUPS = {kind: f"histfs.{kind}s" for kind in (SOURCES, VIEWS, FILES)}
#: The package whose names take precedence.
OWN = "histfs"

#: Seconds that loading a module of another package may take.
_LOAD_TIMEOUT = 30.0


class UnknownPlugin(HistfsError):
    """No installed package has a plugin of this name."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """One plugin.

    Attributes:
        kind: `SOURCES`, `VIEWS` or `FILES`.
        name: the name by which it is chosen.
        package: the name of its package, and the version.
        make: the factory; None if it can't be loaded.
        error: why it can't be loaded, in one line; None if it can.
        service: the service of a source; `NO_SERVICE` if it declares none.
    """

    kind: str
    name: str
    package: str
    make: Callable[[Any], Any] | None
    error: str | None = None
    service: Service = NO_SERVICE

    @property
    def own(self) -> bool:
        """Whether histfs itself has it."""
        return self.package.partition(" ")[0] == OWN

    def __str__(self) -> str:
        return f"the {self.kind} {self.name} of {self.package}"


@functools.cache
def installed() -> Sequence[Plugin]:
    """Load all plugins, and return them, those of histfs first.

    Raises:
        HistfsError: there are no entry points of histfs itself.
    """
    packages = _Packages()
    all_points = metadata.entry_points()
    found = [
        _load(kind, point, packages.of(point))
        for kind, group in GROUPS.items()
        for point in sorted(all_points.select(group=group), key=packages.rank)
    ]
    if not any(plugin.own for plugin in found):
        raise HistfsError("histfs is not installed: run pip install in its directory")
    return list(_unique(found))


def choose(kind: str, names: Iterable[str]) -> list[Plugin]:
    """Return the plugins of these names, in this order.

    Raises:
        UnknownPlugin: no plugin has the name.
    """
    known: dict[str, Plugin] = {}
    for plugin in installed():
        if plugin.kind == kind:
            known.setdefault(plugin.name, plugin)
    chosen = []
    for name in dict.fromkeys(names):
        if name not in known:
            available = [plugin.name for plugin in known.values() if plugin.make is not None]
            nearest = difflib.get_close_matches(name, available, 1)
            guess = f"did you mean {nearest[0]}? " if nearest else ""
            raise UnknownPlugin(
                f"there is no {kind} {shown(name)!r}: choose of {', '.join(available)}"
                f" ({guess}histfs plugins says more)"
            )
        chosen.append(known[name])
    return chosen


def foreign(kind: str) -> list[Plugin]:
    """Return the plugins of other packages; they are used by default."""
    return [plugin for plugin in installed() if plugin.kind == kind and not plugin.own]


def sources(names: Sequence[str] | None) -> list[Plugin]:
    """Return the sources that were chosen, else all, that of an account's root first.

    Raises:
        UnknownPlugin: there is none of one of these names.
    """
    if names is not None:
        found = choose(SOURCES, names)
    else:
        found = [plugin for plugin in installed() if plugin.kind == SOURCES]
    root = primary_service(found).root
    return sorted(found, key=lambda plugin: plugin.name != root)


def primary_service(found: Iterable[Plugin]) -> Service:
    """Return the service whose account a mount is of: ``--base-url`` and the key are for it.

    It is that of histfs's own sources where one of them was chosen, else that of the first source
    which declares one. The configuration file has the address and the key of any other, in the
    table of its source.
    """
    services = [plugin.service for plugin in sorted(found, key=lambda plugin: not plugin.own)]
    return next((each for each in services if each is not NO_SERVICE), NO_SERVICE)


class _Packages:
    """The packages of plugins; each is asked once, as its whole metadata is parsed for it."""

    def __init__(self) -> None:
        self._known: dict[metadata.Distribution, str] = {}

    def of(self, point: metadata.EntryPoint) -> str:
        """Return name and version of the package that has an entry point."""
        package = point.dist
        if package is None:
            return "an unknown package"
        if package not in self._known:
            found = package.metadata
            self._known[package] = f"{found['Name']} {found['Version']}"
        return self._known[package]

    def rank(self, point: metadata.EntryPoint) -> tuple[bool, str, str]:
        """Return what entry points are sorted by: histfs's own come first."""
        package = self.of(point)
        return package.partition(" ")[0] != OWN, package, point.name


def _load(kind: str, point: metadata.EntryPoint, package: str) -> Plugin:
    name = shown(point.name)
    # The name of a source is also that of its folder and of its directory in the cache.
    if not is_plain_name(point.name):
        return Plugin(kind, name, package, None, PLAIN_NAME)
    try:
        if package.partition(" ")[0] == OWN:
            make = point.load()
        else:
            make = run_once("loading it", point.load, _LOAD_TIMEOUT)
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything
        return Plugin(kind, name, package, None, reason(error))
    if not callable(make):
        return Plugin(kind, name, package, None, f"{point.value} can't be called")
    service = getattr(make, "service", NO_SERVICE)
    if not isinstance(service, Service):
        return Plugin(kind, name, package, None, f"{point.value}.service is no Service")
    return Plugin(kind, name, package, make, service=service)


def _unique(plugins: Iterable[Plugin]) -> Iterable[Plugin]:
    """Yield plugins; all but the first package with a name get an error instead."""
    owners: dict[tuple[str, str], str] = {}
    for plugin in plugins:
        owner = owners.setdefault((plugin.kind, plugin.name), plugin.package)
        if owner == plugin.package:
            yield plugin
        else:
            yield Plugin(plugin.kind, plugin.name, plugin.package, None, f"{owner} has this name")
