"""The Range header of a request (RFC 9110, section 14)."""

from __future__ import annotations

import re
from typing import NamedTuple

_RANGE = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*", re.ASCII | re.IGNORECASE)


class ByteRange(NamedTuple):
    """A range of bytes as it is requested.

    Attributes:
        first: the first byte; None for the last bytes of the body.
        last: the last byte; with no first one, how many of the last bytes; None for the rest.
    """

    first: int | None
    last: int | None

    @property
    def is_all(self) -> bool:
        """Whether it is the whole body, whatever its size."""
        return self.first == 0 and self.last is None

    def within(self, size: int) -> range | None:
        """Return the bytes of a body of this size; None if it has none of them.

        Args:
            size: of the body in bytes.
        """
        if self.first is None:
            found = range(max(0, size - (self.last or 0)), size)
        else:
            end = size if self.last is None else min(self.last + 1, size)
            found = range(self.first, end)
        return found or None


def parse_range(header: str | None) -> ByteRange | None:
    """Parse a Range header.

    Args:
        header: its value; None without one.

    Returns:
        The range; None without one, and for what may be ignored: another unit, several ranges, or
        no valid range.
    """
    found = _RANGE.fullmatch(header or "")
    if found is None:
        return None
    first, last = (int(number) if number else None for number in found.groups())
    if first is None and last is None:
        return None
    if first is not None and last is not None and first > last:
        return None
    return ByteRange(first, last)
