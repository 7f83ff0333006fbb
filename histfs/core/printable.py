"""Texts that a stranger wrote, on the way to a terminal."""

from __future__ import annotations


def shown(text: str) -> str:
    """Return a text with escapes for what a terminal would not show but obey.

    Args:
        text: one line; a line's end in it is escaped, too.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
