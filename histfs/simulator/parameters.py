"""Read the query of a request as FastAPI reads it."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Sequence

from histfs.simulator.api_errors import problem, validation_error
from histfs.simulator.http_messages import ApiRequest

# pydantic's spellings; the case is ignored.
_BOOLEANS = {
    **dict.fromkeys(("1", "true", "t", "yes", "y", "on"), True),
    **dict.fromkeys(("0", "false", "f", "no", "n", "off"), False),
}


class Parameters:
    """Read parameters one by one, and collect violations of the schema until `check`."""

    def __init__(self, request: ApiRequest) -> None:
        self._values = urllib.parse.parse_qs(request.query, keep_blank_values=True)
        self._problems: list[dict[str, object]] = []

    def texts(self, name: str) -> list[str]:
        """Return all values of a parameter that may be repeated."""
        return self._values.get(name, [])

    def text(self, name: str) -> str | None:
        """Return the last value of a parameter; None if it is absent or empty."""
        return self._last(name) or None

    def integer(self, name: str, *, low: int | None = None, high: int | None = None) -> int | None:
        """Read an integer, which may have inclusive bounds."""
        text = self._last(name)
        if text is None:
            return None
        # Python refuses to parse more than 4300 digits; no number in use has 400.
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
        """Read a boolean."""
        text = self._last(name)
        if text is None:
            return None
        if text.lower() not in _BOOLEANS:
            message = "Input should be a valid boolean, unable to interpret input"
            self._reject(name, "bool_parsing", message, text)
        return _BOOLEANS.get(text.lower())

    def choice(self, name: str, allowed: Sequence[str]) -> str | None:
        """Read one of the allowed words."""
        text = self._last(name)
        if text is not None:
            self._choose(name, text, allowed)
        return text

    def choices(self, name: str, allowed: Sequence[str]) -> list[str]:
        """Read allowed words from a parameter that may be repeated."""
        for index, text in enumerate(self.texts(name)):
            self._choose(name, text, allowed, index)
        return self.texts(name)

    def check(self) -> None:
        """Refuse the request if anything that was read violates the schema.

        Raises:
            ApiError: 422 with all violations.
        """
        if self._problems:
            raise validation_error(self._problems)

    def _last(self, name: str) -> str | None:
        values = self._values.get(name)
        return values[-1] if values else None

    def _choose(self, name: str, text: str, allowed: Sequence[str], *index: int) -> None:
        if text not in allowed:
            quoted = [f"'{value}'" for value in allowed]
            expected = f"{', '.join(quoted[:-1])} or {quoted[-1]}"
            location: tuple[str | int, ...] = ("query", name, *index)
            message = f"Input should be {expected}"
            context = {"expected": expected}
            self._problems.append(
                problem(location, "literal_error", message, input=text, ctx=context)
            )

    def _reject(
        self, name: str, error_type: str, message: str, text: str, **context: object
    ) -> None:
        details: dict[str, object] = {"input": text}
        if context:
            details["ctx"] = context
        self._problems.append(problem(("query", name), error_type, message, **details))
