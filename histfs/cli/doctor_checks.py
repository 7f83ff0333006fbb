"""What `histfs doctor` looks at. Each check says how it is, and does nothing else."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from histfs import __version__, plugins
from histfs.catalog import schema
from histfs.cli.exit_codes import BUG, advised, status_of
from histfs.cli.status import read_status
from histfs.core.errors import HistfsError
from histfs.core.file_trust import distrust_directory, distrust_links
from histfs.core.source_context import SourceContext
from histfs.core.times import Zone
from histfs.fuse import binding
from histfs.fuse.mountpoint import (
    check_device,
    check_mountpoint,
    is_histfs,
    mounted_histfs,
)
from histfs.mounting import account_path
from histfs.mounting.cache_layout import refuse_strangers
from histfs.settings import Settings
from histfs.status import MountUnresponsive, NoStatus, SourceStatus, Status

_DEVICE = Path("/dev/fuse")
_FUSE_CONFIG = Path("/etc/fuse.conf")
_UNAVAILABLE, _CONFIGURATION = 69, 78
#: Bytes free on a disk below which that is worth saying.
_LITTLE = 256 << 20
_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check says.

    Attributes:
        check: what was looked at.
        level: how it is.
        said: for a person; where something is wrong it ends with what to do.
        status: the exit status that a failure has.
    """

    check: str
    level: str
    said: str
    status: int = 0


