"""``histfs ls``."""

from __future__ import annotations

import itertools
import json
import posixpath
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from histfs.cli.options import build_settings, tree_options
from histfs.cli.output import Output
from histfs.cli.paths import direct_tree, for_each
from histfs.cli.patterns import expand
from histfs.cli.waiting_line import waiting_line
from histfs.core.errors import NoSuchPath
from histfs.core.item import Facets, Item
from histfs.core.nodes import Attributes
from histfs.core.times import Zone

if TYPE_CHECKING:
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

    PATH is a path under the mountpoint, or in a mount, or a pattern; without one the root is
    listed. With several, each name is shown with its path.

    \b
    Examples:
      histfs ls by-date/2024/05
      histfs ls 'by-voice/R*'
      histfs ls --json conversations/by-date/2026/01/31 | jq -r '[.id, .call] | @tsv'
    """  # noqa: D301 - the control character is click's
    if long and as_json:
        raise click.UsageError("--long and --json exclude each other.")
    output = Output()
    with direct_tree(build_settings(given)) as tree:

        def show(path: str) -> None:
            with waiting_line(tree.known):
                matching = expand(tree, path)
                found = itertools.chain.from_iterable(_list(tree, each) for each in matching)
                first = next(found, None)
            with_path = len(paths) > 1 or len(matching) > 1
            for listed in itertools.chain([first] if first else [], found):
                name = listed.path.lstrip("/") if with_path else listed.name
                if not (long or as_json):
                    output.line(name)
                elif (row := _examine(tree, listed)) is not None:
                    output.line(row.to_json() if as_json else row.to_line(name, tree.zone))

        status = for_each(paths or ("/",), show)
    output.flush()
    click.get_current_context().exit(status)


@dataclass(frozen=True, slots=True)
class _ListedPath:
    """A directory entry.

    Attributes:
        path: an absolute path in the tree, without links.
        attributes: from the listing; None if it has none.
    """

    path: str
    attributes: Attributes | None

    @property
    def name(self) -> str:
        """Its name."""
        return posixpath.basename(self.path)


@dataclass(frozen=True, slots=True)
class _ListRow:
    """A directory entry with all its details.

    Attributes:
        listed: the entry.
        attributes: its attributes.
        target: the target of a link; None for anything else.
        owner: the item whose directory, link or file it is; None if there is none.
    """

    listed: _ListedPath
    attributes: Attributes
    target: str | None
    owner: tuple[Item, Facets] | None

    def to_line(self, name: str, zone: Zone) -> str:
        """Return a line like that of ls(1), without the fields that only a mount has."""
        kind, size = _LETTERS[self.attributes.kind], self.attributes.size
        time = f"{zone.local(self.attributes.mtime):%Y-%m-%d %H:%M:%S}"
        arrow = "" if self.target is None else f" -> {self.target}"
        return f"{kind} {size:>12} {time} {name}{arrow}"

    def to_json(self) -> str:
        """Return one line of ASCII."""
        fields: dict[str, Any] = {
            "name": self.listed.name,
            "path": self.listed.path.lstrip("/"),
            "type": _TYPES[self.attributes.kind],
            "size": self.attributes.size,
            "mtime": self.attributes.mtime,
        }
        if self.target is not None:
            fields["target"] = self.target
        if self.owner is not None:
            item, facets = self.owner
            fields |= {"id": item.id, "key": item.key, "date": item.date}
            # setdefault: a facet's name never overrides a field above.
            for kind, (first, *_) in sorted(facets.items()):
                fields.setdefault(kind, first.value or None)
                if first.label is not None:
                    fields.setdefault(f"{kind}_name", first.label)
            # Lists are additional fields, so that a field has the same type in every item.
            for kind, values in sorted(facets.items()):
                if len(values) > 1:
                    fields.setdefault(f"{kind}s", [value for value, _ in values])
                    fields.setdefault(f"{kind}_names", [label for _, label in values])
        return json.dumps(fields)


def _list(tree: DirectTree, path: str) -> Iterator[_ListedPath]:
    """Yield the entries of a directory, or a file itself."""
    path, attributes = tree.resolve(path)
    if attributes.kind != stat.S_IFDIR:
        yield _ListedPath(path, attributes)
        return
    for entry in tree.listdir(path):
        yield _ListedPath(posixpath.join(path, entry.name), entry.attributes)


def _examine(tree: DirectTree, listed: _ListedPath) -> _ListRow | None:
    """Return the details of an entry; None if it has been deleted meanwhile."""
    filesystem, path = tree.filesystem, listed.path
    try:
        attributes = listed.attributes or filesystem.stat(path, tree.waiter())
        is_link = attributes.kind == stat.S_IFLNK
        target = filesystem.readlink(path, tree.waiter()) if is_link else None
        return _ListRow(listed, attributes, target, filesystem.item(path, tree.waiter()))
    except NoSuchPath:
        return None
