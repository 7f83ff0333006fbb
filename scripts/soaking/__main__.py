"""The command ``scripts/soak``."""

from __future__ import annotations

import secrets
import signal
import sys
import tempfile
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from scripts.soaking.run import Run

#: How many violations are printed.
_PRINTED = 40


@click.command()
@click.argument("minutes", type=click.FloatRange(min=0.1), default=3.0)
@click.option("--seed", help="Decides what happens; another run with it makes the same choices.")
@click.option("--binding", type=click.Choice(["fusepy", "mfusepy"]), help="The FUSE library.")
@click.option("--keep", is_flag=True, help="Keep the caches, the trash and the logs.")
def soak(minutes: float, seed: str | None, binding: str | None, keep: bool) -> None:
    """Use mounts for MINUTES while faults are injected, then check that nothing was lost."""
    seed = seed or secrets.token_hex(4)
    click.echo(f"seed {seed}, {minutes:g} minutes, {binding or 'the default FUSE library'}")
    with _directory(keep) as directory:
        violations = Run(directory, seed, binding).run(minutes * 60)
    for violation in violations[:_PRINTED]:
        click.echo(f"VIOLATION: {violation}")
    click.echo(f"{len(violations)} violations (seed {seed})")
    sys.exit(1 if violations else 0)


@contextmanager
def _directory(keep: bool) -> Iterator[Path]:
    if keep:
        path = Path(tempfile.mkdtemp(prefix="histfs-soak-"))
        click.echo(f"in {path}")
        yield path
    else:
        with tempfile.TemporaryDirectory(prefix="histfs-soak-") as name:
            yield Path(name)


def _exit_on_signal(number: int, frame: types.FrameType | None) -> None:
    raise SystemExit(128 + number)


for _signal in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(_signal, _exit_on_signal)
soak()
