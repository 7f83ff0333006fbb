"""Calls into the code of a plugin, in threads of their own and with a deadline.

A plugin may raise anything, `BaseException` included, or never return. The thread that needs the
result, which may be one of libfuse's, waits for it as it waits for the network: it can be
interrupted, and its deadline holds. A call that does not return is abandoned, with its thread, and
the plugin is disabled: from then on every call fails at once.

A plugin that ends the process, such as by ``os._exit`` or a crash in C code, can't be contained.

Threads: any number at once. `PluginCalls._lock` guards the set of running calls and why the plugin
is disabled; `PluginThreads._lock` guards the number of threads and of pending calls. With the first
one held a log line may be written, which takes `LogRateLimit._lock`; no other lock is taken. The
threads are daemons. The plugin runs without any lock.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

from histfs.core.errors import DeadlineExceeded, HistfsError, PluginFailed
from histfs.core.terminal_text import shown
from histfs.core.waiting import POLL_INTERVAL, Waiter, current_waiter, set_current_waiter

T = TypeVar("T")

#: Calls of one plugin that run at the same time; further ones are queued.
_THREADS = 32
#: How much longer than its timeout a call may take, as a share of the timeout: a plugin that waits
#: with a `Waiter` returns only when the timeout is over, which is no fault.
_GRACE = 0.1

log = logging.getLogger(__name__)


def reason(error: BaseException) -> str:
    """Return why a plugin failed, in one line; a `HistfsError` without its class."""
    try:
        text = str(error) if isinstance(error, HistfsError) else f"{type(error).__name__}: {error}"
    except BaseException:  # noqa: BLE001 - __str__ is code of the plugin, too
        text = ""
    return shown(next(iter(text.splitlines()), "").removesuffix(": ")) or type(error).__name__


class PluginRaised(PluginFailed):
    """A plugin raised something else than a `HistfsError`; that is the `__cause__`."""


def run_once(name: str, function: Callable[[], T], seconds: float) -> T:
    """Run a plugin's code in a thread that ends with it.

    Args:
        name: what is run, for the message.
        function: the plugin's code.
        seconds: how long it may take.

    Returns:
        The result of ``function``.

    Raises:
        PluginFailed: it did not return in time.
        PluginRaised: it raised something else than a `HistfsError`.
        HistfsError: raised by the plugin.
    """
    future: Future[T] = Future()
    call = _PluginCall(name, function, future, Waiter(seconds))
    thread = threading.Thread(target=call.run, name=f"once {name}", daemon=True)
    thread.start()
    thread.join(seconds)
    if not future.done():
        raise PluginFailed(f"{name} did not return within {seconds:g} seconds")
    return future.result()


class _PluginCall:
    """One call.

    Args:
        method: its name, for messages.
        function: calls it.
        future: receives the result.
        waiter: the wait budget in the plugin's thread; see `current_waiter`.
        limit: seconds after which the call is overdue.
    """

    def __init__(
        self,
        method: str,
        function: Callable[[], Any],
        future: Future[Any],
        waiter: Waiter,
        limit: float = 0.0,
    ) -> None:
        self.method = method
        self.future = future
        self.limit = limit
        #: When it began to run, monotonic; None before.
        self.started_at: float | None = None
        self._function = function
        self._waiter = waiter

    def run(self) -> None:
        """Run the call in this thread; raise nothing."""
        if not self.future.set_running_or_notify_cancel():
            return
        self.started_at = time.monotonic()
        set_current_waiter(self._waiter)
        function, self._function = self._function, _nothing
        result, error = _outcome(function)
        set_current_waiter(None)
        del function
        if error is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(error)

    def is_overdue(self, now: float) -> bool:
        """Return whether the call should have returned by now and has not."""
        return (
            self.started_at is not None
            and now - self.started_at >= self.limit
            and not self.future.done()
        )


def _nothing() -> None:
    """Replace the function of a call that has run, so that its references are freed."""


def _outcome(function: Callable[[], Any]) -> tuple[Any, HistfsError | None]:
    """Run a plugin's code and return its result, or its error.

    A separate function, so that the traceback doesn't refer to the call, which refers to the error.
    """
    try:
        return function(), None
    except HistfsError as error:
        return None, error
    except BaseException as error:  # noqa: BLE001 - also SystemExit is a failure of the plugin
        raised = PluginRaised(reason(error))
        raised.__cause__ = error
        return None, raised


class PluginThreads:
    """A pool of daemon threads that run calls in their order.

    Args:
        name: the name of the threads.
        threads: the maximum number of threads; they are started as needed.
    """

    def __init__(self, name: str, threads: int) -> None:
        self._name = name
        self._limit = threads
        self._lock = threading.Lock()
        self._calls: SimpleQueue[_PluginCall | None] = SimpleQueue()
        self._started = self._pending = 0

    def add(self, call: _PluginCall) -> None:
        """Queue a call."""
        with self._lock:
            self._pending += 1
            starting = self._started < min(self._pending, self._limit)
            if starting:
                self._started += 1
        self._calls.put(call)
        if starting:
            threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def close(self) -> None:
        """Let the threads end after the queued calls."""
        with self._lock:
            for _ in range(self._started):
                self._calls.put(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call.run()
            # Its result must not live until the next call comes.
            del call
            with self._lock:
                self._pending -= 1


class PluginCalls:
    """Runs the calls into one plugin.

    Args:
        name: its name in messages, such as ``the view by-length of recordings 1.0``.
        timeout: seconds that a call of the filesystem may take.
        recovers: whether a disabled plugin is enabled again once its calls have returned.
    """

    def __init__(self, name: str, timeout: float, *, recovers: bool = False) -> None:
        self.name = name
        self.timeout = timeout
        self._recovers = recovers
        self._lock = threading.Lock()
        self._running: set[_PluginCall] = set()
        self._disabled_reason: str | None = None
        self._pool = PluginThreads(name, _THREADS)

    @property
    def disabled_reason(self) -> str | None:
        """Why the plugin is disabled, in one line; None while it is enabled."""
        now = time.monotonic()
        with self._lock:
            overdue = [call for call in self._running if call.is_overdue(now)]
            if self._recovers and not overdue:
                self._disabled_reason = None
            if overdue and self._disabled_reason is None:
                call = overdue[0]
                self._disabled_reason = (
                    f"{self.name} is disabled: {call.method} has not returned"
                    f" within {call.limit:.3g} seconds"
                )
                log.warning("%s", self._disabled_reason)
            return self._disabled_reason

    @contextlib.contextmanager
    def dedicated_thread(self) -> Iterator[PluginThreads]:
        """Provide one thread for calls that belong together, such as those on one stream."""
        pool = PluginThreads(self.name, 1)
        try:
            yield pool
        finally:
            pool.close()

    def run(
        self,
        method: str,
        function: Callable[[Waiter], T],
        seconds: float,
        pool: PluginThreads | None = None,
    ) -> T:
        """Run the plugin's code, and wait for it within the wait budget of the current call.

        Args:
            method: its name, for messages.
            function: calls it. Takes the wait budget of the plugin, which ends at once when the
                caller abandons the call.
            seconds: how long it may take.
            pool: from `dedicated_thread`; None for any thread.

        Returns:
            The result of ``function``.

        Raises:
            PluginFailed: the plugin is disabled, or is from now on.
            Interrupted, DeadlineExceeded: the wait ended first.
            TooManyWaiting: too many calls wait already.
            PluginRaised: the plugin raised something else than a `HistfsError`.
            HistfsError: raised by the plugin.
        """
        self._check_enabled()
        limit = seconds + max(_GRACE * seconds, 2 * POLL_INTERVAL)
        waiter = current_waiter() or Waiter(limit + 2 * POLL_INTERVAL)
        abandoned = threading.Event()
        # Asked here: the thread of the call knows the caller.
        may_fetch, needs_size = waiter.may_fetch(), waiter.needs_size()
        budget = Waiter(
            min(seconds, waiter.remaining()),
            abandoned.is_set,
            lambda: may_fetch,
            needs_size=lambda: needs_size,
        )
        future: Future[T] = Future()
        call = _PluginCall(method, partial(function, budget), future, budget, limit)
        with self._lock:
            self._running.add(call)
        future.add_done_callback(partial(self._finished, call))
        (pool or self._pool).add(call)
        try:
            return self._wait(future, waiter)
        except BaseException:  # such as Ctrl-C in the main thread
            if not future.done():
                abandoned.set()
                future.cancel()
            raise

    def run_detached(
        self, method: str, function: Callable[[], object], pool: PluginThreads
    ) -> None:
        """Queue the plugin's code without waiting for its result."""
        pool.add(_PluginCall(method, function, Future(), Waiter(self.timeout)))

    def _wait(self, future: Future[T], waiter: Waiter) -> T:
        while True:
            try:
                return waiter.at_most(self._until_overdue()).result(future)
            except DeadlineExceeded:
                if future.done():
                    return future.result()
                self._check_enabled()
                waiter.check()

    def _until_overdue(self) -> float:
        """Return the seconds until the first running call is overdue."""
        now = time.monotonic()
        with self._lock:
            left = [(call.started_at or now) + call.limit - now for call in self._running]
        return max(min(left, default=self.timeout), POLL_INTERVAL)

    def _check_enabled(self) -> None:
        disabled_reason = self.disabled_reason
        if disabled_reason is not None:
            raise PluginFailed(disabled_reason)

    def _finished(self, call: _PluginCall, _: Future[Any]) -> None:
        with self._lock:
            self._running.discard(call)
