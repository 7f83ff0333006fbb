"""``histfs trash``."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import click

from histfs.cli.error_reporting import Refused
from histfs.cli.groups import ListingGroup
from histfs.cli.options import trash_options
from histfs.cli.progress import pluralize
from histfs.core.terminal_text import shown
from histfs.core.times import Zone
from histfs.settings import parse_duration
from histfs.trash import Trash, TrashEntry, TrashItem

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, an object a line.")


@click.group(cls=ListingGroup)
def trash() -> None:
    """List, copy out and remove the copies of deleted items.

    Before an item is deleted, its audio, its text, its metadata and the files of a conversation are
    copied into the trash.
    """


@trash.command("list")
@_JSON
@trash_options
def list_(as_json: bool, trash: Path) -> None:
    """List what is in the trash, oldest first."""
    for stored in Trash(trash).items():
        if as_json:
            click.echo(_to_json(stored))
        elif stored.entry is None:
            click.echo(f"{shown(stored.path.name)}: its entry.json can't be read")
        else:
            entry = stored.entry
            when = _time(entry.archived)
            line = f"{when}  {entry.size:>12,}  {entry.id}  {entry.name}{_state(entry)}"
            click.echo(shown(line))


@trash.command()
@click.argument("wanted", metavar="ITEM")
@_JSON
@trash_options
def show(wanted: str, as_json: bool, trash: Path) -> None:
    """Show the copy of an item.

    ITEM is the item's id or its name, as `histfs trash list` shows them, or the name of its
    directory in the trash.
    """
    stored = Trash(trash).find(wanted)
    for line in [_to_json(stored)] if as_json else _lines(stored):
        click.echo(line)


@trash.command()
@click.argument("wanted", metavar="ITEM")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")
@trash_options
def export(wanted: str, directory: Path, trash: Path) -> None:
    """Copy an item out of the trash into DIR.

    ITEM is as for `histfs trash show`. The SHA-256 of each file is verified. The item stays in the
    trash.
    """
    store = Trash(trash)
    click.echo(shown(str(store.export(store.find(wanted), directory))))


@trash.command()
@click.option(
    "--older-than",
    type=parse_duration,
    default="0",
    metavar="TIME",
    help="Only copies that are older, such as 30d.",
)
@click.option("-y", "--yes", is_flag=True, help="Don't ask for confirmation.")
@trash_options
def empty(older_than: float, yes: bool, trash: Path) -> None:
    """Remove copies from the trash, for good, and list them.

    On a terminal it asks first.
    """
    store = Trash(trash)
    latest = time.time() - older_than
    chosen = [stored for stored in store.items() if stored.archived <= latest]
    size = sum(stored.entry.size for stored in chosen if stored.entry is not None)
    what = f"{pluralize(len(chosen), 'item')}, {pluralize(size, 'byte')}"
    asked = bool(chosen) and not yes and sys.stdin.isatty()
    if asked and not click.confirm(f"Remove {what}, from the trash for good?"):
        raise Refused("nothing is removed")
    for stored in chosen:
        store.remove(stored)
        entry = stored.entry
        name = stored.path.name if entry is None else f"{entry.id}  {entry.name}{_state(entry)}"
        click.echo(shown(f"removed {name}"))
    store.remove_leftovers()
    click.echo(f"{pluralize(len(chosen), 'item')} removed, {pluralize(size, 'byte')}.")


def _state(entry: TrashEntry) -> str:
    """Return a note about an item that may still be at the server; empty for a deleted one."""
    return "" if entry.deleted is not None else "  (not known to be deleted)"


def _to_json(stored: TrashItem) -> str:
    """Return a copy as one line of ASCII; an entry that can't be read is null."""
    entry = None if stored.entry is None else asdict(stored.entry)
    return json.dumps({"path": str(stored.path), "entry": entry})


def _lines(stored: TrashItem) -> list[str]:
    """Return a copy as lines for a terminal."""
    entry = stored.entry
    assert entry is not None, "`Trash.find` returns copies with an entry"
    rows = {
        "id": entry.id,
        "name": entry.name,
        "made": _time(entry.date),
        "archived": _time(entry.archived),
        "deleted": "not known to be" if entry.deleted is None else _time(entry.deleted),
        "from": f"{entry.profile}, {entry.base_url}",
        "in": str(stored.path),
    }
    for name, file in entry.files.items():
        rows[name] = f"{file.size:,} bytes, SHA-256 {file.sha256}"
    width = max(map(len, rows))
    return [shown(f"{name:{width}}  {text}") for name, text in rows.items()]


def _time(moment: int) -> str:
    return Zone().local(moment).strftime("%Y-%m-%d %H:%M:%S")
