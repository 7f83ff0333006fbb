"""Exports single items: fetches what is missing at the destination, compares, and writes it.

`order_of` says what is to be there, by the catalog; `carry_out` has it there, on any machine, and
gets audio and attachments from a `Recordings` (`histfs.exporting.recordings`).

Threads: any number at once; there is no state here.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import IO, NamedTuple, Protocol

from histfs.core.attachments import part_of, unique_names
from histfs.core.errors import NoAttachment, NoAudio, NotReady
from histfs.core.files import meta_bytes, text_bytes
from histfs.core.item import Details, Item
from histfs.core.name_forms import EXTENSIONS
from histfs.core.sizes import Fingerprint
from histfs.core.waiting import Waiter
from histfs.exporting.destination import Destination, fingerprint, spooled
from histfs.exporting.errors import ObjectDiffers
from histfs.exporting.manifest import ATTACHMENTS, Written
from histfs.mounting import MountedSource
from histfs.mounting.account_rows import export_name

log = logging.getLogger(__name__)


class Wanted(NamedTuple):
    """Audio, or an attachment, as far as it is known.

    Attributes:
        item: whose audio, or which attachment (`attachments.part_of`).
        known: its size and SHA-256.
        extension: of the audio's name.
    """

    item: Item
    known: Fingerprint | None
    extension: str


@dataclass(frozen=True, slots=True, repr=False)
class Order:
    """What is to be at the destination for one item.

    Attributes:
        item: the item.
        contents: of its text and metadata, by folder.
        old: the objects of an earlier run, by kind; see `Manifest`.
        there: the sizes of its objects that are there, by name.
        audio: its audio.
        attachments: those of a conversation, by their file names.
        lacks_audio: whether it has no audio, now and later.
        final: whether it will not change any more; else audio and attachments are not asked for.
    """

    item: Item
    contents: Mapping[str, bytes]
    old: Mapping[str, Written]
    there: Mapping[str, int]
    audio: Wanted
    attachments: Mapping[str, Wanted]
    lacks_audio: bool
    final: bool

    def __repr__(self) -> str:
        # It may stand in the logs of a cluster, which must not have the texts.
        return f"Order({self.item.key!r})"


class Recording(NamedTuple):
    """Audio, or an attachment, as it was fetched.

    Attributes:
        item: as in `Wanted`.
        size: in bytes.
        sha256: of all of it.
        extension: of the audio's name.
    """

    item: Item
    size: int
    sha256: bytes
    extension: str


class Recordings(Protocol):
    """Where the audio and the attachments of a source come from."""

    def fetch(self, wanted: Wanted, file: IO[bytes]) -> Recording:
        """Write audio, or an attachment, to an empty file; its bytes are those that are known.

        Raises:
            Missing: the item is gone.
            SourceError: it can't be had, or is not what it was.
        """


@dataclass(frozen=True, slots=True)
class ItemResult:
    """What was done for one item.

    Attributes:
        objects: that are there now, by kind.
        written: how many of them were written just now.
        bytes: of those.
        differing: the messages about objects that differ.
        fetched: the audio and the attachments that were fetched.
        not_ready: whether its audio is still being made.
        without_audio: whether it has none.
    """

    objects: Mapping[str, Written]
    written: int
    bytes: int
    differing: list[str]
    fetched: Sequence[Recording] = ()
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
        old: the objects of an earlier run, by kind.
        there: the sizes of the objects that are there, of all items.
        known: its details, where they need not be asked for again.

    Raises:
        SourceError: its details are not known, and can't be fetched.
        CacheFailed: the catalog can't be read.
    """
    details = known or mounted.catalog.full(item, Waiter(math.inf))
    fingerprint_of = mounted.audio.sizes.fingerprint
    audio = Wanted(item, fingerprint_of(item.key), mounted.audio.extension(item))
    attachments = {}
    if mounted.source.traits.attachments:
        for name, attachment in unique_names(details.attachments).items():
            part = part_of(item, attachment)
            attachments[name] = Wanted(part, fingerprint_of(part.key), "")
    names = {export_name(item, "text", "txt"), export_name(item, "meta", "json")}
    stem = export_name(item, "audio", "")
    names |= {f"{stem}{each}" for each in EXTENSIONS | {audio.extension}}
    names |= {_attachment_name(item, name) for name in attachments}
    names |= {each.name for each in old.values()}
    return Order(
        item=item,
        contents={"text": text_bytes(details), "meta": meta_bytes(details)},
        old=old,
        there={name: there[name] for name in names if name in there},
        audio=audio,
        attachments=attachments,
        lacks_audio=details.lacks_audio,
        final=details.final,
    )


def _attachment_name(item: Item, name: str, _extension: str = "") -> str:
    return f"{export_name(item, ATTACHMENTS, '')[:-1]}/{name}"


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
        self._fetched: list[Recording] = []

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
        if not order.final:
            return self._result(not_ready=True)  # a conversation that goes on
        for name, wanted in order.attachments.items():
            # One that the server has deleted is named by the transcript alone.
            with self._reported(), contextlib.suppress(NoAttachment):
                kind = f"{ATTACHMENTS}/{name}"
                self._objects[kind] = self._written_of(
                    wanted, kind, partial(_attachment_name, order.item, name)
                )
        if order.lacks_audio:
            return self._result(without_audio=True)
        try:
            with self._reported():
                self._objects["audio"] = self._written_of(
                    order.audio, "audio", partial(export_name, order.item, "audio")
                )
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
            self._fetched,
            not_ready,
            without_audio,
        )

    def _written_of(self, wanted: Wanted, kind: str, name_of: Callable[[str], str]) -> Written:
        """Have audio, or an attachment, at the destination, and return its object.

        Args:
            wanted: what.
            kind: of the object, in the manifest.
            name_of: returns its name, by the extension.
        """
        order, known = self._order, wanted.known
        old = order.old.get(kind)
        if old is not None and old.name in order.there and self._is_there(old, old):
            return old
        if known is not None and known.sha256 is not None:
            expected = Written(name_of(wanted.extension), known.size, known.sha256.hex())
            if expected.name in order.there and self._is_there(expected, None):
                return expected
        with spooled(self._destination) as file:
            found = self._recordings.fetch(wanted, file)
            self._fetched.append(found)
            new = Written(name_of(found.extension), found.size, found.sha256.hex())
            if not self._is_there(new, None):
                self._put(new, file)
            return new

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
