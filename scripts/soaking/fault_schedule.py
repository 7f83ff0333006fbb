"""What goes wrong at the server: bursts of faults of every kind, with quiet times between them."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

from histfs.simulator import Fault, Simulator

#: Seconds that a burst may take, and the quiet after it, which now and then is long: only then can
#: it be told whether what is new has come to show.
_BURST, _QUIET, _LONG_QUIET = (4.0, 14.0), (3.0, 8.0), (25.0, 35.0)
#: How many faults are in force at once, and how often each of them happens.
_AT_ONCE, _TIMES = (4, 12), (1, 12)

_LIST, _ITEM, _AUDIO = "GET /v1/history$", "GET /v1/history/[^/]+$", "GET .*/audio$"
_DELETE = "^DELETE"
_ROUTES = (_LIST, _LIST, _ITEM, _AUDIO, _AUDIO, _AUDIO, _DELETE, "")

#: Answers with status 200 that are none.
_NONSENSE: tuple[object, ...] = (
    {},
    [],
    "null",
    {"history": {}, "has_more": False},
    {"history": [], "has_more": True, "last_history_item_id": None},
    {"history": [], "has_more": True, "last_history_item_id": "x"},
)
#: Not 404: a server that says of an item that it is gone is believed, and must be.
_STATUSES = (400, 402, 403, 409, 422, 500, 502, 503)


def _refusal(dice: random.Random) -> dict[str, Any]:
    shape = dice.choice(("detail", "legacy", "validation", "flat"))
    return {"kind": "status", "status": dice.choice(_STATUSES), "shape": shape}


def _key_refused(dice: random.Random) -> dict[str, Any]:
    code = dice.choice(("invalid_api_key", "missing_permissions"))
    return {"kind": "status", "status": 401, "code": code}


def _too_many(dice: random.Random) -> dict[str, Any]:
    header = dice.choice(({}, {"Retry-After": "1"}, {"Retry-After": "60"}, {"Retry-After": "soon"}))
    return {"kind": "status", "status": 429, "headers": header}


def _proxy_page(dice: random.Random) -> dict[str, Any]:
    return {"kind": "html", "status": dice.choice((200, 200, 502, 503))}


def _nonsense(dice: random.Random) -> dict[str, Any]:
    return {"kind": "status", "status": 200, "body": dice.choice(_NONSENSE)}


def _broken(dice: random.Random) -> dict[str, Any]:
    return {"kind": dice.choice(("garbage", "empty", "gzip"))}


def _cut(dice: random.Random) -> dict[str, Any]:
    return {"kind": "cut", "at_byte": dice.choice((None, 0, 1, dice.randrange(60_000)))}


def _reset(dice: random.Random) -> dict[str, Any]:
    return {"kind": "reset", "at_byte": dice.choice((None, 0, dice.randrange(60_000)))}


def _lost(dice: random.Random) -> dict[str, Any]:
    return {"kind": dice.choice(("reset", "html", "garbage")), "perform": True}


def _hang(dice: random.Random) -> dict[str, Any]:
    seconds = dice.choice((0.5, 2.0, 6.0, 12.0))
    return {"kind": "hang", "seconds": seconds, "at_byte": dice.choice((None, 0, 5000))}


def _drip(dice: random.Random) -> dict[str, Any]:
    seconds = dice.choice((0.02, 0.5, 2.0))
    return {"kind": "drip", "seconds": seconds, "at_byte": dice.choice((0, 5000))}


def _elsewhere(dice: random.Random) -> dict[str, Any]:
    return {"kind": "redirect", "headers": {"Location": "http://127.0.0.2:9/v1/history"}}


_KINDS: tuple[Callable[[random.Random], dict[str, Any]], ...] = (
    _refusal, _key_refused, _too_many, _proxy_page, _nonsense, _broken, _cut, _cut, _reset, _reset,
    _lost, _hang, _hang, _drip, _elsewhere,
)  # fmt: skip


def fault(dice: random.Random) -> Fault:
    """Return something that goes wrong a few times, somewhere."""
    what = dice.choice(_KINDS)(dice)
    again = {"after": dice.randrange(3), "count": dice.randint(*_TIMES)}
    return Fault(pattern=dice.choice(_ROUTES), **again, **what)


class Weather:
    """Makes bursts of faults, in a thread of its own.

    Args:
        simulator: where.
        dice: decides what, when and for how long.
    """

    def __init__(self, simulator: Simulator, dice: random.Random) -> None:
        self._simulator = simulator
        self._dice = dice
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="weather", daemon=True)
        #: When the last burst ended, monotonic; None while there is one.
        self._calm_since: float | None = time.monotonic()
        self.bursts = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Be calm from now on."""
        self._over.set()
        self._thread.join()

    def calm_for(self) -> float:
        """Return the seconds since the last burst, 0 while there is one."""
        since = self._calm_since
        return 0.0 if since is None else time.monotonic() - since

    def _run(self) -> None:
        while not self._over.wait(self._quiet()):
            self._calm_since = None
            self.bursts += 1
            for _ in range(self._dice.randint(*_AT_ONCE)):
                self._simulator.faults.add(fault(self._dice))
            self._simulator.bandwidth = self._dice.choice((None, None, 40_000, 400_000))
            self._simulator.latency = self._dice.choice((0, 0, 0.05, 0.5))
            self._simulator.chunked = self._dice.random() < 0.5
            self._over.wait(self._dice.uniform(*_BURST))
            self._simulator.faults.clear()
            self._simulator.bandwidth, self._simulator.latency = None, 0
            self._calm_since = time.monotonic()

    def _quiet(self) -> float:
        return self._dice.uniform(*(_LONG_QUIET if self._dice.random() < 0.25 else _QUIET))
