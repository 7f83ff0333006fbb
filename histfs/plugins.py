"""The registry of plugins: sources, views and item files, by name, of whatever package.

Each is an entry point (PyPA, entry points specification) in one of three groups; those of histfs
itself come through the same door:

    histfs.sources    called with an `Account`, gives a `Source`
    histfs.views      called with a `Zone`, gives a `View`
    histfs.files      called with a `Library`, gives an `ItemFile`

What can't be loaded is left out, and says why.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from histfs.core.errors import HistfsError
from histfs.core.names import PLAIN_NAME, is_plain_name
from histfs.core.plugin_calls import reason, run_once
from histfs.core.terminal_text import shown

SOURCES, VIEWS, FILES = "source", "view", "file"
#: The group of entry points of each kind.
GROUPS = {kind: f"histfs.{kind}s" for kind in (SOURCES, VIEWS, FILES)}
#: The package whose names are given first.
OWN = "histfs"

#: Seconds that a module of another package may take to be loaded.
_LOADING = 30.0


class UnknownPlugin(HistfsError):
    """No package has brought a plugin of this name."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """One plugin.

    Attributes:
        kind: `SOURCES`, `VIEWS` or `FILES`.
        name: by which it is chosen.
        package: that brought it, and its version.
        make: makes it; None when it can't be loaded.
        error: why it can't be, in one line; None when it can.
    """

    kind: str
    name: str
    package: str
    make: Callable[[Any], Any] | None
    error: str | None = None

    @property
    def own(self) -> bool:
        """Whether it is one of histfs's."""
        return self.package.partition(" ")[0] == OWN

    def __str__(self) -> str:
        return f"the {self.kind} {self.name} of {self.package}"


@functools.cache
def installed() -> Sequence[Plugin]:
    """Return all plugins, those of histfs first; loads every one of them.

    Raises:
        HistfsError: not even those of histfs are there.
    """
    found = [
        _load(kind, point)
        for kind, group in GROUPS.items()
        for point in sorted(metadata.entry_points(group=group), key=_rank)
    ]
    if not any(plugin.own for plugin in found):
        raise HistfsError("histfs is not installed: run pip install in its directory")
    return list(_unique(found))


def choose(kind: str, names: Iterable[str]) -> list[Plugin]:
    """Return plugins by their names, in their order.

    Raises:
        UnknownPlugin: there is none of that name.
    """
    known: dict[str, Plugin] = {}
    for plugin in installed():
        if plugin.kind == kind:
            known.setdefault(plugin.name, plugin)
    chosen = []
    for name in dict.fromkeys(names):
        if name not in known:
            there = (plugin.name for plugin in known.values() if plugin.make is not None)
            raise UnknownPlugin(
                f"there is no {kind} {shown(name)!r}: choose of {', '.join(there)}"
                " (histfs plugins says more)"
            )
        chosen.append(known[name])
    return chosen


def foreign(kind: str) -> list[Plugin]:
    """Return the plugins of other packages, which are used unless others are chosen."""
    return [plugin for plugin in installed() if plugin.kind == kind and not plugin.own]


def _rank(point: metadata.EntryPoint) -> tuple[bool, str, str]:
    package = _package(point)
    return package.partition(" ")[0] != OWN, package, point.name


def _package(point: metadata.EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown package"


def _load(kind: str, point: metadata.EntryPoint) -> Plugin:
    name, package = shown(point.name), _package(point)
    # A source's name is that of its folder, and of its directory in the cache.
    if not is_plain_name(point.name):
        return Plugin(kind, name, package, None, PLAIN_NAME)
    try:
        if package.partition(" ")[0] == OWN:
            make = point.load()
        else:
            make = run_once("loading it", point.load, _LOADING)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with it
        return Plugin(kind, name, package, None, reason(error))
    if not callable(make):
        return Plugin(kind, name, package, None, f"{point.value} can't be called")
    return Plugin(kind, name, package, make)


def _unique(plugins: Iterable[Plugin]) -> Iterable[Plugin]:
    """Yield plugins; of several with one name the first has it, and the others say so."""
    taken: dict[tuple[str, str], str] = {}
    for plugin in plugins:
        first = taken.setdefault((plugin.kind, plugin.name), plugin.package)
        if first == plugin.package:
            yield plugin
        else:
            yield Plugin(plugin.kind, plugin.name, plugin.package, None, f"{first} has this name")
