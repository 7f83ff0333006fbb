"""What goes wrong at the server, and when: bursts of faults, with quiet periods between them.

There are two kinds of bursts, in turn. In one, faults that can be recognized as such happen many at
once, and the network is slow. In the other, single answers are untrue and look right: one at a
time, as the promise is that one wrong answer loses nothing.

Threads: the schedule has a thread of its own; `outage` may be called by any other. `_lock` guards
`_in_force` and `_quiet_since`.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from histfs.simulator import Fault, Simulator

#: Seconds that a burst may take, and the quiet period after it, which now and then is long: only
#: then can it be checked that new items show.
_BURST, _QUIET, _LONG_QUIET = (4.0, 14.0), (3.0, 8.0), (25.0, 35.0)
#: How many faults are in force at once, and how often each of them happens.
_AT_ONCE, _COUNT = (4, 12), (1, 12)
#: How many untrue answers follow each other, and for how many seconds each waits for a request to
#: which it can happen.
_UNTRUE_ANSWERS, _UNTRUE_WAIT = (3, 6), 4.0

_LIST, _ITEM, _AUDIO = "GET /v1/history$", "GET /v1/history/[^/]+$", "GET .*/audio$"
_DELETE = "^DELETE"
_ROUTES = (_LIST, _LIST, _ITEM, _AUDIO, _AUDIO, _AUDIO, _DELETE, "")

#: Bodies with status 200 that are not what was asked for.
_NONSENSE: tuple[object, ...] = (
    {},
    [],
    "null",
    {"history": {}, "has_more": False},
    {"history": [], "has_more": True, "last_history_item_id": None},
    {"history": [], "has_more": True, "last_history_item_id": "x"},
)
#: 404 is an untrue answer: it says that an item is gone.
_STATUSES = (400, 402, 403, 409, 422, 500, 502, 503)
#: Statuses with which a server, or a proxy, may answer a DELETE that was performed.
_DELETE_STATUSES = (400, 403, 404, 405, 409, 410, 422, 429)

_Arguments = dict[str, Any]


def _refusal(rng: random.Random) -> _Arguments:
    shape = rng.choice(("detail", "legacy", "validation", "flat"))
    return {"kind": "status", "status": rng.choice(_STATUSES), "shape": shape}


def _key_refused(rng: random.Random) -> _Arguments:
    code = rng.choice(("invalid_api_key", "missing_permissions"))
    return {"kind": "status", "status": 401, "code": code}


def _rate_limit(rng: random.Random) -> _Arguments:
    header = rng.choice(({}, {"Retry-After": "1"}, {"Retry-After": "60"}, {"Retry-After": "soon"}))
    return {"kind": "status", "status": 429, "headers": header}


def _proxy_page(rng: random.Random) -> _Arguments:
    return {"kind": "html", "status": rng.choice((200, 200, 502, 503))}


def _nonsense(rng: random.Random) -> _Arguments:
    return {"kind": "status", "status": 200, "body": rng.choice(_NONSENSE)}


def _damaged(rng: random.Random) -> _Arguments:
    return {"kind": rng.choice(("garbage", "empty", "gzip"))}


def _cut(rng: random.Random) -> _Arguments:
    return {"kind": "cut", "at_byte": rng.choice((None, 0, 1, rng.randrange(60_000)))}


def _reset(rng: random.Random) -> _Arguments:
    return {"kind": "reset", "at_byte": rng.choice((None, 0, rng.randrange(60_000)))}


def _lost_answer(rng: random.Random) -> _Arguments:
    return {"kind": rng.choice(("reset", "html", "garbage")), "perform": True}


def _hang(rng: random.Random) -> _Arguments:
    seconds = rng.choice((0.5, 2.0, 6.0, 12.0))
    return {"kind": "hang", "seconds": seconds, "at_byte": rng.choice((None, 0, 5000))}


def _drip(rng: random.Random) -> _Arguments:
    seconds = rng.choice((0.02, 0.5, 2.0))
    where = rng.choice(({"head": True}, {"at_byte": 0}, {"at_byte": 5000}))
    return {"kind": "drip", "seconds": seconds, **where}


def _redirect(rng: random.Random) -> _Arguments:
    return {"kind": "redirect", "headers": {"Location": "http://127.0.0.2:9/v1/history"}}


_KINDS: tuple[Callable[[random.Random], _Arguments], ...] = (
    _refusal, _key_refused, _rate_limit, _proxy_page, _nonsense, _damaged, _cut, _cut, _reset,
    _reset, _lost_answer, _hang, _hang, _drip, _drip, _redirect,
)  # fmt: skip


def recognizable_fault(rng: random.Random) -> Fault:
    """Return a fault that happens a few times, at a random route."""
    arguments = rng.choice(_KINDS)(rng)
    arguments |= {"after": rng.randrange(3), "count": rng.randint(*_COUNT)}
    return Fault(rng.choice(_ROUTES), **arguments)


def untrue_answer(rng: random.Random) -> tuple[str, Fault]:
    """Return what is untrue, for the report, and a fault that happens once.

    A list that lacks items, a DELETE that was performed and is answered with 4xx, or one that was
    not performed and is answered with 404.
    """
    kind = rng.choice(("empty list", "half a list", "list without some", "done", "not done"))
    match kind:
        case "empty list":
            fault = Fault(_LIST, "truncate", at_item=0, count=1)
        case "half a list":
            fault = Fault(_LIST, "truncate", count=1)
        case "list without some":
            positions = rng.sample(range(100), rng.randint(3, 8))
            fault = Fault(_LIST, "omit", positions=positions, count=1)
        case "done":
            status = rng.choice(_DELETE_STATUSES)
            kind = f"DELETE performed and {status}"
            fault = Fault(_DELETE, "status", status=status, perform=True, count=1)
        case _:
            kind = "DELETE not performed and 404"
            fault = Fault(_DELETE, "status", status=404, count=1)
    return kind, fault


class FaultSchedule:
    """Injects bursts of faults into a simulator, in a thread of its own.

    Args:
        simulator: where to inject them.
        rng: decides what, when and for how long.
    """

    def __init__(self, simulator: Simulator, rng: random.Random) -> None:
        self._simulator = simulator
        self._rng = rng
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fault schedule", daemon=True)
        self._lock = threading.Lock()
        self._in_force = 0
        self._quiet_since = time.monotonic()
        self._untrue: Counter[str] = Counter()
        self.bursts = 0

    @property
    def untrue_answers(self) -> Mapping[str, int]:
        """How often each kind of untrue answer was given."""
        return self._untrue

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the faults, and wait for the thread to end."""
        self._stopping.set()
        self._thread.join()

    def seconds_since_fault(self) -> float:
        """Return for how many seconds no fault was in force; 0 while one is."""
        with self._lock:
            return 0.0 if self._in_force else time.monotonic() - self._quiet_since

    @contextlib.contextmanager
    def outage(self, rng: random.Random) -> Iterator[None]:
        """Let no GET succeed within the block: the server refuses, resets or hangs."""
        arguments = rng.choice((
            {"kind": "reset"}, {"kind": "hang"}, {"kind": "status", "status": 401},
            {"kind": "status", "status": 503}, {"kind": "html"},
        ))  # fmt: skip
        with self._faulty(Fault("GET", **arguments)):
            yield

    @contextlib.contextmanager
    def _faulty(self, *faults: Fault) -> Iterator[Counter[str]]:
        """Inject faults within the block.

        Yields:
            Filled after the block: how often the faults happened, as ``total``.
        """
        counts: Counter[str] = Counter()
        with self._lock:
            self._in_force += 1
        self._simulator.faults.add(*faults)
        try:
            yield counts
        finally:
            counts["total"] = self._simulator.faults.remove(*faults)
            with self._lock:
                self._in_force -= 1
                self._quiet_since = time.monotonic()

    def _run(self) -> None:
        untrue = self._rng.random() < 0.5
        while not self._stopping.wait(self._quiet_period()):
            self.bursts += 1
            if untrue:
                self._give_untrue_answers()
            else:
                self._inject_many()
            untrue = not untrue

    def _inject_many(self) -> None:
        faults = [recognizable_fault(self._rng) for _ in range(self._rng.randint(*_AT_ONCE))]
        with self._faulty(*faults):
            self._simulator.bandwidth = self._rng.choice((None, None, 40_000, 400_000))
            self._simulator.latency = self._rng.choice((0, 0, 0.05, 0.5))
            self._simulator.chunked = self._rng.random() < 0.5
            self._stopping.wait(self._rng.uniform(*_BURST))
        self._simulator.bandwidth, self._simulator.latency = None, 0

    def _give_untrue_answers(self) -> None:
        for _ in range(self._rng.randint(*_UNTRUE_ANSWERS)):
            kind, fault = untrue_answer(self._rng)
            with self._faulty(fault) as counts:
                self._stopping.wait(_UNTRUE_WAIT)
            self._untrue[kind] += counts["total"]

    def _quiet_period(self) -> float:
        return self._rng.uniform(*(_LONG_QUIET if self._rng.random() < 0.25 else _QUIET))
