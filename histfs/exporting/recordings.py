"""Where an export gets audio and attachments: from the cache of this machine, or from the server.

Threads: any number at once; there is no state here.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Iterator
from typing import IO

from histfs.audio.body_check import checked
from histfs.core.audio_format import actual_extension
from histfs.core.errors import BadAnswer, ClipTooLarge, Missing, Unreachable
from histfs.core.item import Item
from histfs.core.name_forms import EXTENSIONS
from histfs.core.source import AudioStream, Source, attachment_of
from histfs.core.waiting import Waiter
from histfs.exporting.item_export import Recording, Wanted
from histfs.mounting import MountedSource

#: How often audio is fetched that breaks, or is not what it was.
_TRIES = 3
_CHUNK = 1 << 20


class ServerRecordings:
    """Audio and attachments as the server sends them. Implements `Recordings`.

    Args:
        source: the source.
        max_size: bytes; what is larger is an error.
    """

    def __init__(self, source: Source, max_size: int) -> None:
        self._source = source
        self._max_size = max_size

    def fetch(self, wanted: Wanted, file: IO[bytes]) -> Recording:
        """Write audio, or an attachment, to a file; what breaks is fetched again."""
        item, known = wanted.item, wanted.known
        for attempt in range(1, _TRIES + 1):
            file.seek(0)
            file.truncate()
            try:
                with _told_apart(self._source, item):
                    found = self._fetch(wanted, file)
            except (Unreachable, BadAnswer):
                if attempt == _TRIES:
                    raise
                continue
            if known is None or known.sha256 in (None, found.sha256):
                return found
        raise BadAnswer(f"the audio of {item.key} is not what it was")

    def _fetch(self, wanted: Wanted, file: IO[bytes]) -> Recording:
        item, size, digest = wanted.item, 0, hashlib.sha256()
        extension = wanted.extension

        def examine(head: bytes) -> None:
            nonlocal extension
            found = actual_extension(head, item.content_type, item.output_format)
            extension = found if found in EXTENSIONS else extension

        with self._open(item) as stream:
            for chunk in checked(item, stream.chunks(), examine):
                size += len(chunk)
                if size > self._max_size:
                    raise ClipTooLarge(
                        f"the audio of {item.key} has more than {self._max_size} bytes:"
                        " it is not fetched (--max-clip-size sets the limit)"
                    )
                digest.update(chunk)
                file.write(chunk)
        if not size:
            raise BadAnswer("nothing came: what was asked for is empty")
        return Recording(item, size, digest.digest(), extension)

    def _open(self, item: Item) -> contextlib.AbstractContextManager[AudioStream]:
        if item.attachment is None:
            return self._source.audio(item.id)
        return attachment_of(self._source, item.id, item.attachment)


class CachedRecordings:
    """Those of a source by way of the cache of this machine. Implements `Recordings`.

    Args:
        mounted: the source.
    """

    def __init__(self, mounted: MountedSource) -> None:
        self._mounted = mounted

    def fetch(self, wanted: Wanted, file: IO[bytes]) -> Recording:
        """Copy audio, or an attachment, to a file."""
        mounted, item = self._mounted, wanted.item
        waiter = Waiter(math.inf)
        with _told_apart(mounted.source, item):
            for attempt in range(2):
                known = mounted.audio.sizes.fingerprint(item.key)
                file.seek(0)
                file.truncate()
                try:
                    size, digest = self._copy(item, file, waiter)
                except BadAnswer:
                    # Cut short, perhaps: the next answer may be whole.
                    if attempt:
                        raise
                    continue
                if known is None or known.sha256 in (None, digest):
                    return Recording(item, size, digest, mounted.audio.extension(item))
                if attempt == 0:
                    # The copy in the cache is damaged.
                    mounted.audio.ensure_verified(item, waiter)
        raise BadAnswer(f"the audio of {item.key} is not what it was")

    def _copy(self, item: Item, file: IO[bytes], waiter: Waiter) -> tuple[int, bytes]:
        digest = hashlib.sha256()
        # Others are fetched at the same time: there is nothing to guess.
        clip = self._mounted.audio.open(item, waiter, read_ahead=False)
        try:
            place, size = 0, clip.size
            while place < size:
                chunk = clip.read(place, _CHUNK, waiter)
                if not chunk:
                    raise BadAnswer(f"the audio of {item.key} ends after {place} of {size} bytes")
                digest.update(chunk)
                file.write(chunk)
                place += len(chunk)
        finally:
            clip.close()
        return size, digest.digest()


class LocalRecordings:
    """Those that the cache of this machine has, the others as the server sends them.

    Implements `Recordings`. What comes from the server is not put into the cache: an export of a
    history that is larger than the cache would evict what the user listens to, and each byte would
    be written and synced twice.

    Args:
        mounted: the source; its catalog gets what is learnt.
        max_size: bytes; what is larger is not fetched.
    """

    def __init__(self, mounted: MountedSource, max_size: int) -> None:
        self._mounted = mounted
        self._cached = CachedRecordings(mounted)
        self._server = ServerRecordings(mounted.source, max_size)

    def fetch(self, wanted: Wanted, file: IO[bytes]) -> Recording:
        """Write audio, or an attachment, to a file."""
        item = wanted.item
        if self._mounted.audio.cached_size(item) is not None:
            return self._cached.fetch(wanted, file)
        try:
            found = self._server.fetch(wanted, file)
        except Missing:
            self._mounted.catalog.invalidate(item)
            raise
        note(self._mounted, found)
        return found


def note(mounted: MountedSource, found: Recording) -> None:
    """Note in the catalog what was fetched past the cache."""
    audio, item = mounted.audio, found.item
    audio.sizes.learn(item, found.size, found.sha256)
    if item.attachment is None and found.extension != audio.extension(item):
        mounted.catalog.set_extension(item.key, found.extension)


@contextlib.contextmanager
def _told_apart(source: Source, item: Item) -> Iterator[None]:
    """Tell an item that is gone from one whose audio alone can't be had.

    Raises:
        Missing: the item is gone.
        BadAnswer: it is there, and its audio is not.
    """
    try:
        yield
    except Missing as error:
        source.get(item.id)
        raise BadAnswer(f"the server has the item, and not its audio ({error})") from error
