"""One run of the soak: the mounts are made and used, faults are injected, and the rest is checked.

Threads: `Run` belongs to the main thread; `_count_delete` is called by the simulator's threads, and
`_lock` guards what it counts.
"""

from __future__ import annotations

import os
import random
import re
import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from histfs.simulator import RequestRecord, Simulator, SimulatorSettings
from scripts.soaking import final_checks
from scripts.soaking.disturbances import Disturbances
from scripts.soaking.fault_schedule import FaultSchedule
from scripts.soaking.load import Worker
from scripts.soaking.model import Model
from scripts.soaking.mounts import TIMEOUT, TTL, Mount, MountFailed
from scripts.soaking.root_watcher import RootWatcher
from scripts.soaking.view_faults import ViewFaults

ITEMS, CLIP_BYTES = 300, 50_000
_MOUNTS, _WORKERS = 2, 4
#: Seconds after which new items must show: the TTL, the time for which a failure is remembered, and
#: the duration of an answer that was under way.
_FRESHNESS = TTL + 10.0 + 10.0
#: Seconds that a call may take: its timeout, and what a busy machine adds.
_CALL_TIMEOUT = TIMEOUT + 8.0
#: Seconds for the first walk, before any fault; and for the last operations to end.
_FIRST, _LAST = 60.0, 120.0


class Run:
    """One run.

    Args:
        directory: holds the caches, the trash, the mountpoints and the logs.
        seed: decides what happens.
        binding: the FUSE library; None for the default.
    """

    def __init__(self, directory: Path, seed: str, binding: str | None) -> None:
        self._directory = directory
        self._seed = seed
        self._lock = threading.Lock()
        self._deletes: Counter[str] = Counter()
        number = random.Random(seed).randrange(1000)
        settings = SimulatorSettings(items=ITEMS, days=40, clip_bytes=CLIP_BYTES, seed=number)
        self._simulator = Simulator(settings, on_request=self._count_delete)
        self._view_faults = ViewFaults(directory / "plugins")
        self._environment = _environment(directory, self._simulator.api_key, binding)
        self._environment |= self._view_faults.environment
        self._mounts = [
            Mount(number, directory, self._simulator.base_url, self._environment)
            for number in range(_MOUNTS)
        ]

    def run(self, seconds: float) -> list[str]:
        """Run everything, and return the violations.

        Args:
            seconds: for how long faults are injected.
        """
        with ExitStack() as stack:
            stack.enter_context(self._simulator)
            for mount in self._mounts:
                stack.callback(mount.clean_up)
            schedule = FaultSchedule(self._simulator, self._rng("faults"))
            model = Model(
                self._simulator.library,
                schedule.seconds_since_fault,
                _FRESHNESS,
                _CALL_TIMEOUT,
                self._rng("model"),
            )
            try:
                self._use_mounts(model, schedule, seconds)
            except MountFailed as error:
                model.record_violation(str(error))
            return model.violations

    def _use_mounts(self, model: Model, schedule: FaultSchedule, seconds: float) -> None:
        for mount in self._mounts:
            mount.mount()
        stopping = threading.Event()
        workers = [
            Worker(self._mounts[n % _MOUNTS], model, self._rng(f"worker {n}"), stopping)
            for n in range(_WORKERS)
        ]
        for worker in workers[:_MOUNTS]:
            worker.walk_all(_FIRST)
        before = {mount: mount.descriptors() for mount in self._mounts}
        disturbances = Disturbances(
            workers, self._mounts, model=model, schedule=schedule, view_faults=self._view_faults,
            seed=self._seed, stopping=stopping,
        )  # fmt: skip
        watchers = [RootWatcher(mount, model) for mount in self._mounts]
        schedule.start()
        disturbances.start()
        for watcher in watchers:
            watcher.start()
        try:
            stopping.wait(seconds)
        finally:
            stopping.set()
            schedule.stop()
        disturbances.join(_LAST)
        for watcher in watchers:
            watcher.stop()
        self._report(model, disturbances, schedule, watchers)
        self._check_end(model, before)

    def _report(
        self,
        model: Model,
        disturbances: Disturbances,
        schedule: FaultSchedule,
        watchers: list[RootWatcher],
    ) -> None:
        _print("operations", model.operations)
        _print("errors", model.errors)
        _print(f"faults, in {schedule.bursts} bursts", self._simulator.faults.happened)
        _print("untrue answers", schedule.untrue_answers)
        refused = sum(mount.refused for mount in self._mounts)
        _print("disturbances", {**disturbances.counts, "mounts that the server refused": refused})
        removed = sum(known.removed_remotely is not None for known in model.items.values())
        _print("items", {
            "at first": ITEMS, "new": len(model.items) - ITEMS, "removed at the server": removed,
        })  # fmt: skip
        _print("listings of the root", {
            "served": sum(watcher.served for watcher in watchers),
            "dead": sum(watcher.dead for watcher in watchers),
        })  # fmt: skip
        duration, call = model.slowest
        click.echo(f"{model.bytes_read:,} bytes read; the slowest call: {call}, {duration:.1f} s")

    def _check_end(self, model: Model, before: Mapping[Mount, Counter[str]]) -> None:
        """Check what is left, with a server at which nothing fails any more."""
        library = self._simulator.library
        for mount in self._mounts:
            resources = final_checks.check_resources(model, mount, before[mount])
            click.echo(f"{mount.path.name}: {resources}")
        for mount in self._mounts:
            final_checks.check_listing(model, library, mount, _FRESHNESS)
        deleted = final_checks.check_server(model, library, self._deletes)
        for mount in self._mounts:
            mount.unmount()
        copies = final_checks.check_trash(model, library, self._environment)
        click.echo(f"{deleted} items deleted, {copies} copies in the trash")
        last = self._mounts[0]
        last.mount()
        final_checks.check_copy(model, library, last, self._directory / "copy")
        used = final_checks.check_cache(
            model, self._directory, self._simulator.base_url, self._environment
        )
        last.unmount()
        click.echo(f"{len(library)} items left, {used:,} bytes in the cache")
        for mount in self._mounts:
            for line in mount.alarms():
                model.record_violation(f"{mount.log.name}: {line}")

    def _count_delete(self, record: RequestRecord) -> None:
        if record.method == "DELETE":
            with self._lock:
                self._deletes[record.target.rpartition("/")[2]] += 1

    def _rng(self, name: str) -> random.Random:
        return random.Random(f"{self._seed} {name}")


def _environment(directory: Path, key: str, binding: str | None) -> dict[str, str]:
    """Return the environment of processes that keep all their files in a directory."""
    kept = {name: value for name, value in os.environ.items() if not re.match("HISTFS_|XDG_", name)}
    names = ("CONFIG", "STATE", "CACHE", "DATA")
    homes = {f"XDG_{name}_HOME": str(directory / name.lower()) for name in names}
    chosen = {"HISTFS_FUSE": binding} if binding else {}
    return {**kept, **homes, **chosen, "ELEVENLABS_API_KEY": key}


def _print(title: str, counts: Mapping[Any, int]) -> None:
    printed = ", ".join(f"{name}: {count:,}" for name, count in sorted(counts.items()))
    click.echo(f"{title}: {printed or 'none'}")
