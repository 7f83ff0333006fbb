"""Put the folders of ``listen`` together: by voice and by month, and one of each other source."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from functools import partial

from cachetools import TTLCache

from histfs.core.deletion import Deletions
from histfs.core.errors import BadAnswer, HistfsError, PluginFailed
from histfs.core.item import Item
from histfs.core.listen import (
    PREFIX,
    ClipFiles,
    ClipNames,
    ContentCache,
    Kept,
    Learnt,
    Library,
    ListenFolder,
    Said,
    Spoken,
    TagSource,
    is_mp3,
)
from histfs.core.path_nodes import ItemFileNode, Path
from histfs.core.times import Zone
from histfs.core.tree import Tree
from histfs.core.views import ByAgent, ByFacet, ByMonth, ByVoice, View
from histfs.mounting.mounted_source import MountedSource
from histfs.settings import Settings

#: What is kept of directories and playlists: entries, some 400 bytes each.
_KEPT, _ENTRY = 50_000, 400
#: The first facet that a source has decides its directories.
_BY_FACET: tuple[type[ByFacet], ...] = (ByVoice, ByAgent)


def listen_folders(
    mounted: MountedSource, tree: Tree, settings: Settings, zone: Zone, born: int
) -> Mapping[str, ListenFolder]:
    """Return the folders of a source in ``listen``, by name.

    Args:
        mounted: the source.
        tree: of the source.
        settings: how.
        zone: for the times in names.
        born: default mtime, in seconds since the epoch.
    """
    names = ClipNames(mounted.catalog, zone, partial(_spoken, mounted))
    tags = None
    if settings.options.tags:
        tags = TagSource(mounted.catalog, names, zone, partial(_said, mounted))
    views = _views(mounted, zone)
    ttl = max(settings.listing_ttl, 1.0)
    kept: TTLCache[Path, Kept] = TTLCache(_KEPT, ttl, getsizeof=_weight)

    def learnt() -> Learnt:
        return Learnt(mounted.catalog.extensions_learnt, mounted.audio.sizes.learnt)

    library = Library(
        files=ClipFiles(
            home=tree,
            index=mounted.catalog,
            names=names,
            tags=tags,
            links=len(views) if settings.options.listen == "show" else 1,
        ),
        contents=ContentCache(mounted.catalog, kept, learnt),
        check=mounted.probe.check,
        born=born,
        listed=mounted.directories,
    )
    return {name: ListenFolder(library, view, path) for name, (view, path) in views.items()}


def names_in_listen(mounted: MountedSource, settings: Settings) -> Callable[[ItemFileNode], int]:
    """Return what tells how many names a file has in ``listen`` that a listing shows."""
    options = settings.options
    number = len(_views(mounted, Zone("UTC"))) if options.listen == "show" else 0

    def names(node: ItemFileNode) -> int:
        is_tagged = options.tags and node.file.deletes and is_mp3(node.file, node.item)
        return number if node.name.startswith(PREFIX) and not is_tagged else 0

    return names


def forget_with(
    deletions: Deletions,
    folders: Mapping[str, ListenFolder],
    above: str,
    forget: Callable[[str], None],
) -> None:
    """Have the paths of an item in ``listen`` forgotten when it is deleted.

    Args:
        deletions: deletes the items.
        folders: of the source, by name.
        above: the path of ``listen``, from the root of the mount.
        forget: is called with each path, from there.
    """

    def before(item: Item) -> Callable[[], None]:
        paths: list[str] = []
        # A catalog that can't be read must not keep the item from being deleted.
        with contextlib.suppress(HistfsError):
            for name, folder in folders.items():
                paths += [f"{above}/{name}{path}" for path in folder.paths_of(item)]

        def after() -> None:
            for path in paths:
                forget(path)

        return after

    deletions.before_forget = before


def _views(mounted: MountedSource, zone: Zone) -> Mapping[str, tuple[View, Path]]:
    """Return the views of a source by the names of their folders, and the paths of these."""
    facets = mounted.source.traits.facets
    chosen = next((kind(zone) for kind in _BY_FACET if kind.facet in facets), None)
    views: list[View] = [*filter(None, [chosen]), ByMonth(zone)]
    if mounted.in_root:
        return {view.name: (view, (view.name,)) for view in views}
    return {mounted.name: (views[0], ())}


def _spoken(mounted: MountedSource, item: Item) -> Spoken:
    """Read what is known of a clip from its listed object; sends no request."""
    raw = mounted.store.raw(item.key, item.date)
    if raw is None:
        return Spoken()  # deleted meanwhile
    fields = mounted.source.traits.fields_of(raw)
    # What details have begins with a title, in a line of its own.
    title = None if fields.tells_text else next(iter(_described(mounted, raw).splitlines()), None)
    return Spoken(fields.words or fields.text or title, fields.duration)


def _said(mounted: MountedSource, item: Item) -> Said:
    """Read what is said in a clip from its listed object; sends no request."""
    raw = mounted.store.raw(item.key, item.date)
    if raw is None:
        return Said("")
    traits = mounted.source.traits
    fields = traits.fields_of(raw)
    text = (fields.text or "") if fields.tells_text else _described(mounted, raw)
    return Said(text, traits.words_of(raw))


def _described(mounted: MountedSource, raw: bytes) -> str:
    """Return the text of an object as its source describes it; empty where that fails."""
    try:
        return mounted.source.describe(raw).text or ""
    except (BadAnswer, PluginFailed):
        return ""


def _weight(kept: Kept) -> int:
    """Return the weight of what a directory holds: its entries, at most the capacity."""
    content = kept.content
    return min(len(content.entries) + len(content.playlist) // _ENTRY + 1, _KEPT)
