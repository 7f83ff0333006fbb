"""The query of a request, read as FastAPI reads it."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Sequence

from histfs.simulator.api_errors import problem, validation_error
from histfs.simulator.http_messages import ApiRequest

# As pydantic reads them, whatever the case.
_BOOLEANS = {
    **dict.fromkeys(("1", "true", "t", "yes", "y", "on"), True),
    **dict.fromkeys(("0", "false", "f", "no", "n", "off"), False),
}


class Parameters:
    """Reads parameters one by one, and keeps what is wrong with them until `check`."""

    def __init__(self, request: ApiRequest) -> None:
        """Takes the request whose query is read."""
        self._values = urllib.parse.parse_qs(request.query, keep_blank_values=True)
        self._problems: list[dict[str, object]] = []

    def texts(self, name: str) -> list[str]:
        """Gives all values of a parameter that may be repeated."""
        return self._values.get(name, [])

    def text(self, name: str) -> str | None:
        """Gives a parameter, the last value if there are several, None if it is empty."""
        return self._last(name) or None

    def integer(self, name: str, *, low: int | None = None, high: int | None = None) -> int | None:
        """Reads an integer, which the schema may want between two bounds (inclusive)."""
        text = self._last(name)
        if text is None:
            return None
        # More digits than any number in use has, fewer than Python refuses to read.
        if not re.fullmatch(r"[+-]?[0-9]{1,400}", text.strip()):
            message = "Input should be a valid integer, unable to parse string as an integer"
            self._reject(name, "int_parsing", message, text)
            return None
        value = int(text)
        if low is not None and value < low:
            message = f"Input should be greater than or equal to {low}"
            self._reject(name, "greater_than_equal", message, text, ge=low)
        if high is not None and value > high:
            message = f"Input should be less than or equal to {high}"
            self._reject(name, "less_than_equal", message, text, le=high)
        return value

    def boolean(self, name: str) -> bool | None:
        """Reads a truth value."""
        text = self._last(name)
        if text is None:
            return None
        if text.lower() not in _BOOLEANS:
            message = "Input should be a valid boolean, unable to interpret input"
            self._reject(name, "bool_parsing", message, text)
        return _BOOLEANS.get(text.lower())

    def choice(self, name: str, allowed: Sequence[str]) -> str | None:
        """Reads one of some words."""
        text = self._last(name)
        if text is not None:
            self._choose(name, text, allowed)
        return text

    def choices(self, name: str, allowed: Sequence[str]) -> list[str]:
        """Reads some of some words, from a parameter that may be repeated."""
        for place, text in enumerate(self.texts(name)):
            self._choose(name, text, allowed, place)
        return self.texts(name)

    def check(self) -> None:
        """Refuses the request if anything that was read breaks the schema.

        Raises:
            ApiError: 422 with everything that does.
        """
        if self._problems:
            raise validation_error(self._problems)

    def _last(self, name: str) -> str | None:
        values = self._values.get(name)
        return values[-1] if values else None

    def _choose(self, name: str, text: str, allowed: Sequence[str], *place: int) -> None:
        if text not in allowed:
            quoted = [f"'{value}'" for value in allowed]
            expected = f"{', '.join(quoted[:-1])} or {quoted[-1]}"
            where: tuple[str | int, ...] = ("query", name, *place)
            message = f"Input should be {expected}"
            context = {"expected": expected}
            self._problems.append(problem(where, "literal_error", message, input=text, ctx=context))

    def _reject(self, name: str, kind: str, message: str, text: str, **context: object) -> None:
        about: dict[str, object] = {"input": text}
        if context:
            about["ctx"] = context
        self._problems.append(problem(("query", name), kind, message, **about))
