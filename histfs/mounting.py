"""The composition root: settings become a source, a catalog, a tree and a mount.

Everything that runs threads or holds a file is made here, and let go of here in reverse order.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zoneinfo import ZoneInfoNotFoundError

from cachetools import TTLCache

from histfs.audio.disk import Disk
from histfs.audio.store import CachedAudio
from histfs.catalog.cached import CachedCatalog
from histfs.catalog.catalog import Catalog
from histfs.catalog.refresh import PATIENCE, Refresher
from histfs.catalog.store import Store
from histfs.core.errors import CacheFailed, DeadlineExceeded, KeyRefused, SourceError
from histfs.core.files import AudioFile, MetaFile, TextFile
from histfs.core.flights import Flights
from histfs.core.nodes import Entry
from histfs.core.removal import Removal
from histfs.core.secret import Secret
from histfs.core.source import Source
from histfs.core.times import ALWAYS, Zone
from histfs.core.tree import Tree
from histfs.core.views import ByDate, ByFacet
from histfs.core.waiting import Waiter
from histfs.fuse import binding as fuse
from histfs.fuse.mountpoint import check_device, check_mountpoint
from histfs.fuse.operations import Operations
from histfs.settings import OptionError, Settings
from histfs.simulator import Settings as SimulatorSettings
from histfs.simulator import Simulator
from histfs.sources.elevenlabs import History
from histfs.sources.elevenlabs.http import Http

#: Entries of directories that are kept rendered, at the most.
_LISTED = 200_000
#: Deletes at once.
_DELETES = 4

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Filesystem:
    """A composed filesystem, not mounted yet."""

    tree: Tree
    refresher: Refresher
    store: Store


@contextlib.contextmanager
def compose(settings: Settings) -> Iterator[Filesystem]:
    """Put the parts of a filesystem together.

    Raises:
        OptionError: a setting can't be used.
        CacheFailed, NoSpace: the cache can't be used.
    """
    with contextlib.ExitStack() as stack:
        http = Http(settings.base_url, settings.key, settings.timeout, settings.connections)
        source: Source = History(http)
        stack.callback(source.close)
        home = account_dir(settings)
        store = Store(home / "catalog.sqlite")
        stack.callback(store.close)
        scans, downloads, deletes = (
            Flights("scan", 1),
            Flights("download", settings.connections),
            Flights("delete", _DELETES),
        )
        for flights in (scans, downloads, deletes):
            stack.callback(flights.close)
        refresher = Refresher(source, store, scans, settings.listing_ttl)
        catalog = CachedCatalog(Catalog(store, refresher, source.describe))
        audio = CachedAudio(
            source,
            Disk(home, settings.audio_cache_size),
            downloads,
            set_size=catalog.set_size,
            forget=catalog.forget,
            exact=settings.exact_sizes,
        )
        zone = _zone(settings.timezone)
        tree = Tree(
            index=catalog,
            removal=Removal(source, catalog, deletes),
            views=[
                ByDate(zone),
                ByFacet("by-voice", "voice", "(no voice)"),
                ByFacet("by-source", "source", "(no source)"),
            ],
            # The audio comes last, so that `rm -r` asks for the delete when the rest is gone: where
            # it fails, the item is whole again.
            files=[MetaFile(catalog), TextFile(catalog), AudioFile(audio)],
            zone=zone,
            links=settings.options.links,
            listings=TTLCache(_LISTED, max(settings.listing_ttl, 1.0), getsizeof=_weight),
            born=int(time.time()),
        )
        yield Filesystem(tree, refresher, store)


def serve(settings: Settings, ready: Callable[[], None]) -> None:
    """Mount, and serve until the filesystem is unmounted or the process is told to end.

    Args:
        settings: what to mount where.
        ready: called once the mount can be used.

    Raises:
        HistfsError: it can't be mounted; the message says why.
    """
    check_device()
    check_mountpoint(settings.mountpoint, settings.options.nonempty)
    binding = fuse.load()
    options = settings.options
    with compose(settings) as filesystem:
        _make_contact(settings, filesystem)

        def started() -> None:
            binding.mounted()
            log.info("mounted on %s with %s", settings.mountpoint, binding)
            ready()

        operations = Operations(
            filesystem.tree,
            waiter=lambda: Waiter(settings.timeout, binding.interrupted),
            read_only=options.read_only,
            uid=options.uid,
            gid=options.gid,
            umask=options.umask,
            started=started,
            configure=binding.configure,
        )
        named = {"fsname": f"elevenlabs:{settings.profile}", "subtype": "histfs"}
        safe = {"nosuid": True, "nodev": True, "noexec": True, "default_permissions": True}
        binding.run(
            operations,
            str(settings.mountpoint),
            debug=settings.debug,
            **{**named, **safe, "ro": options.read_only, **options.fuse},
        )
        log.info("unmounted from %s", settings.mountpoint)


@contextlib.contextmanager
def demo(settings: Settings, cache_dir: Path) -> Iterator[Settings]:
    """Start the simulator, and lend the settings for a mount of its history.

    Args:
        settings: what else the mount is told.
        cache_dir: where to cache; the simulator's items are the same only while it runs.
    """
    with Simulator(SimulatorSettings(newest=int(time.time()))) as simulator:
        yield replace(
            settings,
            base_url=simulator.base_url,
            key=Secret(simulator.api_key),
            cache_dir=cache_dir,
            profile="demo",
        )


def account_dir(settings: Settings) -> Path:
    """Return the directory of an account's cache, made when it isn't there.

    Its name is a hash of the base URL and the key: another key may see another history.
    """
    account = f"{settings.base_url}\0{settings.key.reveal()}"
    name = hashlib.blake2b(account.encode(), digest_size=12, person=b"histfs").hexdigest()
    path = settings.cache_dir / name
    try:
        settings.cache_dir.parent.mkdir(parents=True, exist_ok=True)
        for directory in (settings.cache_dir, path):
            directory.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise CacheFailed(f"the cache {path} can't be made: {error.strerror}") from error
    return path


def _make_contact(settings: Settings, filesystem: Filesystem) -> None:
    """Ask for the newest items, which also tells whether the server and the key are good.

    Where all was known the last time, a server that fails is no reason not to mount.
    """
    known = filesystem.store.windows().cover(ALWAYS)
    try:
        filesystem.refresher.contact(
            Waiter(min(PATIENCE, settings.timeout) if known else settings.timeout)
        )
    except KeyRefused:
        raise
    except (SourceError, DeadlineExceeded) as error:
        if not known:
            raise
        log.warning("%s: %s; showing what is known", settings.base_url, error)


def _weight(listing: Sequence[Entry]) -> int:
    """Weigh a listing by its entries; the cache refuses what weighs more than it can hold."""
    return min(len(listing), _LISTED)


def _zone(name: str | None) -> Zone:
    try:
        return Zone(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise OptionError(f"the time zone {name!r} is not known on this machine") from error
