"""Isolation of plugins of other packages: an unexpected exception becomes a `PluginFailed`.

So a faulty view fails in its own folder, and a faulty file in its own path. Results are validated
where a wrong one would do harm elsewhere: the kernel refuses a complete listing when one name in it
has a slash.

All of a plugin's code runs in threads of its own, with a deadline (`histfs.core.plugin_calls`); a
plugin that never returns is disabled. Iterators of a plugin are consumed in its threads, too.

Threads: any number at once, without a lock. Two threads may report the same fault; that is
harmless.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from itertools import islice
from typing import Any, TypeVar, cast

from histfs.core.errors import PluginFailed
from histfs.core.files import ItemFile
from histfs.core.files.item_files import ESTIMATE
from histfs.core.generational_cache import GenerationalCache
from histfs.core.index import Index, Listed
from histfs.core.isolated_stream import IsolatedStream
from histfs.core.item import Details, Item, Record
from histfs.core.names import is_component
from histfs.core.nodes import OpenFile
from histfs.core.plugin_calls import PluginCalls, PluginRaised, PluginThreads
from histfs.core.source import (
    AudioStream,
    ObjectParser,
    Page,
    Source,
    Traits,
    attachment_of,
    audio_size_of,
)
from histfs.core.terminal_text import shown
from histfs.core.views import View
from histfs.core.views.view import At
from histfs.core.waiting import Waiter

T = TypeVar("T")

#: Methods that may wait for the network. Anything else may take half of the time of a call: what
#: the call is for needs some of it, too, such as a delete that asks every view where the item is.
_WAITING = frozenset({"ensure", "ensure_newest", "open", "read", "before_archive", "before_delete"})
#: Calls of a source have no waiter. One may connect, send and read within the timeout each.
_SOURCE_SHARE = 2.0
#: Seconds that closing may take: an unmount waits for it.
_CLOSE_TIMEOUT = 5.0
#: Entries in a directory of a view; more of them count as an endless listing.
_MAX_ENTRIES = 5_000_000
#: Items whose file names are cached.
_MAX_NAMES = 16_384

log = logging.getLogger(__name__)


class _Isolated:
    """A proxy of a plugin.

    Args:
        plugin: any object.
        calls: runs its code.
    """

    #: Attributes that never change and are read only once.
    constants: tuple[str, ...] = ()

    def __init__(self, plugin: object, calls: PluginCalls) -> None:
        self._plugin = plugin
        self._calls = calls
        self._name = calls.name
        self._reported: set[tuple[str, type]] = set()
        self.__dict__.update(
            self._run(
                "attributes", lambda: {name: getattr(plugin, name) for name in self.constants}
            )
        )

    @property
    def disabled_reason(self) -> str | None:
        """Why the plugin is disabled, in one line; None while it is enabled."""
        return self._calls.disabled_reason

    def __getattr__(self, attribute: str) -> Any:  # noqa: ANN401 - the type is the plugin's
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        value, is_method = self._run(attribute, lambda: self._look_up(attribute))
        if not is_method:
            return value

        def isolated_call(*args: object) -> Any:  # noqa: ANN401 - as the method returns
            return self._call(attribute, *args)

        self.__dict__[attribute] = isolated_call
        return isolated_call

    def _look_up(self, attribute: str) -> tuple[Any, bool]:
        value = getattr(self._plugin, attribute)
        return value, callable(value)

    def _call(
        self,
        method: str,
        *args: object,
        convert: Callable[[Any], Any] = lambda result: result,
    ) -> Any:  # noqa: ANN401 - as the method returns
        """Call a method of the plugin.

        Args:
            method: its name.
            args: its arguments; a `Waiter` among them is replaced by that of the plugin's thread.
            convert: converts the result, in the plugin's thread.
        """

        def function(waiter: Waiter) -> Any:  # noqa: ANN401
            replaced = [waiter if isinstance(arg, Waiter) else arg for arg in args]
            return convert(getattr(self._plugin, method)(*replaced))

        return self._run_with(method, function)

    def _run(self, method: str, function: Callable[[], T], pool: PluginThreads | None = None) -> T:
        return self._run_with(method, lambda _: function(), pool)

    def _run_with(
        self, method: str, function: Callable[[Waiter], T], pool: PluginThreads | None = None
    ) -> T:
        """Run the plugin's code.

        Args:
            method: its name, for messages.
            function: calls it.
            pool: the threads that run it; None for any of the plugin's.

        Raises:
            PluginFailed: the plugin raised something else than a `HistfsError`, or does not return.
            HistfsError: raised by the plugin.
        """
        try:
            return self._calls.run(method, function, self._timeout_of(method), pool)
        except PluginRaised as raised:
            error = raised.__cause__
            failed = PluginFailed(f"{self._name} failed: {raised}")
            # Once only: a walk over many items would fill the log.
            fault = (method, type(error))
            if fault not in self._reported:
                self._reported.add(fault)
                log.warning("%s in %s (-d shows where)", failed, method)
            log.debug("%s", failed, exc_info=error)
            raise failed from error

    def _timeout_of(self, method: str) -> float:
        """Return the timeout of a method."""
        if method == "close":
            return min(_CLOSE_TIMEOUT, self._calls.timeout)
        return self._calls.timeout * (1.0 if method in _WAITING else 0.5)

    def _expect(self, kind: type, method: str, result: object) -> Any:  # noqa: ANN401
        """Return a result of the plugin after a check of its type.

        Raises:
            PluginFailed: it has another type.
        """
        if not isinstance(result, kind):
            raise PluginFailed(
                f"{self._name} failed: {method} gave {type(result).__name__}, not {kind.__name__}"
            )
        return result


class _IsolatedSource(_Isolated):
    """A proxy of a source."""

    def __init__(self, plugin: object, calls: PluginCalls) -> None:
        super().__init__(plugin, calls)
        traits = self._run("traits", lambda: cast(Source, plugin).traits)
        self._traits = cast(Traits, self._expect(Traits, "traits", traits))
        parser = self._traits.parser
        if parser is not None:
            parse = parser.parse

            def isolated_parse(raw: bytes) -> Record:
                return self._run("parser.parse", lambda: parse(raw))

            self._traits = replace(
                self._traits, parser=ObjectParser(parser.version, isolated_parse)
            )

    @property
    def traits(self) -> Traits:
        """The traits of the source, read once."""
        return self._traits

    def list(self, query: object) -> Page:
        """Return one page of items."""
        return cast(Page, self._call("list", query, convert=self._page))

    def get(self, item_id: str) -> Record:
        """Return one item with all its fields."""
        return cast(Record, self._expect(Record, "get", self._call("get", item_id)))

    def describe(self, raw: bytes) -> Details:
        """Parse the details of an item from its raw object."""
        return cast(Details, self._expect(Details, "describe", self._call("describe", raw)))

    def audio_size(self, item_id: str) -> int:
        """Return the size of the audio of an item."""
        source = cast(Source, self._plugin)
        size = self._run("audio_size", lambda: audio_size_of(source, item_id))
        return cast(int, self._expect(int, "audio_size", size))

    def audio(self, item_id: str) -> contextlib.AbstractContextManager[AudioStream]:
        """Open the audio of an item."""
        source = cast(Source, self._plugin)
        return self._open_stream("audio", lambda: source.audio(item_id))

    def attachment(
        self, item_id: str, attachment_id: str
    ) -> contextlib.AbstractContextManager[AudioStream]:
        """Open an attachment of an item."""
        source = cast(Source, self._plugin)
        return self._open_stream(
            "attachment", lambda: attachment_of(source, item_id, attachment_id)
        )

    @contextlib.contextmanager
    def _open_stream(
        self, method: str, open_stream: Callable[[], contextlib.AbstractContextManager[AudioStream]]
    ) -> Iterator[AudioStream]:
        """Open a stream; all calls on it run in one thread."""
        with self._calls.dedicated_thread() as thread:
            stream = IsolatedStream(self._run, self._calls, thread)
            try:
                stream.open(method, open_stream)
                yield stream
            except BaseException as error:
                stream.close(error)
                raise
            stream.close(None)

    def _page(self, result: object) -> Page:
        """Return a page with its iterables consumed."""
        page = cast(Page, self._expect(Page, "list", result))
        return replace(page, records=tuple(page.records), named=tuple(page.named))

    def close(self) -> None:
        """Close the connections; a failure is in the log already."""
        with contextlib.suppress(PluginFailed):
            self._call("close")

    def _timeout_of(self, method: str) -> float:
        timeout = super()._timeout_of(method)
        return timeout if method == "close" else self._calls.timeout * _SOURCE_SHARE


class _IsolatedView(_Isolated):
    """A proxy of a view; validates the names in it."""

    constants = ("name", "depth", "facet", "whole_history", "listed", "total", "aliased")

    def subdirectories(self, at: At, index: Index) -> Sequence[str]:
        """Return the names in a directory."""
        return list(map(self._validated, self._call("subdirectories", at, index, convert=_bounded)))

    def items(self, at: At, index: Index) -> Iterator[Listed]:
        """Yield the items in a directory."""
        yield from self._call("items", at, index, convert=_bounded)

    def aliases(self, at: At, index: Index) -> Iterator[tuple[str, Listed]]:
        """Yield the items in a directory with their names in it."""
        for name, listed in self._call("aliases", at, index, convert=_bounded):
            yield self._validated(name), listed

    def places(self, item: Item, index: Index) -> Sequence[At]:
        """Return the directories in which an item is shown."""
        return cast(Sequence[At], self._call("places", item, index, convert=_bounded))

    def linked(self, at: At, index: Index) -> AbstractSet[str]:
        """Return the keys of the items in a directory that are links to another one."""
        return cast(AbstractSet[str], self._call("linked", at, index, convert=frozenset))

    def _validated(self, name: object) -> str:
        if not is_component(name):
            raise PluginFailed(
                f"{self._name} failed: it gave the invalid name {shown(str(name))!r}"
            )
        return cast(str, name)


def _bounded(entries: Any) -> list[Any]:  # noqa: ANN401 - an iterable, if the plugin is right
    """Return the entries of a view, whose iterable may be endless."""
    bounded = list(islice(entries, _MAX_ENTRIES + 1))
    if len(bounded) > _MAX_ENTRIES:
        raise PluginFailed(f"more than {_MAX_ENTRIES:,} entries in a directory")
    return bounded


class _IsolatedFile(_Isolated):
    """A proxy of an item file; the file does not vanish when the plugin fails.

    A file whose name is known stays visible when the plugin fails or is disabled: otherwise
    `rsync --delete` would remove it from a backup. It can be removed with its item; opening it
    fails. Its size is an estimate then. A file that never returned a name is not there.
    """

    constants = ("deletes",)

    def __init__(self, plugin: object, calls: PluginCalls) -> None:
        super().__init__(plugin, calls)
        # The names by item key; and the first two distinct names. When all items have had the same
        # name so far, an unknown item has it, too.
        self._names = GenerationalCache[str, str](math.inf, max_entries=_MAX_NAMES)
        self._distinct: set[str | None] = set()

    def filename(self, item: Item) -> str | None:
        """Return the file's name; None for an invalid one."""
        try:
            result = self._call("filename", item)
        except PluginFailed:
            known = self._names.get(item.key)
            if known is None and len(self._distinct) == 1:
                return next(iter(self._distinct))
            return known
        name = result if is_component(result) else None
        if len(self._distinct) < 2:
            self._distinct.add(name)
        if name is not None and self._names.get(item.key) != name:
            self._names.put(item.key, name)
        return cast(str | None, name)

    def size(self, item: Item, waiter: Waiter) -> int:
        """Return the size in bytes; an estimate for an invalid one."""
        try:
            size = self._call("size", item, waiter)
        except PluginFailed:
            return ESTIMATE
        return size if isinstance(size, int) and size >= 0 else ESTIMATE

    def open(self, item: Item, waiter: Waiter) -> OpenFile:
        """Open the file."""
        opened = self._call("open", item, waiter)
        # The classes of histfs need no isolation.
        if type(opened).__module__.partition(".")[0] == __name__.partition(".")[0]:
            return cast(OpenFile, opened)
        return cast(OpenFile, _IsolatedOpenFile(opened, self._calls))


