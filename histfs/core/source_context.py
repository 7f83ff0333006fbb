"""The context of a source: what its constructor gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from histfs.core.secret import Secret


def _ignore(number: int) -> None:
    """Ignore a limit: for a source outside of a mount."""


@dataclass(frozen=True, slots=True)
class SourceContext:
    """An account, and how to reach its API.

    Attributes:
        profile: the account's name on this machine.
        base_url: scheme and host of the API.
        key: the API key.
        timeout: seconds after which any request ends.
        connections: concurrent requests, not counting a listing that a call waits for.
        options: the source's own table of the configuration file.
        state_maximum: takes the number of concurrent requests that the server allows, if it says
            so. The source itself needs no limit: histfs limits its calls.
    """

    profile: str
    base_url: str
    key: Secret
    timeout: float
    connections: int
    options: Mapping[str, Any] = field(default_factory=dict)
    state_maximum: Callable[[int], None] = _ignore
