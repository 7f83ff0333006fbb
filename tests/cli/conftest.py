from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from histfs import logs
from histfs.cli import main
from histfs.simulator import Simulator, SimulatorSettings
from tests.support.mounts import command

KEY = "sk_0123456789abcdef0123456789abcdef"
TIMEOUT = 30


@dataclass(frozen=True)
class Run:
    """The result of a command."""

    status: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The line of standard error, and the only line of output."""
        assert self.out == ""
        assert self.err.endswith("\n")
        assert len(self.err.splitlines()) == 1, self.err
        return self.err.strip()


def checked(run: Run) -> Run:
    """Check a run for tracebacks and the key."""
    assert "Traceback" not in run.out + run.err, run.err
    assert KEY not in run.out + run.err
    return run


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An empty directory to mount on."""
    path = tmp_path / "mnt"
    path.mkdir()
    return path


@pytest.fixture
def server():
    """A server that knows `KEY`, and another key that may list nothing."""
    limited = {"writer": frozenset({"speech_history_write"})}
    with Simulator(SimulatorSettings(items=3, api_key=KEY, limited_keys=limited)) as running:
        yield running


@pytest.fixture
def run(monkeypatch, capsys, no_pauses) -> Iterator[Callable[..., Run]]:
    """Run a command in this process; only for what ends before anything is mounted."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    umask = os.umask(0o022)

    def run(*arguments: object, key: str | None = KEY, **env: str) -> Run:
        monkeypatch.setattr(sys, "argv", ["histfs", *map(str, arguments)])
        keyed = {} if key is None else {"ELEVENLABS_API_KEY": key}
        for name, value in {**keyed, **env}.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return checked(Run(int(ended.value.code or 0), out, err))

    yield run
    os.umask(umask)
    logs.finish()
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def spawn(monkeypatch) -> Callable[..., Run]:
    """Run a command in a process of its own."""

    def spawn(*arguments: object, **env: str) -> Run:
        # Pipes: a mount in the background that kept them open would hold this up.
        done = subprocess.run(
            command(*arguments),
            env={**os.environ, "ELEVENLABS_API_KEY": KEY, **env},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT,
        )  # fmt: skip
        return checked(Run(done.returncode, done.stdout, done.stderr))

    return spawn
