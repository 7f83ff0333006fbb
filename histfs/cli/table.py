"""``histfs table``."""

from __future__ import annotations

import json
import time
from datetime import datetime, timezone
from typing import Any

import click

from histfs import logs
from histfs.cli.export_session import export_session
from histfs.cli.options import account_options, build_settings
from histfs.cli.progress import pluralize
from histfs.core.errors import SourceError
from histfs.core.times import ALWAYS
from histfs.exporting.row_files import row_format
from histfs.exporting.row_filter import RowFilter
from histfs.exporting.table import Table


def parse_since(_: click.Context, option: click.Parameter, text: str | None) -> int:
    """Return the first moment of a date such as ``2024-05`` or ``2024-05-02``, in UTC."""
    if text is None:
        return ALWAYS.start
    for pattern in ("%Y-%m-%d", "%Y-%m", "%Y"):
        try:
            found = datetime.strptime(text, pattern).replace(tzinfo=timezone.utc)
        except ValueError:
            continue
        return int(found.timestamp())
    raise click.BadParameter(f"{text!r} is not a date such as 2024-05.", param=option)


since_option = click.option(
    "--since",
    callback=parse_since,
    metavar="DATE",
    show_default="all",
    help="Leave the months before that of DATE as they are.",
)
format_option = click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "parquet"]),
    default="jsonl",
    help="JSON lines, or Parquet (pip install 'histfs[table]').",
)


def _row_filter(_: click.Context, option: click.Parameter, texts: tuple[str, ...]) -> RowFilter:
    try:
        return RowFilter(texts)
    except ValueError as error:
        raise click.BadParameter(str(error), param=option) from error


@click.command(context_settings={"show_default": True})
@click.argument("destination", metavar="DEST")
@click.option(
    "--where",
    "chosen",
    multiple=True,
    callback=_row_filter,
    metavar="FIELD=VALUE",
    help="Only items with this value, such as voice=Rachel; VALUE may be a pattern. Repeatable.",
)
@format_option
@since_option
@click.option("--json", "as_json", is_flag=True, help="Print a summary as JSON.")
@account_options
def table(
    destination: str,
    *,
    chosen: RowFilter,
    form: str,
    since: int,
    as_json: bool,
    **given: Any,  # noqa: ANN401 - click's options
) -> None:
    """Write your history as a table, with a file for each month, to DEST.

    DEST is a folder, or a URL. A second run writes only the months that have changed.

    \b
    Examples:
      histfs table ~/history-table
      histfs table --format parquet ~/history-table
      histfs table --where voice=Rachel --where 'model=eleven_*' rachel
    """  # noqa: D301 - the control character is click's
    settings = build_settings(given)
    rows, began = row_format(form), time.monotonic()
    with export_session(settings, destination, silent=as_json) as session:
        display, place, filesystem, sources, failed = session
        display.begin("Table", sum(each.store.total() for each in sources))
        made = Table(place, rows, sources, filesystem.zone, chosen)
        written = made.update(since, display.update)
        months = f"{len(written.written):,} of {pluralize(written.months, 'month')} written"
        display.end(f"{pluralize(written.rows, 'row')}: {months}.")
    if as_json:
        summary = {
            "rows": written.rows,
            "months": written.months,
            "written": written.written,
            "removed": written.removed,
            "without_details": len(failed),
            "seconds": round(time.monotonic() - began, 3),
        }
        click.echo(json.dumps(summary))
    if failed:
        raise SourceError(
            f"the details of {pluralize(len(failed), 'item')} could not be fetched:"
            f" {logs.log_file()} says why, and the next run tries again"
        )
