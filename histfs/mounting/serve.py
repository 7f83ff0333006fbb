"""A mount: one or several accounts, served until it is unmounted."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from histfs.core.errors import HistfsError
from histfs.core.filesystem import Filesystem, Subtree, UnionFilesystem
from histfs.core.programs import ProgramClass
from histfs.core.secret import Secret
from histfs.core.times import ALWAYS
from histfs.core.waiting import Waiter, WaitLimit
from histfs.fuse import binding as fuse
from histfs.fuse.calling_programs import CallingPrograms
from histfs.fuse.estimate_watch import EstimateWatch
from histfs.fuse.mount_replacement import mount_site
from histfs.fuse.mountpoint import MountpointError, check_device, detach, holds_dead
from histfs.fuse.operations import Operations
from histfs.fuse.xattr_operations import XattrOperations
from histfs.hangup import on_hangup
from histfs.mounting.account_filesystem import AccountFilesystem, compose
from histfs.mounting.account_zone import fix_zone
from histfs.mounting.cache_layout import account_dir
from histfs.mounting.extended_attributes import attributes_at
from histfs.mounting.plugin_factory import Tell
from histfs.mounting.source_probe import CONFIRM_AFTER, PROBE_TIMEOUT
from histfs.programs import program_table
from histfs.settings import Settings, default_trash
from histfs.systemd import notify, reporting
from histfs.trash import Trash

#: Conversations of the sample history.
_CALLS = 12

#: The classes that get a clip as it comes.
_PLAYING = (ProgramClass.PLAYER, ProgramClass.LISTENER)

log = logging.getLogger(__name__)


def serve(
    accounts: Sequence[Settings],
    mountpoint: Path,
    ready: Callable[[], None],
    tell: Tell = log.warning,
) -> None:
    """Mount, and serve until the filesystem is unmounted or the process is told to end.

    Args:
        accounts: the settings of one account, in the root, or of several, in a folder each. The
            options of the mount as a whole are those of the first one.
        mountpoint: an absolute path.
        ready: is called once the mount can be used.
        tell: takes a line for the user about a plugin that is left out.

    Raises:
        HistfsError: it can't be mounted; the message says why.
    """
    settings = accounts[0]
    options = settings.options
    check_device()
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(mount_site(mountpoint, options.nonempty))
        binding = fuse.load()
        programs = CallingPrograms(program_table(settings.programs, settings.crawlers))
        for account in accounts:
            if account.trash is not None and not options.read_only:
                Trash(account.trash).open()
            fix_zone(account_dir(account), account.timezone, tell)
        filesystems = [stack.enter_context(compose(account, tell)) for account in accounts]
        _probe(filesystems, tell)
        # The operations are made below.
        tree = _tree(filesystems, mountpoint, lambda path: operations.forget(path))  # noqa: PLW0108
        stack.enter_context(on_hangup(lambda: tree.refresh("/")))
        reconcilers = [] if options.read_only else [each.reconciler() for each in filesystems]
        failed: list[MountpointError] = []

        def started() -> None:
            binding.mounted()
            try:
                place.attach()
            except MountpointError as error:
                failed.append(error)
                return
            for filesystem in filesystems:
                for mounted in filesystem.sources:
                    mounted.scanner.start()
            for reconciler in filter(None, reconcilers):
                reconciler.start()
                stack.callback(reconciler.close)
            log.info("mounted on %s with %s", mountpoint, binding)
            if place.replaces:
                tell(f"a histfs whose process had died was detached from {mountpoint}")
            notify("READY=1")
            stack.enter_context(reporting(lambda: _progress(filesystems)))
            ready()

        def listens() -> bool:
            return programs.class_of(binding.caller()) is ProgramClass.LISTENER

        def new_waiter() -> Waiter:
            call = _Call(programs, binding.caller, watch)
            return Waiter(
                settings.timeout,
                binding.interrupted,
                call.may_fetch,
                limit,
                call.needs_size,
                plays=call.plays,
                thread=call.thread,
            )

        limit = WaitLimit(fuse.MAX_WAITING)
        catalogs = [mounted.catalog for each in filesystems for mounted in each.sources]
        watch = EstimateWatch(binding.caller, binding.cache_attributes, programs.learn_archiver)
        operations = _operations_class(filesystems, tree)(
            tree,
            waiter=new_waiter,
            read_only=options.read_only,
            uid=options.uid,
            gid=options.gid,
            umask=options.umask,
            ahead=not settings.exact_sizes,
            started=started,
            configure=binding.configure,
            caller=binding.caller,
            invalidate=binding.invalidation.invalidate,
            watch=watch,
            listens=listens,
            messages=binding.messages,
            listing_ttl=min(account.listing_ttl for account in accounts),
            index_version=lambda: tuple([catalog.recent_version for catalog in catalogs]),
        )
        profiles = "+".join(account.profile for account in accounts)
        named = {"fsname": f"{settings.service.name}:{profiles}", "subtype": "histfs"}
        safe = {"nosuid": True, "nodev": True, "noexec": True, "default_permissions": True}
        binding.run(
            operations,
            str(place.path),
            debug=settings.debug,
            last_step=place.prepare,
            **{**named, **safe, "ro": options.read_only, **options.fuse},
        )
        if failed:
            raise failed[0]
        # libfuse unmounts with fusermount, which fails where there is no /etc/mtab (a chroot).
        if holds_dead(mountpoint):
            detach(mountpoint)
        log.info("unmounted from %s", mountpoint)


class _Call:
    """A call on the filesystem, and what its program needs.

    The program is looked up when that is first asked for, and once a call: it costs system calls.

    Args:
        programs: looks up the program.
        caller: returns the id of the thread whose call is served.
        watch: knows the threads that have read by an estimate.
    """

    __slots__ = ("_caller", "_class", "_programs", "_watch")

    def __init__(
        self, programs: CallingPrograms, caller: Callable[[], int], watch: EstimateWatch
    ) -> None:
        self._programs = programs
        self._caller = caller
        self._watch = watch
        self._class: ProgramClass | None = None

    def _program_class(self) -> ProgramClass:
        if self._class is None:
            self._class = self._programs.class_of(self._caller())
        return self._class

    def may_fetch(self) -> bool:
        """Say whether audio is fetched for the program."""
        return self._program_class() is not ProgramClass.CRAWLER

    def needs_size(self) -> bool:
        """Say whether stat has to give exact sizes."""
        return self._program_class() is ProgramClass.ARCHIVER or self._watch.is_misled()

    def plays(self) -> bool:
        """Say whether the program gets a clip as its bytes come."""
        return self._program_class() in _PLAYING

    def thread(self) -> int:
        """Return the id of a thread that may be shown a size that is too small; else 0.

        A player may be shown any, and a server would send a cut clip without an error.
        """
        caller = self._caller()
        return 0 if self.plays() or self._programs.is_server(caller) else caller


@contextlib.contextmanager
def demo(settings: Settings, cache_dir: Path) -> Iterator[Settings]:
    """Start the simulator, and yield the settings for a mount of its history.

    Args:
        settings: the other settings of the mount.
        cache_dir: the cache directory; the simulator's items are the same only while it runs.
    """
    # Imported here: a mount of an account does not need the simulator.
    from histfs.simulator import Simulator, SimulatorSettings  # noqa: PLC0415

    with Simulator(SimulatorSettings(conversations=_CALLS, newest=int(time.time()))) as simulator:
        yield replace(
            settings,
            base_url=simulator.base_url,
            key=Secret(simulator.api_key, "the sample history"),
            cache_dir=cache_dir,
            # Deleted samples need not outlive the simulator.
            trash=cache_dir / "trash" if settings.trash == default_trash() else settings.trash,
            profile="demo",
        )


def _probe(filesystems: Sequence[AccountFilesystem], tell: Tell) -> None:
    """Probe the servers and the keys.

    An account whose whole history is in the catalog is not probed: a mount at boot need not wait
    for the network. If one of several accounts fails, the others are mounted.

    Raises:
        SourceError, NoSpace, CacheFailed: the only account's first source can't be listed.
    """
    for filesystem in filesystems:
        try:
            if not filesystem.first.store.covers(ALWAYS):
                filesystem.first.probe.require()
        except HistfsError as error:
            if len(filesystems) == 1:
                raise
            tell(f"{filesystem.settings.profile}: {error}")
        for mounted in filesystem.sources[1:]:
            mounted.probe.ensure_probed(Waiter(PROBE_TIMEOUT + CONFIRM_AFTER))


def _progress(filesystems: Sequence[AccountFilesystem]) -> str:
    """Return a line about what is known of each account, for the service manager."""
    return "; ".join(
        f"{each.settings.profile}: {each.first.store.total():,} items known"
        + ("" if each.first.scanner.progress().complete else ", more to be read")
        for each in filesystems
    )


def _operations_class(
    filesystems: Sequence[AccountFilesystem], tree: Filesystem
) -> Callable[..., Operations]:
    """Return what makes the callbacks: those of extended attributes are there only if wanted."""
    if not filesystems[0].settings.options.xattr:
        return Operations
    return partial(XattrOperations, lookup=partial(attributes_at, filesystems, tree))


def _tree(
    filesystems: Sequence[AccountFilesystem], mountpoint: Path, forget: Callable[[str], None]
) -> Filesystem:
    """Return the filesystem that the mount shows; for ``forget`` see `AccountFilesystem.tree`."""
    born = int(time.time())

    def status() -> bytes:
        first, *others = (each.status(str(mountpoint), born) for each in filesystems)
        return replace(first, others=others).to_file()

    alone = filesystems[0]
    if not alone.settings.folder:
        return alone.tree(born, status=status, forget=forget)
    folders = {
        each.settings.folder: Subtree(each.tree(born, (each.settings.folder,), forget=forget))
        for each in filesystems
    }
    return UnionFilesystem(None, folders, born=born, status=status)
