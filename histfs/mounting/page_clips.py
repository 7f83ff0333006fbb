"""What a page shows of the items below a path of the tree; the catalog tells it, without a request.

Of a conversation whose details were never fetched that is its title and its summary.

Threads: any number at once; there is no state here.
"""

from __future__ import annotations

import posixpath
import stat
from collections.abc import Callable, Iterator

from histfs.core.audio_format import is_audio_name
from histfs.core.errors import NoSuchPath
from histfs.core.item import Facets, Item
from histfs.mounting.account_filesystem import source_at
from histfs.mounting.direct_tree import DirectTree
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


def _clip(
    tree: DirectTree, path: str, item: Item, facets: Facets, address: Callable[[str], str]
) -> PageClip:
    mounted = source_at(tree.sources, path)
    traits = mounted.source.traits
    details = mounted.catalog.known(item) or mounted.catalog.details(item)
    names = tree.ls(path)
    audio = next((name for name in names if is_audio_name(name)), None)
    day, _, time = tree.zone.stamp(item.date).partition("T")
    return PageClip(
        when=f"{day} {time.replace('-', ':')}",
        voices=speakers(facets),
        audio=None if audio is None else address(posixpath.join(path, audio)),
        text=details.text or "",
        words=() if traits.timed_words is None else traits.timed_words(details.raw),
        seconds=None if traits.row_fields is None else traits.row_fields(details.raw).duration,
    )
