"""One source of an account with its catalog, audio cache, views, files and deletion."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from cachetools import TTLCache

from histfs.audio.audio_cache import AudioCache
from histfs.audio.disk_cache import DiskCache
from histfs.audio.download_scheduler import DownloadScheduler
from histfs.catalog.catalog import Catalog
from histfs.catalog.catalog_store import CatalogStore
from histfs.catalog.circuit_breaker import CircuitBreaker
from histfs.catalog.details_fetcher import DetailsFetcher
from histfs.catalog.erasure import ErasureWorker
from histfs.catalog.refresher import Refresher
from histfs.catalog.reparse import reparse
from histfs.catalog.scanner import Scanner
from histfs.catalog.search_service import SearchService
from histfs.catalog.span_reader import SpanReader
from histfs.catalog.text_index import FullTextIndex
from histfs.core.archive import Archive, NoArchive
from histfs.core.deletion import Deletions
from histfs.core.file_context import FileContext
from histfs.core.files import ItemFile
from histfs.core.limiter import Limiter
from histfs.core.listed_directories import ListedDirectories
from histfs.core.path_nodes import ItemFileNode
from histfs.core.server_breaker import ServerBreaker
from histfs.core.single_flight import SingleFlight
from histfs.core.source import Source
from histfs.core.times import Zone
from histfs.core.tree import Tree
from histfs.core.views import View
from histfs.mounting.cache_layout import CATALOG, source_dir
from histfs.mounting.limited_source import open_limited
from histfs.mounting.plugin_factory import Tell, make_files, make_views
from histfs.mounting.source_accounts import SourceAccount
from histfs.mounting.source_parts import (
    audio_cache,
    details_fetcher,
    reading_orders,
    rendered_sizes,
)
from histfs.mounting.source_probe import SourceProbe
from histfs.plugins import Plugin
from histfs.settings import OptionError, Settings
from histfs.sources.request_policies import InstrumentedSource
from histfs.status import FailureStatus, OutageStatus, ScanStatus, SourceStatus, windows_of
from histfs.trash import Trash, TrashArchive

#: Entries of directories that are kept rendered, at the most, some 400 bytes each. Directories with
#: more than `histfs.core.large_listing.LARGE` entries are not kept.
_LISTED = 50_000
#: Spans, and single items, that are asked for at once; deletes; searches.
_LISTS, _PROBES, _DELETES, _SEARCHES = 4, 4, 4, 2


@dataclass(frozen=True, slots=True)
class MountedSource:
    """A source and what belongs to it.

    Attributes:
        name: of the source.
        in_root: whether its views stand in the account's root.
        account: names its account in the trash.
        source: the source in its wrappers.
        store: the catalog's file.
        reader: reads lists into the store.
        scanner: reads the whole history.
        fetcher: fetches details that are not listed; None where all details are listed.
        catalog: the index, which refreshes itself.
        audio: the audio cache.
        views: the home of the items first.
        files: of each item.
        deletions: deletes items.
        probe: tells whether the source can be listed.
        plugins: the source, the views and the files, as the plugins returned them.
        directories: those that were listed last.
    """

    name: str
    in_root: bool
    account: str
    source: InstrumentedSource
    store: CatalogStore
    reader: SpanReader
    scanner: Scanner
    fetcher: DetailsFetcher | None
    catalog: Catalog
    audio: AudioCache
    views: Sequence[View]
    files: Sequence[ItemFile]
    deletions: Deletions
    probe: SourceProbe
    plugins: Sequence[object]
    directories: ListedDirectories

    def status(self) -> SourceStatus:
        """Return the status of the source; sends no request."""
        progress = self.scanner.progress()
        outage, failures = self.reader.outage, []
        if (error := self.source.last_error) is not None:
            failures.append(FailureStatus(int(error.at), error.message))
        if outage is not None:
            # The source may have answered with what can't be believed.
            failures.append(FailureStatus(int(outage.last), outage.message))
        return SourceStatus(
            items=self.store.total(),
            windows=windows_of(self.store.coverage().spans()),
            scan=ScanStatus(progress.complete, progress.down_to, progress.state),
            requests=self.source.requests,
            last_error=max(failures, key=lambda failure: failure.at, default=None),
            outage=OutageStatus(int(outage.since), outage.message) if outage else None,
        )

    def tree(
        self,
        settings: Settings,
        zone: Zone,
        born: int,
        above: tuple[str, ...],
        names_elsewhere: Callable[[ItemFileNode], int] = lambda _: 0,
    ) -> Tree:
        """Return the tree of the source.

        Args:
            settings: how.
            zone: for the times in names.
            born: default mtime, in seconds since the epoch.
            above: the folders in which it stands.
            names_elsewhere: see `Tree`.
        """
        return Tree(
            index=self.catalog,
            deletions=self.deletions,
            views=self.views,
            files=self.files,
            zone=zone,
            links=settings.options.links,
            listings=TTLCache(
                _LISTED,
                max(settings.listing_ttl, 1.0),
                # At most the capacity.
                getsizeof=lambda listing: min(listing.length, _LISTED),
            ),
            born=born,
            above=above,
            check=self.probe.check,
            names_elsewhere=names_elsewhere,
            listed=self.directories,
        )


@dataclass(frozen=True, slots=True)
class SharedResources:
    """What the sources of one account share.

    Attributes:
        home: the account's directory in the cache.
        disk: the disk cache.
        limiter: limits the requests.
        slot_timeout: seconds that a request may wait for the limiter.
        downloads: runs the downloads.
        zone: of the mount.
        tell: takes a line that says which plugin is left out.
        breakers: of the servers, by base URL.
    """

    home: Path
    disk: DiskCache
    limiter: Limiter
    slot_timeout: float
    downloads: DownloadScheduler
    zone: Zone
    tell: Tell
    breakers: dict[str, ServerBreaker] = field(default_factory=dict)


def open_source(
    stack: contextlib.ExitStack, plugin: Plugin, settings: Settings, shared: SharedResources
) -> MountedSource | None:
    """Open a source of an account.

    Args:
        stack: closes what is opened.
        plugin: the source.
        settings: of the account.
        shared: with the other sources of the account.

    Returns:
        The source; None if it can't be made, or no view shows all items of a source outside of the
        root. A line tells the user.

    Raises:
        CacheFailed, NoSpace: the cache can't be used.
        OptionError: no view shows all items of the source in the root.
    """
    in_root = plugin.name == settings.service.root
    opened = open_limited(
        plugin,
        settings,
        limiter=shared.limiter,
        slot_timeout=shared.slot_timeout,
        breakers=shared.breakers,
        tell=shared.tell,
    )
    if opened is None:
        return None
    made, limited, account, server = opened
    source = InstrumentedSource(limited)
    stack.callback(source.close)
    name, traits = plugin.name, source.traits
    try:
        views = make_views(name, traits, settings, shared.zone, shared.tell)
    except OptionError as error:
        if in_root:
            raise
        shared.tell(f"{plugin} is left out: {error}")
        return None
    slot = account.slot
    where = source_dir(shared.home, slot)
    store = CatalogStore(where / CATALOG)
    stack.callback(store.close)
    if traits.parser is not None:
        reparse(store, traits.parser)
    # Clips, and details, are read ahead in the orders of the views.
    directories = ListedDirectories()
    orders = reading_orders(store, views, directories)

    def pool(kind: str, threads: int) -> SingleFlight:
        flights = SingleFlight(kind, threads)
        stack.callback(flights.close)
        return flights

    lists = pool("list", _LISTS)
    breaker = CircuitBreaker(time.monotonic, server)
    reader = SpanReader(source, store, breaker, time.time, traits.page_size)
    scanner = Scanner(reader, where / "scan.lock", rescan=settings.rescan)
    stack.callback(scanner.close)
    ttl = settings.listing_ttl
    refresher = Refresher(reader, scanner, flights=lists, probes=pool("probe", _PROBES), ttl=ttl)
    fetcher = None
    if traits.summaries:
        fetcher = details_fetcher(
            source, store, pool("details", settings.connections), settings, orders
        )
    words = FullTextIndex(store, partial(_text_of, source, store))
    searcher = SearchService(reader, refresher, words, flights=pool("search", _SEARCHES), ttl=ttl)
    catalog = Catalog(store, refresher, source.describe, fetcher, searcher)
    clips = shared.disk if slot is None else shared.disk.namespace(slot)
    eraser = ErasureWorker(where / CATALOG, store.files, clips.remove)
    stack.callback(eraser.close)
    eraser.start()
    store.on_erased = eraser.erased
    audio = audio_cache(
        source=source,
        store=store,
        catalog=catalog,
        settings=settings,
        disk=clips,
        downloads=shared.downloads,
        orders=orders,
        size_requests=pool("size", settings.connections),
    )
    sizes = rendered_sizes(
        stack, source, store, plugin, flights=pool("rendered", 1), catalog=catalog
    )
    library = FileContext(traits, catalog, audio, sizes)
    files, kept = make_files(traits, settings, library, shared.tell)
    archive = _archive(settings, kept, shared, name, account)
    deletions = Deletions(source, catalog, archive, pool("delete", _DELETES))
    probe = SourceProbe(reader, lists, time.monotonic)
    return MountedSource(
        name,
        in_root,
        account.id,
        source,
        store,
        reader,
        scanner,
        fetcher,
        catalog,
        audio,
        views,
        files,
        deletions,
        probe,
        [made, *views, *files],
        directories,
    )


def _text_of(source: Source, store: CatalogStore, key: str, raw: bytes) -> str:
    """Return the text that a search looks through: as listed, and as fetched."""
    fetched = store.fetched(key) if source.traits.summaries else None
    raws = [raw] if fetched is None else [raw, fetched.raw]
    described = (source.describe(each) for each in raws)
    return "\n".join(filter(None, (each.words or each.text for each in described)))


def _archive(
    settings: Settings,
    files: Sequence[ItemFile],
    shared: SharedResources,
    source: str,
    account: SourceAccount,
) -> Archive:
    """Return the archive of deleted items."""
    if settings.trash is None:
        return NoArchive()
    return TrashArchive(
        Trash(settings.trash),
        files,
        zone=shared.zone,
        base_url=account.base_url,
        profile=settings.profile,
        timeout=settings.timeout,
        source=source,
        account=account.id,
    )