def run_check(check: str, examine: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """Yield what a check says; one that can't be made has failed, and hides no other."""
    try:
        yield from examine()
    except HistfsError as error:
        yield failed(check, error)
    except Exception as error:  # noqa: BLE001 - the other checks are still worth making
        yield Finding(check, "fail", f"unexpected error, please report it: {error!r}", BUG)


def failed(check: str, error: HistfsError) -> Finding:
    """Return what is said of an error that was foreseen."""
    return Finding(check, "fail", advised(error), status_of(error))


def machine() -> Iterator[Finding]:
    """Look at what a mount needs of this machine."""
    yield Finding("histfs", "ok", f"{__version__} on Python {platform.python_version()}")
    yield from run_check(
        "FUSE library", lambda: [Finding("FUSE library", "ok", str(binding.load()))]
    )
    yield from run_check("FUSE device", _device)
    yield from run_check("fusermount", _fusermount)
    yield from run_check("allow_other", _allow_other)


def server(settings: Settings) -> Iterator[Finding]:
    """Make the checks that the account's service declares (`Service.checks`)."""
    service = settings.service
    if service.checks is None:
        return
    context = SourceContext(
        settings.profile,
        settings.base_url,
        settings.key,
        _TIMEOUT,
        connections=1,
        options=settings.source_options.get(service.root, {}),
    )
    for result in service.checks(context):
        message, status = result.message, 0
        if result.error is not None:
            message = ": ".join(filter(None, [message, advised(result.error)]))
            status = status_of(result.error) if result.level == "fail" else 0
        yield Finding(result.check, result.level, message, status)


def loaded() -> Iterator[Finding]:
    """See whether all plugins can be loaded."""
    found = plugins.installed()
    for plugin in found:
        if plugin.error is not None:
            yield Finding("plugins", "warn", f"{plugin} is left out: {plugin.error}")
    good = sum(plugin.error is None for plugin in found)
    yield Finding("plugins", "ok", f"{good} sources, views and files are loaded")


def cache(settings: Settings) -> Iterator[Finding]:
    """Look at the cache and the catalog of an account."""
    home = account_path(settings)
    yield from directory("cache", home)
    refuse_strangers(settings.cache_dir, home)
    catalog = home / "catalog.sqlite"
    if not catalog.is_file():
        yield Finding("catalog", "ok", "nothing is known yet")
    elif wrong := schema.examine(catalog):
        yield Finding(
            "catalog",
            "fail",
            f"{catalog} is damaged ({wrong}): unmount, then run rm {_quoted(catalog)}; it is read"
            " anew",
            _CONFIGURATION,
        )
    else:
        yield Finding("catalog", "ok", f"{catalog} is sound")


def directory(check: str, path: Path) -> Iterator[Finding]:
    """Look at a directory that is for its owner alone, and may not be there yet."""
    there = next(place for place in (path, *path.parents) if os.path.lexists(place))
    if not there.is_dir():
        yield _unusable(check, f"{there} is not a directory: choose another place")
    elif not os.access(there, os.R_OK | os.W_OK | os.X_OK):
        yield _unusable(check, f"{there} can't be written: give it to user {os.geteuid()}")
    elif refused := distrust_links(path) or (
        distrust_directory(path, writers=False) if there == path else None
    ):
        yield _unusable(check, refused)
    elif there != path:
        yield Finding(check, "ok", f"{path} isn't there yet and is made when it is needed")
    else:
        mode, disk = stat.S_IMODE(path.stat().st_mode), os.statvfs(path)
        free = disk.f_bavail * disk.f_frsize
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            said = f"{path} is open to others (mode {mode:04o}): run chmod 700 {_quoted(path)}"
            yield Finding(check, "warn", said)
        elif free < _LITTLE:
            said = f"{path} has {free >> 20:,} MB left on its disk: make room there"
            yield Finding(check, "warn", said)
        else:
            yield Finding(check, "ok", f"{path} is private; {free >> 20:,} MB free")


def mounts() -> Iterator[Finding]:
    """Look for mounts whose process has died."""
    paths = mounted_histfs()
    if not paths:
        yield Finding("mounts", "ok", "no histfs is mounted")
    for path in paths:
        yield from _served(path)


def _served(path: Path) -> Iterator[Finding]:
    """Say whether the listings of a mount are up to date."""
    outages = []
    try:
        status = read_status(path)
    except MountUnresponsive as error:
        yield Finding("mounts", "warn", str(error))
        return
    except NoStatus:  # another user's, or another version's
        pass
    else:
        for account in (status, *status.others):
            sources: list[Status | SourceStatus] = [account, *account.sources.values()]
            outages += [source.outage for source in sources if source.outage is not None]
    for outage in outages:
        since = Zone().local(outage.since).strftime("%Y-%m-%d %H:%M:%S")
        said = f"listings of {path} are not refreshed since {since}: {outage.message}"
        yield Finding("mounts", "warn", said)
    if not outages:
        yield Finding("mounts", "ok", f"{path} is served")


def mountpoint(path: Path) -> Iterator[Finding]:
    """Look whether a path can be mounted on, unless a histfs is there, which `mounts` tells of."""
    if not is_histfs(path):
        check_mountpoint(path, nonempty=False)
        yield Finding("mountpoint", "ok", f"{path} can be mounted on")


def _device() -> Iterator[Finding]:
    check_device()
    try:
        os.close(os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        said = f"{_DEVICE} can't be opened ({error.strerror}): let this user, or container, use it"
        yield Finding("FUSE device", "fail", said, _UNAVAILABLE)
    else:
        yield Finding("FUSE device", "ok", f"{_DEVICE} can be used")


def _fusermount() -> Iterator[Finding]:
    found = next(filter(None, map(shutil.which, ("fusermount3", "fusermount"))), None)
    if found is not None:
        yield Finding("fusermount", "ok", found)
    elif os.geteuid() == 0:
        yield Finding("fusermount", "warn", "not there; root can do without: apt install fuse3")
    else:
        said = "neither fusermount3 nor fusermount is there: apt install fuse3"
        yield Finding("fusermount", "fail", said, _UNAVAILABLE)


def _allow_other() -> Iterator[Finding]:
    try:
        lines = _FUSE_CONFIG.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    if "user_allow_other" in map(str.strip, lines):
        said = f"every user may give -o allow_other (user_allow_other in {_FUSE_CONFIG})"
    else:
        said = f"root alone may give -o allow_other (no user_allow_other in {_FUSE_CONFIG})"
    yield Finding("allow_other", "ok", said)


def _unusable(check: str, said: str) -> Finding:
    return Finding(check, "fail", said, _CONFIGURATION)


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
