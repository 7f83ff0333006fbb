"""Verifying a cached clip before its item is deleted: the clip is about to be the last copy.

A disk that loses bytes, or a server that sends other bytes by now, would otherwise be noticed only
when the copy is read.

Threads: no state of its own.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

from histfs.audio.disk_cache import DiskCache
from histfs.audio.download import Download, DownloadAbandoned
from histfs.audio.size_registry import SizeRegistry
from histfs.audio.verification import CheckOutcome, check, digest
from histfs.core.errors import BadAnswer
from histfs.core.item import Item
from histfs.core.sizes import Fingerprint
from histfs.core.waiting import Waiter

#: Copies of a clip that are compared: the one on the disk, and one from the server.
_COPIES = 2

log = logging.getLogger(__name__)


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
            self._sizes.learn(item.key, known.size, known.sha256)
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
