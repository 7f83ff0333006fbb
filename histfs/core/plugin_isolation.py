"""A fence around the plugins of other packages: whatever they raise becomes a `PluginFailed`.

So a view with a fault fails in its own folder, and a file in its own place. What they give is
looked at where it would do harm elsewhere: a directory with a slash in its name makes the kernel
refuse all that is listed beside it.

All of a plugin's code runs in threads of its own, with a deadline (`histfs.core.plugin_calls`): a
view that never returns is left out. What it gives bit by bit is taken from it there, too.

Threads: any number at once; that a fault is told twice does no harm.
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
from histfs.core.files.item_file import ESTIMATE
from histfs.core.generational_cache import GenerationalCache
from histfs.core.index import Index, Listed
from histfs.core.item import Details, Item, Record
from histfs.core.names import is_component
from histfs.core.nodes import OpenFile
from histfs.core.plugin_calls import PluginCalls, PluginRaised, PluginThreads
from histfs.core.source import AudioStream, ObjectParser, Page, Source, Traits, attachment_of
from histfs.core.terminal_text import shown
from histfs.core.views import View
from histfs.core.views.view import At
from histfs.core.waiting import Waiter

T = TypeVar("T")

#: What waits for the network on purpose. Anything else may take half of the time of a call: what
#: the call is for needs some of it, too, such as a delete that asks every view where the item is.
_WAITING = frozenset({"ensure", "ensure_newest", "open", "read", "before_archive", "before_delete"})
#: Calls of a source have no waiter. One may connect, send and read within the timeout each.
_SOURCE_SHARE = 2.0
#: Seconds that closing may take: it may be that the filesystem is being unmounted.
_CLOSING = 5.0
#: Names, or items, in a directory of a view. One that gives more is taken to give them without end.
_MOST = 5_000_000
#: Items of which it is remembered what a file is called.
_NAMES = 16_384

log = logging.getLogger(__name__)


class _Isolated:
    """Hands everything on to a plugin.

    Args:
        plugin: any object.
        calls: runs its code.
    """

    #: What never changes, and is asked for only once.
    constants: tuple[str, ...] = ()

    def __init__(self, plugin: object, calls: PluginCalls) -> None:
        self._plugin = plugin
        self._calls = calls
        self._name = calls.name
        self._told: set[tuple[str, type]] = set()
        self.__dict__.update(
            self._run(
                "attributes", lambda: {name: getattr(plugin, name) for name in self.constants}
            )
        )

    @property
    def left_out(self) -> str | None:
        """Why the plugin is not used any more, in one line; None while it is."""
        return self._calls.left_out

    def __getattr__(self, attribute: str) -> Any:  # noqa: ANN401 - whatever the plugin has there
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        value, is_method = self._run(attribute, lambda: self._look_up(attribute))
        if not is_method:
            return value

        def isolated_call(*args: object) -> Any:  # noqa: ANN401 - whatever the method returns
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
        take: Callable[[Any], Any] = lambda result: result,
    ) -> Any:  # noqa: ANN401 - whatever the method returns
        """Call a method of the plugin.

        Args:
            method: its name.
            args: its arguments; a `Waiter` among them is replaced by one that the plugin's thread
                may use.
            take: takes what the method returned, in the plugin's thread.
        """

        def act(waiter: Waiter) -> Any:  # noqa: ANN401
            own = [waiter if isinstance(arg, Waiter) else arg for arg in args]
            return take(getattr(self._plugin, method)(*own))

        return self._run_with(method, act)

    def _run(self, method: str, act: Callable[[], T]) -> T:
        return self._run_with(method, lambda _: act())

    def _run_with(
        self, method: str, act: Callable[[Waiter], T], pool: PluginThreads | None = None
    ) -> T:
        """Do what the plugin does.

        Args:
            method: what is called, for messages.
            act: calls it.
            pool: which threads run it; None for any of the plugin's.

        Raises:
            PluginFailed: the plugin raised what it may not, or does not return.
            HistfsError: the plugin raised it.
        """
        try:
            return self._calls.run(method, act, self._seconds(method), pool)
        except PluginRaised as raised:
            error = raised.__cause__
            failed = PluginFailed(f"{self._name} failed: {raised}")
            # A walk asks for each item, and would fill the log with one fault.
            fault = (method, type(error))
            if fault not in self._told:
                self._told.add(fault)
                log.warning("%s in %s (-d shows where)", failed, method)
            log.debug("%s", failed, exc_info=error)
            raise failed from error

    def _seconds(self, method: str) -> float:
        """Return how long a call of a method may take."""
        if method == "close":
            return min(_CLOSING, self._calls.timeout)
        return self._calls.timeout * (1.0 if method in _WAITING else 0.5)

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


class _IsolatedSource(_Isolated):
    """The same for a source."""

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
        """What it is like."""
        return self._traits

    def list(self, query: object) -> Page:
        """Return one page of items."""
        return cast(Page, self._call("list", query, take=self._page))

    def get(self, item_id: str) -> Record:
        """Return one item with all that there is of it."""
        return cast(Record, self._expect(Record, "get", self._call("get", item_id)))

    def describe(self, raw: bytes) -> Details:
        """Read the details out of an item's raw object."""
        return cast(Details, self._expect(Details, "describe", self._call("describe", raw)))

    def audio(self, item_id: str) -> contextlib.AbstractContextManager[AudioStream]:
        """Open the audio of an item."""
        source = cast(Source, self._plugin)
        return self._opened("audio", lambda: source.audio(item_id))

    def attachment(
        self, item_id: str, attachment_id: str
    ) -> contextlib.AbstractContextManager[AudioStream]:
        """Open an attachment of an item."""
        source = cast(Source, self._plugin)
        return self._opened("attachment", lambda: attachment_of(source, item_id, attachment_id))

    @contextlib.contextmanager
    def _opened(
        self, method: str, make: Callable[[], contextlib.AbstractContextManager[AudioStream]]
    ) -> Iterator[AudioStream]:
        """Open a stream; all that is asked of it is asked in one thread."""
        with self._calls.apart() as thread:
            fence = _IsolatedStream(self, self._calls, thread)
            try:
                fence.open(method, make)
                yield fence
            except BaseException as error:
                fence.close(error)
                raise
            fence.close(None)

    def run_in(self, method: str, act: Callable[[], T], thread: PluginThreads) -> T:
        """Do what the plugin does, in one of its threads; raises as every method does."""
        return self._run_with(method, lambda _: act(), thread)

    def _page(self, given: object) -> Page:
        """Return a page whose records are all there."""
        page = cast(Page, self._expect(Page, "list", given))
        return replace(page, records=tuple(page.records), named=tuple(page.named))

    def close(self) -> None:
        """Let go of the connections; a source that can't has been told of in the log."""
        with contextlib.suppress(PluginFailed):
            self._call("close")

    def _seconds(self, method: str) -> float:
        seconds = super()._seconds(method)
        return seconds if method == "close" else self._calls.timeout * _SOURCE_SHARE


