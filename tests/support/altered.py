"""histfs in a world that a test turns: another clock, no names, a stuck disk, no pauses.

    python -m tests.support.altered ARGUMENT…

What is turned stands in a JSON file, which `ALTERED` names; it is read again each time.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from urllib3.util.retry import Retry

NAME = "tests.support.altered"


class World:
    """What a test turns.

    Args:
        path: the file for it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.env = {"ALTERED": str(path)}
        self.turn()

    def turn(self, clock: float = 0, names: bool = True, stuck: bool = False) -> None:
        """Turn the world.

        Args:
            clock: seconds by which the clock is wrong.
            names: whether hosts have addresses.
            stuck: whether the disk is: who waits for it waits on.
        """
        work = self._path.with_suffix(".new")
        work.write_text(json.dumps({"clock": clock, "names": names, "stuck": stuck}))
        work.replace(self._path)


def alter(path: Path) -> None:
    """Let this process see the world as a file says."""
    right, right_ns = time.time, time.time_ns
    resolve, sync = socket.getaddrinfo, os.fsync

    def turned(what: str) -> Any:
        return json.loads(path.read_text())[what]

    def getaddrinfo(*arguments: Any, **named: Any) -> Any:
        if not turned("names"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(*arguments, **named)

    def fsync(number: int) -> None:
        while turned("stuck"):
            time.sleep(0.01)
        sync(number)

    time.time = lambda: right() + turned("clock")
    time.time_ns = lambda: right_ns() + int(turned("clock") * 1e9)
    socket.getaddrinfo, os.fsync = getaddrinfo, fsync
    # What failed is asked for again soon, so that tests needn't wait.
    importlib.import_module("histfs.catalog.circuit_breaker").FAILURE_MEMORY = 0.5
    importlib.import_module("histfs.audio.negative_cache").SECONDS = 0.5
    Retry.sleep = lambda self, response=None: None


if __name__ == "__main__":
    alter(Path(os.environ["ALTERED"]))
    # After that: a default value keeps the clock that was there when its function was made.
    importlib.import_module("histfs.cli").main()
