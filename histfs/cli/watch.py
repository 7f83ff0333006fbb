"""``histfs watch``."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from histfs.cli.error_reporting import warn
from histfs.cli.options import build_settings, tree_options
from histfs.cli.output import Output
from histfs.cli.paths import direct_tree
from histfs.core.errors import KeyRefused, NotComplete, SourceError
from histfs.core.item_row import ItemRow
from histfs.mounting.account_changes import AccountChanges, Deleted

#: The least seconds between two looks.
_LEAST = 1.0


@click.command(context_settings={"show_default": True})
@click.option("--json", "as_json", is_flag=True, help="Print JSON, an object a line.")
@tree_options
def watch(as_json: bool, **given: Any) -> None:  # noqa: ANN401 - click's options
    """Print new and deleted items as they come.

    A filesystem in user space tells no inotify(7) of what has changed at the server: this looks
    each --listing-ttl, and goes on until Ctrl-C. While the server does not answer it says so once,
    and what was missed is printed afterwards.

    \b
    Examples:
      histfs watch --listing-ttl 60s
      histfs watch --json | jq -r 'select(.event == "new") | .path'
    """  # noqa: D301 - the control character is click's
    settings = build_settings(given)
    output = Output()
    with direct_tree(settings) as tree:
        changes = AccountChanges(tree)
        told: str | None = None
        while True:
            try:
                for change in changes.look():
                    output.line(_to_json(change) if as_json else _to_text(change))
                outage = changes.outage()
            except KeyRefused:
                raise
            except (SourceError, NotComplete) as error:
                outage = str(error)
            if outage is not None and told is None:
                warn(outage)
            told = outage
            output.flush()
            time.sleep(max(_LEAST, settings.listing_ttl))


def _to_text(change: ItemRow | Deleted) -> str:
    if isinstance(change, Deleted):
        return f"deleted  {change.name}"
    return f"new      {change.path}"


def _to_json(change: ItemRow | Deleted) -> str:
    if isinstance(change, Deleted):
        return json.dumps({"event": "deleted", **change._asdict()})
    return json.dumps({"event": "new", **change._asdict()})
