"""A fence around the plugins of other packages: whatever they raise becomes a `PluginFailed`.

So a view with a fault fails in its own folder, and a file in its own place.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

from histfs.core.errors import HistfsError, PluginFailed
from histfs.core.files import ItemFile
from histfs.core.item import Item

T = TypeVar("T")

log = logging.getLogger(__name__)


class _Guarded:
    """Hands everything on to a plugin.

    Args:
        plugin: any object.
        name: of the plugin, for messages.
    """

    def __init__(self, plugin: object, name: str) -> None:
        self._plugin = plugin
        self._name = name

    def __getattr__(self, attribute: str) -> Any:  # noqa: ANN401 - whatever the plugin has there
        value = getattr(self._plugin, attribute)
        if not callable(value):
            return value
        guarded = functools.partial(self._call, value)
        self.__dict__[attribute] = guarded
        return guarded

    def _call(self, method: Callable[..., Any], *args: object, **kwargs: object) -> Any:  # noqa: ANN401
        try:
            result = method(*args, **kwargs)
        except HistfsError:
            raise
        except Exception as error:
            raise self._failed(error) from error
        return self._each(result) if isinstance(result, Iterator) else result

    def _each(self, results: Iterator[Any]) -> Iterator[Any]:
        try:
            yield from results
        except HistfsError:
            raise
        except Exception as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> PluginFailed:
        log.error("%s failed", self._name, exc_info=error)
        return PluginFailed(f"{self._name} failed: {type(error).__name__}: {error}")


class _GuardedFile(_Guarded):
    """The same for an item file: one that can't say its name isn't there."""

    def filename(self, item: Item) -> str | None:
        """Return the file's name, if it is one."""
        try:
            name = self._call(cast(ItemFile, self._plugin).filename, item)
        except PluginFailed:
            return None
        good = isinstance(name, str) and name not in ("", ".", "..") and not set("/\0") & set(name)
        return name if good else None


def guarded(plugin: T, name: str) -> T:
    """Return a view or a source, fenced.

    Args:
        plugin: the view or the source.
        name: what it is called in messages, such as ``the view by-length of package recordings``.
    """
    return cast(T, _Guarded(plugin, name))


def guarded_file(file: ItemFile, name: str) -> ItemFile:
    """Return an item file, fenced."""
    return cast(ItemFile, _GuardedFile(file, name))
