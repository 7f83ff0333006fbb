"""The command line of ``scripts/bench``."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import types
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from histfs import __version__
from scripts.benchmarks import audio, beyond, catalog, million, reads, sizes, sound, waits, walks
from scripts.benchmarks.figures import Figure, number
from scripts.benchmarks.plot import draw
from scripts.benchmarks.stage import drop_caches

RESULTS = Path(__file__).parents[2] / "bench"

_rounds = click.option(
    "--rounds", default=2, show_default=True, help="Number of runs; the best one counts."
)


@click.group(invoke_without_command=True)
@click.pass_context
def bench(context: click.Context) -> None:
    """Measure histfs beside its peers: everything, or one part."""
    if context.invoked_subcommand is None:
        for part in bench.commands.values():
            context.invoke(part)


@bench.command("catalog")
@click.option("--items", default=200_000, show_default=True, help="Items of the large history.")
def bench_catalog(items: int) -> None:
    """Listings: requests, seconds, memory and disk."""
    report("catalog", lambda: catalog.measure(items))


@bench.command("million")
@click.option("--items", default=1_000_000, show_default=True, help="Items of the history.")
def bench_million(items: int) -> None:
    """Directories and searches with most items of a very large history."""
    report("million", lambda: million.measure(items))


@bench.command("audio")
@click.option("--clips", default=500, show_default=True, help="Number of clips to save.")
@_rounds
def bench_audio(clips: int, rounds: int) -> None:
    """The first and the second backup, beside scripts on the official SDK."""
    report("audio", lambda: audio.measure(clips, rounds))


@bench.command("walks")
@click.option("--items", default=10_000, show_default=True, help="Number of items to walk.")
@_rounds
def bench_walks(items: int, rounds: int) -> None:
    """Walks with find and rsync -n through everything, beside rclone."""
    report("walks", lambda: walks.measure(items, rounds))


@bench.command("reads")
@click.option("--megabytes", default=64, show_default=True, help="Size of the clip.")
@_rounds
def bench_reads(megabytes: int, rounds: int) -> None:
    """Reads of cached, slow and hanging clips, beside rclone and the SDK."""
    report("reads", lambda: [*reads.measure(megabytes, rounds), *waits.measure(rounds)])


@bench.command("sound")
@_rounds
def bench_sound(rounds: int) -> None:
    """Seconds to the first sound of a clip that was never opened, beside curl."""
    report("sound", lambda: sound.measure(rounds))


@bench.command("sizes")
@click.option("--clips", default=300, show_default=True, help="Number of clips of each history.")
def bench_sizes(clips: int) -> None:
    """Sizes that are shown of clips that were never fetched, by their true sizes."""
    report("sizes", lambda: sizes.measure(clips))


@bench.command("beyond")
@click.option("--clips", default=500, show_default=True, help="Number of clips to export.")
@click.option("--items", default=1_000_000, show_default=True, help="Rows of the table.")
@_rounds
def bench_beyond(clips: int, items: int, rounds: int) -> None:
    """Exports, clusters, tables, fsspec and WebDAV, beside plain loops and rclone."""
    report("beyond", lambda: beyond.measure(clips, items, rounds))


def report(name: str, measure: Callable[[], list[Figure]]) -> None:
    """Measure, print the figures as a table, and save them as JSON and as a plot."""
    click.echo(f"measuring: {name}", err=True)
    figures = measure()
    title = f"histfs {__version__}: {name}"
    table = Table("case", "histfs", "peer", "ratio", "wanted", "", "note", title=title)
    for figure in figures:
        ratio = "" if figure.ratio is None else number(figure.ratio)
        table.add_row(
            figure.case, figure.shown, figure.peer_shown, ratio, figure.wanted, figure.verdict,
            figure.note,
        )  # fmt: skip
    console = Console()
    if not console.is_terminal:
        console.width = 160
    console.print(table)
    RESULTS.mkdir(exist_ok=True)
    cases = [figure.as_json() for figure in figures]
    content = json.dumps({"machine": _machine(), "cases": cases}, indent=1, ensure_ascii=False)
    (RESULTS / f"{name}.json").write_text(content + "\n")
    (RESULTS / f"{name}.svg").write_text(draw(title, figures))
    click.echo(f"saved in bench/{name}.json and bench/{name}.svg")


def _machine() -> dict[str, object]:
    """Return the properties of the machine that the figures depend on."""
    rclone = subprocess.run(["rclone", "version"], stdout=subprocess.PIPE, text=True, check=True)
    return {
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "sdk": version("elevenlabs"),
        "rclone": rclone.stdout.split()[1],
        "page cache": "dropped" if drop_caches() else "only as far as a new mount drops it",
    }


def _end(number: int, frame: types.FrameType | None) -> None:
    """Exit, ignoring further signals, so that all mounts and processes are ended."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + number)


for _signal in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(_signal, _end)
bench()