class _IsolatedOpenFile(_Isolated):
    """A proxy of an open file."""

    constants = ("size",)

    def read(self, offset: int, size: int, waiter: Waiter) -> bytes:
        """Return at most ``size`` bytes from ``offset`` on."""
        content = self._expect(bytes, "read", self._call("read", offset, size, waiter))
        return cast(bytes, content[:size])


_PROXIES: dict[type, type[_Isolated]] = {
    Source: _IsolatedSource,
    View: _IsolatedView,
    ItemFile: _IsolatedFile,
}


def missing_members(plugin: object, protocol: type) -> list[str]:
    """Return the members of a protocol that a plugin lacks."""
    members = (name for name in vars(protocol) if not name.startswith("_"))
    return [name for name in members if not hasattr(plugin, name)]


def isolated(plugin: object, protocol: type, calls: PluginCalls) -> Any:  # noqa: ANN401 - of the protocol
    """Return a proxy that isolates a plugin.

    Args:
        plugin: a source, a view or an item file.
        protocol: `Source`, `View` or `ItemFile`.
        calls: runs its code.

    Raises:
        PluginFailed: its constant attributes can't be read.
    """
    return _PROXIES[protocol](plugin, calls)


def disabled_plugins(plugins: Iterable[object]) -> list[str]:
    """Return why plugins are disabled, in a line each; those of histfs never are."""
    reasons = (plugin.disabled_reason for plugin in plugins if isinstance(plugin, _Isolated))
    return [reason for reason in reasons if reason is not None]
