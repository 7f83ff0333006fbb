"""One source's items on this machine: its catalog, its audio, its views and files, put together."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cachetools import TTLCache

from histfs import plugins
from histfs.audio.ahead import ReadAhead
from histfs.audio.disk import Disk
from histfs.audio.schedule import Schedule
from histfs.audio.shelf import Shelf
from histfs.audio.store import CachedAudio
from histfs.catalog.cached import CachedCatalog
from histfs.catalog.catalog import Catalog
from histfs.catalog.fetching import Fetcher
from histfs.catalog.health import Health
from histfs.catalog.reading import Reader
from histfs.catalog.refresh import Refresher
from histfs.catalog.scan import Scanner
from histfs.catalog.search import WordIndex
from histfs.catalog.searching import Searcher
from histfs.catalog.store import Store
from histfs.core.account import Account
from histfs.core.archive import Archive, NoArchive
from histfs.core.files import ItemFile
from histfs.core.flights import Flights
from histfs.core.guard import guarded, guarded_file
from histfs.core.item import Item
from histfs.core.library import Library
from histfs.core.names import item_name
from histfs.core.removal import Removal
from histfs.core.source import SPAN, Source, Traits
from histfs.core.times import Span, Zone
from histfs.core.tree import Listing, Tree
from histfs.core.views import View
from histfs.mounting.accounts import CATALOG, source_dir
from histfs.mounting.contact import Contact
from histfs.plugins import Plugin
from histfs.settings import OptionError, Settings
from histfs.sources.patient import Patient
from histfs.sources.spanned import Spanned
from histfs.sources.watched import Watched
from histfs.status import Failure, Scan, SourceStatus, windows_of
from histfs.trash import Trash, TrashArchive

#: Tells the user in one line what is left out.
Tell = Callable[[str], None]

#: The source that stands in the root of an account; any other has a folder.
ROOT = "history"
#: Entries of directories that are kept rendered, at the most; one larger directory alone may have
#: more.
_LISTED = 200_000
#: Spans, and single items, that are asked for at once; deletes; searches.
_LISTS, _PROBES, _DELETES, _SEARCHES = 4, 4, 4, 2
#: Clips that are fetched before they are asked for, for each connection; and the part of the cache
#: that they may take.
_AHEAD, _AHEAD_SHARE = 2, 4

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Collection:
    """One source's items on this machine.

    Attributes:
        name: the source's.
        source: where they come from.
        store: what is known of them.
        reader: reads from the source into the store.
        scanner: reads the whole.
        fetcher: fetches what the source doesn't list; None where it lists all there is.
        catalog: the store as an index that keeps itself fresh.
        audio: their audio.
        views: the folders in which they are shown, their home first.
        files: what is shown of each.
        removal: deletes them.
        contact: tells whether the source can be listed.
    """

    name: str
    source: Watched
    store: Store
    reader: Reader
    scanner: Scanner
    fetcher: Fetcher | None
    catalog: CachedCatalog
    audio: CachedAudio
    views: Sequence[View]
    files: Sequence[ItemFile]
    removal: Removal
    contact: Contact

    @property
    def in_root(self) -> bool:
        """Whether its views stand in the account's root."""
        return self.name == ROOT

    def status(self) -> SourceStatus:
        """Say how it is; asks the server nothing."""
        progress = self.scanner.progress()
        error = self.source.last_error
        return SourceStatus(
            items=self.store.total(),
            windows=windows_of(self.store.windows().spans()),
            scan=Scan(progress.complete, progress.down_to, progress.state),
            requests=self.source.requests,
            last_error=Failure(int(error.at), error.message) if error else None,
        )

    def tree(self, settings: Settings, zone: Zone, born: int, above: tuple[str, ...]) -> Tree:
        """Return what is shown of the items.

        Args:
            settings: how.
            zone: for the times in names.
            born: mtime of what has no other, in seconds since the epoch.
            above: the folders in which it stands.
        """
        return Tree(
            index=self.catalog,
            removal=self.removal,
            views=self.views,
            files=self.files,
            zone=zone,
            links=settings.options.links,
            listings=TTLCache(_LISTED, max(settings.listing_ttl, 1.0), getsizeof=_weight),
            born=born,
            above=above,
            check=self.contact.check,
        )


