"""Verifying the cache: every clip is read again and compared with what it was when it came.

Whoever reads a clip gets what the disk gives, of which only the size is looked at: to look through
all of it each time would take too long. A disk that forgets, or a program that writes where it
should not, is found out here.

Threads: none of its own. Mounts that use the same cache go on meanwhile.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import stat
from collections.abc import Callable, Iterator
from enum import Enum
from typing import NamedTuple

from histfs.audio.disk_cache import DiskCache
from histfs.audio.file_descriptors import Descriptor
from histfs.audio.shelf import Clips
from histfs.core.attachments import MARK
from histfs.core.audio_format import WINDOW, refusal
from histfs.core.audio_store import Fingerprint
from histfs.core.errors import HistfsError

#: Bytes that are read at once.
_CHUNK = 1 << 20

log = logging.getLogger(__name__)


class CacheDamaged(HistfsError):
    """Clips in the cache are not what they were."""


class CheckOutcome(Enum):
    """What something in the cache turned out to be."""

    SOUND = "sound"
    #: A clip of which nothing is known to compare it with, or its size alone, which is right.
    UNKNOWN = "unknown"
    #: A clip that is not what it was, and was removed: it is fetched again when it is next read.
    DAMAGED = "damaged"
    #: A clip that can't be opened, or something else in its place; it is left alone.
    UNREADABLE = "unreadable"
    #: What is in no clip's place; it is left alone.
    FOREIGN = "foreign"


class CheckResult(NamedTuple):
    """What was found.

    Attributes:
        name: the clip's key; of what is in no clip's place its path within the cache. That may hold
            any character.
        kind: what it is.
        why: what is wrong with it, in words.
    """

    name: str
    kind: CheckOutcome
    why: str = ""


def verify(disk: DiskCache, known: Callable[[str], Fingerprint | None]) -> Iterator[CheckResult]:
    """Read every clip, yield what was found, and remove those that are damaged.

    Who has a damaged clip open keeps what he has; the next open fetches it. To be verified is not
    to be used, as far as the choice goes of what makes room for others.

    Args:
        disk: where the clips are.
        known: tells what a clip was when it came, by its key.

    Raises:
        CacheFailed: a directory can't be read, or what is known can't.
    """
    for path in disk.entries():
        key = disk.key_at(path)
        if key is None:
            yield CheckResult(str(path.relative_to(disk.root)), CheckOutcome.FOREIGN, "left alone")
            continue
        verdict = check(disk, key, known)
        if verdict is not None:
            yield verdict


def check(disk: Clips, key: str, known: Callable[[str], Fingerprint | None]) -> CheckResult | None:
    """Read one clip, and remove it when it is damaged.

    Args:
        disk: where the clip is.
        key: the item's key.
        known: tells what a clip was when it came, by its key.

    Returns:
        What is in the clip's place; None when nothing is.
    """
    while True:
        try:
            file = disk.look(key)
        except OSError as error:
            return CheckResult(
                key, CheckOutcome.UNREADABLE, f"it can't be opened: {error.strerror}"
            )
        if file is None:
            return None
        if not stat.S_ISREG(os.fstat(file.number).st_mode):
            return CheckResult(key, CheckOutcome.UNREADABLE, "it is not a file")
        kind, why = _compare(file, key, known)
        if kind is not CheckOutcome.DAMAGED:
            return CheckResult(key, kind)
        # Else a mount has put another one in its place meanwhile.
        if disk.holds(key, file):
            return CheckResult(key, kind, why + _remove(disk, key, why))


def digest(disk: Clips, key: str) -> Fingerprint | None:
    """Read one clip and return what it is; None where there is none, or it can't be read."""
    with contextlib.suppress(OSError):
        file = disk.look(key)
        if file is not None and stat.S_ISREG(os.fstat(file.number).st_mode):
            return _read(file)
    return None


def beginning(file: Descriptor) -> bytes:
    """Return the first bytes of a clip; none where they can't be read, as its reader will see."""
    with contextlib.suppress(OSError):
        return os.pread(file.number, WINDOW, 0)
    return b""


def refused_as(head: bytes, size: int, raw: bool) -> str | None:
    """Return what a clip is in place of audio; None where it may be audio.

    Args:
        head: from `beginning`.
        size: of the clip, in bytes.
        raw: see `refusal`.
    """
    return refusal(head, whole=len(head) == size, raw=raw)


def _compare(
    file: Descriptor, key: str, known: Callable[[str], Fingerprint | None]
) -> tuple[CheckOutcome, str]:
    """Read a clip, and say what it is and why."""
    try:
        found = _read(file)
    except OSError as error:
        return CheckOutcome.DAMAGED, f"it can't be read: {error.strerror}"
    if not found.size:
        return CheckOutcome.DAMAGED, "it is empty"
    refused = None
    if MARK not in key:  # an attachment may be anything
        refused = refused_as(beginning(file), found.size, raw=True)
    if refused is not None:
        return CheckOutcome.DAMAGED, f"it is not audio but {refused}"
    # Asked for only now: of a clip that has just come it is known a moment later.
    was = known(key)
    if was is None:
        return CheckOutcome.UNKNOWN, ""
    if found.size != was.size:
        return CheckOutcome.DAMAGED, f"it has {found.size:,} bytes, not {was.size:,}"
    if was.sha256 is None:
        return CheckOutcome.UNKNOWN, ""
    if found.sha256 != was.sha256:
        return CheckOutcome.DAMAGED, "its bytes are not those that came (SHA-256)"
    return CheckOutcome.SOUND, ""


def _read(file: Descriptor) -> Fingerprint:
    """Read a file from its start to its end."""
    # What the kernel still has in memory says nothing about the disk.
    with contextlib.suppress(OSError):
        os.posix_fadvise(file.number, 0, 0, os.POSIX_FADV_DONTNEED)
    size, hashed = 0, hashlib.sha256()
    while chunk := os.read(file.number, _CHUNK):
        hashed.update(chunk)
        size += len(chunk)
    return Fingerprint(size, hashed.digest())


def _remove(disk: Clips, key: str, why: str) -> str:
    """Remove a damaged clip, and return what is to be said of that."""
    log.warning("the cached audio of %s is damaged: %s", key, why)
    try:
        disk.drop(key)
    except HistfsError as error:
        return f"; {error}"
    return ""
