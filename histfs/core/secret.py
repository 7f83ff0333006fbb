"""A string that doesn't show itself."""

from __future__ import annotations

import re


class Secret:
    """An API key: its repr, its str and its pickle say nothing of it.

    Args:
        value: what must not be shown.
        origin: where it comes from, for a person.

    Attributes:
        origin: the same; where the value itself stood in it, it is blotted out.
    """

    __slots__ = ("_value", "origin")

    def __init__(self, value: str, origin: str = "") -> None:
        self._value = value
        self.origin = self.redact(origin)

    def reveal(self) -> str:
        """Return the string itself, for the one who sends it."""
        return self._value

    def redact(self, text: str) -> str:
        """Return a text with every occurrence of the secret blotted out, in whatever case."""
        if not self._value:
            return text
        return re.sub(re.escape(self._value), "***", text, flags=re.IGNORECASE)

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __reduce__(self) -> str:
        raise TypeError("a secret is not written down")
