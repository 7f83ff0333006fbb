"""histfs in a world that a test turns: another clock, no names of hosts, no pauses.

    python -m tests.support.altered ARGUMENT…

What is turned stands in a JSON file, which `ALTERED` names; it is read again each time.
"""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from urllib3.util.retry import Retry

from histfs.catalog import health
from histfs.cli import main

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

    def turn(self, clock: float = 0, names: bool = True) -> None:
        """Turn the world.

        Args:
            clock: seconds by which the clock is wrong.
            names: whether hosts have addresses.
        """
        work = self._path.with_suffix(".new")
        work.write_text(json.dumps({"clock": clock, "names": names}))
        work.replace(self._path)


def alter(path: Path) -> None:
    """Let this process see the world as a file says."""
    right, right_ns, resolve = time.time, time.time_ns, socket.getaddrinfo

    def turned(what: str) -> Any:
        return json.loads(path.read_text())[what]

    def getaddrinfo(*arguments: Any, **named: Any) -> Any:
        if not turned("names"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(*arguments, **named)

    time.time = lambda: right() + turned("clock")
    time.time_ns = lambda: right_ns() + int(turned("clock") * 1e9)
    socket.getaddrinfo = getaddrinfo
    # What failed is asked for again soon, so that tests needn't wait.
    health.FAILURE_MEMORY = 0.5
    Retry.sleep = lambda self, response=None: None


if __name__ == "__main__":
    alter(Path(os.environ["ALTERED"]))
    main()
