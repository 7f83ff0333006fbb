"""The sizes of files: what is known of them, and what keeps those of clips for ever.

`histfs.audio.size_registry` is the one authority for the size of a clip; an item carries only an
estimate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from histfs.core.item import Item


class FileSize(NamedTuple):
    """The size of a file as stat(2) shows it.

    Attributes:
        size: in bytes.
        is_exact: whether a read of the file gives just as many; else it is an estimate, or what a
            server announced.
    """

    size: int
    is_exact: bool


class Fingerprint(NamedTuple):
    """What is known of a clip that was once in the cache.

    Attributes:
        size: in bytes.
        sha256: of the whole clip; None where only its size is known.
    """

    size: int
    sha256: bytes | None


class KnownSize(NamedTuple):
    """What is known of the size of a clip.

    Attributes:
        key: the item's.
        size: exact, in bytes; None while it isn't known.
        origin: stands for the item's model and source; the same text for the same ones.
        voice: stands for its voices.
    """

    key: str
    size: int | None
    origin: str = ""
    voice: str = ""


class PastClip(NamedTuple):
    """A clip whose size is known, and was estimated before.

    Attributes:
        content_type: as in `Item`.
        output_format: as in `Item`.
        estimate: in bytes.
        size: exact, in bytes.
        origin: as in `KnownSize`.
        voice: as in `KnownSize`.
    """

    content_type: str
    output_format: str
    estimate: int
    size: int
    origin: str
    voice: str


class SizeTable(Protocol):
    """Keeps sizes and checksums of clips for ever, for all processes of the account."""

    def fingerprint(self, key: str) -> Fingerprint | None:
        """Return what is known of a clip, by its item's key."""

    def past_clips(self, number: int) -> Sequence[PastClip]:
        """Return those of the newest items whose clips have a known size, oldest first.

        Args:
            number: of items to look up.
        """

    def sizes_near(self, item: Item, number: int) -> Sequence[KnownSize]:
        """Return the sizes of an item's clip and of the clips next to it by date.

        Args:
            item: whose clip; it need not be known any more.
            number: how many clips to look up before it, and after it, at the most.

        Returns:
            The clip's own first.
        """

    def set_audio(self, key: str, size: int, sha256: bytes | None) -> None:
        """Keep the exact size of a clip, and its SHA-256 where it is known.

        Args:
            key: the item's key.
            size: in bytes.
            sha256: None keeps the known one as long as the size stays the same.
        """

    def forget_unverified(self) -> None:
        """Forget the sizes of clips whose SHA-256 isn't known: their bytes were never counted."""