@dataclass(frozen=True, slots=True)
class Shared:
    """What the collections of one account share.

    Attributes:
        home: the account's directory in the cache.
        disk: the audio of all of them.
        downloads: runs the downloads of all of them.
        zone: of the mount.
        tell: takes a line that says what is left out.
    """

    home: Path
    disk: Disk
    downloads: Schedule
    zone: Zone
    tell: Tell


def open_collection(
    stack: contextlib.ExitStack, plugin: Plugin, settings: Settings, shared: Shared
) -> Collection | None:
    """Put the parts of a collection together.

    Args:
        stack: closes them.
        plugin: its source.
        settings: the account's.
        shared: what it has in common with others.

    Returns:
        The collection; None when its source can't be made, which the user is told.

    Raises:
        CacheFailed, NoSpace: the cache can't be used.
        OptionError: nothing of the items would be shown.
    """
    made = _made(plugin, _account(plugin, settings), shared.tell)
    if made is None:
        return None
    source = Watched(_adapted(made if plugin.own else guarded(made, str(plugin)), settings))
    stack.callback(source.close)
    name, traits = plugin.name, source.traits
    views = _views(name, traits, settings, shared)
    # Clips, and details, are read ahead in the orders of the views.
    orders = [view.facet for view in views if view.facet is not None and view.total]

    where = source_dir(shared.home, None if name == ROOT else name)
    store = Store(where / CATALOG)
    stack.callback(store.close)

    def pool(kind: str, threads: int) -> Flights:
        flights = Flights(kind, threads)
        stack.callback(flights.close)
        return flights

    lists = pool("list", _LISTS)
    reader = Reader(source, store, Health(time.monotonic), time.time, traits.page_size)
    scanner = Scanner(reader, where / "scan.lock", rescan=settings.rescan)
    stack.callback(scanner.close)
    ttl = settings.listing_ttl
    refresher = Refresher(reader, scanner, flights=lists, probes=pool("probe", _PROBES), ttl=ttl)
    fetcher = None
    if traits.summaries:
        fetcher = Fetcher(
            source.get,
            source.describe,
            store,
            flights=pool("details", settings.connections),
            ttl=ttl,
            doubt=lambda item: store.doubt(Span(item.date, item.date + 1)),
            clock=time.time,
        )

        ahead = ReadAhead(store.following, fetcher.ahead, settings.connections, sys.maxsize, orders)
        fetcher.used = ahead.used

    def text_of(key: str, raw: bytes) -> str:
        fetched = store.fetched(key) if traits.summaries else None
        listed = source.describe(raw).text or ""
        full = source.describe(fetched.raw).text or "" if fetched else ""
        return f"{listed}\n{full}" if full else listed

    searcher = Searcher(
        reader,
        refresher,
        WordIndex(store, text_of),
        flights=pool("search", _SEARCHES),
        ttl=ttl,
    )
    catalog = CachedCatalog(Catalog(store, refresher, source.describe, fetcher, searcher))
    audio = CachedAudio(
        source,
        shared.disk if name == ROOT else Shelf(shared.disk, name),
        shared.downloads,
        following=store.following,
        ahead=_AHEAD * settings.connections,
        room=settings.audio_cache_size // _AHEAD_SHARE,
        orders=orders,
        set_audio=catalog.set_audio,
        fingerprint=store.fingerprint,
        doubt=catalog.doubt,
        exact=settings.exact_sizes,
    )
    library = Library(traits, catalog, audio)
    files, kept = _files(traits, settings, library, shared.tell)
    archive = _archive(settings, kept, shared.zone)
    removal = Removal(source, catalog, archive, pool("delete", _DELETES))
    contact = Contact(reader, lists, time.monotonic)
    return Collection(
        name,
        source,
        store,
        reader,
        scanner,
        fetcher,
        catalog,
        audio,
        views,
        files,
        removal,
        contact,
    )


