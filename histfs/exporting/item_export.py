"""Exports single items: fetches what is missing at the destination, compares, and writes it.

`order_of` says what is to be there, by the catalog; `carry_out` has it there, on any machine, and
gets the audio from a `Recordings`: the cache of this machine, or the server itself.

Threads: any number at once; there is no state here.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, NamedTuple, Protocol

from histfs.core.audio_format import EXTENSIONS
from histfs.core.errors import BadAnswer, Missing, NoAudio, NotReady
from histfs.core.files import meta_bytes, text_bytes
from histfs.core.item import Details, Item
from histfs.core.sizes import Fingerprint
from histfs.core.waiting import Waiter
from histfs.exporting.destination import Destination, fingerprint, spooled
from histfs.exporting.errors import ObjectDiffers
from histfs.exporting.manifest import Written
from histfs.mounting import MountedSource
from histfs.mounting.account_rows import export_name

_CHUNK = 1 << 20

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, repr=False)
class Order:
    """What is to be at the destination for one item.

    Attributes:
        item: the item.
        contents: of its objects but the audio, by folder.
        old: the objects of an earlier run, by folder.
        there: the sizes of its objects that are there, by name.
        known: what is known of its audio.
        extension: of the audio's name, as far as it is known.
        lacks_audio: whether it has none, now and later.
        final: whether it will not change any more; else its audio is not asked for.
    """

    item: Item
    contents: Mapping[str, bytes]
    old: Mapping[str, Written]
    there: Mapping[str, int]
    known: Fingerprint | None
    extension: str
    lacks_audio: bool
    final: bool

    def __repr__(self) -> str:
        # It may stand in the logs of a cluster, which must not have the texts.
        return f"Order({self.item.key!r})"


class Recording(NamedTuple):
    """Audio as it was fetched.

    Attributes:
        size: in bytes.
        sha256: of all of it.
        extension: of its name.
    """

    size: int
    sha256: bytes
    extension: str


class Recordings(Protocol):
    """Where the audio of a source comes from."""

    def fetch(self, order: Order, file: IO[bytes]) -> Recording:
        """Write the audio of an item to an empty file; its bytes are those that are known.

        Raises:
            Missing: the item is gone.
            SourceError: the audio can't be had, or is not what it was.
        """


@dataclass(frozen=True, slots=True)
class ItemResult:
    """What was done for one item.

    Attributes:
        objects: that are there now, by folder.
        written: how many of them were written just now.
        bytes: of those.
        differing: the messages about objects that differ.
        recording: the audio, where it was fetched.
        not_ready: whether its audio is still being made.
        without_audio: whether it has none.
    """

    objects: Mapping[str, Written]
    written: int
    bytes: int
    differing: list[str]
    recording: Recording | None = None
    not_ready: bool = False
    without_audio: bool = False


def order_of(
    mounted: MountedSource,
    item: Item,
    old: Mapping[str, Written],
    there: Mapping[str, int],
    known: Details | None = None,
) -> Order:
    """Return what is to be at a destination for an item.

    Args:
        mounted: its source.
        item: the item.
        old: the objects of an earlier run, by folder.
        there: the sizes of the objects that are there, of all items.
        known: its details, where they need not be asked for again.

    Raises:
        SourceError: its details are not known, and can't be fetched.
        CacheFailed: the catalog can't be read.
    """
    details = known or mounted.catalog.full(item, Waiter(math.inf))
    extension = mounted.audio.extension(item)
    names = {export_name(item, "text", "txt"), export_name(item, "meta", "json")}
    names |= {export_name(item, "audio", each) for each in EXTENSIONS | {extension}}
    names |= {each.name for each in old.values()}
    return Order(
        item=item,
        contents={"text": text_bytes(details), "meta": meta_bytes(details)},
        old=old,
        there={name: there[name] for name in names if name in there},
        known=mounted.audio.sizes.fingerprint(item.key),
        extension=extension,
        lacks_audio=details.lacks_audio,
        final=details.final,
    )


def carry_out(
    order: Order, destination: Destination, recordings: Recordings, *, verify: bool
) -> ItemResult:
    """Write the objects of an item that are not there.

    Args:
        order: what is to be there.
        destination: where.
        recordings: has the audio.
        verify: whether the objects that are there are read back.

    Raises:
        SourceError: it can't be fetched.
        DestinationFailed, NoSpace: it can't be written.
    """
    return _ItemExport(order, destination, recordings, verify).run()


class CachedRecordings:
    """The audio of a source in the cache of this machine. Implements `Recordings`.

    Args:
        mounted: the source.
    """

    def __init__(self, mounted: MountedSource) -> None:
        self._mounted = mounted

    def fetch(self, order: Order, file: IO[bytes]) -> Recording:
        """Copy the audio of an item to a file, by way of the cache."""
        mounted, item = self._mounted, order.item
        waiter = Waiter(math.inf)
        with _told_apart(mounted, item):
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
                    return Recording(size, digest, mounted.audio.extension(item))
                if attempt == 0:
                    # The copy in the cache is damaged.
                    mounted.audio.ensure_verified(item, waiter)
        raise BadAnswer(f"the audio of {item.key} is not what it was")

    def _copy(self, item: Item, file: IO[bytes], waiter: Waiter) -> tuple[int, bytes]:
        digest = hashlib.sha256()
        clip = self._mounted.audio.open(item, waiter)
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


class _ItemExport:
    """The export of one item; see `carry_out`."""

    def __init__(
        self, order: Order, destination: Destination, recordings: Recordings, verify: bool
    ) -> None:
        self._order = order
        self._destination = destination
        self._recordings = recordings
        self._verify = verify
        self._objects: dict[str, Written] = {}
        self._written = self._bytes = 0
        self._differing: list[str] = []
        self._recording: Recording | None = None

    def run(self) -> ItemResult:
        """Write the objects that are not there."""
        order = self._order
        for folder, content in order.contents.items():
            name = export_name(order.item, folder, "txt" if folder == "text" else "json")
            new = Written(name, len(content), hashlib.sha256(content).hexdigest())
            with self._reported():
                if not self._is_there(new, order.old.get(folder)):
                    self._put(new, io.BytesIO(content))
                self._objects[folder] = new
        if order.lacks_audio:
            return self._result(without_audio=True)
        if not order.final:
            return self._result(not_ready=True)  # a conversation that goes on
        try:
            with self._reported():
                self._objects["audio"] = self._audio()
        except NoAudio:
            return self._result(without_audio=True)
        except NotReady:
            return self._result(not_ready=True)
        return self._result()

    def _result(self, *, not_ready: bool = False, without_audio: bool = False) -> ItemResult:
        return ItemResult(
            self._objects,
            self._written,
            self._bytes,
            self._differing,
            self._recording,
            not_ready,
            without_audio,
        )

    def _audio(self) -> Written:
        """Have an item's audio at the destination, and return its object."""
        order, old = self._order, self._order.old.get("audio")
        if old is not None and old.name in order.there and self._is_there(old, old):
            return old
        if order.known is not None and order.known.sha256 is not None:
            expected = self._named(order.extension, order.known.size, order.known.sha256)
            if expected.name in order.there and self._is_there(expected, None):
                return expected
        with spooled(self._destination) as file:
            found = self._recording = self._recordings.fetch(order, file)
            new = self._named(found.extension, found.size, found.sha256)
            if not self._is_there(new, None):
                self._put(new, file)
            return new

    def _named(self, extension: str, size: int, sha256: bytes) -> Written:
        return Written(export_name(self._order.item, "audio", extension), size, sha256.hex())

    def _put(self, new: Written, content: IO[bytes]) -> None:
        self._destination.put(new.name, content)
        self._written += 1
        self._bytes += new.size

    def _is_there(self, new: Written, old: Written | None) -> bool:
        """Say whether an object is there; False if it is to be written.

        Args:
            new: as it should be.
            old: as an earlier run has written it; None if none has.

        Raises:
            ObjectDiffers: there is another one, which no run has written.
        """
        size = self._order.there.get(new.name)
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
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except ObjectDiffers as error:
            log.warning("%s", error)
            self._differing.append(str(error))


@contextlib.contextmanager
def _told_apart(mounted: MountedSource, item: Item) -> Iterator[None]:
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
