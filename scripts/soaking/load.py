"""Those who act during a run, each in a thread: who uses the mounts, who kills, who generates."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

from scripts.soaking import worker_process
from scripts.soaking.model import Model
from scripts.soaking.mounts import Failed, Mount

_VIEWS = ("by-date", "by-voice", "by-source")
#: Seconds between two deeds of one process, two kills, two changes at the server, two dead mounts.
_REST, _KILL, _CHANGE, _CRASH = (0.0, 0.4), (0.5, 4.0), (1.0, 6.0), (15.0, 40.0)
#: Seconds within which a process is gone that was killed, whatever it waited for: one as promised,
#: and what a busy machine takes.
_DIES = 8.0


class Hand:
    """A process that uses a mount, and is replaced when it is killed.

    Args:
        mount: what it uses.
        model: tells what to do, and judges what came of it.
        dice: decides.
        over: set when no more is to be done.
    """

    def __init__(
        self, mount: Mount, model: Model, dice: random.Random, over: threading.Event
    ) -> None:
        self._mount = mount
        self._model = model
        self._dice = dice
        self._over = over
        self._process: subprocess.Popen[str] | None = None
        self._killed = False

    def look_around(self, seconds: float) -> None:
        """List everything before anything goes wrong: all of it must show."""
        ends = time.monotonic() + seconds
        for view in _VIEWS:
            asked = {"do": "walk", "root": str(self._mount.path), "view": view, "deep": False}
            answer = self._ask(dict(asked))
            # The whole history is still being read.
            while answer and any(map(_is_errno, answer["listed"].values())):
                if time.monotonic() > ends:
                    raise Failed(f"{view} can't be listed: {answer['listed']}")
                answer = self._ask(dict(asked))
            self._model.judge(self._mount.number, asked, None, answer, down=False)

    def run(self) -> None:
        """Do one thing after the other until it is over."""
        while not self._over.is_set():
            asked, item_id = self._next()
            if asked is not None:
                began = time.monotonic()
                answer = self._ask(asked)
                down = self._mount.down_within(began, time.monotonic())
                self._model.judge(self._mount.number, asked, item_id, answer, down)
            self._over.wait(self._dice.uniform(*_REST))
        if self._process is not None:
            assert self._process.stdin
            self._process.stdin.close()
            self._process.wait()

    def kill(self, how: signal.Signals) -> None:
        """Kill the process in whatever it does, and see that it is gone soon."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        self._killed = True
        began = time.monotonic()
        process.send_signal(how)
        try:
            process.wait(_DIES)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            waited = time.monotonic() - began
            self._model.reproach(f"a process was gone only {waited:.1f} s after {how.name}")

    def _next(self) -> tuple[dict[str, Any] | None, str | None]:
        """Choose what to do next, and to which item."""
        root, dice = self._mount.path, self._dice
        chance = dice.random()
        if chance < 0.25:
            view = dice.choice(("by-date", *_VIEWS))
            return {
                "do": "walk",
                "root": str(root),
                "view": view,
                "deep": dice.random() < 0.2,
            }, None
        if chance < 0.88:
            item_id = self._model.choose()
            file = dice.choice(("audio", "audio", "audio", "text", "meta"))
            whole = dice.random() < 0.5
            starts = [dice.random() for _ in range(dice.randint(1, 4))]
            ranges = [(0, 1)] if whole else [(start, dice.random() * 0.3) for start in starts]
            asked = {"do": "read", "file": file, "ranges": ranges}
        else:
            item_id = self._model.choose_to_remove()
            asked = {"do": "remove", "whole": dice.random() < 0.7}
        paths = self._model.items[item_id].paths if item_id else {}
        # A link can't be removed, what it leads to can.
        path = paths.get(dice.choice(_VIEWS) if asked["do"] == "read" else "by-date")
        return ({**asked, "item": f"{root}/{path}"}, item_id) if path else (None, None)

    def _ask(self, asked: dict[str, Any]) -> dict[str, Any] | None:
        """Have something done; None when the process was killed meanwhile."""
        if self._process is None or self._process.poll() is not None:
            self._killed = False
            self._process = subprocess.Popen(
                [sys.executable, worker_process.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
        process = self._process
        assert process.stdin and process.stdout and process.stderr
        try:
            process.stdin.write(json.dumps(asked) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if line:
            return json.loads(line)  # type: ignore[no-any-return]
        said = process.stderr.read()
        process.wait()
        if not self._killed:
            self._model.reproach(f"a process ended by itself in {asked}: {said}")
        return None


def _is_errno(names: list[str] | int) -> bool:
    return isinstance(names, int)


class Actors:
    """All who act.

    Args:
        hands: those who use the mounts.
        mounts: what is killed now and then.
        model: changes what is at the server.
        seed: decides what they do.
        over: set when no more is to be done.
    """

    def __init__(
        self, hands: list[Hand], mounts: list[Mount], model: Model, seed: str, over: threading.Event
    ) -> None:
        self._hands = hands
        self._mounts = mounts
        self._model = model
        self._seed = seed
        self._over = over
        self.kills: Counter[str] = Counter()
        acts: list[tuple[str, Callable[[], None]]] = [
            ("killer", lambda: self._now_and_then("killer", _KILL, self._kill)),
            ("changer", lambda: self._now_and_then("changer", _CHANGE, self._change)),
            ("crasher", lambda: self._now_and_then("crasher", _CRASH, self._crash)),
            *(("hand", hand.run) for hand in hands),
        ]
        self._threads = [
            threading.Thread(target=self._guarded, args=each, name=each[0], daemon=True)
            for each in acts
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def join(self, seconds: float) -> None:
        """Wait for all of them to end."""
        ends = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, ends - time.monotonic()))
            if thread.is_alive():
                self._model.reproach(f"a {thread.name} doesn't end")

    def _guarded(self, name: str, act: Callable[[], None]) -> None:
        """End the run when one who acts fails; nothing of it would be worth much then."""
        try:
            act()
        except Failed as error:
            self._model.reproach(str(error))
            self._over.set()
        except Exception:  # noqa: BLE001 - told as what is wrong
            self._model.reproach(f"a {name} failed: {traceback.format_exc()}")
            self._over.set()

    def _now_and_then(
        self, name: str, pause: tuple[float, float], act: Callable[[random.Random], None]
    ) -> None:
        dice = random.Random(f"{self._seed} {name}")
        while not self._over.wait(dice.uniform(*pause)):
            act(dice)

    def _kill(self, dice: random.Random) -> None:
        how = dice.choice((signal.SIGKILL, signal.SIGINT))
        self.kills[f"process, {how.name}"] += 1
        dice.choice(self._hands).kill(how)

    def _change(self, dice: random.Random) -> None:
        if dice.random() < 0.7:
            self._model.add()
        else:
            self._model.remove_elsewhere()

    def _crash(self, dice: random.Random) -> None:
        self.kills["mount, SIGKILL"] += 1
        dice.choice(self._mounts).kill()