def _account(plugin: Plugin, settings: Settings) -> Account:
    return Account(
        profile=settings.profile,
        base_url=settings.base_url,
        key=settings.key,
        timeout=settings.timeout,
        connections=settings.connections,
        options=settings.source_options.get(plugin.name, {}),
    )


def _adapted(source: Source, settings: Settings) -> Source:
    """Return a source that can do all that the catalog and the audio store ask of it."""
    patient = Patient(source, settings.timeout)
    return patient if SPAN in source.traits.filters else Spanned(patient)


def _made(plugin: Plugin, argument: object, tell: Tell) -> Any:  # noqa: ANN401 - whatever it makes
    """Make what a plugin is for; None when it can't be, which the user is told."""
    if plugin.make is None:
        tell(f"{plugin} is left out: {plugin.error}")
        return None
    try:
        return plugin.make(argument)
    except Exception as error:
        log.info("%s can't be made", plugin, exc_info=error)
        tell(f"{plugin} is left out: {plugins.reason(error)}")
        return None


def _views(name: str, traits: Traits, settings: Settings, shared: Shared) -> list[View]:
    """Return the views that show the items of a source, their home first.

    Raises:
        OptionError: there is none that shows every item.
    """
    views: dict[str, View] = {}
    for plugin in _chosen(plugins.VIEWS, settings.views, traits.views):
        view: View | None = _made(plugin, shared.zone, shared.tell)
        if view is None or not _suits(plugin, view, traits, shared.tell):
            continue
        views.setdefault(view.name, view if plugin.own else guarded(view, str(plugin)))
    home = next((view for view in views.values() if view.total), None)
    if home is None:
        raise OptionError(
            f"the views that were chosen don't show every item of {name}: add by-date"
        )
    return [home, *(view for view in views.values() if view is not home)]


def _suits(plugin: Plugin, view: View, traits: Traits, tell: Tell) -> bool:
    """Say whether a view has something to show of a source's items, and is one at all."""
    try:
        known = (view.name, view.depth, view.total, view.whole, view.listed, view.aliased)
        return bool(known[0]) and (view.facet is None or view.facet in traits.facets)
    except AttributeError as error:
        tell(f"{plugin} is left out: {plugins.reason(error)}")
        return False


def _files(
    traits: Traits, settings: Settings, library: Library, tell: Tell
) -> tuple[list[ItemFile], list[ItemFile]]:
    """Return the files that are shown of an item, and those that a copy of it consists of.

    Those that delete the item come last: `rm -r` asks for the delete when the rest is gone, and
    where it fails the item is whole again. A copy has all that the source has, shown or not.
    """
    made: dict[str, ItemFile] = {}
    shown = _chosen(plugins.FILES, settings.files, traits.files)
    for plugin in [*shown, *_chosen(plugins.FILES, traits.files, ())]:
        if plugin.name not in made:
            file: ItemFile | None = _made(plugin, library, tell)
            if file is not None:
                made[plugin.name] = file if plugin.own else guarded_file(file, str(plugin))
    files = [made[plugin.name] for plugin in shown if plugin.name in made]
    files.sort(key=lambda file: file.deletes)
    return files, list(made.values())


def _chosen(kind: str, names: Sequence[str] | None, default: Sequence[str]) -> list[Plugin]:
    """Return the plugins of a kind that were chosen; else a source's own, and all foreign ones."""
    if names is not None:
        return plugins.choose(kind, names)
    return list(dict.fromkeys([*plugins.choose(kind, default), *plugins.foreign(kind)]))


def _archive(settings: Settings, files: Sequence[ItemFile], zone: Zone) -> Archive:
    """Make what keeps what is deleted."""

    def name_of(item: Item) -> str:
        return item_name(item.date, item.slug, item.key, zone)

    if settings.trash is None:
        return NoArchive()
    return TrashArchive(
        Trash(settings.trash),
        files,
        name_of=name_of,
        base_url=settings.base_url,
        profile=settings.profile,
        timeout=settings.timeout,
    )


def _weight(listing: Listing) -> int:
    """Weigh a listing by its entries; the largest count as what the cache can hold."""
    return min(len(listing.entries), _LISTED)