class _IsolatedStream:
    """An open stream of a source. Implements `AudioStream`.

    Args:
        source: whose stream it is.
        calls: runs the source's code.
        thread: runs all that concerns this stream.
    """

    def __init__(self, source: _IsolatedSource, calls: PluginCalls, thread: PluginThreads) -> None:
        self._run = source.run_in
        self._calls = calls
        self._thread = thread
        self._stack = contextlib.ExitStack()
        self._stream: AudioStream | None = None

    @property
    def length(self) -> int | None:
        """The exact number of bytes to come, None when the source does not say."""
        return self._run("length", lambda: self._opened.length, self._thread)

    @property
    def throttled(self) -> bool:
        """Whether the server refused the source before."""
        return self._run("throttled", lambda: self._opened.throttled, self._thread)

    @property
    def _opened(self) -> AudioStream:
        return cast(AudioStream, self._stream)

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes as they come."""
        chunks = self._run("chunks", lambda: iter(self._opened.chunks()), self._thread)
        while True:
            chunk = self._run("chunks", lambda: next(chunks, None), self._thread)
            if chunk is None:
                return
            yield chunk

    def open(
        self, method: str, make: Callable[[], contextlib.AbstractContextManager[AudioStream]]
    ) -> None:
        """Open it."""

        def enter() -> None:
            self._stream = self._stack.enter_context(make())

        self._run(method, enter, self._thread)

    def close(self, error: BaseException | None) -> None:
        """Close it.

        Args:
            error: what ended the reading of it; None when nothing did.

        Raises:
            PluginFailed: closing it failed, and nothing else did.
        """
        stack = self._stack
        if error is None:
            self._run("close", stack.close, self._thread)
        else:
            told = type(error), error, error.__traceback__
            # The thread may stand in a call that does not return.
            self._calls.run_later("close", lambda: stack.__exit__(*told), self._thread)


class _IsolatedView(_Isolated):
    """The same for a view: the names that it gives are names."""

    constants = ("name", "depth", "facet", "whole_history", "listed", "total", "aliased")

    def subdirectories(self, at: At, index: Index) -> Sequence[str]:
        """Return the names in a directory."""
        return list(map(self._named, self._call("subdirectories", at, index, take=_all)))

    def items(self, at: At, index: Index) -> Iterator[Listed]:
        """Yield the items in a directory."""
        yield from self._call("items", at, index, take=_all)

    def aliases(self, at: At, index: Index) -> Iterator[tuple[str, Listed]]:
        """Yield the items in a directory with their names there."""
        for name, listed in self._call("aliases", at, index, take=_all):
            yield self._named(name), listed

    def places(self, item: Item, index: Index) -> Sequence[At]:
        """Return the directories in which an item is shown."""
        return cast(Sequence[At], self._call("places", item, index, take=_all))

    def linked(self, at: At, index: Index) -> AbstractSet[str]:
        """Return the keys of the items in a directory whose home is another one."""
        return cast(AbstractSet[str], self._call("linked", at, index, take=frozenset))

    def _named(self, name: object) -> str:
        if not is_component(name):
            raise PluginFailed(f"{self._name} failed: it calls something {shown(str(name))!r}")
        return cast(str, name)


def _all(given: Any) -> list[Any]:  # noqa: ANN401 - an iterable, if the plugin is right
    """Return all that a view gives, which may be without end."""
    every = list(islice(given, _MOST + 1))
    if len(every) > _MOST:
        raise PluginFailed(f"more than {_MOST:,} entries in a directory")
    return every


class _IsolatedFile(_Isolated):
    """The same for an item file: one that has never said its name isn't there.

    One that has, and fails now or is left out, must not go away: `rsync --delete` would take it
    from a backup. It can be seen then, and removed with its item, like one that can't say its size;
    it fails when it is opened.
    """

    constants = ("deletes",)

    def __init__(self, plugin: object, calls: PluginCalls) -> None:
        super().__init__(plugin, calls)
        # The names of items, by key; and those of all items, of which two are enough to know that
        # there is no name for an item that was not asked for yet.
        self._names = GenerationalCache[str, str](math.inf, most=_NAMES)
        self._given: set[str | None] = set()

    def filename(self, item: Item) -> str | None:
        """Return the file's name, if it is one."""
        try:
            given = self._call("filename", item)
        except PluginFailed:
            known = self._names.get(item.key)
            return next(iter(self._given)) if known is None and len(self._given) == 1 else known
        name = given if is_component(given) else None
        if len(self._given) < 2:
            self._given.add(name)
        if name is not None and self._names.get(item.key) != name:
            self._names.put(item.key, name)
        return cast(str | None, name)

    def size(self, item: Item, waiter: Waiter) -> int:
        """Return the size in bytes, if it is one."""
        try:
            size = self._call("size", item, waiter)
        except PluginFailed:
            return ESTIMATE
        return size if isinstance(size, int) and size >= 0 else ESTIMATE

    def open(self, item: Item, waiter: Waiter) -> OpenFile:
        """Open the file."""
        opened = self._call("open", item, waiter)
        # What histfs has made holds up nothing by itself.
        if type(opened).__module__.partition(".")[0] == __name__.partition(".")[0]:
            return cast(OpenFile, opened)
        return cast(OpenFile, _IsolatedOpenFile(opened, self._calls))


