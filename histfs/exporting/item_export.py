"""Exports single items: fetches what is missing at the destination, compares, and writes it.

Threads: any number at once; a `Worker` does not change.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import math
from collections.abc import Iterator, Mapping
from typing import IO, NamedTuple

from histfs.core.errors import BadAnswer, Missing, NoAudio, NotReady
from histfs.core.files import meta_bytes, text_bytes
from histfs.core.item import Item
from histfs.core.waiting import Waiter
from histfs.exporting.destination import Destination, fingerprint, spooled
from histfs.exporting.errors import ObjectDiffers
from histfs.exporting.manifest import Written
from histfs.mounting import MountedSource
from histfs.mounting.account_rows import export_name

_CHUNK = 1 << 20

log = logging.getLogger(__name__)


class ItemResult(NamedTuple):
    """What was done for one item.

    Attributes:
        objects: that are there now, by folder.
        written: how many of them were written just now.
        bytes: of those.
        differing: the messages about objects that differ.
        not_ready: whether its audio is still being made.
        without_audio: whether it has none.
    """

    objects: dict[str, Written]
    written: int
    bytes: int
    differing: list[str]
    not_ready: bool = False
    without_audio: bool = False


class Worker:
    """Exports single items.

    Args:
        destination: where.
        there: the sizes of the objects that are there, by name.
        verify: whether they are read back.
    """

    def __init__(self, destination: Destination, there: Mapping[str, int], verify: bool) -> None:
        self._destination = destination
        self._there = there
        self._verify = verify

    def export(self, mounted: MountedSource, item: Item, old: dict[str, Written]) -> ItemResult:
        """Write the objects of an item that are not there.

        Args:
            mounted: its source.
            item: the item.
            old: the objects of an earlier run, by folder.

        Raises:
            SourceError: it can't be fetched.
            DestinationFailed, NoSpace: it can't be written.
        """
        waiter = Waiter(math.inf)
        details = mounted.catalog.full(item, waiter)
        contents = {"text": text_bytes(details), "meta": meta_bytes(details)}
        result = ItemResult({}, 0, 0, [])
        for folder, content in contents.items():
            name = export_name(item, folder, "txt" if folder == "text" else "json")
            digest = hashlib.sha256(content).hexdigest()
            new = Written(name, len(content), digest)
            with self._differing(result.differing):
                if not self._is_there(new, old.get(folder)):
                    self._destination.put(name, io.BytesIO(content))
                    result = result._replace(
                        written=result.written + 1, bytes=result.bytes + len(content)
                    )
                result.objects[folder] = new
        if details.lacks_audio:
            return result._replace(without_audio=True)
        if not details.final:
            return result._replace(not_ready=True)  # a conversation that goes on
        try:
            with self._differing(result.differing), _checked(mounted, item):
                audio, written = self._audio(mounted, item, old.get("audio"), waiter)
                result.objects["audio"] = audio
                if written:
                    result = result._replace(
                        written=result.written + 1, bytes=result.bytes + audio.size
                    )
        except NoAudio:
            return result._replace(without_audio=True)
        except NotReady:
            return result._replace(not_ready=True)
        return result

    def _audio(
        self, mounted: MountedSource, item: Item, old: Written | None, waiter: Waiter
    ) -> tuple[Written, bool]:
        """Return the object of an item's audio, and whether it was written just now."""
        if old is not None and old.name in self._there and self._is_there(old, old):
            return old, False
        known = mounted.audio.sizes.fingerprint(item.key)
        if known is not None and known.sha256 is not None:
            extension = mounted.audio.extension(item)
            expected = Written(
                export_name(item, "audio", extension), known.size, known.sha256.hex()
            )
            if expected.name in self._there and self._is_there(expected, None):
                return expected, False
        with spooled(self._destination) as file:
            size, digest = _fetch(mounted, item, file, waiter)
            name = export_name(item, "audio", mounted.audio.extension(item))
            new = Written(name, size, digest)
            if self._is_there(new, None):
                return new, False
            self._destination.put(name, file)
            return new, True

    def _is_there(self, new: Written, old: Written | None) -> bool:
        """Say whether an object is there; False if it is to be written.

        Args:
            new: as it should be.
            old: as an earlier run has written it; None if none has.

        Raises:
            ObjectDiffers: there is another one, which no run has written.
        """
        size = self._there.get(new.name)
        if size is None:
            return False
        if old is not None and old.name == new.name and old.size == size:
            if old == new and not self._verify:
                return True
            # One that an earlier run has written of other details is replaced.
            found = fingerprint(self._destination, new.name)
            if found == (old.size, old.sha256):
                return old == new
        else:
            found = fingerprint(self._destination, new.name)
        if found is None:
            return False
        if found != (new.size, new.sha256):
            raise ObjectDiffers(
                f"{self._destination}/{new.name} has {found[0]:,} bytes with SHA-256"
                f" {found[1][:12]}…, and not {new.size:,} with {new.sha256[:12]}…: it is left as"
                " it is"
            )
        return True

    @contextlib.contextmanager
    def _differing(self, messages: list[str]) -> Iterator[None]:
        try:
            yield
        except ObjectDiffers as error:
            log.warning("%s", error)
            messages.append(str(error))


@contextlib.contextmanager
def _checked(mounted: MountedSource, item: Item) -> Iterator[None]:
    """Tell an item that is gone from one whose audio alone can't be had.

    Raises:
        Missing: the item is gone.
        BadAnswer: it is there, and its audio is not.
    """
    try:
        yield
    except Missing as error:
        mounted.source.get(item.id)
        raise BadAnswer(f"the server has the item, and not its audio ({error})") from error


def _fetch(mounted: MountedSource, item: Item, file: IO[bytes], waiter: Waiter) -> tuple[int, str]:
    """Copy an item's audio to a file; return its size and SHA-256, which are those of the catalog.

    Raises:
        BadAnswer: the bytes are not those that came first, and can't be had again.
    """
    for attempt in range(2):
        known = mounted.audio.sizes.fingerprint(item.key)
        file.seek(0)
        file.truncate()
        try:
            size, digest = _copy(mounted, item, file, waiter)
        except BadAnswer:
            # Cut short, perhaps: the next answer may be whole.
            if attempt:
                raise
            continue
        if known is None or known.sha256 in (None, digest):
            return size, digest.hex()
        if attempt == 0:
            # The copy in the cache is damaged.
            mounted.audio.ensure_verified(item, waiter)
    raise BadAnswer(f"the audio of {item.key} is not what it was")


def _copy(mounted: MountedSource, item: Item, file: IO[bytes], waiter: Waiter) -> tuple[int, bytes]:
    """Copy an item's audio to a file; return its size and SHA-256."""
    digest = hashlib.sha256()
    clip = mounted.audio.open(item, waiter)
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
