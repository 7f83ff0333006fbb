"""``scripts/soak``."""

from __future__ import annotations

import os
import random
import re
import secrets
import signal
import sys
import tempfile
import threading
import types
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from histfs.simulator import Record, Settings, Simulator
from scripts.soaking import final_checks as ending
from scripts.soaking.load import Actors, Hand
from scripts.soaking.model import Model
from scripts.soaking.mounts import TIMEOUT, TTL, Failed, Mount
from scripts.soaking.fault_schedule import Weather

ITEMS, CLIP_BYTES = 300, 50_000
_MOUNTS, _HANDS = 2, 4
#: Seconds after which what is new must show: the TTL, the time for which a failure is remembered,
#: and what an answer takes that was under way.
_FRESH = TTL + 10.0 + 10.0
#: Seconds that a call may take: its timeout, and what a busy machine takes.
_PATIENCE = TIMEOUT + 8.0
#: Seconds for a first look at everything, before anything goes wrong; and for the last deed.
_FIRST, _LAST = 60.0, 120.0


@click.command()
@click.argument("minutes", type=click.FloatRange(min=0.1), default=3.0)
@click.option("--seed", help="Decides what happens; another run with it does the same things.")
@click.option("--binding", type=click.Choice(["fusepy", "mfusepy"]), help="The FUSE library.")
@click.option("--keep", is_flag=True, help="Keep the caches, the trash and the logs.")
def soak(minutes: float, seed: str | None, binding: str | None, keep: bool) -> None:
    """Use mounts for MINUTES while everything goes wrong, then see that nothing was lost."""
    seed = seed or secrets.token_hex(4)
    click.echo(f"seed {seed}, {minutes:g} minutes, {binding or 'the best FUSE library'}")
    with _place(keep) as place:
        wrong = _Run(place, seed, binding).run(minutes * 60)
    for what in wrong[:40]:
        click.echo(f"WRONG: {what}")
    click.echo(f"{len(wrong)} things are wrong (seed {seed})" if wrong else "nothing is wrong")
    sys.exit(1 if wrong else 0)


@contextmanager
def _place(keep: bool) -> Iterator[Path]:
    if keep:
        path = Path(tempfile.mkdtemp(prefix="histfs-soak-"))
        click.echo(f"in {path}")
        yield path
    else:
        with tempfile.TemporaryDirectory(prefix="histfs-soak-") as name:
            yield Path(name)


class _Run:
    """One run.

    Args:
        place: where everything is kept.
        seed: decides.
        binding: the FUSE library; None for the best.
    """

    def __init__(self, place: Path, seed: str, binding: str | None) -> None:
        self._place = place
        self._seed = seed
        self._deletes: Counter[str] = Counter()
        number = random.Random(seed).randrange(1000)
        settings = Settings(items=ITEMS, days=40, clip_bytes=CLIP_BYTES, seed=number)
        self._simulator = Simulator(settings, on_request=self._note)
        self._environment = _environment(place, self._simulator.api_key, binding)
        self._mounts = [
            Mount(number, place, self._simulator.base_url, self._environment)
            for number in range(_MOUNTS)
        ]

    def run(self, seconds: float) -> list[str]:
        """Do everything, and return what was wrong."""
        with ExitStack() as stack:
            stack.enter_context(self._simulator)
            for mount in self._mounts:
                stack.callback(mount.end)
            weather = Weather(self._simulator, self._dice("weather"))
            model = Model(
                self._simulator.library, weather.calm_for, _FRESH, _PATIENCE, self._dice("model")
            )
            try:
                self._act(model, weather, seconds)
            except Failed as error:
                model.reproach(str(error))
            return model.wrong

    def _act(self, model: Model, weather: Weather, seconds: float) -> None:
        for mount in self._mounts:
            mount.mount()
        over = threading.Event()
        hands = [
            Hand(self._mounts[number % _MOUNTS], model, self._dice(f"hand {number}"), over)
            for number in range(_HANDS)
        ]
        for hand in hands[:_MOUNTS]:
            hand.look_around(_FIRST)
        before = {mount: mount.descriptors() for mount in self._mounts}
        actors = Actors(hands, self._mounts, model, self._seed, over)
        weather.start()
        actors.start()
        try:
            over.wait(seconds)
        finally:
            over.set()
            weather.stop()
        actors.join(_LAST)
        self._report(model, actors, weather)
        self._end(model, before)

    def _report(self, model: Model, actors: Actors, weather: Weather) -> None:
        _print("done", model.deeds)
        _print("errors", model.errors)
        _print(f"faults, in {weather.bursts} bursts", self._simulator.faults.happened)
        refused = sum(mount.refused for mount in self._mounts)
        _print("killed", {**actors.kills, "mounts that the server refused": refused})
        elsewhere = sum(known.elsewhere is not None for known in model.items.values())
        _print("items", {
            "at first": ITEMS, "new": len(model.items) - ITEMS, "removed at the server": elsewhere,
        })  # fmt: skip
        duration, call = model.slowest
        click.echo(f"{model.bytes_read:,} bytes read; the slowest call: {call}, {duration:.1f} s")

    def _end(self, model: Model, before: Mapping[Mount, Counter[str]]) -> None:
        """Look at what is left, with a server at which nothing goes wrong any more."""
        library = self._simulator.library
        for mount in self._mounts:
            click.echo(f"{mount.path.name}: {ending.check_rest(model, mount, before[mount])}")
        gone = ending.check_server(model, library, self._deletes)
        for mount in self._mounts:
            mount.unmount()
        copies = ending.check_trash(model, library, self._environment)
        click.echo(f"{gone} items deleted, {copies} copies in the trash")
        last = self._mounts[0]
        last.mount()
        ending.check_copy(model, library, last, self._place / "copy")
        base_url = self._simulator.base_url
        used = ending.check_cache(model, self._place, base_url, self._environment)
        last.unmount()
        click.echo(f"{len(library)} items left, {used:,} bytes in the cache")
        for mount in self._mounts:
            for line in mount.alarms():
                model.reproach(f"{mount.log.name}: {line}")

    def _note(self, record: Record) -> None:
        if record.method == "DELETE":
            # Only here: the threads of the simulator's connections take turns.
            self._deletes[record.target.rpartition("/")[2]] += 1

    def _dice(self, name: str) -> random.Random:
        return random.Random(f"{self._seed} {name}")


def _environment(place: Path, key: str, binding: str | None) -> dict[str, str]:
    """Return the environment of processes that keep everything in a place."""
    kept = {name: value for name, value in os.environ.items() if not re.match("HISTFS_|XDG_", name)}
    names = ("CONFIG", "STATE", "CACHE", "DATA")
    homes = {f"XDG_{name}_HOME": str(place / name.lower()) for name in names}
    chosen = {"HISTFS_FUSE": binding} if binding else {}
    return {**kept, **homes, **chosen, "ELEVENLABS_API_KEY": key}


def _print(title: str, counts: Mapping[str, int]) -> None:
    told = ", ".join(f"{name}: {count:,}" for name, count in sorted(counts.items()))
    click.echo(f"{title}: {told or 'none'}")


def _interrupted(number: int, frame: types.FrameType | None) -> None:
    raise SystemExit(128 + number)


for _signal in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(_signal, _interrupted)
soak()
