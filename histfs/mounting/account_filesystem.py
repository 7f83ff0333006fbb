"""An account: the collections of its sources, as one tree, mounted or not."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfoNotFoundError, available_timezones

from histfs import __version__, plugins
from histfs.audio.disk_cache import DiskCache
from histfs.audio.download_scheduler import DownloadScheduler
from histfs.core.filesystem import Filesystem, Subtree, UnionFilesystem
from histfs.core.limiter import Limiter
from histfs.core.plugin_isolation import disabled_plugins
from histfs.core.times import Zone
from histfs.core.waiting import Waiter
from histfs.mounting.cache_layout import account_dir
from histfs.mounting.mounted_source import MountedSource, SharedResources, open_source
from histfs.mounting.plugin_factory import Tell
from histfs.mounting.reconciliation import DeleteReconciler, SourceItems
from histfs.settings import OptionError, Settings
from histfs.status import AccountStatus, CacheStatus, Status
from histfs.trash import Trash

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AccountFilesystem:
    """What a filesystem stands on: what is on this machine of an account.

    Attributes:
        settings: the account's.
        collections: one for each source; there is at least one.
        disk: the audio of all of them.
        zone: of names.
    """

    settings: Settings
    collections: Sequence[MountedSource]
    disk: DiskCache
    zone: Zone

    @property
    def first(self) -> MountedSource:
        """The collection without which there is no point in mounting."""
        return self.collections[0]

    def tree(
        self,
        born: int,
        above: tuple[str, ...] = (),
        status: Callable[[], bytes] | None = None,
    ) -> Filesystem:
        """Return what is shown of the account.

        Args:
            born: mtime of what has no other, in seconds since the epoch.
            above: the folders in which it stands.
            status: renders what the mount says of itself; None when this isn't the mount's root.
        """
        root, folders = None, {}
        for collection in self.collections:
            if collection.in_root:
                root = collection.tree(self.settings, self.zone, born, above)
            else:
                here = (*above, collection.name)
                tree = collection.tree(self.settings, self.zone, born, here)
                folders[collection.name] = Subtree(tree, collection.contact.is_available)
        return UnionFilesystem(root, folders, born=born, status=status, above=above)

    def reconciler(self) -> DeleteReconciler | None:
        """Return what decides about undecided copies in the trash; None where there is no trash."""
        if self.settings.trash is None:
            return None
        items = {
            (each.account, each.name): SourceItems(each.source, each.catalog)
            for each in self.collections
        }
        return DeleteReconciler(Trash(self.settings.trash), self.settings.base_url, items)

    def probe(self, path: str, waiter: Waiter) -> None:
        """See to it that the newest items are known of the source that a path belongs to.

        Without them what is new would begin where the first directory that was listed ends, and all
        of it be read: a mount knows them before it is there.

        Args:
            path: in `tree`, from the root.
            waiter: the patience of the call.
        """
        folder = path.strip("/").partition("/")[0]
        others = {each.name: each for each in self.collections if not each.in_root}
        others.get(folder, self.first).contact.probe(waiter)

    def status(self, mountpoint: str, since: int) -> Status:
        """Say how the account's part of a mount is; asks the server nothing."""
        first, settings = self.first, self.settings
        own, others = first.status(), {}
        for collection in self.collections[1:]:
            others[collection.name] = collection.status()
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
        """Return why plugins are not used any more.

        A view is made for each source, and the reason told once.
        """
        plugins_used = (plugin for each in self.collections for plugin in each.plugins)
        return list(dict.fromkeys(disabled_plugins(plugins_used)))


@contextlib.contextmanager
def compose(
    settings: Settings, tell: Tell = log.warning, patience: float | None = None
) -> Iterator[AccountFilesystem]:
    """Put the parts of an account's filesystem together.

    Args:
        settings: the account's.
        tell: takes a line for the user about a plugin that is left out.
        patience: seconds for which a request may wait while the server allows no more of them; None
            for as long as a call may take.

    Raises:
        CacheFailed, NoSpace: the cache can't be used.
        OptionError: the time zone is not known, or nothing would be shown.
        UnknownPlugin: one that was chosen isn't there.
    """
    zone = _zone(settings.timezone)
    tell = functools.cache(tell)  # a view or a file concerns each source, and the user once
    with contextlib.ExitStack() as stack:
        home = account_dir(settings)
        limiter = Limiter(settings.connections)
        downloads = DownloadScheduler(lambda: limiter.allowed)
        stack.callback(downloads.close)
        stack.callback(limiter.close)
        disk = DiskCache(home, settings.audio_cache_size)
        patience = settings.timeout if patience is None else patience
        shared = SharedResources(home, disk, limiter, patience, downloads, zone, tell)
        # The source in the root comes first: without it there is no mount.
        chosen = plugins.sources(settings.sources)
        opened = [open_source(stack, plugin, settings, shared) for plugin in chosen]
        collections = _apart([each for each in opened if each is not None], tell)
        if not collections:
            raise OptionError("there is no source to mount: see histfs plugins")
        yield AccountFilesystem(settings, collections, disk, zone)


def _apart(collections: Sequence[MountedSource], tell: Tell) -> list[MountedSource]:
    """Return the collections whose folder isn't called as a view that stands beside it."""
    views = {view.name for each in collections if each.in_root for view in each.views}
    for name in sorted({each.name for each in collections} & views):
        tell(f"the source {name} is left out: there is a view in the folder {name}")
    return [each for each in collections if each.name not in views]


def _zone(name: str | None) -> Zone:
    try:
        return Zone(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        hint = "" if available_timezones() else ", which has no time zones: apt install tzdata"
        raise OptionError(f"the time zone {name!r} is not known on this machine{hint}") from error
