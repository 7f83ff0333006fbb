"""Comparison of caller ids: user ids and telephone numbers."""

from __future__ import annotations

import re

#: A telephone number in any common notation, perhaps within a SIP address.
_NUMBER = re.compile(r"(?:(?:sips?|tel|whatsapp):)?(\+?[\d\s()./-]{5,})(?:@\S+)?", re.IGNORECASE)


def same_caller(one: str, other: str) -> bool:
    """Return whether two user ids, or two telephone numbers, are the same.

    Numbers are compared by their digits, from the country code on: ``+49 (1555) 12-34``,
    ``0049155512 34`` and ``sip:+491555 1234@example.com`` are equal.

    Args:
        one: a user id or a telephone number.
        other: the same.
    """
    if one.strip() == other.strip():
        return True
    digits = _digits(one)
    return digits is not None and digits == _digits(other)


def _digits(text: str) -> str | None:
    """Return the digits of a telephone number from the country code on; None for another text."""
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        return None
    digits = re.sub(r"\D", "", match[1])
    return digits.removeprefix("00") or None
