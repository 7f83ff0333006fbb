"""Telling whether two texts name the same caller."""

from __future__ import annotations

import re

#: A telephone number as people and servers write it, perhaps within a SIP address.
_NUMBER = re.compile(r"(?:(?:sips?|tel|whatsapp):)?(\+?[\d\s()./-]{5,})(?:@\S+)?", re.IGNORECASE)


def same_caller(one: str, other: str) -> bool:
    """Say whether two user ids, or two telephone numbers, are the same.

    Numbers are compared by their digits, from the country code on: ``+49 (1555) 12-34``,
    ``0049155512 34`` and ``sip:+491555 1234@example.com`` are one.

    Args:
        one: a user id or a telephone number.
        other: the same.
    """
    return one.strip() == other.strip() or (_digits(one) or 1) == (_digits(other) or 2)


def _digits(text: str) -> str | None:
    found = _NUMBER.fullmatch(text.strip())
    if found is None:
        return None
    digits = re.sub(r"\D", "", found[1])
    return digits.removeprefix("00") or None
