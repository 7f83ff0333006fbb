"""An open audio stream of a source plugin, isolated like its source.

Threads: a stream belongs to the thread that reads it; the plugin's code runs in the dedicated
thread of the stream.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar, cast

from histfs.core.plugin_calls import PluginCalls, PluginThreads
from histfs.core.source import AudioStream

T = TypeVar("T")


class Run(Protocol):
    """Runs a plugin's code in a pool of its threads; raises as an isolated plugin does."""

    def __call__(self, method: str, function: Callable[[], T], pool: PluginThreads) -> T:
        """Run ``function``; ``method`` is its name in messages."""


class IsolatedStream:
    """An open stream of a source. Implements `AudioStream`.

    Args:
        run: runs the source's code and waits for it.
        calls: runs the source's code detached.
        thread: the thread of this stream.
    """

    def __init__(self, run: Run, calls: PluginCalls, thread: PluginThreads) -> None:
        self._run = run
        self._calls = calls
        self._thread = thread
        self._stack = contextlib.ExitStack()
        self._stream: AudioStream | None = None

    @property
    def length(self) -> int | None:
        """The exact number of bytes; None when the source does not know it."""
        return self._run("length", lambda: self._opened.length, self._thread)

    @property
    def throttled(self) -> bool:
        """Whether the server refused the request before."""
        return self._run("throttled", lambda: self._opened.throttled, self._thread)

    @property
    def _opened(self) -> AudioStream:
        return cast(AudioStream, self._stream)

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes as they arrive."""
        chunks = self._run("chunks", lambda: iter(self._opened.chunks()), self._thread)
        while True:
            chunk = self._run("chunks", lambda: next(chunks, None), self._thread)
            if chunk is None:
                return
            yield chunk

    def open(
        self, method: str, open_stream: Callable[[], contextlib.AbstractContextManager[AudioStream]]
    ) -> None:
        """Open the stream."""

        def enter() -> None:
            self._stream = self._stack.enter_context(open_stream())

        self._run(method, enter, self._thread)

    def close(self, error: BaseException | None) -> None:
        """Close the stream.

        Args:
            error: the error that ended the reading; None after a success.

        Raises:
            PluginFailed: only closing it failed.
        """
        stack = self._stack
        if error is None:
            self._run("close", stack.close, self._thread)
        else:
            exc_info = type(error), error, error.__traceback__
            # The thread may be in a call that does not return.
            self._calls.run_detached("close", lambda: stack.__exit__(*exc_info), self._thread)
