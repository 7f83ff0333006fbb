"""Texts that a stranger wrote, on the way to a terminal."""

from __future__ import annotations

from histfs.core.secret import redact


def shown(text: str) -> str:
    """Return a text without any API key, and with escapes for what a terminal would obey.

    Args:
        text: one line; a line's end in it is escaped, too.
    """
    safe = redact(text)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in safe)
