"""What a page shows of the items below a path of the tree; the catalog tells it, without a request.

Of a conversation whose details were never fetched that is its title and its summary.

Threads: any number at once; there is no state here.
"""

from __future__ import annotations

import posixpath
import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple

from histfs.catalog import table_query
from histfs.core.errors import NoSuchPath
from histfs.core.item import Facets, Item
from histfs.core.name_forms import has_audio_extension, is_audio_name
from histfs.core.nodes import Attributes
from histfs.core.times import ALWAYS, Span, Zone
from histfs.mounting.account_filesystem import source_at
from histfs.mounting.account_rows import joined_rows
from histfs.mounting.direct_tree import DirectTree
from histfs.mounting.mounted_source import MountedSource
from histfs.page.clip import PageClip
from histfs.page.described import speakers


def page_clips(
    tree: DirectTree, path: str, address: Callable[[str], str]
) -> Iterator[tuple[str, PageClip]]:
    """Yield the directories of the items below a path, and what a page shows of each.

    Links are followed; the directories are those where the items have their home. An item comes as
    often as there are ways to it.

    Args:
        tree: the tree.
        path: of a directory, of an item, or of one of its files.
        address: gives the address of a file for the page, by its path from the root.

    Raises:
        HistfsError: a directory can't be listed.
    """
    path, attributes = tree.resolve(path)
    found = tree.filesystem.item(path, tree.waiter())
    if found is not None and _stands_alone(tree, path, attributes):
        if has_audio_extension(path):
            yield path, _clip(tree, path, *found, address)
        return
    if found is not None:
        while tree.filesystem.item(above := posixpath.dirname(path), tree.waiter()) is not None:
            path = above
        yield path, _clip(tree, path, *found, address)
        return
    for name in sorted(tree.ls(path)) if attributes.kind == stat.S_IFDIR else ():
        try:
            yield from page_clips(tree, posixpath.join(path, name), address)
        except NoSuchPath:
            continue  # it has been deleted meanwhile


def _stands_alone(tree: DirectTree, path: str, attributes: Attributes) -> bool:
    """Say whether a file of an item stands in no directory of the item, as those of ``listen``."""
    if attributes.kind == stat.S_IFDIR:
        return False
    return tree.filesystem.item(posixpath.dirname(path), tree.waiter()) is None


def account_clips(
    mounted: MountedSource, zone: Zone, address: Callable[[str], str], span: Span = ALWAYS
) -> Iterator[PageClip]:
    """Yield what a page shows of the items of a source, oldest first, by the catalog alone.

    It takes a fraction of the time of `page_clips`, which goes through the tree.

    Args:
        mounted: the source.
        zone: in which names have their times.
        address: as that of `page_clips`.
        span: in which the items were created.

    Raises:
        CacheFailed, NoSpace: the catalog can't be read.
    """
    traits = mounted.source.traits
    for found, row in joined_rows(mounted, zone, span):
        raw = found.raw if found.fetched is None else found.fetched
        extension = None if row.audio is None else row.audio.rpartition(".")[2]
        yield PageClip(
            when=_when(zone, found.item),
            voices=speakers(found.facets),
            audio=None if extension is None else address(f"/{row.path}/audio.{extension}"),
            text=row.text or "",
            words=traits.words_of(raw),
            seconds=row.duration,
        )


class Newest(NamedTuple):
    """The newest items of a source.

    Attributes:
        span: in which they, and all later ones, were created.
        state: another one when what a page shows of them, or the number of all items, has changed.
    """

    span: Span
    state: object


def newest(mounted: MountedSource, number: int) -> Newest:
    """Look at the newest items of a source; it takes a fraction of the time of `account_clips`.

    Args:
        mounted: the source.
        number: how many; as many more as have the same date as the oldest of them.

    Raises:
        CacheFailed, NoSpace: the catalog can't be read.
    """
    store = mounted.store
    span = table_query.newest(store, number)
    return Newest(span, (mounted.name, store.total(), table_query.state_of(store, span)))


def _clip(
    tree: DirectTree, path: str, item: Item, facets: Facets, address: Callable[[str], str]
) -> PageClip:
    mounted = source_at(tree.sources, path)
    traits = mounted.source.traits
    details = mounted.catalog.known(item) or mounted.catalog.details(item)
    audio = path
    if not has_audio_extension(path):
        names = (posixpath.join(path, name) for name in tree.ls(path) if is_audio_name(name))
        audio = next(names, "")
    return PageClip(
        when=_when(tree.zone, item),
        voices=speakers(facets),
        audio=address(audio) if audio else None,
        text=details.text or "",
        words=traits.words_of(details.raw),
        seconds=traits.fields_of(details.raw).duration,
    )


def _when(zone: Zone, item: Item) -> str:
    day, _, time = zone.stamp(item.date).partition("T")
    return f"{day} {time.replace('-', ':')}"
