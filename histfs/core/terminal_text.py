"""Untrusted text on its way to a terminal."""

from __future__ import annotations

from histfs.core.secret import redact


def shown(text: str) -> str:
    """Return a text with API keys redacted and unprintable characters escaped.

    Args:
        text: one line; a newline in it is escaped, too.
    """
    safe = redact(text)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in safe)
