"""Verifying cached clips: a clip is read and compared with its recorded size and SHA-256.

When a clip is opened only its size and its first bytes are checked, as hashing all of it each time
would take too long. Damage by the disk, or by another program, is found here: by `verify`, and by
`LastCopy` before an item is deleted, whose cached clip is about to be the last copy.

Threads: no state of its own. Mounts that use the same cache go on meanwhile.
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
from histfs.audio.download import Download, DownloadAbandoned
from histfs.audio.file_descriptors import Descriptor
from histfs.audio.size_registry import SizeRegistry
from histfs.core.attachments import MARK
from histfs.core.audio_format import WINDOW, refusal
from histfs.core.errors import BadAnswer, HistfsError
from histfs.core.item import Item
from histfs.core.sizes import Fingerprint
from histfs.core.waiting import Waiter

#: Bytes that are read at once.
_CHUNK = 1 << 20
#: Copies of a clip that are compared: the one on the disk, and one from the server.
_COPIES = 2

log = logging.getLogger(__name__)


class CacheDamaged(HistfsError):
    """Clips in the cache differ from their fingerprints."""


class CheckOutcome(Enum):
    """The result of checking one file of the cache."""

    SOUND = "sound"
    #: A clip without a recorded SHA-256; its size, if recorded, is right.
    UNKNOWN = "unknown"
    #: A clip that differs from its fingerprint, and was removed: the next read downloads it.
    DAMAGED = "damaged"
    #: A clip that can't be opened, or is no file; it is left alone.
    UNREADABLE = "unreadable"
    #: A file that is in no clip's place; it is left alone.
    FOREIGN = "foreign"


class ClipCheck(NamedTuple):
    """The result of checking one file, and its reason.

    Attributes:
        name: the clip's key; of a foreign file its path in the cache, with any characters.
        kind: the result.
        why: what is wrong with it, in words.
    """

    name: str
    kind: CheckOutcome
    why: str = ""


def verify(disk: DiskCache, known: Callable[[str], Fingerprint | None]) -> Iterator[ClipCheck]:
    """Read every clip, yield the results, and remove damaged clips.

    An open handle of a damaged clip keeps its file; the next open downloads the clip. The times of
    last use stay as they are.

    Args:
        disk: where the clips are.
        known: returns the fingerprint of a clip, by its key.

    Raises:
        CacheFailed: a directory, or a fingerprint, can't be read.
    """
    for path in disk.entries():
        key = disk.key_at(path)
        if key is None:
            yield ClipCheck(str(path.relative_to(disk.root)), CheckOutcome.FOREIGN, "left alone")
            continue
        result = check(disk, key, known)
        if result is not None:
            yield result


def check(
    disk: DiskCache, key: str, known: Callable[[str], Fingerprint | None]
) -> ClipCheck | None:
    """Read one clip, and remove it when it is damaged.

    Args:
        disk: where the clip is.
        key: the item's key.
        known: returns the fingerprint of a clip, by its key.

    Returns:
        The result; None when there is no such clip.
    """
    while True:
        try:
            file = disk.peek(key)
        except OSError as error:
            return ClipCheck(key, CheckOutcome.UNREADABLE, f"it can't be opened: {error.strerror}")
        if file is None:
            return None
        if not stat.S_ISREG(os.fstat(file.number).st_mode):
            return ClipCheck(key, CheckOutcome.UNREADABLE, "it is not a file")
        kind, why = _compare(file, key, known)
        if kind is not CheckOutcome.DAMAGED:
            return ClipCheck(key, kind)
        # Otherwise a mount has put another file in its place meanwhile.
        if disk.is_current(key, file):
            return ClipCheck(key, kind, why + _remove(disk, key, why))


def digest(disk: DiskCache, key: str) -> Fingerprint | None:
    """Return the fingerprint of one clip; None where there is none, or it can't be read."""
    with contextlib.suppress(OSError):
        file = disk.peek(key)
        if file is not None and stat.S_ISREG(os.fstat(file.number).st_mode):
            return _read(file)
    return None


