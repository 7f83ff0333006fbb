"""Run histfs with a wrong clock, without DNS, with a hanging disk, and with shorter pauses.

    python -m tests.support.altered ARGUMENT…

The environment variable `ALTERED` names a JSON file with the alterations; each call reads it again.
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
    """The alterations, which a test may change while histfs runs.

    Args:
        path: the JSON file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.env = {"ALTERED": str(path)}
        self.turn()

    def turn(self, clock: float = 0, names: bool = True, stuck: bool = False) -> None:
        """Replace all alterations.

        Args:
            clock: seconds that are added to the clock.
            names: whether host names resolve.
            stuck: whether fsync(2) hangs until this is set to False.
        """
        temporary = self._path.with_suffix(".new")
        temporary.write_text(json.dumps({"clock": clock, "names": names, "stuck": stuck}))
        temporary.replace(self._path)


def alter(path: Path) -> None:
    """Apply the alterations in a file to this process."""
    true_time, true_time_ns = time.time, time.time_ns
    resolve, sync = socket.getaddrinfo, os.fsync

    def altered(name: str) -> Any:
        return json.loads(path.read_text())[name]

    def getaddrinfo(*arguments: Any, **named: Any) -> Any:
        if not altered("names"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(*arguments, **named)

    def fsync(number: int) -> None:
        while altered("stuck"):
            time.sleep(0.01)
        sync(number)

    time.time = lambda: true_time() + altered("clock")
    time.time_ns = lambda: true_time_ns() + int(altered("clock") * 1e9)
    socket.getaddrinfo, os.fsync = getaddrinfo, fsync
    # Failures are remembered only briefly, so that tests need not wait.
    importlib.import_module("histfs.catalog.circuit_breaker").FAILURE_MEMORY = 0.5
    importlib.import_module("histfs.audio.negative_cache").SECONDS = 0.5
    # An answer that brings next to nothing ends sooner; 5 seconds are the timeout of most mounts.
    importlib.import_module("histfs.sources.elevenlabs.http_connections").RATE_WINDOW = 5.0
    Retry.sleep = lambda self, response=None: None


if __name__ == "__main__":
    alter(Path(os.environ["ALTERED"]))
    # Imported afterwards: default values such as `clock=time.time` are bound at definition.
    importlib.import_module("histfs.cli").main()
