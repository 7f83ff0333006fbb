"""The filesystem of an account: the trees of its sources as one, mounted or not."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from histfs import __version__, plugins
from histfs.audio.disk_cache import DiskCache
from histfs.audio.download_scheduler import DownloadScheduler
from histfs.core.errors import HistfsError
from histfs.core.filesystem import Filesystem, Subtree, UnionFilesystem
from histfs.core.limiter import Limiter
from histfs.core.listen import ListenRoot
from histfs.core.names import LISTEN
from histfs.core.path_nodes import ItemFileNode
from histfs.core.plugin_isolation import disabled_plugins
from histfs.core.times import Zone
from histfs.core.waiting import Waiter
from histfs.mounting.account_zone import zone_of
from histfs.mounting.cache_layout import account_dir, discard, is_new
from histfs.mounting.listen_folders import forget_with, listen_folders, names_in_listen
from histfs.mounting.mounted_source import MountedSource, SharedResources, open_source
from histfs.mounting.plugin_factory import Tell
from histfs.mounting.reconciliation import DeleteReconciler, SourceItems
from histfs.settings import OptionError, Settings
from histfs.status import AccountStatus, CacheStatus, Status
from histfs.trash import Trash

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AccountFilesystem:
    """The parts of an account's filesystem.

    Attributes:
        settings: of the account.
        sources: one for each source; at least one.
        disk: the audio cache of all of them.
        zone: in which names have their times.
    """

    settings: Settings
    sources: Sequence[MountedSource]
    disk: DiskCache
    zone: Zone

    @property
    def first(self) -> MountedSource:
        """The source that a mount requires."""
        return self.sources[0]

    def tree(
        self,
        born: int,
        above: tuple[str, ...] = (),
        status: Callable[[], bytes] | None = None,
        forget: Callable[[str], None] = lambda _: None,
    ) -> Filesystem:
        """Return the filesystem.

        Args:
            born: mtime of directories without items, in seconds since the epoch.
            above: the names of the folders in which the account stands.
            status: renders ``/.histfs``; None where this is not the root of a mount.
            forget: is called with a path, from the root of the mount, whose file was removed by
                another one of its names.
        """
        root, folders, heard = None, dict[str, Subtree](), dict[str, Subtree]()
        has_listen = self._has_listen()
        for mounted in self.sources:
            here = above if mounted.in_root else (*above, mounted.name)
            names = names_in_listen(mounted, self.settings) if has_listen else nowhere
            tree = mounted.tree(self.settings, self.zone, born, here, names)
            available = always_there if mounted.in_root else mounted.probe.is_available
            if mounted.in_root:
                root = tree
            else:
                folders[mounted.name] = Subtree(tree, available)
            if has_listen:
                own = listen_folders(mounted, tree, self.settings, self.zone, born)
                forget_with(mounted.deletions, own, "/".join(["", *above, LISTEN]), forget)
                heard |= {name: Subtree(folder, available) for name, folder in own.items()}
        if has_listen:
            listen = ListenRoot(heard, born=born, above=(*above, LISTEN))
            folders[LISTEN] = Subtree(listen, is_listed=self.settings.options.listen == "show")
        return UnionFilesystem(root, folders, born=born, status=status, above=above)

    def _has_listen(self) -> bool:
        """Say whether there is a folder ``listen``; a view or a source of that name counts more."""
        views = (view for each in self.sources if each.in_root for view in each.views)
        names = {view.name for view in views} | {each.name for each in self.sources}
        taken = LISTEN in names
        if taken:
            log.warning("the folder %s is that of a view or a source: it has no clips", LISTEN)
        return not taken and self.settings.options.listen != "off"

    def reconciler(self) -> DeleteReconciler | None:
        """Return what reconciles the trash with the server; None without a trash."""
        if self.settings.trash is None:
            return None
        items = {
            (each.account, each.name): SourceItems(each.source, each.catalog)
            for each in self.sources
        }
        return DeleteReconciler(Trash(self.settings.trash), self.settings.base_url, items)

    def probe(self, path: str, waiter: Waiter) -> None:
        """Ask for the newest items of the source that a path belongs to, unless that was done.

        Coverage that ends at the newest item lets later refreshes read new items alone. A mount
        does this before it is mounted.

        Args:
            path: in `tree`, from the root.
            waiter: the deadline of the call.
        """
        source_at(self.sources, path).probe.ensure_probed(waiter)

    def status(self, mountpoint: str, since: int) -> Status:
        """Return the status of the account; sends no request."""
        first, settings = self.first, self.settings
        own, others = first.status(), {}
        for mounted in self.sources[1:]:
            others[mounted.name] = mounted.status()
        return Status(
            version=__version__,
            pid=os.getpid(),
            mountpoint=mountpoint,
            since=since,
            account=AccountStatus(settings.profile, settings.base_url, settings.key.origin),
            cache=CacheStatus(self.disk.used, settings.audio_cache_size),
            items=own.items,
            windows=own.windows,
            scan=own.scan,
            requests=own.requests,
            last_error=own.last_error,
            outage=own.outage,
            left_out=self._left_out(),
            sources=others,
        )

    def _left_out(self) -> list[str]:
        """Return why plugins are not used any more, each reason once."""
        plugins_used = (plugin for each in self.sources for plugin in each.plugins)
        return list(dict.fromkeys(disabled_plugins(plugins_used)))


def always_there(waiter: Waiter) -> bool:
    """Return True: the source of the root is there, whether it can be listed or not."""
    return True


def nowhere(node: ItemFileNode) -> int:
    """Return 0: no file has a name outside of its tree."""
    return 0


def source_at(sources: Sequence[MountedSource], path: str) -> MountedSource:
    """Return the source to which a path of an account's tree belongs; sends no request.

    Args:
        sources: of the account, that of its root first.
        path: from the root.
    """
    folder, _, below = path.strip("/").partition("/")
    if folder == LISTEN:
        folder = below.partition("/")[0]
    return next((each for each in sources if not each.in_root and each.name == folder), sources[0])


@contextlib.contextmanager
def compose(
    settings: Settings, tell: Tell = log.warning, slot_timeout: float | None = None
) -> Iterator[AccountFilesystem]:
    """Put the parts of an account's filesystem together.

    Args:
        settings: the account's.
        tell: takes a line for the user about a plugin that is left out.
        slot_timeout: seconds that a request may wait for the limit on requests; None for the
            timeout of a call.

    Raises:
        CacheFailed, NoSpace: the cache can't be used.
        OptionError: the time zone is not known, or nothing would be shown.
        UnknownPlugin: one that was chosen isn't there.
    """
    tell = functools.cache(tell)  # each plugin once, not once a source
    with contextlib.ExitStack() as stack:
        # Called last, when all files in it are closed.
        refused = stack.enter_context(_discarding(settings))
        home = account_dir(settings)
        begun = is_new(home)
        zone = zone_of(home, settings.timezone)
        limiter = Limiter(settings.connections)
        downloads = DownloadScheduler(limiter.allowed)
        stack.callback(downloads.close)
        stack.callback(limiter.close)
        disk = DiskCache(home, settings.audio_cache_size)
        slot_timeout = settings.timeout if slot_timeout is None else slot_timeout
        shared = SharedResources(home, disk, limiter, slot_timeout, downloads, zone, tell)
        # The source in the root comes first: without it there is no mount.
        chosen = plugins.sources(settings.sources)
        opened = [open_source(stack, plugin, settings, shared) for plugin in chosen]
        sources = _apart([each for each in opened if each is not None], tell)
        if not sources:
            raise OptionError("there is no source to mount: see histfs plugins")
        try:
            yield AccountFilesystem(settings, sources, disk, zone)
        finally:
            if begun and any(each.probe.key_is_wrong for each in sources):
                refused.append(not any(map(_knows_any, sources)))


@contextlib.contextmanager
def _discarding(settings: Settings) -> Iterator[list[bool]]:
    """Yield a list; remove the account's cache at the end if the list has a True in it."""
    refused: list[bool] = []
    try:
        yield refused
    finally:
        if any(refused):
            discard(settings)


def _knows_any(mounted: MountedSource) -> bool:
    """Say whether the catalog of a source knows any span; False if it can't be read."""
    with contextlib.suppress(HistfsError):
        return bool(mounted.store.coverage().spans())
    return False


def _apart(sources: Sequence[MountedSource], tell: Tell) -> list[MountedSource]:
    """Return the sources whose folder does not have the name of a view beside it."""
    views = {view.name for each in sources if each.in_root for view in each.views}
    for name in sorted({each.name for each in sources} & views):
        tell(f"the source {name} is left out: there is a view in the folder {name}")
    return [each for each in sources if each.name not in views]