class LastCopy:
    """Compares cached clips with their checksums, and downloads them again where that fails.

    Args:
        disk: where the clips are.
        sizes: knows their checksums.
        fetch: has a complete clip on the disk.
        fetch_again: downloads a clip whether it is on the disk or not.
    """

    def __init__(
        self,
        disk: DiskCache,
        sizes: SizeRegistry,
        fetch: Callable[[Item, Waiter], object],
        fetch_again: Callable[[Item, Waiter], object],
    ) -> None:
        self._disk = disk
        self._sizes = sizes
        self._fetch = fetch
        self._fetch_again = fetch_again

    def ensure(self, item: Item, running: Download | None, waiter: Waiter) -> None:
        """Have a complete clip on the disk, with the bytes that first came from the server.

        A clip without a known checksum is downloaded again: the file on the disk proves nothing.

        Args:
            item: whose clip.
            running: its download, if there is one.
            waiter: waits for downloads.

        Raises:
            BadAnswer: the server sends other bytes by now.
            As `AudioCache.fetch`.
        """
        known = self._sizes.fingerprint(item.key)
        if (known is None or known.sha256 is None) and running is not None:
            with contextlib.suppress(DownloadAbandoned):
                running.wait_for_end(waiter)
                known = self._sizes.fingerprint(item.key)
        if known is None or known.sha256 is None:
            known = self._download_again(item, waiter)
        why = ""
        for _ in range(_COPIES):
            self._fetch(item, waiter)
            found = check(self._disk, item.key, lambda key: known or self._sizes.fingerprint(key))
            if found is None or found.kind is not CheckOutcome.DAMAGED:
                return
            why = found.why
        if known is not None:
            # The new bytes have taken its place; another try must not compare with them.
            self._sizes.learn(item, known.size, known.sha256)
        raise BadAnswer(f"the audio is not what it was: {why}")

    def _download_again(self, item: Item, waiter: Waiter) -> Fingerprint | None:
        """Download a clip; twice where the first download differs from the file on the disk.

        The old file stays until the new one is complete.

        Returns:
            What came first; None where the catalog could not keep that.
        """
        before = digest(self._disk, item.key)
        self._fetch_again(item, waiter)
        came = self._sizes.fingerprint(item.key)
        if before is not None and before != came:
            log.warning(
                "the cached audio of %s is not what the server sends, and no checksum of it is"
                " known: fetching it once more",
                item.key,
            )
            self._fetch_again(item, waiter)
        return came


def beginning(file: Descriptor) -> bytes:
    """Return the first bytes of a clip; none where they can't be read: that is a reader's error."""
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
    """Read a clip, and return the result and its reason."""
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
    # Looked up last: the fingerprint of a new clip is written just after the clip is in place.
    recorded = known(key)
    if recorded is None:
        return CheckOutcome.UNKNOWN, ""
    if found.size != recorded.size:
        return CheckOutcome.DAMAGED, f"it has {found.size:,} bytes, not {recorded.size:,}"
    if recorded.sha256 is None:
        return CheckOutcome.UNKNOWN, ""
    if found.sha256 != recorded.sha256:
        return CheckOutcome.DAMAGED, "its bytes are not those that came (SHA-256)"
    return CheckOutcome.SOUND, ""


def _read(file: Descriptor) -> Fingerprint:
    """Read a file from its start to its end."""
    # The kernel's page cache says nothing about the disk.
    with contextlib.suppress(OSError):
        os.posix_fadvise(file.number, 0, 0, os.POSIX_FADV_DONTNEED)
    size, hashed = 0, hashlib.sha256()
    while chunk := os.read(file.number, _CHUNK):
        hashed.update(chunk)
        size += len(chunk)
    return Fingerprint(size, hashed.digest())


def _remove(disk: DiskCache, key: str, why: str) -> str:
    """Remove a damaged clip, and return an error to add to the reason, if there is one."""
    log.warning("the cached audio of %s is damaged: %s", key, why)
    try:
        disk.remove(key)
    except HistfsError as error:
        return f"; {error}"
    return ""
