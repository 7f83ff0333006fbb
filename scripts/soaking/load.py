"""The clients of worker processes: they choose operations, and have the model check the outcome."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
import time
from typing import Any

from scripts.soaking import worker_process
from scripts.soaking.faulty_view import FaultyView
from scripts.soaking.model import Model
from scripts.soaking.mounts import Mount, MountFailed

_VIEWS = ("by-date", "by-voice", "by-source", FaultyView.name)
#: Seconds between two operations of one process.
_PAUSE = (0.0, 0.4)
#: Seconds within which a killed process must be gone, whatever it waits for: the promise is one;
#: the rest is for a busy machine.
_DEATH = 8.0

_Request = dict[str, Any]


class Worker:
    """Operates a process that uses a mount; one that was killed is replaced.

    Threads: `run` has one of its own; `kill` is called by another.

    Args:
        mount: what the process uses.
        model: chooses items, and checks outcomes.
        rng: decides.
        stopping: set when no more is to be done.
    """

    def __init__(
        self, mount: Mount, model: Model, rng: random.Random, stopping: threading.Event
    ) -> None:
        self._mount = mount
        self._model = model
        self._rng = rng
        self._stopping = stopping
        self._process: subprocess.Popen[str] | None = None
        self._killed = False

    def walk_all(self, seconds: float) -> None:
        """List everything while no fault is in force: all of it must show.

        Args:
            seconds: until all must be known.

        Raises:
            MountFailed: a view can't be listed until then.
        """
        deadline = time.monotonic() + seconds
        for view in _VIEWS:
            request = self._walk(view, deep=False)
            outcome = self._perform(request)
            # The background scan is still reading the whole history.
            while outcome and any(isinstance(names, int) for names in outcome["listed"].values()):
                if time.monotonic() > deadline:
                    raise MountFailed(f"{view} can't be listed: {outcome['listed']}")
                outcome = self._perform(request)
            self._model.check(self._mount.number, request, None, outcome, down=False)

    def run(self) -> None:
        """Perform one operation after the other until the end."""
        while not self._stopping.is_set():
            chosen = self._choose()
            if chosen is not None:
                request, item_id = chosen
                began = time.monotonic()
                outcome = self._perform(request)
                down = self._mount.down_within(began, time.monotonic())
                self._model.check(self._mount.number, request, item_id, outcome, down)
            self._stopping.wait(self._rng.uniform(*_PAUSE))
        self.close()

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            assert self._process.stdin
            self._process.stdin.close()
            self._process.wait()

    def kill(self, how: signal.Signals) -> None:
        """Kill the process in whatever it does, and check that it is gone soon."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        self._killed = True
        began = time.monotonic()
        process.send_signal(how)
        try:
            process.wait(_DEATH)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            waited = time.monotonic() - began
            self._model.record_violation(f"a process was gone only {waited:.1f} s after {how.name}")

    def _choose(self) -> tuple[_Request, str | None] | None:
        """Choose an operation, and the item that it is for; None when there is no such item."""
        rng = self._rng
        chance = rng.random()
        if chance < 0.25:
            return self._walk(rng.choice(("by-date", *_VIEWS)), deep=rng.random() < 0.2), None
        if chance < 0.88:
            item_id = self._model.choose_to_read()
            starts = [rng.random() for _ in range(rng.randint(1, 4))]
            parts = [(start, rng.random() * 0.3) for start in starts]
            request: _Request = {
                "operation": "read",
                "file": rng.choice(("audio", "audio", "audio", "text", "meta")),
                "ranges": [(0, 1)] if rng.random() < 0.5 else parts,
            }
            view = rng.choice(_VIEWS)
        else:
            item_id = self._model.choose_to_remove()
            request = {"operation": "remove", "whole": rng.random() < 0.7}
            view = "by-date"  # a link can't be removed, its target can
        path = self._model.items[item_id].paths.get(view) if item_id else None
        if path is None:
            return None
        return {**request, "item": f"{self._mount.path}/{path}"}, item_id

    def _walk(self, view: str, *, deep: bool) -> _Request:
        return {"operation": "walk", "root": str(self._mount.path), "view": view, "deep": deep}

    def _perform(self, request: _Request) -> dict[str, Any] | None:
        """Have an operation performed; None when the process was killed meanwhile."""
        if self._process is None or self._process.poll() is not None:
            self._killed = False
            self._process = subprocess.Popen(
                [sys.executable, worker_process.__file__], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
        process = self._process
        assert process.stdin and process.stdout and process.stderr
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if line:
            return json.loads(line)  # type: ignore[no-any-return]
        output = process.stderr.read()
        process.wait()
        if not self._killed:
            self._model.record_violation(f"a process ended by itself in {request}: {output}")
        return None
