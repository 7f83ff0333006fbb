"""What a mounted source reads with: the orders of reading, the details fetcher, the audio cache."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from functools import partial

from histfs.audio.audio_cache import AudioCache
from histfs.audio.disk_cache import DiskCache
from histfs.audio.download_scheduler import DownloadScheduler
from histfs.audio.read_ahead import ReadAhead
from histfs.audio.reading_orders import ReadingOrders
from histfs.audio.size_registry import SizeRegistry
from histfs.audio.told_sizes import ToldSizes
from histfs.catalog.catalog import Catalog
from histfs.catalog.catalog_store import CatalogStore
from histfs.catalog.details_fetcher import DetailsFetcher
from histfs.catalog.rendered_sizes import StoredSizes
from histfs.core.audio_store import Order
from histfs.core.item import Item
from histfs.core.listed_directories import ListedDirectories
from histfs.core.single_flight import SingleFlight
from histfs.core.source import Source
from histfs.core.times import Span
from histfs.core.views import View
from histfs.mounting.renderer_stamp import renderer_stamp
from histfs.plugins import Plugin
from histfs.settings import Settings

#: Clips that are fetched before they are asked for, for each connection; and the part of the cache
#: that they may take.
_AHEAD, _AHEAD_SHARE = 2, 4


def reading_orders(
    store: CatalogStore, views: Sequence[View], directories: ListedDirectories
) -> ReadingOrders:
    """Return the orders in which the items of a source may be read."""
    kinds = [view.facet for view in views if view.facet is not None and view.total]
    of = partial(store.orders, kinds)
    return ReadingOrders(store.following, of, store.preceding, directories, store.find)


def details_fetcher(
    source: Source,
    store: CatalogStore,
    flights: SingleFlight,
    settings: Settings,
    orders: ReadingOrders,
) -> DetailsFetcher:
    """Return the fetcher of details that are not listed; it prefetches in the order of reading."""
    fetcher = DetailsFetcher(
        source.get,
        source.describe,
        store,
        flights=flights,
        ttl=settings.listing_ttl,
        invalidate=lambda item: store.invalidate(Span(item.date, item.date + 1)),
        clock=time.time,
    )
    ahead = ReadAhead(
        orders,
        fetcher.prefetch,
        # Details are small: only their number is bounded.
        size_of=lambda _: 0,
        max_clips=settings.connections,
        max_bytes=0,
    )
    fetcher.used = ahead.used
    return fetcher


def rendered_sizes(
    stack: contextlib.ExitStack,
    source: Source,
    store: CatalogStore,
    plugin: Plugin,
    *,
    flights: SingleFlight,
    catalog: Catalog,
) -> StoredSizes | None:
    """Return what keeps the sizes of rendered files; None where they may change unnoticed.

    So it is with the code of another package, and with details that are not listed.
    """
    stamp = renderer_stamp() if plugin.own and not source.traits.summaries else None
    if stamp is None:
        return None
    sizes = StoredSizes(store, source.describe, stamp, flights, catalog.remember)
    stack.callback(sizes.close)
    return sizes


def audio_cache(
    *,
    source: Source,
    store: CatalogStore,
    catalog: Catalog,
    settings: Settings,
    disk: DiskCache,
    downloads: DownloadScheduler,
    orders: ReadingOrders,
    size_requests: SingleFlight,
) -> AudioCache:
    """Return the audio cache of a source."""
    sizes, ahead = SizeRegistry(store), _AHEAD * settings.connections

    def lacks_audio(item: Item) -> bool:
        return source.traits.summaries and _has_no_audio(catalog, item)

    def following(item: Item, order: Order, number: int) -> Sequence[Item]:
        return [each for each in store.following(item, order, number) if not lacks_audio(each)]

    return AudioCache(
        source,
        disk,
        downloads,
        sizes,
        ToldSizes(source, sizes, flights=size_requests, following=following, ahead=ahead),
        max_clip_size=settings.max_clip_size,
        orders=orders,
        prefetch_clips=ahead,
        prefetch_bytes=settings.audio_cache_size // _AHEAD_SHARE,
        set_extension=catalog.set_extension,
        invalidate=catalog.invalidate,
        has_no_audio=lacks_audio,
        exact=settings.exact_sizes,
    )


def _has_no_audio(catalog: Catalog, item: Item) -> bool:
    """Return whether an item certainly has no audio, now and later."""
    known = catalog.known(item)
    return known is not None and known.lacks_audio
