"""``histfs export``."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from histfs import logs
from histfs.cli.error_reporting import warn
from histfs.cli.export_session import Session, export_session
from histfs.cli.options import account_options, build_settings
from histfs.cli.progress import format_size, pluralize
from histfs.cli.sync import WAIT_BUDGET
from histfs.cli.sync_steps import Retries
from histfs.cli.table import format_option, since_option
from histfs.core.errors import SourceError
from histfs.core.waiting import Waiter
from histfs.exporting.crew import Crew, LocalCrew
from histfs.exporting.errors import ObjectDiffers
from histfs.exporting.export import Export, ExportResult
from histfs.exporting.row_files import row_format
from histfs.exporting.shards import ShardExport
from histfs.exporting.table import Table, TableResult
from histfs.settings import OptionError, Settings, parse_size_limit

#: Lines about single items that are printed.
_LINES = 20
#: Items that are exported at once, for each connection: while the disk syncs some, others come.
_AT_ONCE = 2
#: Seconds to wait for the last clips to get into the catalog.
_FLUSH = 30.0


def _shard_size(_: click.Context, option: click.Parameter, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_size_limit(text)
    except OptionError as error:
        raise click.BadParameter(str(error), param=option) from error


@click.command(context_settings={"show_default": True})
@click.argument("destination", metavar="DEST")
@click.option("--verify", is_flag=True, help="Read everything at DEST back, and compare it.")
@click.option(
    "--dask",
    "scheduler",
    metavar="ADDRESS",
    help="Spread the work over a Dask cluster, by its scheduler's address or file.",
)
@click.option(
    "--shards",
    callback=_shard_size,
    metavar="SIZE",
    help="Write WebDataset tars of about this size, such as 1G, in place of single files.",
)
@format_option
@since_option
@click.option("--json", "as_json", is_flag=True, help="Print a summary as JSON.")
@account_options
def export(
    destination: str,
    *,
    verify: bool,
    scheduler: str | None,
    shards: int | None,
    form: str,
    since: int,
    as_json: bool,
    **given: Any,  # noqa: ANN401 - click's options
) -> None:
    """Copy your history to DEST, a folder or a URL: audio, texts, metadata and a table.

    What is there already is neither fetched nor sent again; it may be stopped at any time (Ctrl-C),
    and goes on from there the next time. Nothing is ever deleted at DEST, nor replaced that others
    have put there.

    \b
    Examples:
      histfs export /backup/voices
      histfs export --format parquet s3://bucket/voices
      histfs export --shards 1G s3://bucket/training
    """  # noqa: D301 - the control character is click's
    if scheduler is not None and shards is not None:
        raise click.UsageError("--dask and --shards exclude each other.")
    settings = build_settings(given)
    chosen, began = row_format(form), time.monotonic()
    with export_session(settings, destination, silent=as_json) as session:
        display, place, filesystem, sources, _ = session
        table = Table(place, chosen, sources, filesystem.zone)
        table.claim()
        display.begin("Export", sum(each.store.total() for each in sources))

        def progress(done: ExportResult) -> None:
            display.update(done.items, format_size(done.bytes))

        steps = since, progress, Retries(display).wait
        if shards is not None:
            threads = settings.connections
            done = ShardExport(place, sources, shards, threads, verify=verify).run(*steps)
        else:
            with _crew(scheduler, destination, verify, settings, session) as crew:
                done = Export(place, sources, crew, verify=verify).run(*steps)
        for mounted in sources:
            mounted.audio.flush(Waiter(_FLUSH))
        rows = table.update(since)
        display.end(
            f"{pluralize(done.items, 'item')}: {pluralize(done.written, 'object')}"
            f" ({format_size(done.bytes)}) written, {done.kept:,} there already;"
            f" {len(rows.written):,} of {pluralize(rows.months, 'month')} of the table written."
        )
    _report(done, rows, as_json, time.monotonic() - began)


@contextlib.contextmanager
def _crew(
    scheduler: str | None, destination: str, verify: bool, settings: Settings, session: Session
) -> Iterator[Crew]:
    """Yield who exports the items: the threads of this process, or a cluster."""
    if scheduler is None:
        threads = _AT_ONCE * settings.connections
        yield LocalCrew(session.place, threads, settings.max_clip_size, verify=verify)
        return
    # Only an export to a cluster needs it.
    from histfs.exporting.cluster import ClusterRun, cluster_crew  # noqa: PLC0415

    # A relative path means nothing to the workers.
    where = destination if "://" in destination else str(Path(destination).absolute())
    run = ClusterRun(where, verify, WAIT_BUDGET)
    with cluster_crew(scheduler, run, settings, session.sources) as crew:
        yield crew


def _report(done: ExportResult, rows: TableResult, as_json: bool, seconds: float) -> None:
    """Print the summary, and raise the error that decides the exit status."""
    if as_json:
        summary = {
            "items": done.items,
            "written": done.written,
            "bytes": done.bytes,
            "kept": done.kept,
            "not_ready": done.not_ready,
            "without_audio": done.without_audio,
            "failed": {item: str(error) for item, error in done.failed.items()},
            "differing": done.differing,
            "months": rows.written,
            "seconds": round(seconds, 3),
        }
        click.echo(json.dumps(summary))
    lines = [*done.differing, *(f"{item}: {error}" for item, error in done.failed.items())]
    for line in lines[:_LINES]:
        warn(line)
    if done.differing:
        raise ObjectDiffers(f"{pluralize(len(done.differing), 'object')} at DEST differ")
    if done.failed:
        types = {type(error) for error in done.failed.values()}
        kind = types.pop() if len(types) == 1 else SourceError
        raise kind(
            f"{pluralize(len(done.failed), 'item')} could not be exported: {logs.log_file()} says"
            " why, and the next run tries again"
        )
