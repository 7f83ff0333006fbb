"""Calls into the code of a plugin, in threads of their own and with a deadline.

A plugin may do anything: raise what is no `Exception`, or never return. The thread that needs an
answer, which may be one of libfuse's, waits for it as it waits for the network: it can be
interrupted, and its deadline holds. A call that does not return is abandoned, with its thread, and
the plugin is left out: from then on every call fails at once.

What ends the process, such as ``os._exit`` or a crash in C code, can't be prevented here.

Threads: any number at once. `PluginCalls._lock` guards which calls are running and whether the
plugin is left out; `PluginThreads._lock` guards the number of threads. The threads are daemons. The
plugin runs without any lock.
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
from histfs.core.waiting import POLL_INTERVAL, Waiter, current, serve

T = TypeVar("T")

#: Calls of one plugin that run at the same time; more wait until one has returned.
_THREADS = 32
#: How much longer than it was given a call may take, as a part of the time that it was given. A
#: plugin that waits with a `Waiter` ends when its time is over, and is not to blame for that.
_GRACE = 0.1

log = logging.getLogger(__name__)


def reason(error: BaseException) -> str:
    """Return why a plugin failed, in one line; what it raises on purpose says that itself."""
    try:
        text = str(error) if isinstance(error, HistfsError) else f"{type(error).__name__}: {error}"
    except BaseException:  # noqa: BLE001 - its __str__ is the plugin's, too
        text = ""
    return shown(next(iter(text.splitlines()), "").removesuffix(": ")) or type(error).__name__


class PluginRaised(PluginFailed):
    """A plugin raised what it may not; the cause is what it raised, the message says so."""


def run_once(name: str, act: Callable[[], T], seconds: float) -> T:
    """Run a plugin's code in a thread that ends with it.

    Args:
        name: what is run, for the message.
        act: runs it.
        seconds: how long it may take.

    Returns:
        What ``act`` returned.

    Raises:
        PluginFailed: it did not return in time.
        PluginRaised: it raised what it may not.
        HistfsError: it raised it.
    """
    future: Future[T] = Future()
    call = _PluginCall(name, act, future, Waiter(seconds))
    thread = threading.Thread(target=call.run, name=f"once {name}", daemon=True)
    thread.start()
    thread.join(seconds)
    if not future.done():
        raise PluginFailed(f"{name} did not return within {seconds:g} seconds")
    return future.result()


class _PluginCall:
    """One call.

    Args:
        method: what is called, for messages.
        act: calls it.
        future: takes the outcome.
        waiter: the patience that the plugin's thread has; see `current`.
        limit: seconds after which the call counts as one that does not return.
    """

    def __init__(
        self,
        method: str,
        act: Callable[[], Any],
        future: Future[Any],
        waiter: Waiter,
        limit: float = 0.0,
    ) -> None:
        self.method = method
        self.future = future
        self.limit = limit
        #: When it began to run, monotonic; None before.
        self.since: float | None = None
        self._act = act
        self._waiter = waiter

    def run(self) -> None:
        """Run it in the calling thread; raises nothing."""
        if not self.future.set_running_or_notify_cancel():
            return
        self.since = time.monotonic()
        serve(self._waiter)
        act, self._act = self._act, _nothing
        result, error = _outcome(act)
        serve(None)
        del act
        if error is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(error)

    def overdue(self, now: float) -> bool:
        """Say whether it should have returned by now, and has not."""
        return self.since is not None and now - self.since >= self.limit and not self.future.done()


def _nothing() -> None:
    """Stands for what a call has done already."""


def _outcome(act: Callable[[], Any]) -> tuple[Any, HistfsError | None]:
    """Run a plugin's code, and return what it returned, or else what it failed with.

    This is a function of its own so that the traceback doesn't refer to the call, which refers to
    the error.
    """
    try:
        return act(), None
    except HistfsError as error:
        return None, error
    except BaseException as error:  # noqa: BLE001 - SystemExit, too, is the plugin's failure
        raised = PluginRaised(reason(error))
        raised.__cause__ = error
        return None, raised


class PluginThreads:
    """Threads that run calls in their order.

    Args:
        name: of the threads.
        threads: how many there are at the most; they are started as they are needed.
    """

    def __init__(self, name: str, threads: int) -> None:
        self._name = name
        self._limit = threads
        self._lock = threading.Lock()
        self._calls: SimpleQueue[_PluginCall | None] = SimpleQueue()
        self._started = self._pending = 0

    def add(self, call: _PluginCall) -> None:
        """Run a call as soon as there is a thread for it."""
        with self._lock:
            self._pending += 1
            starting = self._started < min(self._pending, self._limit)
            if starting:
                self._started += 1
        self._calls.put(call)
        if starting:
            threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def close(self) -> None:
        """Let the threads end when they have run what was added."""
        with self._lock:
            for _ in range(self._started):
                self._calls.put(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call.run()
            # What it has returned must not live until the next one comes.
            del call
            with self._lock:
                self._pending -= 1


class PluginCalls:
    """Runs the calls into one plugin.

    Args:
        name: what it is called in messages, such as ``the view by-length of recordings 1.0``.
        timeout: seconds that a call of the filesystem may take.
        recovers: whether a plugin that was left out is used again once its calls have returned.
    """

    def __init__(self, name: str, timeout: float, *, recovers: bool = False) -> None:
        self.name = name
        self.timeout = timeout
        self._recovers = recovers
        self._lock = threading.Lock()
        self._running: set[_PluginCall] = set()
        self._left_out: str | None = None
        self._pool = PluginThreads(name, _THREADS)

    @property
    def left_out(self) -> str | None:
        """Why the plugin is left out, in one line; None when it isn't."""
        now = time.monotonic()
        with self._lock:
            overdue = [call for call in self._running if call.overdue(now)]
            if self._recovers and not overdue:
                self._left_out = None
            if overdue and self._left_out is None:
                call = overdue[0]
                self._left_out = (
                    f"{self.name} is left out: {call.method} has not returned"
                    f" within {call.limit:.3g} seconds"
                )
                log.warning("%s", self._left_out)
            return self._left_out

    @contextlib.contextmanager
    def apart(self) -> Iterator[PluginThreads]:
        """Lend a thread for calls that belong together, such as those that read one stream."""
        pool = PluginThreads(self.name, 1)
        try:
            yield pool
        finally:
            pool.close()

    def run(
        self,
        method: str,
        act: Callable[[Waiter], T],
        seconds: float,
        pool: PluginThreads | None = None,
    ) -> T:
        """Run the plugin's code, and wait for it with the patience of the call that is served.

        Args:
            method: what is called, for messages.
            act: calls it; is given the patience that it may have, which ends at once when
                nobody waits for the answer any more.
            seconds: how long it may take.
            pool: from `apart`; None for any thread.

        Returns:
            What ``act`` returned.

        Raises:
            PluginFailed: the plugin is left out, or is from now on.
            Interrupted, DeadlineExceeded: the wait ended first.
            TooManyWaiting: too many calls wait already.
            PluginRaised: the plugin raised what it may not.
            HistfsError: the plugin raised it.
        """
        self._require()
        limit = seconds + max(_GRACE * seconds, 2 * POLL_INTERVAL)
        waiter = current() or Waiter(limit + 2 * POLL_INTERVAL)
        abandoned = threading.Event()
        allowed = waiter.may_fetch()
        lent = Waiter(min(seconds, waiter.remaining()), abandoned.is_set, lambda: allowed)
        future: Future[T] = Future()
        call = _PluginCall(method, partial(act, lent), future, lent, limit)
        with self._lock:
            self._running.add(call)
        future.add_done_callback(partial(self._ended, call))
        (pool or self._pool).add(call)
        try:
            return self._wait(future, waiter)
        except BaseException:  # Ctrl-C in the main thread is one of these
            if not future.done():
                abandoned.set()
                future.cancel()
            raise

    def run_later(self, method: str, act: Callable[[], object], pool: PluginThreads) -> None:
        """Run the plugin's code behind what the threads do now; nobody waits for it."""
        pool.add(_PluginCall(method, act, Future(), Waiter(self.timeout)))

    def _wait(self, future: Future[T], waiter: Waiter) -> T:
        while True:
            try:
                return waiter.at_most(self._patience()).result(future)
            except DeadlineExceeded:
                if future.done():
                    return future.result()
                self._require()
                waiter.check()

    def _patience(self) -> float:
        """Return the seconds until the first of the calls that run is one that does not return."""
        now = time.monotonic()
        with self._lock:
            left = [(call.since or now) + call.limit - now for call in self._running]
        return max(min(left, default=self.timeout), POLL_INTERVAL)

    def _require(self) -> None:
        left_out = self.left_out
        if left_out is not None:
            raise PluginFailed(left_out)

    def _ended(self, call: _PluginCall, _: Future[Any]) -> None:
        with self._lock:
            self._running.discard(call)