class _IsolatedOpenFile(_Isolated):
    """The same for an open file."""

    constants = ("size",)

    def read(self, offset: int, size: int, waiter: Waiter) -> bytes:
        """Return a piece of the bytes."""
        given = self._expect(bytes, "read", self._call("read", offset, size, waiter))
        return cast(bytes, given[:size])


_FENCES: dict[type, type[_Isolated]] = {
    Source: _IsolatedSource,
    View: _IsolatedView,
    ItemFile: _IsolatedFile,
}


def missing_members(plugin: object, protocol: type) -> list[str]:
    """Return the names that a protocol asks for and a plugin doesn't have."""
    wanted = (name for name in vars(protocol) if not name.startswith("_"))
    return [name for name in wanted if not hasattr(plugin, name)]


def isolated(plugin: object, protocol: type, calls: PluginCalls) -> Any:  # noqa: ANN401 - of the protocol
    """Return a plugin, fenced.

    Args:
        plugin: a source, a view or an item file.
        protocol: `Source`, `View` or `ItemFile`.
        calls: runs its code.

    Raises:
        PluginFailed: it can't be asked what it is like.
    """
    return _FENCES[protocol](plugin, calls)


def disabled_plugins(plugins: Iterable[object]) -> list[str]:
    """Return why plugins are not used any more, in a line each; those of histfs always are."""
    fenced = (plugin.left_out for plugin in plugins if isinstance(plugin, _Isolated))
    return [why for why in fenced if why is not None]
