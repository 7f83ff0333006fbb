"""A fence around the plugins of other packages: whatever they raise becomes a `PluginFailed`.

So a view with a fault fails in its own folder, and a file in its own place. What they give is
looked at where it would do harm elsewhere: a directory with a slash in its name makes the kernel
refuse all that is listed beside it.

Threads: any number at once; that a fault is told twice does no harm.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from histfs.core.errors import HistfsError, PluginFailed
from histfs.core.files import ItemFile
from histfs.core.files.base import ESTIMATE
from histfs.core.index import Index, Listed
from histfs.core.item import Details, Item, Record
from histfs.core.names import is_component
from histfs.core.printable import shown
from histfs.core.source import AudioStream, Page, Source, Traits, attachment_of
from histfs.core.views import View
from histfs.core.views.base import At
from histfs.core.waiting import Waiter

log = logging.getLogger(__name__)


def reason(error: BaseException) -> str:
    """Return why a plugin failed, in one line; what it raises on purpose says that itself."""
    text = str(error) if isinstance(error, HistfsError) else f"{type(error).__name__}: {error}"
    return shown(next(iter(text.splitlines()), "").removesuffix(": ")) or type(error).__name__


class _Guarded:
    """Hands everything on to a plugin.

    Args:
        plugin: any object.
        name: of the plugin, for messages.
    """

    def __init__(self, plugin: object, name: str) -> None:
        self._plugin = plugin
        self._name = name
        self._told: set[tuple[str, type[Exception]]] = set()

    def __getattr__(self, attribute: str) -> Any:  # noqa: ANN401 - whatever the plugin has there
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        value = self._run(attribute, lambda: getattr(self._plugin, attribute))
        if not callable(value):
            return value
        guarded = functools.partial(self._call, attribute)
        self.__dict__[attribute] = guarded
        return guarded

    def _call(self, method: str, *args: object, **kwargs: object) -> Any:  # noqa: ANN401
        result = self._run(method, lambda: getattr(self._plugin, method)(*args, **kwargs))
        return self._each(method, result) if isinstance(result, Iterator) else result

    def _each(self, method: str, results: Iterator[Any]) -> Iterator[Any]:
        end = object()
        while (result := self._run(method, lambda: next(results, end))) is not end:
            yield result

    def _run(self, method: str, act: Callable[[], Any]) -> Any:  # noqa: ANN401
        """Do what the plugin does.

        Raises:
            PluginFailed: the plugin raised what it may not.
            HistfsError: the plugin raised it.
        """
        try:
            return act()
        except HistfsError:
            raise
        except Exception as error:
            failed = PluginFailed(f"{self._name} failed: {reason(error)}")
            # A walk asks for each item, and would fill the log with one fault.
            fault = (method, type(error))
            if fault not in self._told:
                self._told.add(fault)
                log.warning("%s in %s (-d shows where)", failed, method)
            log.debug("%s", failed, exc_info=error)
            raise failed from error

    def _expect(self, kind: type, method: str, given: object) -> Any:  # noqa: ANN401
        """Return what the plugin gave, if it is of the kind that it should be.

        Raises:
            PluginFailed: it isn't.
        """
        if not isinstance(given, kind):
            raise PluginFailed(
                f"{self._name} failed: {method} gave {type(given).__name__}, not {kind.__name__}"
            )
        return given


class _GuardedSource(_Guarded):
    """The same for a source."""

    @property
    def traits(self) -> Traits:
        """What it is like."""
        given = self._run("traits", lambda: cast(Source, self._plugin).traits)
        return cast(Traits, self._expect(Traits, "traits", given))

    @contextlib.contextmanager
    def audio(self, item_id: str) -> Iterator[AudioStream]:
        """Open the audio of an item."""
        with contextlib.ExitStack() as stack:
            source = cast(Source, self._plugin)
            stream = self._run("audio", lambda: stack.enter_context(source.audio(item_id)))
            yield cast(AudioStream, _Guarded(stream, self._name))

    @contextlib.contextmanager
    def attachment(self, item_id: str, attachment_id: str) -> Iterator[AudioStream]:
        """Open an attachment of an item."""
        with contextlib.ExitStack() as stack:
            source = cast(Source, self._plugin)
            stream = self._run(
                "attachment",
                lambda: stack.enter_context(attachment_of(source, item_id, attachment_id)),
            )
            yield cast(AudioStream, _Guarded(stream, self._name))

    def _call(self, method: str, *args: object, **kwargs: object) -> Any:  # noqa: ANN401
        result = super()._call(method, *args, **kwargs)
        kind = {"list": Page, "get": Record, "describe": Details}.get(method)
        return result if kind is None else self._expect(kind, method, result)


class _GuardedView(_Guarded):
    """The same for a view: the names that it gives are names."""

    def subdirectories(self, at: At, index: Index) -> Sequence[str]:
        """Return the names in a directory."""
        return list(map(self._named, self._call("subdirectories", at, index)))

    def aliases(self, at: At, index: Index) -> Iterator[tuple[str, Listed]]:
        """Yield the items in a directory with their names there."""
        for name, listed in self._call("aliases", at, index):
            yield self._named(name), listed

    def _named(self, name: object) -> str:
        if not is_component(name):
            raise PluginFailed(f"{self._name} failed: it calls something {shown(str(name))!r}")
        return cast(str, name)


class _GuardedFile(_Guarded):
    """The same for an item file: one that can't say its name isn't there.

    One that can't say its size can be seen, and removed with its item; it fails when it is opened.
    """

    def filename(self, item: Item) -> str | None:
        """Return the file's name, if it is one."""
        try:
            name = self._call("filename", item)
        except PluginFailed:
            return None
        return name if is_component(name) else None

    def size(self, item: Item, waiter: Waiter) -> int:
        """Return the size in bytes, if it is one."""
        try:
            size = self._call("size", item, waiter)
        except PluginFailed:
            return ESTIMATE
        return size if isinstance(size, int) and size >= 0 else ESTIMATE


_FENCES: dict[type, type[_Guarded]] = {
    Source: _GuardedSource,
    View: _GuardedView,
    ItemFile: _GuardedFile,
}


def lacks(plugin: object, protocol: type) -> list[str]:
    """Return the names that a protocol asks for and a plugin doesn't have."""
    wanted = (name for name in vars(protocol) if not name.startswith("_"))
    return [name for name in wanted if not hasattr(plugin, name)]


def guarded(plugin: object, protocol: type, name: str) -> Any:  # noqa: ANN401 - of the protocol
    """Return a plugin, fenced.

    Args:
        plugin: a source, a view or an item file.
        protocol: `Source`, `View` or `ItemFile`.
        name: what it is called in messages, such as ``the view by-length of recordings 1.0``.
    """
    return _FENCES[protocol](plugin, name)
