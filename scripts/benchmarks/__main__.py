"""``scripts/bench``."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from histfs import __version__
from scripts.benchmarks import catalog
from scripts.benchmarks.figures import Figure

RESULTS = Path(__file__).parents[2] / "bench"


@click.group()
def bench() -> None:
    """Measure histfs beside its peers."""


@bench.command("catalog")
@click.option("--items", default=200_000, show_default=True, help="Items of the large history.")
def bench_catalog(items: int) -> None:
    """Listings: requests, seconds, memory and disk."""
    report("catalog", catalog.measure(items))


def report(name: str, figures: list[Figure]) -> None:
    """Print figures as a table and keep them as JSON."""
    table = Table("case", "measured", "wanted", "", title=f"histfs {__version__}: {name}")
    for figure in figures:
        table.add_row(
            figure.case,
            figure.shown,
            figure.wanted,
            {True: "ok", False: "MISSED"}.get(figure.good, ""),
        )
    Console().print(table)
    machine = {
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.platform(),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    cases = [figure.as_json() for figure in figures]
    path.write_text(json.dumps({"machine": machine, "cases": cases}, indent=2) + "\n")
    click.echo(f"kept in {path.relative_to(Path.cwd())}")


bench()
