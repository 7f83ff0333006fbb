"""What a source is given when it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from histfs.core.secret import Secret


def _unheard(number: int) -> None:
    """Take no notice of a limit: for a source outside of a mount."""


@dataclass(frozen=True, slots=True)
class SourceContext:
    """Whose items they are.

    Attributes:
        profile: the account's name on this machine.
        base_url: scheme and host of the API.
        key: the API key.
        timeout: seconds after which any request ends.
        connections: requests at once, a listing that is waited for not included.
        options: the source's own table of the configuration file.
        state_maximum: takes the number of requests that the server allows at once, where it says
            so. The source itself needs no limit: its calls are let through one by one.
    """

    profile: str
    base_url: str
    key: Secret
    timeout: float
    connections: int
    options: Mapping[str, Any] = field(default_factory=dict)
    state_maximum: Callable[[int], None] = _unheard
