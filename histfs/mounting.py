"""The composition root: settings become a source, a catalog, a tree and a mount.

Everything that runs threads or holds a file is made here, and let go of here in reverse order.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zoneinfo import ZoneInfoNotFoundError

from cachetools import TTLCache

from histfs import __version__
from histfs.audio.disk import Disk
from histfs.audio.schedule import Schedule
from histfs.audio.store import CachedAudio
from histfs.catalog.cached import CachedCatalog
from histfs.catalog.catalog import Catalog
from histfs.catalog.health import Health
from histfs.catalog.reading import Reader
from histfs.catalog.refresh import Refresher
from histfs.catalog.scan import Scanner
from histfs.catalog.store import Store
from histfs.core.archive import Archive, NoArchive
from histfs.core.errors import CacheFailed
from histfs.core.files import AudioFile, ItemFile, MetaFile, TextFile
from histfs.core.flights import Flights
from histfs.core.item import Item
from histfs.core.names import item_name
from histfs.core.removal import Removal
from histfs.core.secret import Secret
from histfs.core.times import ALWAYS, Zone
from histfs.core.tree import Listing, Tree
from histfs.core.views import ByDate, ByFacet
from histfs.core.waiting import Waiter
from histfs.fuse import binding as fuse
from histfs.fuse.callers import Crawlers
from histfs.fuse.mountpoint import check_device, check_mountpoint
from histfs.fuse.operations import Operations
from histfs.settings import OptionError, Settings, default_trash
from histfs.simulator import Settings as SimulatorSettings
from histfs.simulator import Simulator
from histfs.sources.elevenlabs import History
from histfs.sources.elevenlabs.http import Http
from histfs.sources.watched import Watched
from histfs.status import Account, Cache, Failure, Scan, Status, windows_of
from histfs.trash import Trash, TrashArchive

#: Entries of directories that are kept rendered, at the most; one larger directory alone may have
#: more.
_LISTED = 200_000
#: Spans, and single items, that are asked for at once; and deletes.
_LISTS, _PROBES, _DELETES = 4, 4, 4
#: Clips that are fetched before they are asked for, for each connection; and the part of the cache
#: that they may take.
_AHEAD, _AHEAD_SHARE = 2, 4

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Filesystem:
    """What a filesystem stands on, mounted or not: an account's catalog and audio."""

    source: Watched
    store: Store
    reader: Reader
    scanner: Scanner
    refresher: Refresher
    catalog: CachedCatalog
    audio: CachedAudio
    files: Sequence[ItemFile]
    removal: Removal
    zone: Zone

    def contact(self) -> None:
        """Ask for the newest items, which also tells whether the server and the key are good.

        Not through the refresher, for which what was known before is good enough when the server
        fails or is slow.

        Raises:
            SourceError: it failed.
            NoSpace, CacheFailed: the answer can't be kept.
        """
        self.reader.read(ALWAYS).next()


@contextlib.contextmanager
def compose(settings: Settings) -> Iterator[Filesystem]:
    """Put the parts of a filesystem together.

    Raises:
        CacheFailed, NoSpace: the cache can't be used.
        OptionError: the time zone is not known.
    """
    zone = _zone(settings.timezone)
    with contextlib.ExitStack() as stack:
        http = Http(settings.base_url, settings.key, settings.timeout, settings.connections)
        source = Watched(History(http))
        stack.callback(source.close)
        home = account_dir(settings)
        store = Store(home / "catalog.sqlite")
        stack.callback(store.close)
        lists, probes, deletes = (
            Flights("list", _LISTS),
            Flights("probe", _PROBES),
            Flights("delete", _DELETES),
        )
        downloads = Schedule(settings.connections)
        for pool in (lists, probes, deletes, downloads):
            stack.callback(pool.close)
        reader = Reader(source, store, Health(time.monotonic), time.time)
        scanner = Scanner(reader, home / "scan.lock", rescan=settings.rescan)
        stack.callback(scanner.close)
        refresher = Refresher(
            reader,
            scanner,
            flights=lists,
            probes=probes,
            ttl=settings.listing_ttl,
        )
        catalog = CachedCatalog(Catalog(store, refresher, source.describe))
        audio = CachedAudio(
            source,
            Disk(home, settings.audio_cache_size),
            downloads,
            following=store.following,
            ahead=_AHEAD * settings.connections,
            room=settings.audio_cache_size // _AHEAD_SHARE,
            set_audio=catalog.set_audio,
            fingerprint=store.fingerprint,
            doubt=catalog.doubt,
            exact=settings.exact_sizes,
        )
        # The audio comes last, so that `rm -r` asks for the delete when the rest is gone: where
        # it fails, the item is whole again.
        files: list[ItemFile] = [MetaFile(catalog), TextFile(catalog), AudioFile(audio)]
        removal = Removal(source, catalog, _archive(settings, files, zone), deletes)
        yield Filesystem(
            source, store, reader, scanner, refresher, catalog, audio, files, removal, zone
        )


@contextlib.contextmanager
def opened_cache(settings: Settings) -> Iterator[tuple[Disk, Store]]:
    """Lend the cache alone, which asks no server.

    Args:
        settings: which cache; how large it may be is for those to say who put clips into it.

    Raises:
        CacheFailed, NoSpace: it can't be used.
    """
    home = account_dir(settings)
    with contextlib.closing(Store(home / "catalog.sqlite")) as store:
        yield Disk(home, sys.maxsize), store


