"""The threads of a run: workers, and what disturbs them from time to time.

Worker processes are killed, items come and go at the server, mounts are killed and replaced, and a
view fails.
"""

from __future__ import annotations

import random
import signal
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable

from scripts.soaking.fault_schedule import FaultSchedule
from scripts.soaking.load import Worker
from scripts.soaking.model import Model
from scripts.soaking.mounts import Mount, MountFailed
from scripts.soaking.view_faults import ViewFaults

#: Seconds between two kills of a worker process, two changes at the server, two dead mounts, two
#: faults of the view; and how long such a fault lasts.
_KILL, _CHANGE, _CRASH, _VIEW_FAULT = (0.5, 4.0), (1.0, 6.0), (15.0, 40.0), (5.0, 20.0)
_VIEW_FAULT_LASTS = (0.5, 15.0)
#: The share of dead mounts over which a mount is tried while the server fails.
_FAILING_REPLACEMENT = 0.5


class Disturbances:
    """Runs workers, and disturbs them.

    Args:
        workers: use the mounts.
        mounts: are killed and replaced.
        model: changes what is at the server, and records violations.
        schedule: makes the server fail.
        view_faults: make a view fail.
        seed: decides.
        stopping: set when no more is to be done.

    Attributes:
        counts: how often each disturbance happened.
    """

    def __init__(
        self,
        workers: list[Worker],
        mounts: list[Mount],
        *,
        model: Model,
        schedule: FaultSchedule,
        view_faults: ViewFaults,
        seed: str,
        stopping: threading.Event,
    ) -> None:
        self._workers = workers
        self._mounts = mounts
        self._model = model
        self._schedule = schedule
        self._view_faults = view_faults
        self._seed = seed
        self._stopping = stopping
        self.counts: Counter[str] = Counter()
        repeated = [
            ("kills", _KILL, self._kill_worker),
            ("changes", _CHANGE, self._change),
            ("crashes", _CRASH, self._crash),
            ("view faults", _VIEW_FAULT, self._fail_view),
        ]
        targets: list[tuple[str, Callable[[], None]]] = [
            *((name, self._repeated(name, pause, act)) for name, pause, act in repeated),
            *((f"worker {number}", worker.run) for number, worker in enumerate(workers)),
        ]
        self._threads = [
            threading.Thread(target=self._guarded, args=target, name=target[0], daemon=True)
            for target in targets
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def join(self, seconds: float) -> None:
        """Wait for all threads to end.

        Args:
            seconds: for how long; one that is then alive is a violation.
        """
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                self._model.record_violation(f"the thread {thread.name} does not end")

    def _guarded(self, name: str, target: Callable[[], None]) -> None:
        """End the run when a thread fails; it would test little then."""
        try:
            target()
        except MountFailed as error:
            self._model.record_violation(str(error))
            self._stopping.set()
        except Exception:  # noqa: BLE001 - recorded as a violation
            self._model.record_violation(f"the thread {name} failed: {traceback.format_exc()}")
            self._stopping.set()

    def _repeated(
        self, name: str, pause: tuple[float, float], act: Callable[[random.Random], None]
    ) -> Callable[[], None]:
        """Return a function that does something again and again until the end.

        Args:
            name: chooses the sequence of random numbers.
            pause: the least and the most seconds before each time.
            act: is given the random numbers.
        """

        def run() -> None:
            rng = random.Random(f"{self._seed} {name}")
            while not self._stopping.wait(rng.uniform(*pause)):
                act(rng)

        return run

    def _kill_worker(self, rng: random.Random) -> None:
        how = rng.choice((signal.SIGKILL, signal.SIGINT))
        self.counts[f"process: {how.name}"] += 1
        rng.choice(self._workers).kill(how)

    def _change(self, rng: random.Random) -> None:
        if rng.random() < 0.7:
            self._model.add_items()
        else:
            self._model.remove_remotely()

    def _crash(self, rng: random.Random) -> None:
        mount = rng.choice(self._mounts)
        self.counts["mount: SIGKILL"] += 1
        mount.kill()
        if rng.random() < _FAILING_REPLACEMENT:
            with self._schedule.outage(rng):
                served = mount.mount_without_cache()
            self.counts["mounts over a dead one while the server fails"] += 1
            self.counts["of these, that came up"] += served
        mount.mount()

    def _fail_view(self, rng: random.Random) -> None:
        self.counts[f"view: {self._view_faults.inject(rng).rpartition(' ')[2]}"] += 1
        self._stopping.wait(rng.uniform(*_VIEW_FAULT_LASTS))
        self._view_faults.clear()
