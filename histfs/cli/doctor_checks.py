"""The checks of `histfs doctor`. A check yields findings and changes nothing."""

from __future__ import annotations

import os
import platform
import shlex
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from histfs import __version__, plugins
from histfs.catalog import schema
from histfs.cli.exit_codes import BUG, exit_status, with_advice
from histfs.cli.status import read_status
from histfs.core.errors import HistfsError
from histfs.core.file_trust import distrust_directory, distrust_links
from histfs.core.source_context import SourceContext
from histfs.core.times import Zone
from histfs.fuse import binding
from histfs.fuse.mountpoint import (
    FUSE_CONFIG,
    check_device,
    check_mountpoint,
    find_fusermount,
    is_histfs,
    may_allow_other,
    mounted_histfs,
)
from histfs.mounting import account_path
from histfs.mounting.cache_layout import refuse_strangers
from histfs.settings import Settings
from histfs.status import MountUnresponsive, NoStatus, SourceStatus, Status

_DEVICE = Path("/dev/fuse")
_UNAVAILABLE, _CONFIGURATION = 69, 78
#: Free bytes of a disk below which there is a warning.
_LOW_SPACE = 256 << 20
_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a check.

    Attributes:
        check: the subject.
        level: the severity.
        said: the message; that of a problem ends with what to do.
        status: the exit status of a failure.
    """

    check: str
    level: str
    said: str
    status: int = 0


def run_check(check: str, examine: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """Yield the findings of a check; an exception is a failure, and the next checks still run."""
    try:
        yield from examine()
    except HistfsError as error:
        yield failed(check, error)
    except Exception as error:  # noqa: BLE001 - the other checks must still run
        yield Finding(check, "fail", f"unexpected error, please report it: {error!r}", BUG)


def failed(check: str, error: HistfsError) -> Finding:
    """Return the finding for an error."""
    return Finding(check, "fail", with_advice(error), exit_status(error))


def machine() -> Iterator[Finding]:
    """Check the requirements of a mount on this machine."""
    yield Finding("histfs", "ok", f"{__version__} on Python {platform.python_version()}")
    yield from run_check(
        "FUSE library", lambda: [Finding("FUSE library", "ok", str(binding.load()))]
    )
    yield from run_check("FUSE device", _device)
    yield from run_check("fusermount", _fusermount)
    yield from run_check("allow_other", _allow_other)


def server(settings: Settings) -> Iterator[Finding]:
    """Run the checks that the account's service declares (`Service.checks`)."""
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
            message = ": ".join(filter(None, [message, with_advice(result.error)]))
            status = exit_status(result.error) if result.level == "fail" else 0
        yield Finding(result.check, result.level, message, status)


def loaded() -> Iterator[Finding]:
    """Check that all plugins can be loaded."""
    found = plugins.installed()
    for plugin in found:
        if plugin.error is not None:
            yield Finding("plugins", "warn", f"{plugin} is left out: {plugin.error}")
    good = sum(plugin.error is None for plugin in found)
    yield Finding("plugins", "ok", f"{good} sources, views and files are loaded")


def cache(settings: Settings) -> Iterator[Finding]:
    """Check the cache directory and the catalog of an account."""
    home = account_path(settings)
    yield from directory("cache", home)
    refuse_strangers(settings.cache_dir, home)
    catalog = home / "catalog.sqlite"
    if not catalog.is_file():
        yield Finding("catalog", "ok", "nothing is known yet")
    elif damage := schema.examine(catalog):
        yield Finding(
            "catalog",
            "fail",
            f"{catalog} is damaged ({damage}): unmount, then run rm {_quoted(catalog)}; it is read"
            " anew",
            _CONFIGURATION,
        )
    else:
        yield Finding("catalog", "ok", f"{catalog} is sound")


def directory(check: str, path: Path) -> Iterator[Finding]:
    """Check a private directory, which may not exist yet."""
    existing = next(each for each in (path, *path.parents) if os.path.lexists(each))
    if not existing.is_dir():
        yield _unusable(check, f"{existing} is not a directory: choose another place")
    elif not os.access(existing, os.R_OK | os.W_OK | os.X_OK):
        yield _unusable(check, f"{existing} can't be written: give it to user {os.geteuid()}")
    elif refused := distrust_links(path) or (
        distrust_directory(path, writers=False) if existing == path else None
    ):
        yield _unusable(check, refused)
    elif existing != path:
        yield Finding(check, "ok", f"{path} isn't there yet and is made when it is needed")
    else:
        mode, disk = stat.S_IMODE(path.stat().st_mode), os.statvfs(path)
        free = disk.f_bavail * disk.f_frsize
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            message = f"{path} is open to others (mode {mode:04o}): run chmod 700 {_quoted(path)}"
            yield Finding(check, "warn", message)
        elif free < _LOW_SPACE:
            message = f"{path} has {free >> 20:,} MB left on its disk: make room there"
            yield Finding(check, "warn", message)
        else:
            yield Finding(check, "ok", f"{path} is private; {free >> 20:,} MB free")


def mounts() -> Iterator[Finding]:
    """Check all mounts of histfs on this machine."""
    paths = mounted_histfs()
    if not paths:
        yield Finding("mounts", "ok", "no histfs is mounted")
    for path in paths:
        yield from _mount(path)


def _mount(path: Path) -> Iterator[Finding]:
    """Check that a mount answers, and that its listings are refreshed."""
    outages = []
    try:
        status = read_status(path)
    except MountUnresponsive as error:
        yield Finding("mounts", "warn", str(error))
        return
    except NoStatus:  # a mount of another user or another version
        pass
    else:
        for account in (status, *status.others):
            sources: list[Status | SourceStatus] = [account, *account.sources.values()]
            outages += [source.outage for source in sources if source.outage is not None]
    for outage in outages:
        since = Zone().local(outage.since).strftime("%Y-%m-%d %H:%M:%S")
        message = f"listings of {path} are not refreshed since {since}: {outage.message}"
        yield Finding("mounts", "warn", message)
    if not outages:
        yield Finding("mounts", "ok", f"{path} is served")


def mountpoint(path: Path) -> Iterator[Finding]:
    """Check that a path can be mounted on; a histfs on it is checked by `mounts`."""
    if not is_histfs(path):
        check_mountpoint(path, nonempty=False)
        yield Finding("mountpoint", "ok", f"{path} can be mounted on")


def _device() -> Iterator[Finding]:
    check_device()
    try:
        os.close(os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        message = (
            f"{_DEVICE} can't be opened ({error.strerror}): let this user, or container, use it"
        )
        yield Finding("FUSE device", "fail", message, _UNAVAILABLE)
    else:
        yield Finding("FUSE device", "ok", f"{_DEVICE} can be used")


def _fusermount() -> Iterator[Finding]:
    found = find_fusermount()
    if found is not None:
        yield Finding("fusermount", "ok", found)
    elif os.geteuid() == 0:
        yield Finding("fusermount", "warn", "not there; root can do without: apt install fuse3")
    else:
        message = "neither fusermount3 nor fusermount is there: apt install fuse3"
        yield Finding("fusermount", "fail", message, _UNAVAILABLE)


def _allow_other() -> Iterator[Finding]:
    if may_allow_other(FUSE_CONFIG):
        message = f"every user may give -o allow_other (user_allow_other in {FUSE_CONFIG})"
    else:
        message = f"root alone may give -o allow_other (no user_allow_other in {FUSE_CONFIG})"
    yield Finding("allow_other", "ok", message)


def _unusable(check: str, message: str) -> Finding:
    return Finding(check, "fail", message, _CONFIGURATION)


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
