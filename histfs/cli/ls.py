"""``histfs ls``."""

from __future__ import annotations

import json
import posixpath
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click

from histfs.cli.options import tree_options, tree_settings
from histfs.cli.output import Output
from histfs.cli.paths import direct_tree, for_each
from histfs.core.errors import NoSuchPath
from histfs.core.item import Facets, Item
from histfs.core.nodes import Attributes
from histfs.core.times import Zone
from histfs.mounting import DirectTree

_TYPES = {stat.S_IFDIR: "directory", stat.S_IFREG: "file", stat.S_IFLNK: "link"}
_LETTERS = {stat.S_IFDIR: "d", stat.S_IFREG: "-", stat.S_IFLNK: "l"}


@click.command(context_settings={"show_default": True})
@click.argument("paths", nargs=-1, metavar="[PATH]…")
@click.option("-l", "--long", is_flag=True, help="Show the kind, size and time of each, too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, an object a line.")
@tree_options
def ls(paths: tuple[str, ...], long: bool, as_json: bool, **given: Any) -> None:  # noqa: ANN401
    """List what a mount would show, without one.

    PATH is what comes after the mountpoint; the root is listed without one. Of several each name
    has its path before it.

    \b
    Examples:
      histfs ls by-date/2024/05
      histfs ls --json conversations/by-date/2026/01/31 | jq -r '[.id, .call] | @tsv'
    """  # noqa: D301 - the control character is click's
    if long and as_json:
        raise click.UsageError("--long and --json exclude each other.")
    output = Output()
    with direct_tree(tree_settings(given)) as tree:

        def show(path: str) -> None:
            for place in _listed(tree, path):
                shown = place.name if len(paths) < 2 else place.path.lstrip("/")
                if not (long or as_json):
                    output.line(shown)
                elif (row := _row(tree, place)) is not None:
                    output.line(row.to_json() if as_json else row.to_line(shown, tree.zone))

        status = for_each(paths or ("/",), show)
    output.flush()
    click.get_current_context().exit(status)


@dataclass(frozen=True, slots=True)
class _ListedPath:
    """Something that is listed.

    Attributes:
        path: from the root, with no link on the way.
        attributes: as far as the listing tells.
    """

    path: str
    attributes: Attributes | None

    @property
    def name(self) -> str:
        """Its name."""
        return posixpath.basename(self.path)


@dataclass(frozen=True, slots=True)
class _ListRow:
    """The same, with all that is told of it.

    Attributes:
        place: what is listed.
        attributes: all of them.
        target: of a link; None for anything else.
        owner: the item whose directory, link or file it is; None for none.
    """

    place: _ListedPath
    attributes: Attributes
    target: str | None
    owner: tuple[Item, Facets] | None

    def to_line(self, name: str, zone: Zone) -> str:
        """Return it as ls(1) would, less what only a mount has."""
        kind, size = _LETTERS[self.attributes.kind], self.attributes.size
        time = f"{zone.local(self.attributes.mtime):%Y-%m-%d %H:%M:%S}"
        leads = "" if self.target is None else f" -> {self.target}"
        return f"{kind} {size:>12} {time} {name}{leads}"

    def to_json(self) -> str:
        """Return it as one line of plain ASCII."""
        fields: dict[str, Any] = {
            "name": self.place.name,
            "path": self.place.path.lstrip("/"),
            "type": _TYPES[self.attributes.kind],
            "size": self.attributes.size,
            "mtime": self.attributes.mtime,
        }
        if self.target is not None:
            fields["target"] = self.target
        if self.owner is not None:
            item, facets = self.owner
            fields |= {"id": item.id, "key": item.key, "date": item.date}
            # What a source calls its facets never takes the place of what stands above.
            for kind, (first, *_) in sorted(facets.items()):
                fields.setdefault(kind, first.value or None)
                if first.label is not None:
                    fields.setdefault(f"{kind}_name", first.label)
            # The first one is a field of its own, whether there are others or not: what one item
            # has as text is no list in another one.
            for kind, values in sorted(facets.items()):
                if len(values) > 1:
                    fields.setdefault(f"{kind}s", [value for value, _ in values])
                    fields.setdefault(f"{kind}_names", [label for _, label in values])
        return json.dumps(fields)


def _listed(tree: DirectTree, path: str) -> Iterator[_ListedPath]:
    """Yield the entries of a directory, or a file itself."""
    path, attributes = tree.resolve(path)
    if attributes.kind != stat.S_IFDIR:
        yield _ListedPath(path, attributes)
        return
    for entry in tree.listdir(path):
        yield _ListedPath(posixpath.join(path, entry.name), entry.attributes)


def _row(tree: DirectTree, place: _ListedPath) -> _ListRow | None:
    """Return all that is shown of a path; None where it is gone by now."""
    filesystem, path = tree.filesystem, place.path
    try:
        attributes = place.attributes or filesystem.stat(path, tree.waiter())
        is_link = attributes.kind == stat.S_IFLNK
        target = filesystem.readlink(path, tree.waiter()) if is_link else None
        return _ListRow(place, attributes, target, filesystem.item(path, tree.waiter()))
    except NoSuchPath:
        return None