def serve(settings: Settings, mountpoint: Path, ready: Callable[[], None]) -> None:
    """Mount, and serve until the filesystem is unmounted or the process is told to end.

    Args:
        settings: what to mount.
        mountpoint: where, an absolute path.
        ready: called once the mount can be used.

    Raises:
        HistfsError: it can't be mounted; the message says why.
    """
    check_device()
    check_mountpoint(mountpoint, settings.options.nonempty)
    binding = fuse.load()
    crawlers = Crawlers(settings.crawlers)
    options = settings.options
    if settings.trash is not None and not options.read_only:
        Trash(settings.trash).open()
    with compose(settings) as filesystem:
        tree = _tree(filesystem, settings, mountpoint)
        # Tells whether the server and the key are good. Where all is known already the first
        # listing will do: a mount at boot needn't wait for the network.
        if not filesystem.store.windows().cover(ALWAYS):
            filesystem.contact()

        def started() -> None:
            binding.mounted()
            filesystem.scanner.start()
            log.info("mounted on %s with %s", mountpoint, binding)
            ready()

        def may_fetch() -> bool:
            return not crawlers.include(binding.caller())

        operations = Operations(
            tree,
            waiter=lambda: Waiter(settings.timeout, binding.interrupted, may_fetch),
            read_only=options.read_only,
            uid=options.uid,
            gid=options.gid,
            umask=options.umask,
            ahead=not settings.exact_sizes,
            started=started,
            configure=binding.configure,
        )
        named = {"fsname": f"elevenlabs:{settings.profile}", "subtype": "histfs"}
        safe = {"nosuid": True, "nodev": True, "noexec": True, "default_permissions": True}
        binding.run(
            operations,
            str(mountpoint),
            debug=settings.debug,
            **{**named, **safe, "ro": options.read_only, **options.fuse},
        )
        log.info("unmounted from %s", mountpoint)


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
            key=Secret(simulator.api_key, "the sample history"),
            cache_dir=cache_dir,
            # What is deleted from a sample needn't outlive it.
            trash=cache_dir / "trash" if settings.trash == default_trash() else settings.trash,
            profile="demo",
        )


def account_dir(settings: Settings) -> Path:
    """Return the directory of an account's cache, made when it isn't there.

    One that others can look into is closed.
    """
    path = account_path(settings)
    try:
        settings.cache_dir.parent.mkdir(parents=True, exist_ok=True)
        for directory in (settings.cache_dir, path):
            directory.mkdir(mode=0o700, exist_ok=True)
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise CacheFailed(f"the cache {path} can't be made: {error.strerror}") from error
    if mode & 0o077:
        _close(path, mode)
    return path


def account_path(settings: Settings) -> Path:
    """Return where the directory of an account's cache is, or would be.

    Its name is a hash of the base URL and the key: another key may see another history.
    """
    account = f"{settings.base_url}\0{settings.key.reveal()}"
    name = hashlib.blake2b(account.encode(), digest_size=12, person=b"histfs").hexdigest()
    return settings.cache_dir / name


def _close(path: Path, mode: int) -> None:
    """Let nobody else into a directory, where its filesystem can do that."""
    try:
        path.chmod(0o700)
    except OSError as error:
        log.warning("others can read the cache %s: %s", path, error.strerror)
    else:
        log.warning("the cache %s was open to others (mode %04o): its mode is 0700 now", path, mode)


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


def _tree(filesystem: Filesystem, settings: Settings, mountpoint: Path) -> Tree:
    """Make what a mount shows."""
    zone = filesystem.zone
    catalog, born = filesystem.catalog, int(time.time())
    return Tree(
        index=catalog,
        removal=filesystem.removal,
        views=[
            ByDate(zone),
            ByFacet("by-voice", "voice", "(no voice)"),
            ByFacet("by-source", "source", "(no source)"),
        ],
        files=filesystem.files,
        zone=zone,
        links=settings.options.links,
        listings=TTLCache(_LISTED, max(settings.listing_ttl, 1.0), getsizeof=_weight),
        born=born,
        status=lambda: _status(filesystem, settings, mountpoint, born).to_file(),
    )


def _status(filesystem: Filesystem, settings: Settings, mountpoint: Path, since: int) -> Status:
    """Say how a mount is; asks the server nothing."""
    progress = filesystem.scanner.progress()
    error = filesystem.source.last_error
    return Status(
        version=__version__,
        pid=os.getpid(),
        mountpoint=str(mountpoint),
        since=since,
        account=Account(settings.profile, settings.base_url, settings.key.origin),
        items=filesystem.store.total(),
        windows=windows_of(filesystem.store.windows().spans()),
        scan=Scan(progress.complete, progress.down_to, progress.state),
        cache=Cache(filesystem.audio.disk.used, settings.audio_cache_size),
        requests=filesystem.source.requests,
        last_error=Failure(int(error.at), error.message) if error else None,
    )


def _weight(listing: Listing) -> int:
    """Weigh a listing by its entries; the largest count as what the cache can hold."""
    return min(len(listing.entries), _LISTED)


def _zone(name: str | None) -> Zone:
    try:
        return Zone(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise OptionError(f"the time zone {name!r} is not known on this machine") from error
